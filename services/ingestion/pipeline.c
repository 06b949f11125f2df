/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline.h"

#include <assert.h>
#include <math.h>
#include <sodium.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ingestion.h"
#include "log/log.h"
#include "part.h"
#include "policystore/store.h"
#include "proto/txn_proto.h"

enum {
    ID_BUCKETS = 8192,      /* a power of two */
    LOOKUPS_MAX = 4,        /* of one job: more means that it goes round in circles */
    STAGE_LEAST_US = 50000, /* what a call gets even when all who wait have gone */
    COMMIT_TIME_US = 5000000,
    LOOKUP_TIME_US = 2000000,
    PG_STUCK_US = 1000000, /* no answer for so long: as good as missing */
    PLAN_BYTES = 32,
    FREE_JOBS_MAX = 1024,
};

/* A group on its way through one stage. It lives as long as anyone points into its arena. */
struct call {
    struct pipeline *pipeline;
    struct stage *stage;
    struct arena arena;
    size_t refs;
    struct job **jobs; /* in the arena */
    size_t count;
    int64_t started_mono_us;
    struct call *next_free;
};

struct stage {
    struct pipeline *pipeline;
    const char *label;
    void (*start)(struct call *call);
    bool is_sql, by_plan;
    size_t most; /* calls under way at once */

    struct job *head, **tail;
    size_t in_flight;
    struct loop_task task;
    size_t series; /* of M_STAGE and M_GROUP */
};

struct pipeline {
    struct ingestion *in;
    struct stage stages[STAGE_COUNT];
    struct job *ids[ID_BUCKETS];
    struct hash_key id_key;
    size_t jobs;

    void (*idle)(void *ctx);
    void *idle_ctx;

    struct job *free_jobs;
    size_t free_job_count;
    struct call *free_calls;

    /* The plan that features served last, and a row of it in which everything is missing. */
    unsigned char plan[PLAN_BYTES];
    struct buf missing_row;

    size_t sql_in_flight;
    int64_t sql_answered_mono_us;
};

static void enter(struct job *job, enum stage_name stage);
static void finish(struct job *job, enum err err);

/* ---- jobs
 * -------------------------------------------------------------------------------------------------- */

static void call_unref(struct call *call)
{
    struct pipeline *p = call->pipeline;

    if (--call->refs > 0)
        return;
    arena_reset(&call->arena);
    call->next_free = p->free_calls;
    p->free_calls = call;
}

static void tell_idle(struct pipeline *p)
{
    void (*idle)(void *ctx) = p->idle;

    if (p->jobs > 0 || !idle)
        return;
    p->idle = NULL;
    idle(p->idle_ctx);
}

void pipeline_when_idle(struct pipeline *p, void (*idle)(void *ctx), void *ctx)
{
    p->idle = idle;
    p->idle_ctx = ctx;
    tell_idle(p);
}

size_t pipeline_jobs(const struct pipeline *p)
{
    return p->jobs;
}

bool pipeline_has_room(const struct pipeline *p, size_t jobs)
{
    return p->jobs + jobs <= (size_t)p->in->conf.jobs_most;
}

struct job *job_new(struct pipeline *p)
{
    struct job *job = p->free_jobs;
    struct arena arena = { 0 };

    if (job) {
        p->free_jobs = job->next;
        p->free_job_count--;
        arena = job->arena;
    } else {
        job = mem_new(struct job);
    }
    *job = (struct job){ .arena = arena, .pipeline = p };
    p->jobs++;
    return job;
}

void job_release(struct job *job)
{
    struct pipeline *p;

    if (!job)
        return;
    p = job->pipeline;
    assert(job->state != JOB_ON_ITS_WAY);
    for (size_t i = 0; i < job->call_count; i++)
        call_unref(job->calls[i]);
    p->jobs--;
    if (p->free_job_count == FREE_JOBS_MAX) {
        arena_release(&job->arena);
        mem_free(job);
    } else {
        arena_reset(&job->arena);
        job->next = p->free_jobs;
        p->free_jobs = job;
        p->free_job_count++;
    }
    tell_idle(p);
}

void job_leave(struct job *job)
{
    job->done = NULL;
    if (job->state != JOB_ON_ITS_WAY)
        job_release(job);
}

