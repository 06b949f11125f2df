/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include <assert.h>

#include "api/problem.h"
#include "base/clock.h"
#include "app/service.h"
#include "base/mem.h"
#include "ingestion.h"
#include "pipeline.h"

enum {
    DECIDE_LEAST = 32,
    DECIDE_RATE = 4000, /* until it is measured */
    READ_MOST = 256,
    READ_LEAST = 16,
    READ_WAIT_US = 50000,
    LABEL_MOST = 4096,
    LABEL_LEAST = 64,
    LABEL_WAIT_US = 200000,
    OTHER_RATE = 2000,
    RETRY_TEXTS = 10,
};

static const char *const work_names[WORK_COUNT] = {
    [WORK_DECIDE] = "decide",
    [WORK_READ] = "read",
    [WORK_LABEL] = "label",
};

static const char *const details[VERDICT_COUNT] = {
    [VERDICT_QUEUE] = "overloaded: too much is under way; nothing was stored",
    [VERDICT_DEADLINE] = "overloaded: it would not be done within its deadline; nothing was stored",
    [VERDICT_SHARE] = "overloaded: this key has its share of what is under way; nothing was stored",
};

enum { M_ADMITTED, M_TURNED_AWAY, M_UNDER_WAY, M_LIMIT, M_RATE, M_WAIT, M_FLOWS, M_GATE_COUNT };
static const struct metric metrics_table[M_GATE_COUNT] = {
    [M_ADMITTED] = { "assay_ingestion_admitted_total",
                     METRIC_COUNTER,
                     "Transactions, reads and labels let in, by kind of work",
                     { "work" } },
    [M_TURNED_AWAY] = { "assay_ingestion_turned_away_total",
                        METRIC_COUNTER,
                        "Requests answered 503 for want of room, by kind of work and reason",
                        { "work", "reason" } },
    [M_UNDER_WAY] = { "assay_ingestion_admission_under_way",
                      METRIC_GAUGE,
                      "Let in and not done, by kind of work",
                      { "work" } },
    [M_LIMIT] = { "assay_ingestion_admission_limit",
                  METRIC_GAUGE,
                  "How much may be under way now, by kind of work",
                  { "work" } },
    [M_RATE] = { "assay_ingestion_admission_rate_per_second",
                 METRIC_GAUGE,
                 "What can be done in a second, as last measured under load",
                 { "work" } },
    [M_WAIT] = { "assay_ingestion_admission_wait_seconds",
                 METRIC_GAUGE,
                 "How long what is let in now is expected to take",
                 { "work" } },
    [M_FLOWS] = { "assay_ingestion_admission_keys",
                  METRIC_GAUGE,
                  "Keys with something under way, by kind of work",
                  { "work" } },
};

struct gate {
    struct ingestion *in;
    struct loop *loop;
    struct metric_set *metrics;
    struct admission *works[WORK_COUNT];
    size_t admitted[WORK_COUNT], turned_away[WORK_COUNT][VERDICT_COUNT];
    struct buf bodies[VERDICT_COUNT];
    char digits[RETRY_TEXTS];                /* "0123..." */
    struct http_header retries[RETRY_TEXTS]; /* Retry-After, by seconds */
};

static void collect(void *ctx)
{
    struct gate *g = ctx;

    for (size_t w = 0; w < WORK_COUNT; w++) {
        struct admission_state s = admission_state(g->works[w]);
        size_t series = metric_series(g->metrics, M_LIMIT, work_names[w], NULL);

        metric_put(g->metrics, M_UNDER_WAY, series, (double)s.under_way);
        metric_put(g->metrics, M_LIMIT, series, (double)s.limit);
        metric_put(g->metrics, M_RATE, series, s.rate_per_s);
        metric_put(g->metrics, M_WAIT, series, (double)s.wait_us / 1e6);
        metric_put(g->metrics, M_FLOWS, series, (double)s.flows);
    }
}

static void make_series(struct gate *g, enum work w)
{
    for (size_t m = M_UNDER_WAY; m < M_GATE_COUNT; m++)
        metric_series(g->metrics, m, work_names[w], NULL);
    g->admitted[w] = metric_series(g->metrics, M_ADMITTED, work_names[w], NULL);
    for (size_t v = VERDICT_ENTER + 1; v < VERDICT_COUNT; v++)
        g->turned_away[w][v] = metric_series(g->metrics, M_TURNED_AWAY, work_names[w], verdict_names[v]);
}

static void make_body(struct buf *body, const char *detail)
{
    struct problem p = { .status = 503, .detail = slice_str(detail) };
    struct json_out o;

    buf_init(body, 0);
    o = json_out_to(body);
    problem_write(&o, NULL, &p);
}

