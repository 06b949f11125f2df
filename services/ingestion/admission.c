/* SPDX-License-Identifier: Apache-2.0 */
#include "admission.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
    SAMPLE_US = 100000,
    BUCKETS = 256, /* a power of two */
    SMOOTHING = 4, /* a sample moves the rate by this part of the difference */
    SHARE = 8,     /* times what is free */
    BEYOND = 2,    /* this part of the limit above it, for those who have less than their share */
    OWN_KEPT_US = 2000000,
    PROBES = 2, /* samples: in the first the queue drains */
    PROBE = 2,  /* this part of the limit is let in meanwhile */
    MARGIN = 4, /* this part of the time that is left, for what the estimate misses */
    RETRY_MOST_S = 8,
};

static const double at_work_part = 2.0 / 3; /* of the wait */

/* A key with something under way. */
struct flow {
    uint64_t key;
    size_t under_way;
    struct flow *next; /* in its bucket, or spare */
};

struct admission {
    struct admission_conf conf;
    double rate_per_s;
    size_t limit, at_work;
    size_t under_way, flow_count;
    struct flow *buckets[BUCKETS], *spare;

    /* The sample that is being taken. Time in which nothing was under way does not count. */
    int64_t began_us, idle_us, idle_since_us;
    size_t done, refused;
    double took_us;          /* all that was done, together */
    bool is_crowded;         /* there was always more to do */
    double refused_per_done; /* of the last one */
    uint32_t retries;

    /* How long work takes without a queue: the least of some time, since when, and the samples still to be
     * taken of a shorter queue. */
    double own_us;
    int64_t own_at_us;
    unsigned probes;
};

const char *const verdict_names[VERDICT_COUNT] = {
    [VERDICT_ENTER] = "enter",
    [VERDICT_QUEUE] = "queue",
    [VERDICT_DEADLINE] = "deadline",
    [VERDICT_SHARE] = "share",
};

/* What is done in that time. */
static size_t worth_of(const struct admission *a, double time_us)
{
    double units = a->rate_per_s * time_us / SECOND_US;

    if (units < (double)a->conf.least)
        return a->conf.least;
    return units < (double)a->conf.most ? (size_t)units : a->conf.most;
}

static double between(double least, double x, double most)
{
    return fmin(fmax(x, least), most);
}

static void set_limit(struct admission *a)
{
    double own_us = a->own_us, wait_us = (double)a->conf.wait_us;
    double limit_us = between(wait_us, own_us + own_us / 2, (double)a->conf.wait_most_us);

    a->limit = worth_of(a, limit_us);
    a->at_work = worth_of(a, between(wait_us * at_work_part, own_us + own_us / 4, limit_us));
}

struct admission *admission_new(const struct admission_conf *conf)
{
    struct admission *a = mem_new(struct admission);

    assert(conf->least >= 1 && conf->least <= conf->most);
    a->conf = *conf;
    a->rate_per_s = (double)conf->rate_per_s;
    set_limit(a);
    return a;
}

static void flows_free(struct flow *flow)
{
    while (flow) {
        struct flow *next = flow->next;

        mem_free(flow);
        flow = next;
    }
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    flows_free(a->spare);
    for (size_t i = 0; i < BUCKETS; i++)
        flows_free(a->buckets[i]);
    mem_free(a);
}

/* ---- the rate, and the time of the work itself ---- */

/* What is let in of a single flow now. */
static size_t open_limit(const struct admission *a)
{
    size_t part = a->limit / PROBE;

    return !a->probes ? a->limit : part > a->conf.least ? part : a->conf.least;
}

/* Without a queue all that is seen counts; with one only what is less, and every two seconds the queue is
 * made short for a moment to see. */
static void learn_own_time(struct admission *a, double took_us, int64_t now_us)
{
    bool is_probe = a->probes > 0 && --a->probes == 0; /* before the last one the queue drains */

    if (a->probes > 0)
        return;
    if (is_probe)
        a->own_us = took_us;
    else if (!a->is_crowded || took_us < a->own_us)
        a->own_us += (took_us - a->own_us) / SMOOTHING;
    if (is_probe || !a->is_crowded)
        a->own_at_us = now_us;
    else if (now_us - a->own_at_us > OWN_KEPT_US)
        a->probes = PROBES;
}

/* The time of the sample in which something was under way. */
static int64_t busy_us(const struct admission *a, int64_t now_us)
{
    return now_us - a->began_us - a->idle_us - (a->under_way ? 0 : now_us - a->idle_since_us);
}

static void sample(struct admission *a, int64_t now_us)
{
    int64_t took_us = now_us - a->began_us, busy;
    double rate, weight;

    if (took_us < SAMPLE_US)
        return;
    busy = busy_us(a, now_us);
    if (busy > 0) {
        rate = (double)a->done * SECOND_US / (double)busy;
        weight = (double)busy / (double)took_us / SMOOTHING;
        if (rate > a->rate_per_s || (a->is_crowded && !a->probes))
            a->rate_per_s += (rate - a->rate_per_s) * weight;
        if (a->done > 0)
            learn_own_time(a, a->took_us / (double)a->done, now_us);
        set_limit(a);
    }
    a->refused_per_done = (double)a->refused / (double)(a->done + 1);
    a->began_us = a->idle_since_us = now_us;
    a->idle_us = 0;
    a->took_us = 0;
    a->done = a->refused = 0;
    a->is_crowded = a->under_way >= a->limit / 2;
}