/* Keeps what `call` was answered with as long as the job lives. */
static void job_keep(struct job *job, struct call *call)
{
    assert(job->call_count < JOB_CALLS);
    job->calls[job->call_count++] = call;
    call->refs++;
}

static bool job_is_degraded(const struct job *job, const char *part)
{
    for (size_t i = 0; i < job->decision.record.n_degraded; i++) {
        if (strcmp(job->degraded[i], part) == 0)
            return true;
    }
    return false;
}

static void job_degrade(struct job *job, const char *part)
{
    Assay__V1__DecisionRecord *record = &job->decision.record;

    if (job_is_degraded(job, part))
        return;
    assert(record->n_degraded < JOB_DEGRADED_MAX);
    record->degraded = job->degraded;
    record->degraded[record->n_degraded++] = (char *)(uintptr_t)part; /* protobuf-c knows no const */
    count(job->pipeline->in, M_DEGRADED, part);
}

static struct job **id_bucket(struct pipeline *p, const struct job *job)
{
    uint64_t hash = hash64(&p->id_key, job->txn.id) + job->txn.account * UINT64_C(0x9e3779b97f4a7c15);

    return &p->ids[hash & (ID_BUCKETS - 1)];
}

static struct job *id_find(struct pipeline *p, const struct job *job)
{
    struct job *each = *id_bucket(p, job);

    while (each && !(each->txn.account == job->txn.account && slice_eq(each->txn.id, job->txn.id)))
        each = each->bucket_next;
    return each;
}

static void id_add(struct job *job)
{
    struct job **bucket = id_bucket(job->pipeline, job);

    job->bucket_next = *bucket;
    *bucket = job;
}

static void id_remove(struct job *job)
{
    for (struct job **at = id_bucket(job->pipeline, job); *at; at = &(*at)->bucket_next) {
        if (*at == job) {
            *at = job->bucket_next;
            return;
        }
    }
}

/* Waits for the one that is on its way under the same id, or becomes it. */
static void join(struct job *job, enum stage_name first)
{
    struct job *other = id_find(job->pipeline, job);

    if (other) {
        struct job **last = &other->waiting;

        while (*last)
            last = &(*last)->waiting_next;
        job->waiting_next = NULL;
        *last = job;
    } else {
        id_add(job);
        enter(job, first);
    }
}

static void begin(struct job *job, job_done_fn *done, void *ctx)
{
    assert(job->state == JOB_NEW);
    job->state = JOB_ON_ITS_WAY;
    job->done = done;
    job->ctx = ctx;
    assay__v1__decision_record__init(&job->decision.record);
}

void job_submit(struct job *job, job_done_fn *done, void *ctx)
{
    begin(job, done, ctx);
    job->message = txn_to_proto(&job->txn, &job->arena);
    job->decision.known_at_us = job->txn.known_at_us;
    job->decision.amount_base_minor = job->txn.amount_base_minor;
    job->after_lookup = STAGE_FEATURES;
    join(job, STAGE_FEATURES);
}

void job_look_up(struct job *job, job_done_fn *done, void *ctx)
{
    begin(job, done, ctx);
    job->after_lookup = STAGE_COUNT;
    enter(job, STAGE_LOOKUP);
}

static const char *outcome_name(const struct job *job)
{
    switch (job->err) {
    case ERR_OK:
        return job->is_replayed ? "replayed" : "decided";
    case ERR_NOT_FOUND:
    case ERR_CONFLICT:
    case ERR_TIMEOUT:
    case ERR_UNAVAILABLE:
        return err_name(job->err);
    default:
        return "failed";
    }
}

static void finish(struct job *job, enum err err)
{
    struct pipeline *p = job->pipeline;
    struct job *waiting = job->waiting;

    job->err = err;
    job->state = JOB_DONE;
    job->waiting = NULL;
    count(p->in, M_OUTCOMES, outcome_name(job));
    id_remove(job);
    while (waiting) {
        struct job *next = waiting->waiting_next;

        waiting->waiting_next = NULL;
        if (err == ERR_OK)
            enter(waiting, STAGE_LOOKUP); /* it is stored: all of them can be answered together */
        else
            join(waiting, STAGE_FEATURES);
        waiting = next;
    }
    if (job->done)
        job->done(job->ctx, job);
    else
        job_release(job);
}

