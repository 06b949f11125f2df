/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "part.h"
#include "pipeline_impl.h"
#include "policystore/store.h"
#include "proto/txn_proto.h"

/* Does without: what is known of the id is asked of PostgreSQL, and the windows are missing. */
static void without_features(struct job *job)
{
    job_degrade(job, "features");
    lookup_before(job, STAGE_SCORE);
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
    struct slice vector = proto_slice(&item->vector);

    if (item->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__CONFLICT) {
        job_fail(job, ERR_CONFLICT, "the transaction_id belongs to another transaction");
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
    if (item->status == ASSAY__V1__COMPUTE_RESPONSE__STATUS__KNOWN)
        lookup_before(job, STAGE_SCORE);
    else
        job_enter(job, STAGE_SCORE);
}

static void on_computed(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    const Assay__V1__ComputeResponse *answer = (const void *)reply;
    struct group *group = arg;
    uint32_t took_us = group_end(group, err);

    (void)why;
    for (size_t i = 0; i < group->count; i++) {
        struct job *job = group->jobs[i];

        job->decision.record.features_us = took_us;
        if (err || answer->n_items != group->count) {
            without_features(job);
        } else {
            job_keep(job, group);
            computed(job, answer->items[i], proto_slice(&answer->plan));
        }
    }
    group_unref(group);
}

static bool pg_is_missing(const struct pipeline *p)
{
    int64_t now = clock_mono_us();

    return !pg_pool_is_up(p->in->pg) || now < p->sql_silent_until_mono_us ||
           (p->sql_in_flight > 0 && now - p->sql_answered_mono_us > SQL_SILENT_US);
}

/* Sends off those that nothing should be done for, and keeps the order of the others. */
static void drop_hopeless(struct group *group)
{
    struct pipeline *p = group->pipeline;
    bool is_missing = pg_is_missing(p);
    int64_t now = clock_mono_us();
    size_t kept = 0;

    for (size_t i = 0; i < group->count; i++) {
        struct job *job = group->jobs[i];

        if (is_missing)
            job_fail(job, ERR_UNAVAILABLE, "the database is missing; nothing was stored");
        else if (now >= job->deadline_mono_us)
            job_fail(job, ERR_TIMEOUT, "the deadline passed before anything was done; nothing was stored");
        else
            group->jobs[kept++] = job;
    }
    group->count = kept;
}

static Assay__V1__ComputeRequest *compute_request(struct group *group)
{
    Assay__V1__ComputeRequest *request = arena_new(&group->arena, Assay__V1__ComputeRequest, 1);

    assay__v1__compute_request__init(request);
    request->n_items = group->count;
    request->items = arena_new(&group->arena, Assay__V1__ComputeRequest__Item *, group->count);
    for (size_t i = 0; i < group->count; i++) {
        Assay__V1__ComputeRequest__Item *item = arena_new(&group->arena, Assay__V1__ComputeRequest__Item, 1);
        struct job *job = group->jobs[i];

        assay__v1__compute_request__item__init(item);
        item->transaction = job->message;
        item->body_hash = proto_bytes(slice_of(job->hash, sizeof job->hash));
        request->items[i] = item;
    }
    return request;
}

void compute_start(struct group *group)
{
    struct part *features = group->pipeline->in->features;

    drop_hopeless(group);
    if (group->count == 0 || !part_is_usable(features)) {
        group_end(group, ERR_UNAVAILABLE);
        for (size_t i = 0; i < group->count; i++)
            without_features(group->jobs[i]);
        group_unref(group);
        return;
    }
    for (size_t i = 0; i < group->count; i++) {
        struct job *job = group->jobs[i];

        job->decision.record.queue_us = (uint32_t)(group->started_mono_us - job->arrived_mono_us);
    }
    part_call(features, "Compute", &compute_request(group)->base, group_deadline(group), group_trace(group),
              &group->arena, on_computed, group);
}
