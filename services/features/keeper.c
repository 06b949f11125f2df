/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <inttypes.h>
#include <string.h>

#include "app/must.h"
#include "base/clock.h"
#include "base/mem.h"
#include "batch.h"
#include "calls.h"
#include "features.h"
#include "history.h"
#include "job.h"
#include "log/log.h"
#include "outbox.h"
#include "logstore/reader.h"
#include "sql.h"

enum { TAIL_ROWS = 2000, NEAR_ENTRIES = 200 };

static const int64_t clock_us = 20 * MS_US;
static const int64_t lock_every_us = 50 * MS_US, fence_every_us = 500 * MS_US, models_every_us = SECOND_US;
static const int64_t silent_us = SECOND_US; /* as long as ingestion waits for PostgreSQL */
static const int64_t retry_us = SECOND_US, snapshot_retry_us = 30 * SECOND_US;

static const char *const role_names[] = {
    [ROLE_BUILDING] = "building",
    [ROLE_STANDBY] = "standby",
    [ROLE_TAKING_OVER] = "taking_over",
    [ROLE_ACTIVE] = "active",
};
static_assert(sizeof(role_names) / sizeof(role_names[0]) == ROLE_COUNT, "every role has a name");

const char *role_name(enum role role)
{
    return role_names[role];
}

static void role_set(struct features *f, enum role role)
{
    if (role == f->role)
        return;
    log_event(LOG_INFO, "role", "is=%s was=%s epoch=%" PRIu64 " n=%" PRIu64, role_name(role),
              role_name(f->role), f->epoch, f->replica ? replica_last(f->replica) : 0);
    f->role = role;
}

void keeper_session_send(struct features *f, struct pg_unit *unit, pg_done_fn *done)
{
    f->session_is_busy = true;
    f->session_asked_us = clock_mono_us();
    pg_unit_send(unit, 0, done, f);
}

void keeper_session_done(struct features *f)
{
    f->session_is_busy = false;
    loop_work(f->loop, &f->step);
}

bool keeper_session_is_silent(const struct features *f)
{
    return f->session_is_busy && clock_mono_us() - f->session_asked_us > silent_us;
}

/* The session did what it must not fail at: begin again from the lock. */
static void start_over(struct features *f, const struct pg_reply *reply, const char *what)
{
    if (!pg_pool_is_up(f->session))
        return; /* on_session_down() has seen to it */
    log_event(LOG_ERROR, "takeover_failed", "at=%s why=%s", what, log_quoted(slice_str(reply->why.text)));
    pg_pool_reset(f->session);
    f->lock_at_us = clock_mono_us() + retry_us;
}

/* ---- following the log ---- */

static void apply_rows(struct replica *r, const struct pg_result *rows)
{
    struct arena scratch = { 0 };
    struct entry *entries = arena_new(&scratch, struct entry, pg_rows(rows) + 1);
    uint64_t before = replica_last(r);
    struct why why;
    size_t bad;

    for (size_t i = 0; i < pg_rows(rows); i++) {
        entries[i] = entry_of_row(rows, i);
        /* One writer commits one transaction after another, so what is visible has no holes; a hole means
         * that somebody removed rows, and no waiting brings them back. */
        if (entries[i].n > before + 1)
            log_event(LOG_ERROR, "log_gap", "after=%" PRIu64 " next=%" PRIu64, before, entries[i].n);
        before = entries[i].n > before ? entries[i].n : before;
    }
    bad = replica_apply(r, entries, pg_rows(rows), 0, &scratch, &why);
    if (bad)
        log_event(LOG_ERROR, "entries_unreadable", "count=%zu why=%s", bad, log_quoted(slice_str(why.text)));
    arena_release(&scratch);
}

static struct pg_unit *tail_unit(struct pg_pool *pool, const struct replica *r)
{
    struct pg_unit *unit = pg_unit_new(pool);
    struct pg_params *p = pg_unit_add(unit, SQL_TAIL);