static void finish_because(struct job *job, enum err err, const char *reason)
{
    err_set(&job->why, err, "%s", reason);
    finish(job, err);
}

/* ---- stages
 * ------------------------------------------------------------------------------------------------ */

static void enter(struct job *job, enum stage_name name)
{
    struct stage *s = &job->pipeline->stages[name];

    job->next = NULL;
    job->entered_mono_us = clock_mono_us();
    *s->tail = job;
    s->tail = &job->next;
    loop_work(s->pipeline->in->loop, &s->task);
}

static struct job *queue_take(struct stage *s)
{
    struct job *job = s->head;

    s->head = job->next;
    if (!s->head)
        s->tail = &s->head;
    job->next = NULL;
    return job;
}

static struct call *call_new(struct stage *s)
{
    struct pipeline *p = s->pipeline;
    struct call *call = p->free_calls;

    if (call)
        p->free_calls = call->next_free;
    else
        call = mem_new(struct call);
    call->pipeline = p;
    call->stage = s;
    call->refs = 1;
    call->count = 0;
    call->jobs = arena_new(&call->arena, struct job *, (size_t)p->in->conf.group_most);
    return call;
}

/* Jobs without a plan go with any. */
static bool may_join(const struct call *call, const struct job *job)
{
    for (size_t i = 0; i < call->count; i++) {
        struct slice plan = call->jobs[i]->decision.plan;

        if (plan.len && job->decision.plan.len)
            return slice_eq(plan, job->decision.plan);
    }
    return true;
}

static bool pg_is_missing(const struct pipeline *p)
{
    return !pg_pool_is_up(p->in->pg) ||
           (p->sql_in_flight > 0 && clock_mono_us() - p->sql_answered_mono_us > PG_STUCK_US);
}

static void call_begin(struct call *call)
{
    struct pipeline *p = call->pipeline;
    struct stage *s = call->stage;

    call->started_mono_us = clock_mono_us();
    s->in_flight++;
    metric_observe_size(p->in->metrics, M_GROUP, s->series, call->count);
    if (s->is_sql && p->sql_in_flight++ == 0)
        p->sql_answered_mono_us = call->started_mono_us;
    s->start(call);
}

/* The answer is here and has been read; returns how long it took. */
static uint32_t call_end(struct call *call)
{
    struct pipeline *p = call->pipeline;
    struct stage *s = call->stage;
    int64_t now = clock_mono_us(), took_us = now - call->started_mono_us;

    s->in_flight--;
    if (s->is_sql) {
        p->sql_in_flight--;
        p->sql_answered_mono_us = now;
    }
    metric_observe_us(p->in->metrics, M_STAGE, s->series, took_us);
    if (s->head)
        loop_work(p->in->loop, &s->task);
    return took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
}

static void stage_run(void *ctx)
{
    struct stage *s = ctx;
    size_t cap = (size_t)s->pipeline->in->conf.group_most;

    while (s->head && s->in_flight < s->most) {
        struct call *call = call_new(s);

        while (s->head && call->count < cap && (!s->by_plan || may_join(call, s->head)))
            call->jobs[call->count++] = queue_take(s);
        call_begin(call);
    }
}

/* When a call should be answered: half of what is left to the one with the most patience, so that there is
 * time for doing without. */
static int64_t call_deadline(const struct call *call)
{
    int64_t now = clock_mono_us(), latest = INT64_MIN, left;

    for (size_t i = 0; i < call->count; i++) {
        if (call->jobs[i]->deadline_mono_us > latest)
            latest = call->jobs[i]->deadline_mono_us;
    }
    left = (latest - now) / 2;
    return now + (left > STAGE_LEAST_US ? left : STAGE_LEAST_US);
}

static const char *call_trace(const struct call *call)
{
    return call->jobs[0]->trace.parent;
}

static struct slice bytes_of(const ProtobufCBinaryData *data)
{
    return slice_of(data->data, data->len);
}

static ProtobufCBinaryData data_of(struct slice bytes)
{
    return (ProtobufCBinaryData){ bytes.len, (uint8_t *)(uintptr_t)bytes.ptr }; /* only read */
}

/* ---- FEATURES
 * ---------------------------------------------------------------------------------------------- */

