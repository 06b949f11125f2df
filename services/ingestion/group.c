/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "pipeline_impl.h"

enum { STAGE_LEAST_US = 50000 /* what a group's call gets even when all who wait have gone */ };

static struct job *queue_take(struct stage *s)
{
    struct job *job = s->head;

    s->head = job->next;
    if (!s->head)
        s->tail = &s->head;
    job->next = NULL;
    return job;
}

struct group *group_new(struct stage *s)
{
    struct pipeline *p = s->pipeline;
    struct group *group = p->free_groups;

    if (group)
        p->free_groups = group->next_free;
    else
        group = mem_new(struct group);
    group->pipeline = p;
    group->stage = s;
    group->refs = 1;
    group->count = 0;
    group->jobs = arena_new(&group->arena, struct job *, (size_t)p->in->conf.group_most);
    return group;
}

void group_unref(struct group *group)
{
    struct pipeline *p = group->pipeline;

    if (--group->refs > 0)
        return;
    arena_reset(&group->arena);
    group->next_free = p->free_groups;
    p->free_groups = group;
}

/* Jobs without a plan go with any. */
static bool may_join(const struct group *group, const struct job *job)
{
    for (size_t i = 0; i < group->count; i++) {
        struct slice plan = group->jobs[i]->decision.plan;

        if (plan.len && job->decision.plan.len)
            return slice_eq(plan, job->decision.plan);
    }
    return true;
}

void group_begin(struct group *group)
{
    struct pipeline *p = group->pipeline;
    struct stage *s = group->stage;

    group->started_mono_us = clock_mono_us();
    s->in_flight++;
    metric_observe_size(p->in->metrics, M_GROUP, s->series, group->count);
    if (s->is_sql && p->sql_in_flight++ == 0)
        p->sql_answered_mono_us = group->started_mono_us;
    s->start(group);
}

uint32_t group_end(struct group *group)
{
    struct pipeline *p = group->pipeline;
    struct stage *s = group->stage;
    int64_t now = clock_mono_us(), took_us = now - group->started_mono_us;

    s->in_flight--;
    p->sql_in_flight -= s->is_sql;
    metric_observe_us(p->in->metrics, M_STAGE, s->series, took_us);
    if (s->head)
        loop_work(p->in->loop, &s->task);
    entrance_wake(&p->entrance);
    return took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
}

void group_end_sql(struct group *group, enum err err)
{
    struct pipeline *p = group->pipeline;
    uint32_t took_us = group_end(group);
    bool is_silence = (err == ERR_TIMEOUT || err == ERR_UNKNOWN) && took_us > SQL_SILENT_US;

    p->sql_answered_mono_us = clock_mono_us();
    p->sql_silent_until_mono_us = is_silence ? p->sql_answered_mono_us + SQL_SILENT_US : 0;
}

static void stage_run(void *ctx)
{
    struct stage *s = ctx;
    size_t cap = (size_t)s->pipeline->in->conf.group_most;

    while (s->head && s->in_flight < s->most) {
        struct group *group = group_new(s);

        while (s->head && group->count < cap && (!s->by_plan || may_join(group, s->head)))
            group->jobs[group->count++] = queue_take(s);
        group_begin(group);
    }
}

int64_t group_deadline(const struct group *group)
{
    int64_t now = clock_mono_us(), latest = INT64_MIN, left;

    for (size_t i = 0; i < group->count; i++) {
        if (group->jobs[i]->deadline_mono_us > latest)
            latest = group->jobs[i]->deadline_mono_us;
    }
    left = (latest - now) / 2;
    return now + (left > STAGE_LEAST_US ? left : STAGE_LEAST_US);
}

const char *group_trace(const struct group *group)
{
    return group->jobs[0]->trace.parent;
}

void group_free_all(struct pipeline *p)
{
    for (struct group *group = p->free_groups; group;) {
        struct group *next = group->next_free;

        arena_release(&group->arena);
        mem_free(group);
        group = next;
    }
}

void stage_init(struct stage *s, struct pipeline *p)
{
    s->pipeline = p;
    s->tail = &s->head;
    s->task = (struct loop_task){ .run = stage_run, .ctx = s };
    s->series = metric_series(p->in->metrics, M_STAGE, s->label, NULL);
    metric_series(p->in->metrics, M_GROUP, s->label, NULL);
}
