/* SPDX-License-Identifier: Apache-2.0
 * watch.h - a thread of its own with a PostgreSQL connection of its own, for work that blocks: following a
 * table, keeping watch, answering what takes several statements.
 *
 *   turn ─▶ rest ─▶ turn ─▶ ...      at once again when woken; after a failure with a new connection,
 *                                    after a pause that grows from 0.1 s to 5 s
 *
 * No statement of a turn gets parallel workers of PostgreSQL. Turns never overlap. Everything but the turn itself is
 * called from the loop's thread.
 *
 * What only follows can wait, and decisions cannot: `rests` bounds its share of a machine. The busier PostgreSQL is, the
 * longer a turn takes and the longer it rests; so under overload it falls behind, and catches up afterwards. */
#ifndef ASSAY_APP_WATCH_H
#define ASSAY_APP_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pg_session;
struct watch;

struct watch_conf {
    const char *name;        /* in the log: "shadow" */
    const char *conninfo;    /* borrowed, as the others */
    const char *application; /* "assay-shadow" */
    const char *role;        /* taken with SET ROLE; NULL or empty: none */
    const char *session_sql; /* run once on each connection; NULL: none */
    int rests; /* so many times as long as a turn took it rests at least, up to 2 s, and its thread
                                is nice; 0: neither */
    /* *rest_us is how long to rest now, 0 before; what is to do with a long turn when `*is_ending` says yes is
     * up to it. `s` is NULL when there is no connection: then the turn may only say so to those who wait, and
     * its result does not matter. An error is logged, once until it changes. */
    enum err (*turn)(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why);
    void *ctx;
};

/* Starts at once. `conf` is copied. On success *out is the caller's, for watch_close().
 *   ERR_INTERNAL  no thread */
MUST_USE enum err watch_open(struct watch **out, const struct watch_conf *conf, struct why *why);
/* Waits for the turn under way. */
void watch_close(struct watch *w);

/* The next turn comes now. Any thread. */
void watch_wake(struct watch *w);
/* Whether the last turn went well; else why not. Any thread. */
bool watch_is_well(struct watch *w, struct why *trouble);
/* Whether it went wrong; not before one has ended. Any thread. */
bool watch_has_failed(struct watch *w, struct why *trouble);

#endif
