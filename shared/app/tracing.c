/* SPDX-License-Identifier: Apache-2.0 */
#include "app/tracing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"
#include "deliver/address.h"
#include "deliver/deliver.h"
#include "log/log.h"

enum { WAITING_MOST = 1 << 20, TRIES_MOST = 6, TIMEOUT_MS = 5000, INSTANCE_BYTES = 96 };
#define TURN_US       (1 * SECOND_US)
#define PAUSE_MOST_US (30 * SECOND_US)
#define FLUSH_US      (2 * SECOND_US)

enum { M_SPANS, M_COUNT };
static const struct metric table[M_COUNT] = {
    [M_SPANS] = { "assay_trace_spans_total",
                  METRIC_COUNTER,
                  "Spans, by what became of them: exported, refused by the collector, dropped for want of "
                  "room",
                  { "outcome" } },
};

struct tracing {
    struct loop *loop;
    struct deliver *deliver;
    struct spans *spans;
    char *url;
    char instance[INSTANCE_BYTES];
    double share;
    struct metric_set *metrics;
    size_t exported, refused, dropped; /* series */
    uint64_t dropped_told;

    struct loop_timer turn;
    struct buf body; /* under way, or to be sent again */
    size_t body_spans;
    unsigned tries;
    bool is_under_way;

    void (*flushed)(void *ctx); /* while flushing */
    void *flushed_ctx;
    struct loop_timer give_up;
};

static void end_flush(struct tracing *t)
{
    void (*done)(void *ctx) = t->flushed;

    t->flushed = NULL;
    loop_timer_stop(&t->give_up);
    if (done)
        done(t->flushed_ctx);
}

static void forget_body(struct tracing *t, size_t series)
{
    metric_add(t->metrics, M_SPANS, series, (double)t->body_spans);
    t->body_spans = 0;
    t->tries = 0;
    buf_clear(&t->body);
}