/* Does without: what is known of the id is asked of PostgreSQL, and the windows are missing. */
static void without_features(struct job *job)
{
    job_degrade(job, "features");
    job->after_lookup = STAGE_SCORE;
    enter(job, STAGE_LOOKUP);
}

static void remember_plan(struct pipeline *p, struct slice plan, struct slice vector)
{
    if (plan.len != PLAN_BYTES || vector.len == 0 ||
        (p->missing_row.len == vector.len && memcmp(plan.ptr, p->plan, PLAN_BYTES) == 0))
        return;
    memcpy(p->plan, plan.ptr, PLAN_BYTES);
    buf_clear(&p->missing_row);
    for (size_t i = 0; i < vector.len / sizeof(float); i++)
        buf_add(&p->missing_row, "\x00\x00\xc0\x7f", 4); /* NaN, little-endian */
    /* So that it is there when rules is not. */
    (void)policy_store_plan(p->in->policy, plan);
}

static void computed(struct job *job, const Assay__V1__ComputeResponse__Item *item, struct slice plan)
{
    struct decision *d = &job->decision;
    struct slice vector = bytes_of(&item->vector);

    if (item->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT) {
        finish_because(job, ERR_CONFLICT, "the transaction_id belongs to another transaction");
        return;
    }
    job->has_place = true;
    d->n = item->n;
    if (item->known_at_us)
        d->known_at_us = job->message->known_at_us = item->known_at_us;
    if (vector.len > 0 && vector.len % sizeof(float) == 0 && plan.len == PLAN_BYTES) {
        d->vector = vector;
        d->plan = plan;
        remember_plan(job->pipeline, plan, vector);
    } else {
        job_degrade(job, "features");
    }
    if (item->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN) {
        job->after_lookup = STAGE_SCORE;
        enter(job, STAGE_LOOKUP);
    } else {
        enter(job, STAGE_SCORE);
    }
}

static void on_computed(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    const Assay__V1__ComputeResponse *answer = (const void *)reply;
    struct call *call = arg;
    uint32_t took_us = call_end(call);

    (void)why;
    for (size_t i = 0; i < call->count; i++) {
        struct job *job = call->jobs[i];

        job->decision.record.features_us = took_us;
        if (err || answer->n_items != call->count) {
            without_features(job);
        } else {
            job_keep(job, call);
            computed(job, answer->items[i], bytes_of(&answer->plan));
        }
    }
    call_unref(call);
}

/* Sends off those that nothing should be done for, and keeps the order of the others. */
static void drop_hopeless(struct call *call)
{
    struct pipeline *p = call->pipeline;
    bool is_missing = pg_is_missing(p);
    int64_t now = clock_mono_us();
    size_t kept = 0;

    for (size_t i = 0; i < call->count; i++) {
        struct job *job = call->jobs[i];

        if (is_missing)
            finish_because(job, ERR_UNAVAILABLE, "the database is missing; nothing was stored");
        else if (now >= job->deadline_mono_us)
            finish_because(job, ERR_TIMEOUT,
                           "the deadline passed before anything was done; nothing was stored");
        else
            call->jobs[kept++] = job;
    }
    call->count = kept;
}

static void start_features(struct call *call)
{
    struct pipeline *p = call->pipeline;
    Assay__V1__ComputeRequest request = ASSAY__V1__COMPUTE_REQUEST__INIT, *kept;

    drop_hopeless(call);
    if (call->count == 0 || !part_is_usable(p->in->features)) {
        call_end(call);
        for (size_t i = 0; i < call->count; i++)
            without_features(call->jobs[i]);
        call_unref(call);
        return;
    }
    kept = arena_new(&call->arena, Assay__V1__ComputeRequest, 1);
    *kept = request;
    kept->n_items = call->count;
    kept->items = arena_new(&call->arena, Assay__V1__ComputeRequest__Item *, call->count);
    for (size_t i = 0; i < call->count; i++) {
        Assay__V1__ComputeRequest__Item *item = arena_new(&call->arena, Assay__V1__ComputeRequest__Item, 1);
        struct job *job = call->jobs[i];

        assay__v1__compute_request__item__init(item);
        item->transaction = job->message;
        item->body_hash = data_of(slice_of(job->hash, sizeof job->hash));
        kept->items[i] = item;
        job->decision.record.queue_us = (uint32_t)(call->started_mono_us - job->arrived_mono_us);
    }
    part_call(p->in->features, "Compute", &kept->base, call_deadline(call), call_trace(call), &call->arena,
              on_computed, call);
}