struct gate *gate_new(struct ingestion *in)
{
    size_t most = (size_t)in->conf.jobs_most;
    const struct admission_conf confs[WORK_COUNT] = {
        /* A third of the deadline keeps all steps in full groups; the rest is for what cannot be foreseen. */
        [WORK_DECIDE] = { most, most < DECIDE_LEAST ? most : DECIDE_LEAST, in->conf.deadline_ms * MS_US / 3,
                          in->conf.deadline_ms * MS_US / 2, DECIDE_RATE },
        [WORK_READ] = { READ_MOST, READ_LEAST, READ_WAIT_US, 4 * READ_WAIT_US, OTHER_RATE },
        [WORK_LABEL] = { LABEL_MOST, LABEL_LEAST, LABEL_WAIT_US, 4 * LABEL_WAIT_US, OTHER_RATE },
    };
    struct gate *g = mem_new(struct gate);

    g->in = in;
    g->loop = in->loop;
    g->metrics = metrics_add(service_metrics(in->app), metrics_table, M_GATE_COUNT);
    metrics_on_write(service_metrics(in->app), collect, g);
    for (size_t w = 0; w < WORK_COUNT; w++) {
        g->works[w] = admission_new(&confs[w]);
        make_series(g, (enum work)w);
    }
    for (size_t v = VERDICT_ENTER + 1; v < VERDICT_COUNT; v++)
        make_body(&g->bodies[v], details[v]);
    for (size_t i = 0; i < RETRY_TEXTS; i++) {
        g->digits[i] = (char)('0' + i);
        g->retries[i] = (struct http_header){ SLICE("retry-after"), slice_of(&g->digits[i], 1) };
    }
    return g;
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    for (size_t w = 0; w < WORK_COUNT; w++)
        admission_free(g->works[w]);
    for (size_t v = 0; v < VERDICT_COUNT; v++)
        buf_release(&g->bodies[v]);
    mem_free(g);
}

uint64_t caller_number(const struct caller *key)
{
    uint64_t number;

    static_assert(sizeof key->prefix >= sizeof number, "a prefix fills a number");
    memcpy(&number, key->prefix, sizeof number);
    return number;
}

static void turn_away(struct gate *g, enum work work, enum verdict verdict, struct http_request *req)
{
    int64_t seconds = admission_retry_after_s(g->works[work]);
    const struct http_header *retry = &g->retries[seconds < RETRY_TEXTS ? seconds : RETRY_TEXTS - 1];

    metric_inc(g->metrics, M_TURNED_AWAY, g->turned_away[work][verdict]);
    http_reply(req, &(struct http_reply){ .status = 503,
                                          .type = PROBLEM_MEDIA_TYPE,
                                          .body = buf_slice(&g->bodies[verdict]),
                                          .headers = retry,
                                          .header_count = 1,
                                          .is_lasting = true });
}

/* What the pipeline knows is better than what the admission would guess: how many of this key wait before it,
 * and how long the way takes. */
static int64_t time_to_wait(const struct gate *g, enum work work, const struct caller *key, size_t units,
                            int64_t left_us)
{
    double rate_per_s = admission_state(g->works[work]).rate_per_s;

    if (work != WORK_DECIDE || left_us <= 0)
        return left_us;
    return pipeline_expects_us(g->in->pipeline, caller_number(key), units, rate_per_s) <= left_us ? INT64_MAX
                                                                                                  : 0;
}

bool gate_ask(struct gate *g, enum work work, const struct caller *key, size_t units, int64_t left_us,
              struct http_request *req)
{
    enum verdict verdict = admission_ask(g->works[work], caller_number(key), units,
                                         time_to_wait(g, work, key, units, left_us), loop_mono_us(g->loop));

    if (verdict == VERDICT_ENTER)
        return true;
    turn_away(g, work, verdict, req);
    return false;
}

struct pass gate_enter(struct gate *g, enum work work, const struct caller *key, size_t units)
{
    int64_t now_us = loop_mono_us(g->loop);

    metric_add(g->metrics, M_ADMITTED, g->admitted[work], (double)units);
    return (struct pass){ .gate = g,
                          .work = work,
                          .flow = admission_enter(g->works[work], caller_number(key), units, now_us),
                          .units = units,
                          .entered_us = now_us };
}

struct pass pass_split(struct pass *p)
{
    struct pass one = *p;

    assert(p->gate && p->units > 0);
    p->units--;
    one.units = 1;
    return one;
}

void pass_done(struct pass *p)
{
    for (; p->gate && p->units > 0; p->units--)
        admission_done(p->gate->works[p->work], p->flow, p->entered_us, loop_mono_us(p->gate->loop));
    p->gate = NULL;
}

size_t gate_at_work(const struct gate *g)
{
    return admission_state(g->works[WORK_DECIDE]).at_work;
}

void pass_leave(struct pass *p)
{
    for (; p->gate && p->units > 0; p->units--)
        admission_leave(p->gate->works[p->work], p->flow, loop_mono_us(p->gate->loop));
    p->gate = NULL;
}
