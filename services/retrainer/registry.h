/* SPDX-License-Identifier: Apache-2.0
 * registry.h - the registry of models as people read it: the list, and all that is known of one version.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h and modelstore/modelstore.h. */
#ifndef ASSAY_RETRAINER_REGISTRY_H
#define ASSAY_RETRAINER_REGISTRY_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"

struct pg_session;

/* {"models": [...]}, the newest first: each with its state, aliases, plain figures, who registered it and who changed
 * it last. `name` empty: of every name; `before` 0: from the newest on, else older than that version. */
MUST_USE enum err registry_list(struct json_out *o, struct pg_session *s, struct slice name, int64_t before,
                                int64_t most, struct why *why);

/* One version: the row above, what its bundle holds, the run that made it, its verdicts, experiments and history.
 *   ERR_NOT_FOUND  the name has no such version */
MUST_USE enum err registry_show(struct json_out *o, struct pg_session *s, struct slice name, int64_t version,
                                struct arena *arena, struct why *why);

#endif
