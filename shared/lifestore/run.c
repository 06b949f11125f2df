/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/run.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "lifestore/row.h"

/* The lock of who trains. Any number that nobody else in the database takes. */
#define RUN_LOCK "4707174031187263815"

static const char *const state_names[] = {
    [RUN_QUEUED] = "queued", [RUN_RUNNING] = "running",     [RUN_SUCCEEDED] = "succeeded",
    [RUN_FAILED] = "failed", [RUN_CANCELLED] = "cancelled",
};
static_assert(ARRAY_LEN(state_names) == RUN_STATE_COUNT, "every state has a name");

const char *run_state_name(enum run_state state)
{
    return state_names[state];
}

static enum run_state state_of(struct slice name)
{
    enum run_state state = RUN_QUEUED;

    while (state + 1 < RUN_STATE_COUNT && !slice_eq_str(name, state_names[state]))
        state++;
    return state;
}

static void write_time(struct json_out *o, const char *key, int64_t at_us)
{
    if (at_us == RUN_NO_TIME)
        json_out_null(o, key);
    else
        json_out_time(o, key, at_us);
}

void run_write(struct json_out *o, const char *key, const struct run *run)
{
    json_out_open(o, key);
    json_out_int(o, "run", run->run);
    json_out_text(o, "name", run->name);
    json_out_text(o, "cause", run->cause);
    json_out_text(o, "reason", run->reason);
    json_out_text(o, "requested_by", run->requested_by);
    write_time(o, "requested_at", run->requested_at_us);
    write_time(o, "as_of", run->as_of_us);
    json_out_json(o, "settings", run->settings);
    json_out_str(o, "state", run_state_name(run->state));
    json_out_bool(o, "is_cancelled", run->is_cancelled);
    json_out_int(o, "attempts", run->attempts);
    json_out_text(o, "stage", run->stage);
    json_out_number(o, "progress", run->progress);
    write_time(o, "started_at", run->started_at_us);
    write_time(o, "ended_at", run->ended_at_us);
    if (run->version)
        json_out_int(o, "version", run->version);
    else
        json_out_null(o, "version");
    json_out_text(o, "message", run->message);
    json_out_end(o);
}

/* ---- asking ---- */

/* Who asks in the same moment as another may see neither the other's run nor a place for its own: the next try sees
 * it. */
enum { TRIES = 10 };
static const char request_sql[] =
    "WITH there AS (SELECT run FROM training_runs WHERE name = $1::text AND state = 'queued' ORDER BY run "
    "LIMIT "
    "1), made AS (INSERT INTO training_runs (name, cause, reason, requested_by, as_of, settings) SELECT "
    "$1::text, "
    "$2::text, $3::text, $4::text, $5::timestamptz, CASE $2::text WHEN 'drift' THEN coalesce((SELECT "
    "settings "
    "FROM retrain_schedules WHERE name = $1::text), $6::text::jsonb) ELSE $6::text::jsonb END "
    "WHERE NOT EXISTS (SELECT FROM there) "
    "ON CONFLICT (name) WHERE state = 'queued' DO NOTHING RETURNING run) SELECT run, false FROM there UNION "
    "ALL SELECT run, true FROM made";

static enum err check_wish(struct pg_session *s, const struct run_wish *wish, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, wish->name);
    row_add_object(&p, wish->settings);
    err = row_ask(s, "SELECT $1::text ~ '^[a-z][a-z0-9_-]{0,63}$', jsonb_typeof($2::text::jsonb) = 'object'",
                  &p, &r, why);
    if (!err && !pg_get_bool(r, 0, 0))
        err = err_set(why, ERR_INVALID, "\"%.*s\" is no name of a model: [a-z][a-z0-9_-]{0,63}",
                      SLICE_ARG(wish->name));
    else if (!err && !pg_get_bool(r, 0, 1))
        err = err_set(why, ERR_INVALID, "the settings of a run are a JSON object");
    pg_result_free(r);
    return err;
}

enum err run_request(struct pg_session *s, const struct run_wish *wish, int64_t *run, bool *is_new,
                     struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = check_wish(s, wish, why);

    *run = 0;
    if (err)
        return err;
    pg_add_text(&p, wish->name);
    pg_add_text(&p, slice_str(wish->cause));
    pg_add_text(&p, wish->reason.len ? wish->reason : SLICE(""));
    pg_add_text(&p, wish->requested_by);
    row_add_time(&p, wish->as_of_us);
    row_add_object(&p, wish->settings);
    for (int i = 0; i < TRIES && !err && !*run; i++) {
        err = pg_exec(s, request_sql, &p, &r, why);
        if (!err && pg_rows(r)) {
            *run = pg_get_int(r, 0, 0);
            if (is_new)
                *is_new = pg_get_bool(r, 0, 1);
        }
        pg_result_free(r);
        r = NULL;
    }
    pg_params_release(&p);
    if (!err && !*run)
        err = err_set(why, ERR_CONFLICT, "others request runs of %.*s all the time", SLICE_ARG(wish->name));
    return err;
}

