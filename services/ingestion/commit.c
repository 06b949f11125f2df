/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "log/log.h"
#include "pipeline_impl.h"
#include "proto/txn_proto.h"

enum { COMMIT_TIME_US = 5000000 };

static bool is_reserve(const struct group *group)
{
    return group->stage == &group->pipeline->stages[STAGE_RESERVE];
}

/* $1 to $16 of both statements. */
static void add_decisions(struct pg_params *p, struct group *group)
{
    struct pg_array *account = pg_add_array(p, PG_INT4), *id = pg_add_array(p, PG_TEXT),
                    *known_at = pg_add_array(p, PG_TIMESTAMPTZ),
                    *decided_at = pg_add_array(p, PG_TIMESTAMPTZ), *n = pg_add_array(p, PG_INT8),
                    *action = pg_add_array(p, PG_INT2), *score = pg_add_array(p, PG_FLOAT8),
                    *margin = pg_add_array(p, PG_FLOAT4), *p_allow = pg_add_array(p, PG_FLOAT8),
                    *model = pg_add_array(p, PG_TEXT), *ruleset = pg_add_array(p, PG_TEXT),
                    *arm = pg_add_array(p, PG_TEXT), *plan = pg_add_array(p, PG_BYTEA),
                    *vector = pg_add_array(p, PG_BYTEA), *amount = pg_add_array(p, PG_INT8),
                    *record = pg_add_array(p, PG_BYTEA);

    for (size_t i = 0; i < group->count; i++) {
        const struct job *job = group->jobs[i];
        const struct decision *d = &job->decision;

        pg_array_i32(account, (int32_t)job->txn.account);
        pg_array_text(id, job->txn.id);
        pg_array_time_us(known_at, d->known_at_us);
        pg_array_time_us(decided_at, d->decided_at_us);
        if (d->n)
            pg_array_i64(n, (int64_t)d->n);
        else
            pg_array_null(n);
        pg_array_i16(action, (int16_t)d->action);
        if (d->has_score) {
            pg_array_f64(score, d->score);
            pg_array_f32(margin, d->margin);
        } else {
            pg_array_null(score);
            pg_array_null(margin);
        }
        pg_array_f64(p_allow, d->p_allow);
        pg_array_text(model, d->model_version);
        pg_array_text(ruleset, d->ruleset_version);
        pg_array_text(arm, d->arm);
        pg_array_bytes(plan, d->plan);
        pg_array_bytes(vector, d->vector);
        pg_array_i64(amount, d->amount_base_minor);
        pg_array_bytes(record, decision_record_pack(d, &group->arena));
    }
}

/* One of the rows cannot be stored: both halves on their own, until it stands alone. */
static void halve(struct group *group)
{
    struct stage *s = group->stage;
    size_t half = group->count / 2;
    struct group *parts[2] = { group_new(s), group_new(s) };

    for (size_t i = 0; i < group->count; i++) {
        struct group *part = parts[i >= half];

        part->jobs[part->count++] = group->jobs[i];
    }
    group_begin(parts[0]);
    group_begin(parts[1]);
}

static void poisoned(struct job *job, const struct pg_reply *reply)
{
    count(job->pipeline->in, M_POISONED, NULL);
    log_limited(LOG_ERROR, "row_refused", "account=%u transaction=%s sqlstate=%s trace=%.*s",
                job->txn.account, log_quoted(job->txn.id), reply->sqlstate, SLICE_ARG(trace_id(&job->trace)));
    job_fail(job, ERR_INTERNAL, "the database cannot store this decision");
}

/* Which rows are stored now. A commit tells only how many: less than all leaves each in doubt. */
static const bool *rows_stored(struct group *group, const struct pg_result *r)
{
    bool *is_stored = arena_new(&group->arena, bool, group->count);

    if (!is_reserve(group)) {
        memset(is_stored, pg_affected(r) == group->count, group->count);
        return is_stored;
    }
    for (size_t row = 0; row < pg_rows(r); row++) {
        int64_t ord = pg_get_int(r, row, 0);

        if (ord >= 1 && (size_t)ord <= group->count)
            is_stored[ord - 1] = true;
    }
    return is_stored;
}

static void fail(struct job *job, const struct pg_reply *reply)
{
    if (pg_reply_is_data_error(reply))
        poisoned(job, reply);
    else if (reply->err == ERR_INTERNAL)
        job_fail(job, ERR_INTERNAL, "the database refused the statement");
    else
        job_fail(job, ERR_UNAVAILABLE, "the database was lost on the way; send the same transaction again");
}

/* The longest of them; what came here without having been let in says nothing. */
static void observe_transit(struct group *group)
{
    int64_t now = clock_mono_us(), longest_us = 0;

    for (size_t i = 0; i < group->count; i++) {
        int64_t begun = group->jobs[i]->begun_mono_us;

        if (begun && now - begun > longest_us)
            longest_us = now - begun;
    }
    if (longest_us)
        entrance_observe(&group->pipeline->entrance, longest_us);
}

static void on_stored(void *ctx, const struct pg_reply *reply)
{
    struct group *group = ctx;
    enum stage_name again = is_reserve(group) ? STAGE_RESERVE : STAGE_COMMIT;
    const bool *is_stored = NULL;

    group_end_sql(group, reply->err);
    observe_transit(group);
    if (pg_reply_is_data_error(reply) && group->count > 1) {
        halve(group);
        group_unref(group);
        return;
    }
    if (!reply->err)
        is_stored = rows_stored(group, reply->results[0]);
    else if (reply->err == ERR_UNKNOWN)
        count(group->pipeline->in, M_COMMIT_UNKNOWN, NULL);
    else if (reply->err == ERR_INTERNAL)
        log_limited(LOG_ERROR, "commit_refused", "reason=%s", log_quoted(slice_str(reply->why.text)));
    for (size_t i = 0; i < group->count; i++) {
        struct job *job = group->jobs[i];

        if (reply->err && reply->err != ERR_UNKNOWN && !pg_reply_is_conflict(reply))
            fail(job, reply);
        else if (is_stored && is_stored[i])
            job_finish(job, ERR_OK);
        else
            lookup_before(job, again);
    }
    group_unref(group);
}

static void put_decided_at(struct group *group)
{
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < group->count; i++) {
        struct decision *d = &group->jobs[i]->decision;

        if (!d->decided_at_us) /* not when it comes here again */
            d->decided_at_us = now_us;
    }
}

void commit_start(struct group *group)
{
    struct pg_unit *unit = pg_unit_new(group->pipeline->in->pg);

    put_decided_at(group);
    add_decisions(pg_unit_add(unit, SQL_COMMIT), group);
    pg_unit_send(unit, group->started_mono_us + COMMIT_TIME_US, on_stored, group);
}

void reserve_start(struct group *group)
{
    struct pg_unit *unit = pg_unit_new(group->pipeline->in->pg);
    struct pg_params *p = pg_unit_add(unit, SQL_RESERVE);
    struct pg_array *hash, *body;

    put_decided_at(group);
    add_decisions(p, group);
    hash = pg_add_array(p, PG_BYTEA);
    body = pg_add_array(p, PG_BYTEA);
    for (size_t i = 0; i < group->count; i++) {
        pg_array_bytes(hash, slice_of(group->jobs[i]->hash, SHA256_BYTES));
        pg_array_bytes(body, txn_pack(&group->jobs[i]->txn, &group->arena));
    }
    pg_unit_send(unit, group->started_mono_us + COMMIT_TIME_US, on_stored, group);
}