/* ---- SCORE
 * ------------------------------------------------------------------------------------------------- */

static void without_score(struct job *job)
{
    job_degrade(job, "scoring");
    enter(job, STAGE_DECIDE);
}

static bool scored(struct job *job, const Assay__V1__ScoreResponse *answer,
                   const Assay__V1__ScoreResponse__Row *row)
{
    struct decision *d = &job->decision;
    const Assay__V1__ScoreResponse__Model *model;

    if (row->model >= answer->n_models || !isfinite(row->score))
        return false;
    model = answer->models[row->model];
    if (!*model->version)
        return false;
    d->has_score = true;
    d->score = row->score;
    d->margin = row->margin;
    d->arm = slice_str(row->arm);
    d->model_version = slice_str(model->version);
    d->record.thresholds = model->thresholds;
    d->record.n_contributions = row->n_contributions;
    d->record.contributions = row->contributions;
    return true;
}

static void on_scored(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    const Assay__V1__ScoreResponse *answer = (const void *)reply;
    struct call *call = arg;
    uint32_t took_us = call_end(call);

    (void)why;
    for (size_t i = 0; i < call->count; i++) {
        struct job *job = call->jobs[i];

        job->decision.record.scoring_us = took_us;
        if (err || answer->n_rows != call->count || !scored(job, answer, answer->rows[i])) {
            without_score(job);
        } else {
            job_keep(job, call);
            enter(job, STAGE_DECIDE);
        }
    }
    call_unref(call);
}

static uint64_t arm_hash(const struct ingestion *in, const struct txn *txn)
{
    char text[16 + 128];
    struct slice customer = txn->text[TXN_customer_id];
    int len = snprintf(text, sizeof text, "%u/%.*s", txn->account, SLICE_ARG(customer));

    return hash64(&in->arm_key, slice_of(text, (size_t)len));
}

static void start_score(struct call *call)
{
    struct pipeline *p = call->pipeline;
    struct slice plan = slice_of(p->plan, p->missing_row.len ? PLAN_BYTES : 0);
    Assay__V1__ScoreRequest *request;

    for (size_t i = 0; i < call->count; i++) {
        if (call->jobs[i]->decision.plan.len) {
            plan = call->jobs[i]->decision.plan;
            break;
        }
    }
    if (plan.len == 0 || !part_is_usable(p->in->scoring)) {
        call_end(call);
        for (size_t i = 0; i < call->count; i++)
            without_score(call->jobs[i]);
        call_unref(call);
        return;
    }
    request = arena_new(&call->arena, Assay__V1__ScoreRequest, 1);
    assay__v1__score_request__init(request);
    request->plan = data_of(plan);
    request->n_rows = call->count;
    request->rows = arena_new(&call->arena, Assay__V1__ScoreRequest__Row *, call->count);
    for (size_t i = 0; i < call->count; i++) {
        Assay__V1__ScoreRequest__Row *row = arena_new(&call->arena, Assay__V1__ScoreRequest__Row, 1);
        struct job *job = call->jobs[i];

        assay__v1__score_request__row__init(row);
        row->vector = data_of(job->decision.vector.len ? job->decision.vector : buf_slice(&p->missing_row));
        row->arm_hash = arm_hash(p->in, &job->txn);
        request->rows[i] = row;
    }
    part_call(p->in->scoring, "Score", &request->base, call_deadline(call), call_trace(call), &call->arena,
              on_scored, call);
}

/* ---- DECIDE
 * ------------------------------------------------------------------------------------------------ */

static void decided(struct job *job)
{
    /* No control slice: a decline is certain, and so is all else. */
    job->decision.p_allow = job->decision.action == ACTION_DECLINE ? 0 : 1;
    enter(job, job->has_place ? STAGE_COMMIT : STAGE_RESERVE);
}