static bool may_be_sent_again(int status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

/* After how long the body is sent again. */
static int64_t pause_us(const struct tracing *t, const struct deliver_answer *answer)
{
    int64_t pause = SECOND_US << t->tries;

    if (answer->retry_after_s * SECOND_US > pause)
        pause = answer->retry_after_s * SECOND_US;
    return pause < PAUSE_MOST_US ? pause : PAUSE_MOST_US;
}

static void on_answer(void *ctx, const struct deliver_answer *answer)
{
    struct tracing *t = ctx;
    bool is_taken = answer->status >= 200 && answer->status < 300;

    t->is_under_way = false;
    if (!is_taken)
        log_limited(LOG_WARN, "spans_not_taken", "spans=%zu status=%d why=%s", t->body_spans, answer->status,
                    log_quoted(slice_str(answer->trouble ? answer->trouble : "")));
    if (!is_taken && !t->flushed && may_be_sent_again(answer->status) && ++t->tries < TRIES_MOST) {
        loop_timer_set(&t->turn, pause_us(t, answer));
        return;
    }
    forget_body(t, is_taken ? t->exported : t->refused);
    if (t->flushed && spans_waiting(t->spans) == 0)
        end_flush(t);
    else
        loop_timer_set(&t->turn, t->flushed ? 0 : TURN_US);
}

static void send_body(struct tracing *t)
{
    const struct deliver_request request = { .url = t->url,
                                             .headers = { "content-type: application/json" },
                                             .header_count = 1,
                                             .body = buf_slice(&t->body),
                                             .allow_http = true,
                                             .allow_private = true };
    struct why why = { 0 };

    t->is_under_way = true;
    if (deliver_post(t->deliver, &request, on_answer, t, &why))
        on_answer(t, &(struct deliver_answer){ .trouble = why.text });
}

static void on_turn(void *ctx)
{
    struct tracing *t = ctx;

    if (t->is_under_way)
        return;
    if (t->body_spans == 0)
        t->body_spans = spans_take(t->spans, &t->body);
    if (t->body_spans)
        send_body(t);
    else
        loop_timer_set(&t->turn, TURN_US);
}

static void on_give_up(void *ctx)
{
    end_flush(ctx);
}

void tracing_flush(struct tracing *t, void (*done)(void *ctx), void *ctx)
{
    if (!t->spans || (!t->is_under_way && t->body_spans == 0 && spans_waiting(t->spans) == 0)) {
        done(ctx);
        return;
    }
    t->flushed = done;
    t->flushed_ctx = ctx;
    loop_timer_set(&t->give_up, FLUSH_US);
    if (!t->is_under_way)
        loop_timer_set(&t->turn, 0);
}

static void collect(void *ctx)
{
    struct tracing *t = ctx;
    uint64_t dropped = t->spans ? spans_dropped(t->spans) : 0;

    metric_add(t->metrics, M_SPANS, t->dropped, (double)(dropped - t->dropped_told));
    t->dropped_told = dropped;
}

static enum err read_share(struct tracing *t, const char *text, struct why *why)
{
    if (!slice_to_double(slice_str(text), &t->share) || !(t->share >= 0 && t->share <= 1))
        return err_set(why, ERR_INVALID, "ASSAY_TRACE_SHARE=%s is no number from 0 to 1", text);
    return ERR_OK;
}

static void name_instance(struct tracing *t)
{
    char host[64] = "";

    gethostname(host, sizeof host - 1);
    snprintf(t->instance, sizeof t->instance, "%s-%d", host, (int)getpid());
}

static enum err set_up(struct tracing *t, const struct tracing_settings *settings, const char *service,
                       struct why *why)
{
    static const char path[] = "/v1/traces";
    size_t len = strlen(settings->endpoint);
    struct deliver_conf conf = { .timeout_ms = TIMEOUT_MS, .ca = settings->ca, .user_agent = "assay" };
    enum err err;

    while (len && settings->endpoint[len - 1] == '/')
        len--;
    t->url = mem_alloc(len + sizeof path, 1);
    memcpy(t->url, settings->endpoint, len);
    memcpy(t->url + len, path, sizeof path);
    err = read_share(t, settings->share, why);
    if (err)
        return err;
    err = address_check_url(t->url, true, true, why);
    if (err)
        return err_wrap(why, err, "ASSAY_OTLP_ENDPOINT");
    err = deliver_open(&t->deliver, t->loop, &conf, why);
    if (err)
        return err;
    name_instance(t);
    t->spans = spans_new(service, ASSAY_VERSION, t->instance, WAITING_MOST);
    loop_timer_init(&t->turn, t->loop, on_turn, t);
    loop_timer_init(&t->give_up, t->loop, on_give_up, t);
    loop_timer_set(&t->turn, TURN_US);
    return ERR_OK;
}

enum err tracing_open(struct tracing **out, const struct tracing_settings *settings, struct loop *loop,
                      struct metrics *metrics, const char *service, struct why *why)
{
    struct tracing *t = mem_new(struct tracing);
    enum err err = ERR_OK;

    t->loop = loop;
    buf_init(&t->body, 0);
    t->metrics = metrics_add(metrics, table, M_COUNT);
    t->exported = metric_series(t->metrics, M_SPANS, "exported", NULL);
    t->refused = metric_series(t->metrics, M_SPANS, "refused", NULL);
    t->dropped = metric_series(t->metrics, M_SPANS, "dropped", NULL);
    if (*settings->endpoint)
        err = set_up(t, settings, service, why);
    if (err) {
        tracing_close(t);
        *out = NULL;
        return err;
    }
    metrics_on_write(metrics, collect, t);
    *out = t;
    return ERR_OK;
}

void tracing_close(struct tracing *t)
{
    if (!t)
        return;
    if (t->spans) {
        loop_timer_release(&t->turn);
        loop_timer_release(&t->give_up);
    }
    deliver_close(t->deliver);
    spans_free(t->spans);
    buf_release(&t->body);
    mem_free(t->url);
    mem_free(t);
}

struct spans *tracing_spans(const struct tracing *t)
{
    return t->spans;
}

double tracing_share(const struct tracing *t)
{
    return t->spans ? t->share : 0;
}