    pg_add_i64(p, (int64_t)replica_last(r));
    pg_add_i32(p, TAIL_ROWS);
    pg_unit_is_read(unit);
    return unit;
}

/* The old state goes in the thread: freeing millions of entities takes its time. */
static void swap_replica(struct features *f)
{
    replica_free(f->discarded);
    f->discarded = f->replica;
    f->replica = f->upcoming;
    f->upcoming = NULL;
    f->upcoming_is_near = false;
    f->snapshot_n = f->upcoming_snapshot_n;
    f->snapshot_at_us = f->upcoming_snapshot_at_us;
    log_event(LOG_INFO, "plan_changed", "columns=%zu n=%" PRIu64, plan_columns(replica_plan(f->replica)),
              replica_last(f->replica));
}

static void on_reader_tail(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    struct replica *r = f->upcoming ? f->upcoming : f->replica;

    f->reader_is_busy = false;
    if (reply->err || (!f->upcoming && f->role != ROLE_STANDBY))
        return;
    if (replica_last(r) != f->tail_after)
        return; /* asked for the one in whose place another has come meanwhile: it asks for itself */
    apply_rows(r, reply->results[0]);
    if (pg_rows(reply->results[0]) == TAIL_ROWS)
        loop_timer_set(&f->clock, 0); /* there is more */
    if (!f->upcoming)
        return;
    if (replica_last(f->upcoming) + NEAR_ENTRIES >= replica_last(f->replica))
        f->upcoming_is_near = true;
    if (f->role == ROLE_STANDBY && replica_last(f->upcoming) >= replica_last(f->replica))
        swap_replica(f);
    loop_work(f->loop, &f->step);
}

static void on_models(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    const char *models;

    f->reader_is_busy = false;
    if (reply->err)
        return;
    models = pg_is_null(reply->results[0], 0, 0) ? "" : pg_get_text(reply->results[0], 0, 0).ptr;
    if (f->models && strcmp(f->models, models) == 0)
        return;
    f->wants_build = f->wants_build || f->models != NULL;
    mem_free(f->models);
    f->models = mem_strdup(models);
}

static void use_reader(struct features *f, int64_t now)
{
    struct pg_unit *unit;

    if (f->reader_is_busy || !pg_pool_is_up(f->reader))
        return;
    if (now >= f->models_at_us) {
        f->models_at_us = now + models_every_us;
        unit = pg_unit_new(f->reader);
        pg_add_i64(pg_unit_add(unit, SQL_MODELS), f->conf.rules_kept_ms);
        pg_unit_is_read(unit);
        f->reader_is_busy = true;
        pg_unit_send(unit, 0, on_models, f);
    } else if (f->upcoming ? !f->upcoming_is_near : f->role == ROLE_STANDBY) {
        const struct replica *r = f->upcoming ? f->upcoming : f->replica;

        f->reader_is_busy = true;
        f->tail_after = replica_last(r);
        pg_unit_send(tail_unit(f->reader, r), 0, on_reader_tail, f);
    }
}

/* ---- the thread ---- */

static void on_job(void *ctx)
{
    struct job *job = ctx;
    struct features *f = job->features;
    int64_t now = clock_mono_us();

    if (job->kind == JOB_BUILD && job->err) {
        log_event(LOG_WARN, "build_failed", "why=%s", log_quoted(slice_str(job->why.text)));
        f->wants_build = true;
        f->build_at_us = now + retry_us;
    } else if (job->kind == JOB_BUILD && job->replica) {
        log_event(LOG_INFO, "built",
                  "n=%" PRIu64 " columns=%zu ms=%" PRId64 " snapshot=%" PRIu64 " load_ms=%" PRId64
                  " replay_ms=%" PRId64,
                  replica_last(job->replica), plan_columns(replica_plan(job->replica)), job->took_us / MS_US,
                  job->from.snapshot, job->from.load_us / MS_US, job->from.replay_us / MS_US);
        if (f->replica) {
            f->upcoming = job->replica;
            f->upcoming_snapshot_n = job->snapshot_n;
            f->upcoming_snapshot_at_us = job->snapshot_at_us;
        } else {
            f->replica = job->replica;
            f->snapshot_n = job->snapshot_n;
            f->snapshot_at_us = job->snapshot_at_us;
            role_set(f, ROLE_STANDBY);
        }
    } else if (job->kind == JOB_SNAPSHOT && job->err) {
        log_event(LOG_WARN, "snapshot_failed", "why=%s", log_quoted(slice_str(job->why.text)));
        f->snapshot_try_us = now + snapshot_retry_us;
    } else if (job->kind == JOB_SNAPSHOT) {
        log_event(LOG_INFO, "snapshot", "n=%" PRIu64 " bytes=%" PRIu64 " ms=%" PRId64, job->n, job->bytes,
                  job->took_us / MS_US);
        f->snapshot_n = job->n;
        f->snapshot_at_us = clock_wall_us();
    }
    loop_work(f->loop, &f->step);
}