/* One answer, of the rules service or of the fallback. */
static void take_verdicts(struct call *call, const Assay__V1__DecideResponse *answer, uint32_t took_us)
{
    for (size_t i = 0; i < call->count; i++) {
        const Assay__V1__DecideResponse__Item *item = answer->items[i];
        struct job *job = call->jobs[i];
        struct decision *d = &job->decision;

        job_keep(job, call);
        d->action = (enum action)item->action;
        d->ruleset_version = slice_str(answer->ruleset_version);
        d->record.n_reasons = item->n_reasons;
        d->record.reasons = item->reasons;
        d->record.n_rules = item->n_rules;
        d->record.rules = item->rules;
        d->record.rules_us = took_us;
        decided(job);
    }
    call_unref(call);
}

static Assay__V1__DecideRequest *decide_request(struct call *call)
{
    Assay__V1__DecideRequest *request = arena_new(&call->arena, Assay__V1__DecideRequest, 1);

    assay__v1__decide_request__init(request);
    request->n_items = call->count;
    request->items = arena_new(&call->arena, Assay__V1__DecideRequest__Item *, call->count);
    for (size_t i = 0; i < call->count; i++) {
        Assay__V1__DecideRequest__Item *item = arena_new(&call->arena, Assay__V1__DecideRequest__Item, 1);
        struct job *job = call->jobs[i];
        const struct decision *d = &job->decision;

        assay__v1__decide_request__item__init(item);
        if (d->plan.len)
            request->plan = data_of(d->plan);
        item->transaction = job->message;
        item->vector = data_of(d->vector);
        item->has_score = d->has_score;
        item->score = d->score;
        item->thresholds = d->record.thresholds;
        item->n_contributions = d->record.n_contributions;
        item->contributions = d->record.contributions;
        item->n_degraded = d->record.n_degraded;
        item->degraded = d->record.degraded;
        request->items[i] = item;
    }
    return request;
}

static void without_rules(struct call *call)
{
    const Assay__V1__DecideResponse *answer;

    for (size_t i = 0; i < call->count; i++)
        job_degrade(call->jobs[i], "rules");
    answer = policy_store_decide(call->pipeline->in->policy, decide_request(call), &call->arena);
    take_verdicts(call, answer, 0);
}

static bool is_whole(const Assay__V1__DecideResponse *answer, size_t count)
{
    if (answer->n_items != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)answer->items[i]->action >= ACTION_COUNT)
            return false;
    }
    return true;
}

static void on_decided(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    const Assay__V1__DecideResponse *answer = (const void *)reply;
    struct call *call = arg;
    uint32_t took_us = call_end(call);

    (void)why;
    if (err || !is_whole(answer, call->count))
        without_rules(call);
    else
        take_verdicts(call, answer, took_us);
}

static void start_decide(struct call *call)
{
    struct pipeline *p = call->pipeline;

    if (!part_is_usable(p->in->rules)) {
        call_end(call);
        without_rules(call);
        return;
    }
    part_call(p->in->rules, "Decide", &decide_request(call)->base, call_deadline(call), call_trace(call),
              &call->arena, on_decided, call);
}

/* ---- COMMIT and RESERVE
 * ------------------------------------------------------------------------------------ */

/* $1 to $16 of both statements. */
static void add_decisions(struct pg_params *p, struct call *call)
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

    for (size_t i = 0; i < call->count; i++) {
        const struct job *job = call->jobs[i];
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
        pg_array_bytes(record, decision_record_pack(d, &call->arena));
    }
}

static void send_group(struct call *call);

/* One of the rows cannot be stored: both halves on their own, until it stands alone. */
static void halve(struct call *call)
{
    struct stage *s = call->stage;
    size_t half = call->count / 2;
    struct call *parts[2] = { call_new(s), call_new(s) };

    for (size_t i = 0; i < call->count; i++) {
        struct call *part = parts[i >= half];

        part->jobs[part->count++] = call->jobs[i];
    }
    call_begin(parts[0]);
    call_begin(parts[1]);
}

static void poisoned(struct job *job, const struct pg_reply *reply)
{
    count(job->pipeline->in, M_POISONED, NULL);
    log_event(LOG_ERROR, "row_refused", "account=%u transaction=%s sqlstate=%s trace=%.*s", job->txn.account,
              log_quoted(job->txn.id), reply->sqlstate, SLICE_ARG(trace_id(&job->trace)));
    finish_because(job, ERR_INTERNAL, "the database cannot store this decision");
}

