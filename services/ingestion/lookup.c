/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "log/log.h"
#include "pipeline_impl.h"
#include "policy/policy.h"

enum {
    LOOKUPS_MAX = 4, /* of one job: more means that it goes round in circles */
    LOOKUP_TIME_US = 2000000,
    TWIN_US = SECOND_US, /* who came that short a time before is the same payment, still on its way */
};

enum lookup_column {
    COL_ORD,
    COL_BODY_HASH,
    COL_KNOWN_AT,
    COL_N,
    COL_IS_DECIDED,
    COL_DECIDED_AT,
    COL_ACTION,
    COL_SCORE,
    COL_MARGIN,
    COL_P_ALLOW,
    COL_MODEL,
    COL_RULESET,
    COL_ARM,
    COL_PLAN,
    COL_AMOUNT,
    COL_RECORD
};

static struct slice kept_text(struct job *job, const struct pg_result *r, size_t row,
                              enum lookup_column column)
{
    return arena_slice(&job->arena, pg_get_text(r, row, (int)column));
}

static void read_decision(struct job *job, const struct pg_result *r, size_t row)
{
    struct decision *d = &job->decision;
    struct slice record = arena_slice(&job->arena, pg_get_bytes(r, row, COL_RECORD));

    *d = (struct decision){
        .known_at_us = pg_get_time_us(r, row, COL_KNOWN_AT),
        .decided_at_us = pg_get_time_us(r, row, COL_DECIDED_AT),
        .n = (uint64_t)pg_get_int(r, row, COL_N),
        .action = (enum action)pg_get_int(r, row, COL_ACTION),
        .has_score = !pg_is_null(r, row, COL_SCORE),
        .score = pg_get_float(r, row, COL_SCORE),
        .margin = (float)pg_get_float(r, row, COL_MARGIN),
        .p_allow = pg_get_float(r, row, COL_P_ALLOW),
        .model_version = kept_text(job, r, row, COL_MODEL),
        .ruleset_version = kept_text(job, r, row, COL_RULESET),
        .arm = kept_text(job, r, row, COL_ARM),
        .plan = arena_slice(&job->arena, pg_get_bytes(r, row, COL_PLAN)),
        .amount_base_minor = pg_get_int(r, row, COL_AMOUNT),
    };
    job->is_replayed = true;
    if ((unsigned)d->action >= ACTION_COUNT || decision_record_unpack(d, record, &job->arena, &job->why))
        job_fail(job, ERR_INTERNAL, "the stored decision cannot be read");
    else
        job_finish(job, ERR_OK);
}

static void looked_up(struct job *job, const struct pg_result *r, size_t row)
{
    bool only_reads = job->after_lookup == STAGE_COUNT;

    if (!only_reads && !slice_eq(pg_get_bytes(r, row, COL_BODY_HASH), slice_of(job->hash, SHA256_BYTES))) {
        job_fail(job, ERR_CONFLICT, "the transaction_id belongs to another transaction");
    } else if (pg_get_bool(r, row, COL_IS_DECIDED)) {
        read_decision(job, r, row);
    } else if (only_reads) {
        job_fail(job, ERR_NOT_FOUND,
                 "the transaction is known but has no decision; send it again to get one");
    } else {
        int64_t first_us = pg_get_time_us(r, row, COL_KNOWN_AT);

        job->has_place = true;
        job->decision.known_at_us = job->message->known_at_us = first_us;
        job->decision.n = (uint64_t)pg_get_int(r, row, COL_N);
        /* Its decision was lost, and its vector is of when it first came. */
        if (job->after_lookup == STAGE_SCORE && job->decision.vector.len &&
            job->txn.known_at_us - first_us > TWIN_US)
            job_degrade(job, POLICY_OLDER_FEATURES);
        job_enter(job, job->after_lookup == STAGE_RESERVE ? STAGE_COMMIT : job->after_lookup);
    }
}

static void on_looked_up(void *ctx, const struct pg_reply *reply)
{
    struct group *group = ctx;
    size_t *row_of = arena_new(&group->arena, size_t, group->count); /* 1 + row; 0: none */

    group_end_sql(group, reply->err);
    for (size_t r = 0; !reply->err && r < pg_rows(reply->results[0]); r++) {
        int64_t ord = pg_get_int(reply->results[0], r, COL_ORD);

        if (ord >= 1 && (size_t)ord <= group->count)
            row_of[ord - 1] = r + 1;
    }
    for (size_t i = 0; i < group->count; i++) {
        struct job *job = group->jobs[i];

        if (reply->err == ERR_INTERNAL)
            job_fail(job, ERR_INTERNAL, "the database refused the statement");
        else if (reply->err)
            job_fail(job, ERR_UNAVAILABLE, "the database cannot be asked; send the same transaction again");
        else if (++job->lookups > LOOKUPS_MAX)
            job_fail(job, ERR_INTERNAL, "the decision could not be stored");
        else if (row_of[i])
            looked_up(job, reply->results[0], row_of[i] - 1);
        else if (job->after_lookup == STAGE_COUNT)
            job_fail(job, ERR_NOT_FOUND, "there is no such transaction");
        else
            job_enter(job, job->after_lookup);
    }
    if (reply->err == ERR_INTERNAL)
        log_limited(LOG_ERROR, "lookup_refused", "reason=%s", log_quoted(slice_str(reply->why.text)));
    group_unref(group);
}

void lookup_before(struct job *job, enum stage_name next)
{
    job->after_lookup = next;
    job_enter(job, STAGE_LOOKUP);
}

void lookup_start(struct group *group)
{
    struct pg_unit *unit = pg_unit_new(group->pipeline->in->pg);
    struct pg_params *p = pg_unit_add(unit, SQL_LOOKUP);
    struct pg_array *account = pg_add_array(p, PG_INT4), *id = pg_add_array(p, PG_TEXT);

    for (size_t i = 0; i < group->count; i++) {
        pg_array_i32(account, (int32_t)group->jobs[i]->txn.account);
        pg_array_text(id, group->jobs[i]->txn.id);
    }
    pg_unit_is_read(unit);
    pg_unit_send(unit, group->started_mono_us + LOOKUP_TIME_US, on_looked_up, group);
}