static bool is_new_month(int64_t a_us, int64_t b_us)
{
    int year[2], month[2], day;

    civil_from_days(a_us / DAY_US, &year[0], &month[0], &day);
    civil_from_days(b_us / DAY_US, &year[1], &month[1], &day);
    return year[0] != year[1] || month[0] != month[1];
}

static void use_worker(struct features *f, int64_t now)
{
    struct job job = { .features = f,
                       .pg_url = f->conf.pg_url,
                       .catalogue = f->conf.catalogue,
                       .plan = f->replica ? replica_plan(f->replica) : NULL,
                       .recent_max = (size_t)f->conf.recent_vectors,
                       .rules_kept_ms = f->conf.rules_kept_ms };

    if (f->worker.is_busy)
        return;
    if (f->discarded) {
        job.kind = JOB_FREE;
        job.replica = f->discarded;
        f->discarded = NULL;
    } else if (f->wants_build && !f->upcoming && now >= f->build_at_us) {
        job.kind = JOB_BUILD;
        f->wants_build = false;
    } else if (f->role == ROLE_ACTIVE && !f->upcoming && now >= f->snapshot_try_us &&
               replica_last(f->replica) >= f->snapshot_n + (uint64_t)f->conf.snapshot_entries) {
        job.kind = JOB_SNAPSHOT;
        job.n = replica_last(f->replica);
        job.epoch = f->epoch;
        job.is_kept = is_new_month(f->snapshot_at_us, clock_wall_us());
    } else {
        return;
    }
    f->job = job;
    worker_start(&f->worker, f->loop, job_run, on_job, &f->job);
}

/* ---- the lock and the way to ACTIVE ---- */

static void on_session_up(void *ctx)
{
    struct features *f = ctx;

    loop_work(f->loop, &f->step);
}

static void on_session_down(void *ctx)
{
    struct features *f = ctx;

    if (f->role == ROLE_ACTIVE || f->role == ROLE_TAKING_OVER)
        role_set(f, ROLE_STANDBY);
    batch_fail_all(f, false, ERR_UNAVAILABLE, "the connection that holds the log was lost");
}

static void on_lock(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;

    keeper_session_done(f);
    if (reply->err)
        return;
    if (!pg_get_bool(reply->results[0], 0, 0)) {
        /* Another process has the log. What it has of our open batch, its callers find there. */
        batch_fail_all(f, true, ERR_UNAVAILABLE, "another features has taken over");
        if (f->is_listening) {
            /* Callers must not stay with one that cannot serve: whoever keeps this process starts it again,
             * as a standby. */
            log_event(LOG_WARN, "deposed", "epoch=%" PRIu64, f->epoch);
            service_stop(f->app);
        }
        return;
    }
    f->has_epoch = f->is_caught_up = f->is_outbox_short = false;
    f->outbox_after = 0;
    role_set(f, ROLE_TAKING_OVER);
}

/* Whoever has the lock and lets PostgreSQL wait (it is stopped, or cut off) loses its session, and with the
 * session the lock. What it had not committed by then it never will: the fence is sound without any clock. */