static void look_again(struct job *job, enum stage_name then)
{
    job->after_lookup = then;
    enter(job, STAGE_LOOKUP);
}

static void on_group(void *ctx, const struct pg_reply *reply)
{
    struct call *call = ctx;
    struct pipeline *p = call->pipeline;
    bool reserves = call->stage == &p->stages[STAGE_RESERVE];
    enum stage_name again = reserves ? STAGE_RESERVE : STAGE_COMMIT;
    bool *is_new = arena_new(&call->arena, bool, call->count);
    size_t rows;

    call_end(call);
    if (pg_reply_is_data_error(reply) && call->count > 1) {
        halve(call);
        call_unref(call);
        return;
    }
    if (!reply->err) {
        rows = reserves ? pg_rows(reply->results[0]) : pg_affected(reply->results[0]);
        for (size_t i = 0; i < call->count; i++)
            is_new[i] = rows == call->count;
        for (size_t r = 0; reserves && r < rows; r++) {
            int64_t ord = pg_get_int(reply->results[0], r, 0);

            if (ord >= 1 && (size_t)ord <= call->count)
                is_new[ord - 1] = true;
        }
    } else if (reply->err == ERR_UNKNOWN) {
        count(p->in, M_COMMIT_UNKNOWN, NULL);
    }
    for (size_t i = 0; i < call->count; i++) {
        struct job *job = call->jobs[i];

        if (!reply->err && is_new[i])
            finish(job, ERR_OK);
        else if (!reply->err || reply->err == ERR_UNKNOWN)
            look_again(job, again);
        else if (pg_reply_is_data_error(reply))
            poisoned(job, reply);
        else if (reply->err == ERR_INTERNAL)
            finish_because(job, ERR_INTERNAL, "the database refused the statement");
        else
            finish_because(job, ERR_UNAVAILABLE,
                           "the database was lost on the way; send the same transaction again");
    }
    if (reply->err == ERR_INTERNAL)
        log_event(LOG_ERROR, "commit_refused", "reason=%s", log_quoted(slice_str(reply->why.text)));
    call_unref(call);
}

static void send_group(struct call *call)
{
    struct ingestion *in = call->pipeline->in;
    bool reserves = call->stage == &call->pipeline->stages[STAGE_RESERVE];
    struct pg_unit *unit = pg_unit_new(in->pg);
    struct pg_params *p = pg_unit_add(unit, reserves ? SQL_RESERVE : SQL_COMMIT);
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < call->count; i++) {
        struct decision *d = &call->jobs[i]->decision;

        if (!d->decided_at_us)
            d->decided_at_us = now_us;
    }
    add_decisions(p, call);
    if (reserves) {
        struct pg_array *hash = pg_add_array(p, PG_BYTEA), *body = pg_add_array(p, PG_BYTEA);

        for (size_t i = 0; i < call->count; i++) {
            pg_array_bytes(hash, slice_of(call->jobs[i]->hash, SHA256_BYTES));
            pg_array_bytes(body, txn_pack(&call->jobs[i]->txn, &call->arena));
        }
    }
    pg_unit_send(unit, call->started_mono_us + COMMIT_TIME_US, on_group, call);
}

/* ---- LOOKUP
 * ------------------------------------------------------------------------------------------------ */

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
        finish_because(job, ERR_INTERNAL, "the stored decision cannot be read");
    else
        finish(job, ERR_OK);
}

static void looked_up(struct job *job, const struct pg_result *r, size_t row)
{
    bool only_reads = job->after_lookup == STAGE_COUNT;

    if (!only_reads && !slice_eq(pg_get_bytes(r, row, COL_BODY_HASH), slice_of(job->hash, SHA256_BYTES))) {
        finish_because(job, ERR_CONFLICT, "the transaction_id belongs to another transaction");
    } else if (pg_get_bool(r, row, COL_IS_DECIDED)) {
        read_decision(job, r, row);
    } else if (only_reads) {
        finish_because(job, ERR_NOT_FOUND,
                       "the transaction is known but has no decision; send it again to get one");
    } else {
        job->has_place = true;
        job->decision.known_at_us = job->message->known_at_us = pg_get_time_us(r, row, COL_KNOWN_AT);
        job->decision.n = (uint64_t)pg_get_int(r, row, COL_N);
        enter(job, job->after_lookup == STAGE_RESERVE ? STAGE_COMMIT : job->after_lookup);
    }
}

