/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pipeline_impl.h"
#include "proto/txn_proto.h"

enum { FREE_JOBS_MAX = 1024 };

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
    for (size_t i = 0; i < job->group_count; i++)
        group_unref(job->groups[i]);
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
    pipeline_tell_idle(p);
}

void job_keep(struct job *job, struct group *group)
{
    assert(job->group_count < JOB_GROUPS);
    job->groups[job->group_count++] = group;
    group->refs++;
}

static bool is_degraded(const struct job *job, const char *part)
{
    for (size_t i = 0; i < job->decision.record.n_degraded; i++) {
        if (strcmp(job->degraded[i], part) == 0)
            return true;
    }
    return false;
}

void job_degrade(struct job *job, const char *part)
{
    Assay__V1__DecisionRecord *record = &job->decision.record;

    if (is_degraded(job, part))
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

void job_enter(struct job *job, enum stage_name name)
{
    struct stage *s = &job->pipeline->stages[name];

    job->next = NULL;
    job->entered_mono_us = clock_mono_us();
    *s->tail = job;
    s->tail = &job->next;
    loop_work(s->pipeline->in->loop, &s->task);
}

/* Waits for the one that is on its way under the same id, or becomes it. */
static void join(struct job *job)
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
        entrance_add(&job->pipeline->entrance, job);
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
    join(job);
}

void job_look_up(struct job *job, job_done_fn *done, void *ctx)
{
    begin(job, done, ctx);
    job->after_lookup = STAGE_COUNT;
    job_enter(job, STAGE_LOOKUP);
}

static const char *outcome_name(const struct job *job)
{
    if (job->is_refused)
        return "refused";
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

void job_finish(struct job *job, enum err err)
{
    struct pipeline *p = job->pipeline;
    struct job *waiting = job->waiting;

    job->err = err;
    job->state = JOB_DONE;
    job->waiting = NULL;
    count(p->in, M_OUTCOMES, outcome_name(job));
    entrance_done(&p->entrance, job);
    id_remove(job);
    while (waiting) {
        struct job *next = waiting->waiting_next;

        waiting->waiting_next = NULL;
        if (err == ERR_OK)
            job_enter(waiting, STAGE_LOOKUP); /* it is stored: all of them can be answered together */
        else
            join(waiting);
        waiting = next;
    }
    job->done(job->ctx, job);
}

void job_fail(struct job *job, enum err err, const char *reason)
{
    err_set(&job->why, err, "%s", reason);
    job_finish(job, err);
}

void job_free_all(struct pipeline *p)
{
    for (struct job *job = p->free_jobs; job;) {
        struct job *next = job->next;

        arena_release(&job->arena);
        mem_free(job);
        job = next;
    }
}
