/* SPDX-License-Identifier: Apache-2.0
 * history.h - the past, read from PostgreSQL by a thread of its own: snapshots, and the log from there.
 *
 * All of this blocks. A snapshot is not taken from the state that serves: the thread loads the snapshot
 * before it, replays the log up to the wanted entry and writes that. So serving never stops for one, and each
 * snapshot has shown that the one before can be loaded. The price is a replay of what came between, and the
 * memory of a second state while it lasts. */
#ifndef ASSAY_FEATURES_HISTORY_H
#define ASSAY_FEATURES_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "featurestore/plan.h"
#include "pg/session.h"
#include "replica.h"

/* Settings that make PostgreSQL read the log by its key, whatever its statistics say at the moment. */
extern const char *const history_setup[];
MUST_USE enum err history_open(struct pg_session **out, const char *conninfo, struct why *why);

/* The newest entry of the log; 0 for none. */
MUST_USE enum err history_tip(struct pg_session *s, uint64_t *n, struct why *why);
/* The plan of the newest PLAN entry; NULL when there is none. */
MUST_USE enum err history_last_plan(struct pg_session *s, struct plan **out, struct why *why);

/* What a state was built from, and what that took. */
struct history_source {
    uint64_t snapshot; /* its entry; 0: none, the log alone */
    int64_t load_us, replay_us;
};

/* Builds the state under `plan`, which it takes over, from the newest good snapshot at or before entry
 * `from`, or from the log's beginning, through entry `upto` (UINT64_MAX: what is there). The vectors of what
 * comes after `from` are computed and kept, at most `recent_max`. ERR_UNAVAILABLE also when *is_cancelled
 * became true on the way */
MUST_USE enum err history_build(struct replica **out, struct pg_session *s, struct plan *plan, uint64_t from,
                                uint64_t upto, size_t recent_max, const atomic_bool *is_cancelled,
                                struct history_source *source, struct why *why);

/* Where the newest snapshot under `plan` stands, and the time it was written; 0 for none. */
MUST_USE enum err history_newest(struct pg_session *s, const struct plan *plan, uint64_t *n,
                                 int64_t *created_at_us, struct why *why);
/* Writes the state as a snapshot and forgets those beyond the newest `keep` that are not kept for good. Is
 * there already: done. `*bytes` is its size before compression. */
MUST_USE enum err history_save(struct pg_session *s, const struct replica *r, uint64_t epoch, bool is_kept,
                               int keep, uint64_t *bytes, struct why *why);

#endif
