/* SPDX-License-Identifier: Apache-2.0
 * again.h - random past decisions, made again with what made them: part of `assay verify`. */
#ifndef ASSAY_CLI_AGAIN_H
#define ASSAY_CLI_AGAIN_H

#include <jansson.h>

#include "base/err.h"
#include "replaystore/replay.h"

struct again_counts {
    int64_t drawn, unreadable;
    int64_t outcomes[REPLAY_LOST + 1]; /* by enum replay_outcome */
    int64_t degraded, lagging; /* of them: something was missing then; by lists that were not the newest */
    int64_t models, rulesets;  /* that made them */
    double seconds;
};

/* Draws `count` decisions by `seed` and replays each in the session's snapshot; the first few that are not the same, and
 * that cannot be read, are told on standard error. Errors are those of replay_decision(). */
MUST_USE enum err again_run(struct again_counts *out, struct pg_session *s, int64_t count, int64_t seed,
                            struct why *why);
/* Whether nothing differs and nothing is lost. */
bool again_is_good(const struct again_counts *c);
void again_print(const struct again_counts *c);
json_t *again_json(const struct again_counts *c);

#endif
