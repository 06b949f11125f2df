/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>

#include "base/mem.h"
#include "pipeline_impl.h"

void pipeline_tell_idle(struct pipeline *p)
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
    pipeline_tell_idle(p);
}

size_t pipeline_jobs(const struct pipeline *p)
{
    return p->jobs;
}

int64_t pipeline_expects_us(const struct pipeline *p, uint64_t key, size_t units, double rate_per_s)
{
    return entrance_expects_us(&p->entrance, key, units, rate_per_s);
}

struct pipeline *pipeline_new(struct ingestion *in)
{
    static const struct stage kinds[STAGE_COUNT] = {
        /* Features appends one group after the other: the second is there when it is done with the first. */
        [STAGE_FEATURES] = { .label = "features", .start = compute_start, .most = 2 },
        [STAGE_SCORE] = { .label = "scoring", .start = score_start, .most = 2, .by_plan = true },
        [STAGE_DECIDE] = { .label = "rules", .start = decide_start, .most = 2, .by_plan = true },
        [STAGE_CLAIM] = { .label = "claim", .start = claim_start, .most = 1 },
        [STAGE_COMMIT] = { .label = "commit", .start = commit_start, .most = 2, .is_sql = true },
        [STAGE_RESERVE] = { .label = "reserve", .start = reserve_start, .most = 1, .is_sql = true },
        [STAGE_LOOKUP] = { .label = "lookup", .start = lookup_start, .most = 2, .is_sql = true },
    };
    struct pipeline *p = mem_new(struct pipeline);

    p->in = in;
    buf_init(&p->missing_row, 0);
    randombytes_buf(p->id_key.bytes, sizeof p->id_key.bytes);
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        p->stages[i] = kinds[i];
        stage_init(&p->stages[i], p);
    }
    entrance_init(&p->entrance, p);
    return p;
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < STAGE_COUNT; i++)
        loop_cancel(p->in->loop, &p->stages[i].task);
    loop_cancel(p->in->loop, &p->entrance.task);
    job_free_all(p);
    group_free_all(p);
    buf_release(&p->missing_row);
    mem_free(p);
}
