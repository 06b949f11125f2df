/* SPDX-License-Identifier: Apache-2.0
 * candidate.h - takes a candidate a step further: what lifecycle/controller.h says, done in PostgreSQL.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h and modelstore/modelstore.h. */
#ifndef ASSAY_RETRAINER_CANDIDATE_H
#define ASSAY_RETRAINER_CANDIDATE_H

#include <stdint.h>

#include "base/err.h"

struct pg_session;
struct retrainer_settings;

/* Holds a registered version to its gates: its verdicts are written, and it is validated or rejected, in one SQL
 * transaction. Nothing when it is not registered any more. */
MUST_USE enum err candidate_gate(struct pg_session *s, const struct retrainer_settings *conf, int64_t version,
                                 int64_t now_us, struct why *why);

#endif