static void on_fence(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;

    keeper_session_done(f);
    if (reply->err)
        log_event(LOG_WARN, "cannot_end_silent_holder", "why=%s", log_quoted(slice_str(reply->why.text)));
    else if (pg_rows(reply->results[0]) && !pg_is_null(reply->results[0], 0, 0))
        log_event(LOG_WARN, "silent_holder_ended", "session=%s",
                  log_quoted(pg_get_text(reply->results[0], 0, 0)));
    f->lock_at_us = 0;
}

static void stand_by(struct features *f, int64_t now)
{
    struct pg_unit *unit = pg_unit_new(f->session);

    pg_unit_is_read(unit);
    if (now >= f->fence_at_us && f->conf.silence_limit_ms) {
        f->fence_at_us = now + fence_every_us;
        pg_add_i64(pg_unit_add(unit, SQL_END_SILENT_HOLDER), f->conf.silence_limit_ms);
        keeper_session_send(f, unit, on_fence);
        return;
    }
    f->lock_at_us = now + lock_every_us;
    pg_unit_add(unit, SQL_TRY_LOCK);
    keeper_session_send(f, unit, on_lock);
}

static void on_epoch(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;

    keeper_session_done(f);
    if (reply->err || !pg_rows(reply->results[0])) {
        start_over(f, reply, "epoch");
        return;
    }
    f->epoch = (uint64_t)pg_get_int(reply->results[0], 0, 0);
    f->has_epoch = true;
}

static void on_session_tail(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    bool is_upcoming = f->role == ROLE_ACTIVE;

    keeper_session_done(f);
    if (reply->err) {
        start_over(f, reply, "tail");
        return;
    }
    if (is_upcoming) {
        if (f->upcoming)
            apply_rows(f->upcoming, reply->results[0]);
        return;
    }
    apply_rows(f->replica, reply->results[0]);
    f->is_caught_up = pg_rows(reply->results[0]) < TAIL_ROWS;
}

static void on_plan(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    uint64_t n = replica_last(f->replica) + 1;

    keeper_session_done(f);
    if (reply->err) {
        start_over(f, reply, "plan");
        return;
    }
    if (f->role == ROLE_ACTIVE)
        swap_replica(f);
    replica_add_plan(f->replica, n, plan_hash(replica_plan(f->replica)));
    metric_inc(f->metrics, M_ENTRIES, f->series_plan);
}

/* The PLAN entry, and the plan's text, before any vector under it is served. */
static void send_plan(struct features *f, const struct plan *plan)
{
    struct pg_unit *unit = pg_unit_new(f->session);
    struct pg_params *p;

    pg_add_i64(pg_unit_add(unit, SQL_CHECK_EPOCH), (int64_t)f->epoch);
    p = pg_unit_add(unit, SQL_ADD_PLAN);
    pg_add_bytes(p, slice_of(plan_hash(plan), SHA256_BYTES));
    pg_add_text(p, plan_text(plan));
    p = pg_unit_add(unit, SQL_ADD_ENTRIES);
    pg_array_i64(pg_add_array(p, PG_INT8), (int64_t)replica_last(f->replica) + 1);
    pg_array_i16(pg_add_array(p, PG_INT2), ENTRY_PLAN);
    pg_array_i32(pg_add_array(p, PG_INT4), 0);
    pg_array_time_us(pg_add_array(p, PG_TIMESTAMPTZ), loop_wall_us(f->loop));
    pg_array_bytes(pg_add_array(p, PG_BYTEA), plan_text(plan));
    pg_add_i64(p, (int64_t)f->epoch);
    keeper_session_send(f, unit, on_plan);
}

/* Only who has the log listens: so callers with several addresses pass a standby over. */
static void become_active(struct features *f)
{
    struct service_listener listener = {
        .methods = calls_methods, .method_count = CALLS_METHODS, .service = f, .max_body_bytes = 16 << 20
    };
    struct why why;

    role_set(f, ROLE_ACTIVE);
    if (!f->is_listening)
        must(service_listen(f->app, &listener, &why), "listen", &why);
    f->is_listening = true;
    loop_work(f->loop, &f->step);
}

