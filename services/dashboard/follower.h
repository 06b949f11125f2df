/* SPDX-License-Identifier: Apache-2.0
 * follower.h - makes from the log and the decisions what analysts look at, and lets their decisions take effect.
 *
 *   log, decisions ──▶ payments, decision_minutes, decision_latency, review_cases
 *   decided cases whose time to undo is over ──▶ entries of lists, a label in `outbox`
 *   payments and minutes that are kept no longer ──▶ nothing, a few of the oldest at a time; cases stay, and so does the
 *   payment of a case that people have not done with
 *
 * One thread. Of several dashboards one follows at a time, by the row in `followers`. Blocking. */
#ifndef ASSAY_DASHBOARD_FOLLOWER_H
#define ASSAY_DASHBOARD_FOLLOWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dashboard_settings;
struct pg_session;

/* Whether `conf` says which decisions become cases.   ERR_INVALID  if not */
MUST_USE enum err follower_check(const struct dashboard_settings *conf, struct why *why);
/* What one turn leaves for the next; zeroes at first, the caller's. */
struct follower_memory {
    int64_t looked_ms;  /* when it looked for decisions last */
    int64_t entries;    /* so many are read at most */
    int64_t drop_at_ms; /* when it looks for what is old, by the monotonic clock */
    int64_t dropped_n;  /* payments up to there have been looked at */
    int64_t rested_us;  /* between the pieces of the last turn */
};
/* One batch, and what is due. *is_behind: there is more to read at once. */
MUST_USE enum err follower_turn(const struct dashboard_settings *conf, struct follower_memory *memory,
                                struct pg_session *s, bool *is_behind, struct why *why);

#endif