static int64_t expected_us(const struct admission *a, size_t units)
{
    double rate = a->rate_per_s > 1 ? a->rate_per_s : 1;

    return (int64_t)((double)(a->under_way + units) * SECOND_US / rate);
}

/* ---- flows ---- */

static struct flow **bucket_of(struct admission *a, uint64_t key)
{
    return &a->buckets[key * UINT64_C(0x9e3779b97f4a7c15) >> 56 & (BUCKETS - 1)];
}

static struct flow *flow_find(struct admission *a, uint64_t key)
{
    struct flow *flow = *bucket_of(a, key);

    while (flow && flow->key != key)
        flow = flow->next;
    return flow;
}

static struct flow *flow_new(struct admission *a, uint64_t key)
{
    struct flow **bucket = bucket_of(a, key), *flow = a->spare;

    if (flow)
        a->spare = flow->next;
    else
        flow = mem_new(struct flow);
    *flow = (struct flow){ .key = key, .next = *bucket };
    *bucket = flow;
    a->flow_count++;
    return flow;
}

static void flow_drop(struct admission *a, struct flow *flow)
{
    struct flow **at = bucket_of(a, flow->key);

    while (*at != flow)
        at = &(*at)->next;
    *at = flow->next;
    flow->next = a->spare;
    a->spare = flow;
    a->flow_count--;
}

/* ---- in and out ---- */

static bool has_its_share(struct admission *a, uint64_t key)
{
    const struct flow *flow = flow_find(a, key);
    size_t own = flow ? flow->under_way : 0, flows = a->flow_count + !flow;
    size_t limit = open_limit(a), free = limit > a->under_way ? limit - a->under_way : 0;

    if (own < SHARE * free)
        return false;
    /* A lone flow leaves something free; of several each may fill its part. */
    return flows == 1 || own >= limit / flows || a->under_way >= a->limit + a->limit / BEYOND;
}

static enum verdict judge(struct admission *a, uint64_t key, size_t units, int64_t left_us)
{
    size_t counted = units < a->limit ? units : a->limit;

    if (a->under_way + units > a->conf.most && a->under_way > 0)
        return VERDICT_QUEUE;
    if (a->under_way < a->conf.least) /* too little to say anything: it is tried */
        return left_us > 0 ? VERDICT_ENTER : VERDICT_DEADLINE;
    if (expected_us(a, counted) > left_us - left_us / MARGIN)
        return VERDICT_DEADLINE;
    return has_its_share(a, key) ? VERDICT_SHARE : VERDICT_ENTER;
}

enum verdict admission_ask(struct admission *a, uint64_t key, size_t units, int64_t left_us, int64_t now_us)
{
    enum verdict verdict;

    sample(a, now_us);
    verdict = judge(a, key, units, left_us);
    a->refused += verdict == VERDICT_ENTER ? 0 : units;
    a->is_crowded |= verdict == VERDICT_QUEUE || verdict == VERDICT_SHARE;
    return verdict;
}

struct flow *admission_enter(struct admission *a, uint64_t key, size_t units, int64_t now_us)
{
    struct flow *flow = flow_find(a, key);

    sample(a, now_us);
    if (!flow)
        flow = flow_new(a, key);
    if (a->under_way == 0)
        a->idle_us += now_us - a->idle_since_us;
    flow->under_way += units;
    a->under_way += units;
    return flow;
}

void admission_leave(struct admission *a, struct flow *flow, int64_t now_us)
{
    assert(flow->under_way > 0);
    if (--a->under_way == 0)
        a->idle_since_us = now_us;
    if (--flow->under_way == 0)
        flow_drop(a, flow);
}

void admission_done(struct admission *a, struct flow *flow, int64_t entered_us, int64_t now_us)
{
    sample(a, now_us);
    a->done++;
    a->took_us += (double)(now_us - entered_us);
    admission_leave(a, flow, now_us);
}

int64_t admission_retry_after_s(struct admission *a)
{
    double spread = a->refused_per_done < RETRY_MOST_S - 1 ? a->refused_per_done : RETRY_MOST_S - 1;

    /* Weyl's sequence of the golden ratio: whoever comes next is as far from the last ones as can be. */
    a->retries += UINT32_C(0x9e3779b9);
    return 1 + (int64_t)((double)a->retries / 4294967296.0 * (spread + 1));
}

struct admission_state admission_state(const struct admission *a)
{
    return (struct admission_state){
        .under_way = a->under_way,
        .flows = a->flow_count,
        .limit = a->limit,
        .at_work = a->at_work,
        .rate_per_s = a->rate_per_s,
        .wait_us = expected_us(a, 1),
    };
}
