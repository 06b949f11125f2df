/* SPDX-License-Identifier: Apache-2.0
 * pool.h - a pool of PostgreSQL connections on the event loop.
 *
 * Work is given in *units*: one or several statements that are sent in one pipeline with one Sync, hence one
 * transaction that commits or rolls back whole, with one callback for all its results. A unit has a
 * connection to itself while it runs; the others wait in a queue with a cap. One thread: the loop's.
 *
 *   static const struct pg_statement statements[] = {
 *       [FIND_KEY] = { "find_key", "SELECT account FROM api_keys WHERE prefix = $1::text" },
 *   };
 *   struct pg_unit *unit = pg_unit_new(pool);
 *   struct pg_params *p = pg_unit_add(unit, FIND_KEY);
 *   pg_add_text(p, prefix);
 *   pg_unit_is_read(unit);
 *   pg_unit_send(unit, clock_mono_us() + 100 * MS_US, on_key, request);
 *
 * While no connection is up, pg_unit_send() answers ERR_UNAVAILABLE at once instead of waiting, so that a
 * caller can say 503. Connections come back by themselves, with a back-off of 50 ms to 0.5 s. Prepared
 * statements are made on every connection before it is used: a schema that does not fit keeps the pool down,
 * and the log says which statement does not fit. Only the lookup of a host name blocks (libpq's own). */
#ifndef ASSAY_PG_POOL_H
#define ASSAY_PG_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pg/value.h"

struct loop;
struct pg_pool;
struct pg_unit;

struct pg_statement {
    const char *name; /* for logs and metrics; unique in its table */
    const char *sql;
};

/* What came of a unit. Everything in it is borrowed for the callback. */
struct pg_reply {
    enum err err;                    /* see pg.h */
    char sqlstate[PG_SQLSTATE_SIZE]; /* of the server's error, else empty */
    struct why why;
    size_t failed; /* which statement failed; meaningless with ERR_OK */
    size_t count;  /* results there are: one a statement with ERR_OK, else none */
    struct pg_result *const *results;
};

typedef void pg_done_fn(void *ctx, const struct pg_reply *reply);

struct pg_pool_options {
    const char *conninfo; /* URL or key=value; empty: libpq's environment */
    const char *service;  /* application_name; a literal */
    const char *role;     /* taken with SET ROLE on every connection, "assay_features"; NULL: none */
    const struct pg_statement *statements;
    size_t statement_count;
    size_t connections; /* at least 1 */
    size_t queue_max;   /* units waiting beyond the running ones; past it ERR_UNAVAILABLE. 0: 4096 */
    /* A pool of one connection whose session means something (a lock it holds): when it is lost, the units
     * that wait fail too, and none is carried over to the next session. */
    bool is_session;
    /* NULL-terminated; the pool listens to them on one connection. */
    const char *const *channels;
    /* NULL-terminated; statements that every connection runs first, as "SET enable_seqscan = off". */
    const char *const *setup;
    /* Optional. `on_up` when the pool gets its first connection or gets one again (a session: is connected),
     * `on_down` when it has none left. Units may be sent from both. */
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx);
    /* Optional. A notification; and with payload "" one for each channel whenever listening starts, since
     * what was sent before then was not heard. */
    void (*on_notify)(void *ctx, const char *channel, const char *payload);
    void *ctx;
};

/* Starts connecting and returns at once; borrows what `options` points to until the pool is closed.
 *   ERR_INVALID  the conninfo cannot be parsed */
MUST_USE enum err pg_pool_open(struct pg_pool **out, struct loop *loop, const struct pg_pool_options *options,
                               struct why *why);
/* Fails what waits or runs (ERR_UNAVAILABLE, or ERR_UNKNOWN for what was sent) and closes the connections.
 * Drain first: pg_pool_pending() is 0. NULL is fine. */
void pg_pool_close(struct pg_pool *pool);

bool pg_pool_is_up(const struct pg_pool *pool);     /* at least one connection can be used */
size_t pg_pool_pending(const struct pg_pool *pool); /* units that wait or run */
/* Why the last attempt to connect failed; empty when none did since the last success. */
const char *pg_pool_trouble(const struct pg_pool *pool);
/* Ends every connection now and connects again: for a session that must not go on. */
void pg_pool_reset(struct pg_pool *pool);

/* An empty unit, the caller's until it is sent. */
struct pg_unit *pg_unit_new(struct pg_pool *pool);
/* Adds a statement of the pool's table, or one that is not prepared (for rare work; `sql` must live until the
 * callback). Its parameters are the unit's. */
struct pg_params *pg_unit_add(struct pg_unit *unit, size_t statement);
struct pg_params *pg_unit_add_sql(struct pg_unit *unit, const char *sql);
/* Says that nothing here writes: a lost connection is ERR_UNAVAILABLE, a passed deadline ERR_TIMEOUT. */
void pg_unit_is_read(struct pg_unit *unit);
/* Hands the unit over. `done` is called exactly once, never from inside this call. A unit whose deadline
 * passes while it waits is never sent; one that runs is answered and its outcome is dropped.
 * `deadline_mono_us` 0: none. */
void pg_unit_send(struct pg_unit *unit, int64_t deadline_mono_us, pg_done_fn *done, void *ctx);

/* Class 22 or 23: one of the rows cannot be stored; halve the unit to find it. */
bool pg_reply_is_data_error(const struct pg_reply *reply);
/* Class 40: rolled back in favour of another transaction; the same unit again may succeed. So is a row that was
 * on its way to a DEFAULT partition while the one that it belongs to was made (PostgreSQL says 23514 then, which
 * is given here as 40001). */
bool pg_reply_is_conflict(const struct pg_reply *reply);

#endif
