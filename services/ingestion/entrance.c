/* SPDX-License-Identifier: Apache-2.0 */
#include "entrance.h"

#include "base/clock.h"
#include "gate.h"
#include "pipeline_impl.h"

enum {
    RESERVE_PART =
        2,          /* of the usual deadline, which a slow way may claim: then the other half can be waited */
    TRIED_PART = 8, /* of what should be at work, that is always tried: else a slow way would stay slow */
};

static uint64_t hash_of(const struct entrance *e, uint64_t key)
{
    return hash64(&e->pipeline->id_key, slice_of((const char *)&key, sizeof key));
}

static int64_t reserve_us(const struct entrance *e, int64_t now_us)
{
    return transit_reserve_us(&e->transit, e->oldest ? now_us - e->oldest->begun_mono_us : 0,
                              e->pipeline->in->conf.deadline_ms * MS_US / RESERVE_PART);
}

static bool is_tried(const struct entrance *e)
{
    return e->begun <= gate_at_work(e->pipeline->in->gate) / TRIED_PART;
}

struct moment {
    const struct entrance *e;
    int64_t now_us;
};

static bool is_hopeless(void *ctx, void *owner)
{
    const struct moment *m = ctx;
    const struct job *job = owner;
    int64_t left_us = job->deadline_mono_us - m->now_us;

    return left_us <= 0 || (!is_tried(m->e) && left_us < reserve_us(m->e, m->now_us));
}

static void refuse(struct job *job)
{
    job->waits = false;
    job->is_refused = true;
    job_fail(job, ERR_UNAVAILABLE,
             "overloaded: it would not be done within its deadline; nothing was stored");
}

static void begin(struct entrance *e, struct job *job, int64_t now_us)
{
    job->waits = false;
    job->begun_mono_us = now_us;
    job->begun_before = e->newest;
    job->begun_after = NULL;
    *(e->newest ? &e->newest->begun_after : &e->oldest) = job;
    e->newest = job;
    e->begun++;
    job_enter(job, STAGE_FEATURES);
}

static size_t room(const struct entrance *e)
{
    size_t most = gate_at_work(e->pipeline->in->gate), cap = (size_t)e->pipeline->in->conf.group_most;
    size_t left = most > e->begun ? most - e->begun : 0;

    return left < cap ? left : cap;
}

static void run(void *ctx)
{
    struct entrance *e = ctx;
    const struct stage *features = &e->pipeline->stages[STAGE_FEATURES];
    struct moment now = { e, clock_mono_us() };
    /* Also when nobody can go in: who is told soon can still ask elsewhere. */
    struct laned *hopeless = lanes_take_if(&e->lanes, is_hopeless, &now), *item;

    while (hopeless) {
        struct job *job = hopeless->owner;

        hopeless = hopeless->next;
        refuse(job);
    }
    if (features->in_flight >= features->most || features->head)
        return;
    for (size_t left = room(e); left > 0 && (item = lanes_take(&e->lanes)); left--) {
        if (is_hopeless(&now, item->owner))
            refuse(item->owner);
        else
            begin(e, item->owner, now.now_us);
    }
}

void entrance_init(struct entrance *e, struct pipeline *p)
{
    *e = (struct entrance){ .pipeline = p, .task = { .run = run, .ctx = e } };
    lanes_init(&e->lanes);
}

void entrance_add(struct entrance *e, struct job *job)
{
    job->waits = true;
    job->place.owner = job;
    lanes_add(&e->lanes, hash_of(e, job->key), &job->place);
    entrance_wake(e);
}

void entrance_wake(struct entrance *e)
{
    if (e->lanes.waiting)
        loop_work(e->pipeline->in->loop, &e->task);
}

void entrance_done(struct entrance *e, struct job *job)
{
    if (!job->begun_mono_us)
        return;
    job->begun_mono_us = 0;
    *(job->begun_before ? &job->begun_before->begun_after : &e->oldest) = job->begun_after;
    *(job->begun_after ? &job->begun_after->begun_before : &e->newest) = job->begun_before;
    e->begun--;
    entrance_wake(e);
}

void entrance_observe(struct entrance *e, int64_t took_us)
{
    transit_add(&e->transit, took_us);
}

int64_t entrance_expects_us(const struct entrance *e, uint64_t key, size_t units, double rate_per_s)
{
    size_t before;

    if (!e->lanes.waiting && is_tried(e))
        return 0;
    before = lanes_before(&e->lanes, hash_of(e, key), units);
    return (int64_t)((double)before * SECOND_US / (rate_per_s > 1 ? rate_per_s : 1)) +
           reserve_us(e, loop_mono_us(e->pipeline->in->loop));
}
