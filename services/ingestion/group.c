/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "pipeline_impl.h"

enum {
    STAGE_LEAST_US = 50000, /* what a group's call gets even when all who wait have gone */
    GROUP_SPANS_MOST = 64
};

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
    group->span_count = 0;
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

/* A batch has one span of the stage, however many of its transactions are in the group. */
static bool is_above(const struct trace *spans, size_t count, const struct trace *above)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(trace_span(above), slice_str(spans[i].caller)) &&
            slice_eq(trace_id(above), trace_id(&spans[i])))
            return true;
    }
    return false;
}

static void begin_spans(struct group *group)
{
    struct ingestion *in = group->pipeline->in;

    for (size_t i = 0; i < group->count; i++) {
        const struct trace *above = &group->jobs[i]->trace;

        if (!trace_is_sampled(above) || is_above(group->spans, group->span_count, above))
            continue;
        if (group->span_count == GROUP_SPANS_MOST) {
            spans_drop(in->spans, 1);
            continue;
        }
        if (group->span_count == 0)
            group->spans = arena_new(&group->arena, struct trace, GROUP_SPANS_MOST);
        trace_below(&group->spans[group->span_count++], above, trace_throw(&in->dice));
    }
}

static void end_spans(struct group *group, int64_t took_us, enum err err)
{
    static const struct span_attribute kinds[] = { { "rpc.system", "grpc", 0 },
                                                   { "db.system.name", "postgresql", 0 } };
    const struct stage *s = group->stage;
    bool is_call = s < &group->pipeline->stages[STAGE_CLAIM];
    const struct span_attribute attributes[] = { { "assay.group.size", NULL, (int64_t)group->count },
                                                 kinds[is_call ? 0 : 1] };
    const struct trace *all[GROUP_SPANS_MOST];
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < group->span_count; i++)
        all[i] = &group->spans[i];
    for (size_t i = 0; i < group->span_count; i++) {
        bool is_first = i == 0; /* within whose trace the call was made */

        spans_add(group->pipeline->in->spans,
                  &(struct span){ .at = all[i],
                                  .name = s->label,
                                  .kind = is_first ? SPAN_CLIENT : SPAN_INTERNAL,
                                  .start_us = now_us - took_us,
                                  .end_us = now_us,
                                  .attributes = attributes,
                                  .attribute_count = is_first ? ARRAY_LEN(attributes) : 1,
                                  .links = is_first ? all + 1 : all,
                                  .link_count = is_first ? group->span_count - 1 : 1,
                                  .trouble = err ? err_name(err) : NULL });
    }
}

void group_tell_instead(struct group *group, const char *name, int64_t began_us)
{
    struct ingestion *in = group->pipeline->in;
    const struct span_attribute size = { "assay.group.size", NULL, (int64_t)group->count };
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < group->span_count; i++) {
        struct trace below;

        trace_below(&below, &group->spans[i], trace_throw(&in->dice));
        spans_add(in->spans, &(struct span){ .at = &below,
                                             .name = name,
                                             .kind = SPAN_INTERNAL,
                                             .start_us = began_us,
                                             .end_us = now_us,
                                             .attributes = &size,
                                             .attribute_count = 1 });
    }
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
    if (p->in->spans)
        begin_spans(group);
    s->start(group);
}

uint32_t group_end(struct group *group, enum err err)
{
    struct pipeline *p = group->pipeline;
    struct stage *s = group->stage;
    int64_t now = clock_mono_us(), took_us = now - group->started_mono_us;

    s->in_flight--;
    p->sql_in_flight -= s->is_sql;
    metric_observe_us(p->in->metrics, M_STAGE, s->series, took_us);
    if (group->span_count)
        end_spans(group, took_us, err);
    if (s->head)
        loop_work(p->in->loop, &s->task);
    entrance_wake(&p->entrance);
    return took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
}

void group_end_sql(struct group *group, enum err err)
{
    struct pipeline *p = group->pipeline;
    uint32_t took_us = group_end(group, err);
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
    return group->span_count ? group->spans[0].parent : group->jobs[0]->trace.parent;
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