static const char cancel_sql[] =
    "WITH done AS (UPDATE training_runs SET is_cancelled = true, "
    "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END, "
    "ended_at = CASE state WHEN 'queued' THEN now() ELSE ended_at END, "
    "message = CASE state WHEN 'queued' THEN 'cancelled before it began' ELSE message END "
    "WHERE run = $1::int8 AND state IN ('queued', 'running') AND NOT is_cancelled RETURNING run), "
    "noted AS (INSERT INTO audit (actor, action, subject) SELECT $2::text, 'run.cancel', run::text FROM "
    "done) "
    "SELECT state, is_cancelled FROM training_runs WHERE run = $1::int8";

enum err run_cancel(struct pg_session *s, int64_t run, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, run);
    pg_add_text(&p, actor);
    err = row_ask(s, cancel_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0) {
        err = err_set(why, ERR_NOT_FOUND, "no run %" PRId64, run);
    } else if (!err) {
        enum run_state state = state_of(pg_get_text(r, 0, 0)); /* as it was before this statement */

        if (state == RUN_SUCCEEDED || state == RUN_FAILED)
            err = err_set(why, ERR_CONFLICT, "run %" PRId64 " has %s", run, run_state_name(state));
    }
    pg_result_free(r);
    return err;
}

/* ---- reading ---- */

#define RUN_COLUMNS                                                                                          \
    "run, name, cause, reason, requested_by, requested_at, as_of, settings::text, state, is_cancelled, "     \
    "attempts, stage, progress, checkpoint::text, started_at, ended_at, version, message"

static void take(struct run *run, const struct pg_result *r, size_t row, struct arena *arena)
{
    *run = (struct run){
        .run = pg_get_int(r, row, 0),
        .name = row_text(r, row, 1, arena),
        .cause = row_text(r, row, 2, arena),
        .reason = row_text(r, row, 3, arena),
        .requested_by = row_text(r, row, 4, arena),
        .requested_at_us = row_time(r, row, 5),
        .as_of_us = row_time(r, row, 6),
        .settings = row_text(r, row, 7, arena),
        .state = state_of(pg_get_text(r, row, 8)),
        .is_cancelled = pg_get_bool(r, row, 9),
        .attempts = pg_get_int(r, row, 10),
        .stage = row_text(r, row, 11, arena),
        .progress = pg_get_float(r, row, 12),
        .checkpoint = row_text(r, row, 13, arena),
        .started_at_us = row_time(r, row, 14),
        .ended_at_us = row_time(r, row, 15),
        .version = pg_get_int(r, row, 16),
        .message = row_text(r, row, 17, arena),
    };
}

enum err run_read(struct pg_session *s, int64_t run, struct run *out, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, run);
    err = row_ask(s, "SELECT " RUN_COLUMNS " FROM training_runs WHERE run = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "no run %" PRId64, run);
    if (!err)
        take(out, r, 0, arena);
    pg_result_free(r);
    return err;
}

enum err run_list(struct pg_session *s, int64_t before, size_t most, struct run **out, size_t *count,
                  struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *count = 0;
    pg_add_i64(&p, before);
    pg_add_i64(&p, (int64_t)most);
    err = row_ask(s,
                  "SELECT " RUN_COLUMNS " FROM training_runs WHERE $1::int8 = 0 OR run < $1::int8 "
                  "ORDER BY run DESC LIMIT $2::int8",
                  &p, &r, why);
    if (!err) {
        *out = arena_new(arena, struct run, pg_rows(r) + 1);
        for (; *count < pg_rows(r); ++*count)
            take(&(*out)[*count], r, *count, arena);
    }
    pg_result_free(r);
    return err;
}

/* ---- training ---- */

/* pg_locks tells a 64-bit key in two halves. */
static const char next_sql[] =
    "SELECT run FROM training_runs WHERE state IN ('queued', 'running') AND NOT EXISTS (SELECT FROM pg_locks "
    "l "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT oid FROM "
    "pg_database "
    "WHERE datname = current_database()) AND l.classid = (" RUN_LOCK " >> 32)::oid "
    "AND l.objid = (" RUN_LOCK " & 4294967295)::oid) ORDER BY state = 'queued', run LIMIT 1";

