/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "control.h"
#include "part.h"
#include "pipeline_impl.h"
#include "policystore/store.h"
#include "proto/txn_proto.h"

/* What the control slice has no say in is certain. */
static void decided(struct job *job)
{
    job->decision.p_allow = job->decision.action == ACTION_DECLINE ? 0 : 1;
    if (control_is_asked(job->pipeline->in->control, job))
        job_enter(job, STAGE_CLAIM);
    else
        job_enter(job, job->has_place ? STAGE_COMMIT : STAGE_RESERVE);
}

/* One answer, of the rules service or of the fallback. */
static void take_verdicts(struct group *group, const Assay__V1__DecideResponse *answer, uint32_t took_us)
{
    for (size_t i = 0; i < group->count; i++) {
        const Assay__V1__DecideResponse__Item *item = answer->items[i];
        struct job *job = group->jobs[i];
        struct decision *d = &job->decision;

        job_keep(job, group);
        d->action = (enum action)item->action;
        d->ruleset_version =
            slice_str(*item->ruleset_version ? item->ruleset_version : answer->ruleset_version);
        d->record.n_reasons = item->n_reasons;
        d->record.reasons = item->reasons;
        d->record.n_rules = item->n_rules;
        d->record.rules = item->rules;
        d->record.n_noted = item->n_noted;
        d->record.noted = item->noted;
        d->record.n_errors = item->n_errors;
        d->record.errors = item->errors;
        d->record.shadow = item->shadow;
        d->record.decided_by = item->decided_by;
        d->record.score_action = item->score_action;
        d->record.own_thresholds = item->own_thresholds;
        d->record.rules_us = took_us;
        decided(job);
    }
    group_unref(group);
}

static Assay__V1__DecideRequest *decide_request(struct group *group)
{
    Assay__V1__DecideRequest *request = arena_new(&group->arena, Assay__V1__DecideRequest, 1);

    assay__v1__decide_request__init(request);
    request->n_items = group->count;
    request->items = arena_new(&group->arena, Assay__V1__DecideRequest__Item *, group->count);
    for (size_t i = 0; i < group->count; i++) {
        Assay__V1__DecideRequest__Item *item = arena_new(&group->arena, Assay__V1__DecideRequest__Item, 1);
        struct job *job = group->jobs[i];
        const struct decision *d = &job->decision;

        assay__v1__decide_request__item__init(item);
        if (d->plan.len)
            request->plan = proto_bytes(d->plan);
        item->transaction = job->message;
        item->vector = proto_bytes(d->vector);
        item->has_score = d->has_score;
        item->score = d->score;
        item->thresholds = d->record.thresholds;
        item->n_degraded = d->record.n_degraded;
        item->degraded = d->record.degraded;
        request->items[i] = item;
    }
    return request;
}

static void without_rules(struct group *group)
{
    const Assay__V1__DecideResponse *answer;
    int64_t began_us = clock_wall_us();

    for (size_t i = 0; i < group->count; i++)
        job_degrade(group->jobs[i], "rules");
    answer = policy_store_decide(group->pipeline->in->policy, decide_request(group), &group->arena);
    group_tell_instead(group, "decide without rules", began_us);
    take_verdicts(group, answer, 0);
}

static bool is_whole(const Assay__V1__DecideResponse *answer, size_t count)
{
    if (answer->n_items != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const Assay__V1__DecideResponse__Item *item = answer->items[i];

        if ((unsigned)item->action >= ACTION_COUNT || (unsigned)item->score_action >= ACTION_COUNT ||
            !decision_rules_are_known(item->rules, item->n_rules) ||
            !decision_rules_are_known(item->noted, item->n_noted) || !decision_shadow_is_known(item->shadow))
            return false;
    }
    return true;
}

static void on_decided(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    const Assay__V1__DecideResponse *answer = (const void *)reply;
    struct group *group = arg;
    uint32_t took_us = group_end(group, err);

    (void)why;
    if (err || !is_whole(answer, group->count))
        without_rules(group);
    else
        take_verdicts(group, answer, took_us);
}

void decide_start(struct group *group)
{
    struct pipeline *p = group->pipeline;

    if (!part_is_usable(p->in->rules)) {
        group_end(group, ERR_UNAVAILABLE);
        without_rules(group);
        return;
    }
    part_call(p->in->rules, "Decide", &decide_request(group)->base, group_deadline(group), group_trace(group),
              &group->arena, on_decided, group);
}