static void take_over(struct features *f)
{
    const unsigned char *logged = replica_logged_plan(f->replica),
                        *served = plan_hash(replica_plan(f->replica));
    struct pg_unit *unit;

    if (!f->has_epoch) {
        unit = pg_unit_new(f->session);
        pg_add_text(pg_unit_add(unit, SQL_NEXT_EPOCH), slice_str(f->conf.instance));
        keeper_session_send(f, unit, on_epoch);
    } else if (!f->is_caught_up) {
        keeper_session_send(f, tail_unit(f->session, f->replica), on_session_tail);
    } else if (!logged || memcmp(logged, served, SHA256_BYTES) != 0) {
        send_plan(f, replica_plan(f->replica));
    } else if (f->batch.is_open) { /* what the last session left unsaid, then what the outbox has */
        batch_continue(f);
    } else if (!f->is_outbox_short) {
        outbox_read(f);
    } else {
        become_active(f);
    }
}

static void serve(struct features *f, int64_t now)
{
    if (f->batch.is_open)
        batch_continue(f);
    else if (f->upcoming_is_near && replica_last(f->upcoming) < replica_last(f->replica))
        keeper_session_send(f, tail_unit(f->session, f->upcoming), on_session_tail);
    else if (f->upcoming_is_near)
        send_plan(f, replica_plan(f->upcoming));
    else if (now >= f->outbox_at_us)
        outbox_read(f);
    else if (batch_form(f))
        batch_continue(f);
}

/* What the session does next, in order of urgency. */
static void step(void *ctx)
{
    struct features *f = ctx;
    int64_t now = clock_mono_us();

    if (f->session_is_busy || !pg_pool_is_up(f->session))
        return;
    switch (f->role) {
    case ROLE_STANDBY:
        if (now >= f->lock_at_us)
            stand_by(f, now);
        break;
    case ROLE_TAKING_OVER:
        take_over(f);
        break;
    case ROLE_ACTIVE:
        serve(f, now);
        break;
    default:
        break;
    }
}

static void on_clock(void *ctx)
{
    struct features *f = ctx;
    int64_t now = clock_mono_us();

    use_reader(f, now);
    use_worker(f, now);
    loop_work(f->loop, &f->step);
    if (!loop_timer_is_set(&f->clock))
        loop_timer_set(&f->clock, clock_us);
}

static void on_notify(void *ctx, const char *channel, const char *payload)
{
    struct features *f = ctx;

    (void)channel;
    (void)payload;
    f->models_at_us = 0;
}

enum err keeper_open(struct features *f, struct why *why)
{
    static const char *const channels[] = { "models", NULL };
    struct pg_pool_options options = {
        .conninfo = f->conf.pg_url,
        .service = "assay features",
        .role = "assay_features",
        .setup = history_setup,
        .statements = sql_statements,
        .statement_count = SQL_COUNT,
        .connections = 1,
        .is_session = true,
        .on_up = on_session_up,
        .on_down = on_session_down,
        .ctx = f,
    };
    enum err err = pg_pool_open(&f->session, f->loop, &options, why);

    if (err)
        return err;
    options.is_session = false;
    options.on_up = options.on_down = NULL;
    options.channels = channels;
    options.on_notify = on_notify;
    err = pg_pool_open(&f->reader, f->loop, &options, why);
    f->wants_build = true;
    f->step = (struct loop_task){ .run = step, .ctx = f };
    loop_timer_init(&f->clock, f->loop, on_clock, f);
    loop_timer_set(&f->clock, 0);
    return err;
}

void keeper_close(struct features *f)
{
    worker_stop(&f->worker);
    loop_timer_release(&f->clock);
    batch_fail_all(f, true, ERR_UNAVAILABLE, "this features is stopping");
    pg_pool_close(f->session);
    pg_pool_close(f->reader);
    loop_cancel(f->loop, &f->step);
    replica_free(f->replica);
    replica_free(f->upcoming);
    replica_free(f->discarded);
    mem_free(f->models);
}