enum err run_next(struct pg_session *s, int64_t *run, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, next_sql, NULL, &r, why);

    *run = !err && pg_rows(r) ? pg_get_int(r, 0, 0) : 0;
    pg_result_free(r);
    return err;
}

enum err run_lock(struct pg_session *s, bool *is_taken, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, "SELECT pg_try_advisory_lock(" RUN_LOCK ")", NULL, &r, why);

    *is_taken = !err && pg_get_bool(r, 0, 0);
    pg_result_free(r);
    return err;
}

static const char begin_sql[] =
    "UPDATE training_runs SET "
    "state = CASE WHEN is_cancelled THEN 'cancelled' WHEN attempts >= $2::int8 THEN 'failed' ELSE 'running' "
    "END, "
    "message = CASE WHEN is_cancelled THEN 'cancelled between two attempts' WHEN attempts >= $2::int8 THEN "
    "format('begun %s times, and each time its process ended before it did%s', attempts, "
    "CASE stage WHEN '' THEN '' ELSE ' (the last one at: ' || stage || ')' END) ELSE '' END, "
    "ended_at = CASE WHEN is_cancelled OR attempts >= $2::int8 THEN now() END, "
    "attempts = CASE WHEN is_cancelled OR attempts >= $2::int8 THEN attempts ELSE attempts + 1 END, "
    "started_at = coalesce(started_at, now()), as_of = coalesce(as_of, $3::timestamptz) "
    "WHERE run = $1::int8 AND state IN ('queued', 'running') RETURNING state";

enum err run_begin(struct pg_session *s, int64_t run, int64_t attempts_most, int64_t now_us, bool *is_begun,
                   struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct arena arena = { 0 };
    struct run there;
    enum err err;

    *is_begun = false;
    pg_add_i64(&p, run);
    pg_add_i64(&p, attempts_most);
    pg_add_time_us(&p, now_us);
    err = row_ask(s, begin_sql, &p, &r, why);
    if (!err && pg_rows(r)) {
        *is_begun = state_of(pg_get_text(r, 0, 0)) == RUN_RUNNING;
    } else if (!err) {
        err = run_read(s, run, &there, &arena, why);
        if (!err)
            err =
                err_set(why, ERR_CONFLICT, "run %" PRId64 " has ended: %s", run, run_state_name(there.state));
    }
    pg_result_free(r);
    arena_release(&arena);
    return err;
}

enum err run_progress(struct pg_session *s, int64_t run, const char *stage, double progress,
                      bool *is_cancelled, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, run);
    pg_add_text(&p, slice_str(stage));
    pg_add_f64(&p, progress < 0 ? 0 : progress > 1 ? 1 : progress);
    err = row_ask(s,
                  "UPDATE training_runs SET stage = $2::text, progress = $3::float8 WHERE run = $1::int8 AND "
                  "state = 'running' RETURNING is_cancelled",
                  &p, &r, why);
    *is_cancelled = !err && pg_rows(r) && pg_get_bool(r, 0, 0);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_CONFLICT, "run %" PRId64 " is not running", run);
    pg_result_free(r);
    return err;
}

enum err run_keep(struct pg_session *s, int64_t run, struct slice checkpoint, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, run);
    row_add_object(&p, checkpoint);
    return row_ask(s, "UPDATE training_runs SET checkpoint = $2::text::jsonb WHERE run = $1::int8", &p, NULL,
                   why);
}

enum err run_end(struct pg_session *s, int64_t run, enum run_state state, int64_t version,
                 struct slice message, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, run);
    pg_add_text(&p, slice_str(run_state_name(state)));
    pg_add_i64(&p, version);
    pg_add_text(&p, message.len ? message : SLICE(""));
    return row_ask(
        s,
        "UPDATE training_runs SET state = $2::text, version = nullif($3::int8, 0), message = "
        "$4::text, ended_at = now(), progress = CASE $2::text WHEN 'succeeded' THEN 1 ELSE progress "
        "END WHERE run = $1::int8 AND state = 'running'",
        &p, NULL, why);
}

enum err run_leave(struct pg_session *s, int64_t run, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, run);
    return row_ask(s,
                   "UPDATE training_runs SET attempts = greatest(attempts - 1, 0) WHERE run = $1::int8 AND "
                   "state = 'running'",
                   &p, NULL, why);
}