static void on_looked_up(void *ctx, const struct pg_reply *reply)
{
    struct call *call = ctx;
    size_t *row_of = arena_new(&call->arena, size_t, call->count); /* 1 + row; 0: none */

    call_end(call);
    for (size_t r = 0; !reply->err && r < pg_rows(reply->results[0]); r++) {
        int64_t ord = pg_get_int(reply->results[0], r, COL_ORD);

        if (ord >= 1 && (size_t)ord <= call->count)
            row_of[ord - 1] = r + 1;
    }
    for (size_t i = 0; i < call->count; i++) {
        struct job *job = call->jobs[i];

        if (reply->err == ERR_INTERNAL)
            finish_because(job, ERR_INTERNAL, "the database refused the statement");
        else if (reply->err)
            finish_because(job, ERR_UNAVAILABLE,
                           "the database cannot be asked; send the same transaction again");
        else if (++job->lookups > LOOKUPS_MAX)
            finish_because(job, ERR_INTERNAL, "the decision could not be stored");
        else if (row_of[i])
            looked_up(job, reply->results[0], row_of[i] - 1);
        else if (job->after_lookup == STAGE_COUNT)
            finish_because(job, ERR_NOT_FOUND, "there is no such transaction");
        else
            enter(job, job->after_lookup);
    }
    if (reply->err == ERR_INTERNAL)
        log_event(LOG_ERROR, "lookup_refused", "reason=%s", log_quoted(slice_str(reply->why.text)));
    call_unref(call);
}

static void start_lookup(struct call *call)
{
    struct pg_unit *unit = pg_unit_new(call->pipeline->in->pg);
    struct pg_params *p = pg_unit_add(unit, SQL_LOOKUP);
    struct pg_array *account = pg_add_array(p, PG_INT4), *id = pg_add_array(p, PG_TEXT);

    for (size_t i = 0; i < call->count; i++) {
        pg_array_i32(account, (int32_t)call->jobs[i]->txn.account);
        pg_array_text(id, call->jobs[i]->txn.id);
    }
    pg_unit_is_read(unit);
    pg_unit_send(unit, call->started_mono_us + LOOKUP_TIME_US, on_looked_up, call);
}

/* ------------------------------------------------------------------------------------------------------------
 */

struct pipeline *pipeline_new(struct ingestion *in)
{
    static const struct stage kinds[STAGE_COUNT] = {
        [STAGE_FEATURES] = { .label = "features", .start = start_features, .most = 1 },
        [STAGE_SCORE] = { .label = "scoring", .start = start_score, .most = 2, .by_plan = true },
        [STAGE_DECIDE] = { .label = "rules", .start = start_decide, .most = 2, .by_plan = true },
        [STAGE_COMMIT] = { .label = "commit", .start = send_group, .most = 2, .is_sql = true },
        [STAGE_RESERVE] = { .label = "reserve", .start = send_group, .most = 1, .is_sql = true },
        [STAGE_LOOKUP] = { .label = "lookup", .start = start_lookup, .most = 2, .is_sql = true },
    };
    struct pipeline *p = mem_new(struct pipeline);

    p->in = in;
    buf_init(&p->missing_row, 0);
    randombytes_buf(p->id_key.bytes, sizeof p->id_key.bytes);
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        struct stage *s = &p->stages[i];

        *s = kinds[i];
        s->pipeline = p;
        s->tail = &s->head;
        s->task = (struct loop_task){ .run = stage_run, .ctx = s };
        s->series = metric_series(in->metrics, M_STAGE, s->label, NULL);
        metric_series(in->metrics, M_GROUP, s->label, NULL);
    }
    return p;
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < STAGE_COUNT; i++)
        loop_cancel(p->in->loop, &p->stages[i].task);
    for (struct job *job = p->free_jobs; job;) {
        struct job *next = job->next;

        arena_release(&job->arena);
        mem_free(job);
        job = next;
    }
    for (struct call *call = p->free_calls; call;) {
        struct call *next = call->next_free;

        arena_release(&call->arena);
        mem_free(call);
        call = next;
    }
    buf_release(&p->missing_row);
    mem_free(p);
}
