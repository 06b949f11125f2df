/* SPDX-License-Identifier: Apache-2.0
 * candidate.h - takes each candidate a step further: what lifecycle/controller.h says, done in PostgreSQL.
 *
 * Only models that a run has made are candidates; what a person registers, a person promotes. Each step is one
 * SQL transaction with its verdicts, so that after a crash the same step comes out again.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h and modelstore/modelstore.h. */
#ifndef ASSAY_RETRAINER_CANDIDATE_H
#define ASSAY_RETRAINER_CANDIDATE_H

#include <stdint.h>

#include "base/err.h"
#include "bundle/bundle.h"
#include "stages.h"
#include "training/trainer.h"

struct pg_session;
struct trainingstore_query;
struct trusted_keys;

/* What a registered version is held to its gates with: the rows that it was trained from, of which the judging
 * part is evidence. */
struct gating {
    const struct stages *stages;
    int64_t version, now_us;
    const struct plan *plan;
    const struct rows *rows;
    const struct trainer *trainer;           /* which says how they were split */
    const struct trainingstore_query *query; /* which says what they were read by */
};
/* Runs the gates: verdicts are written, and it becomes validated or rejected; where they are inconclusive it stays
 * registered. What it learned from is held against vectors that are computed again from the log. Nothing when it is not registered any more, or its gates have been run. */
MUST_USE enum err candidate_gate(struct pg_session *s, const struct gating *g, struct why *why);

/* Keeps when each guardrail is looked at next. Zero-initialise. */
struct guard_times {
    struct {
        int64_t version, next_us;
    } items[16];
    size_t count;
};

/* One look at every name. `keys` are whose signatures a promotion asks for; NULL: nobody's. */
MUST_USE enum err candidates_step(struct pg_session *s, const struct stages *stages,
                                  const struct trusted_keys *keys, struct guard_times *times, int64_t now_us,
                                  struct why *why);

#endif
