/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/clock.h"
#include "fallback.h"
#include "part.h"
#include "pipeline_impl.h"
#include "proto/txn_proto.h"

static void without_score(struct job *job)
{
    job_degrade(job, "scoring");
    fallback_score(job->pipeline->in->fallback, job);
}

static void without_scores(struct group *group)
{
    int64_t began_us = clock_wall_us();

    for (size_t i = 0; i < group->count; i++)
        without_score(group->jobs[i]);
    group_tell_instead(group, "score without scoring", began_us);
}

static void go_on(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        job_enter(group->jobs[i], STAGE_DECIDE);
    group_unref(group);
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
    struct group *group = arg;
    uint32_t took_us = group_end(group, err);

    (void)why;
    for (size_t i = 0; i < group->count; i++)
        group->jobs[i]->decision.record.scoring_us = took_us;
    if (err || answer->n_rows != group->count)
        without_scores(group);
    else
        for (size_t i = 0; i < group->count; i++) {
            struct job *job = group->jobs[i];

            if (scored(job, answer, answer->rows[i]))
                job_keep(job, group);
            else
                without_score(job);
        }
    go_on(group);
}

static uint64_t arm_hash(const struct ingestion *in, const struct txn *txn)
{
    char text[16 + 128];
    struct slice customer = txn->text[TXN_customer_id];
    int len = snprintf(text, sizeof text, "%u/%.*s", txn->account, SLICE_ARG(customer));

    return hash64(&in->arm_key, slice_of(text, (size_t)len));
}

/* That of the group's jobs; of what features served last where none has one, as nothing is in their rows. */
static struct slice group_plan(const struct group *group)
{
    const struct pipeline *p = group->pipeline;

    for (size_t i = 0; i < group->count; i++) {
        if (group->jobs[i]->decision.plan.len)
            return group->jobs[i]->decision.plan;
    }
    return slice_of(p->plan, p->missing_row.len ? PLAN_BYTES : 0);
}

static Assay__V1__ScoreRequest *score_request(struct group *group, struct slice plan)
{
    struct pipeline *p = group->pipeline;
    Assay__V1__ScoreRequest *request = arena_new(&group->arena, Assay__V1__ScoreRequest, 1);

    assay__v1__score_request__init(request);
    request->plan = proto_bytes(plan);
    request->n_rows = group->count;
    request->rows = arena_new(&group->arena, Assay__V1__ScoreRequest__Row *, group->count);
    for (size_t i = 0; i < group->count; i++) {
        Assay__V1__ScoreRequest__Row *row = arena_new(&group->arena, Assay__V1__ScoreRequest__Row, 1);
        const struct job *job = group->jobs[i];
        struct slice vector = job->decision.vector;

        assay__v1__score_request__row__init(row);
        row->vector = proto_bytes(vector.len ? vector : buf_slice(&p->missing_row));
        row->arm_hash = arm_hash(p->in, &job->txn);
        request->rows[i] = row;
    }
    return request;
}

void score_start(struct group *group)
{
    struct part *scoring = group->pipeline->in->scoring;
    struct slice plan = group_plan(group);

    if (plan.len == 0 || !part_is_usable(scoring)) {
        group_end(group, ERR_UNAVAILABLE);
        without_scores(group);
        go_on(group);
        return;
    }
    part_call(scoring, "Score", &score_request(group, plan)->base, group_deadline(group), group_trace(group),
              &group->arena, on_scored, group);
}
