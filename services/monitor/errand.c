/* SPDX-License-Identifier: Apache-2.0 */
#include "errand.h"

#include <pthread.h>
#include <stdio.h>

#include "base/array.h"
#include "base/mem.h"
#include "deliver/deliver.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

enum { M_NOTIFICATIONS, M_COUNT };
static const struct metric table[M_COUNT] = {
    [M_NOTIFICATIONS] = { "assay_monitor_notifications_total",
                          METRIC_COUNTER,
                          "Attempts to tell of alerts, by whom they went to (webhook, alertmanager) and how "
                          "(sent, failed)",
                          { "to", "outcome" } },
};

static const char *const kind_names[] = {
    [ERRAND_WEBHOOK] = "webhook", [ERRAND_ALERTMANAGER] = "alertmanager"
};

struct courier {
    struct loop *loop;
    struct deliver *deliver;
    struct metric_set *set;
    size_t sent[ERRAND_KIND_COUNT], lost[ERRAND_KIND_COUNT]; /* series */
    void (*wake)(void *ctx);
    void *ctx;
    struct errand *under_way; /* the loop's */
    /* Between the threads, under the lock: */
    pthread_mutex_t lock;
    struct errand *asked, **asked_end, *back, **back_end;
};

void errand_free(struct errand *e)
{
    arena_release(&e->arena);
    mem_free(e);
}

static void free_all(struct errand *e)
{
    for (struct errand *next; e; e = next) {
        next = e->next;
        errand_free(e);
    }
}

/* ---- the loop's side ---- */

static void give_back(struct courier *c, struct errand *e)
{
    bool is_sent = e->status >= 200 && e->status < 300;

    metric_inc(c->set, M_NOTIFICATIONS, (is_sent ? c->sent : c->lost)[e->kind]);
    e->next = NULL;
    pthread_mutex_lock(&c->lock);
    *c->back_end = e;
    c->back_end = &e->next;
    pthread_mutex_unlock(&c->lock);
    c->wake(c->ctx);
}

static void forget(struct courier *c, struct errand *e)
{
    struct errand **place = &c->under_way;

    while (*place != e)
        place = &(*place)->next;
    *place = e->next;
}

static void on_done(void *ctx, const struct deliver_answer *answer)
{
    struct errand *e = ctx;

    e->status = answer->status;
    e->retry_after_s = answer->retry_after_s;
    if (answer->trouble)
        err_explain(&e->trouble, "%s", answer->trouble);
    else if (answer->status < 200 || answer->status >= 300)
        err_explain(&e->trouble, "it answered %d", answer->status);
    forget(e->courier, e);
    give_back(e->courier, e);
}

static void start(struct courier *c, struct errand *e)
{
    struct deliver_request request = { .url = e->url,
                                       .header_count = e->header_count,
                                       .body = e->body,
                                       .allow_http = e->allow_http,
                                       .allow_private = e->allow_private };

    for (size_t i = 0; i < e->header_count; i++)
        request.headers[i] = e->headers[i];
    if (deliver_post(c->deliver, &request, on_done, e, &e->trouble)) {
        give_back(c, e);
        return;
    }
    e->next = c->under_way;
    c->under_way = e;
}

static void start_all(void *ctx)
{
    struct courier *c = ctx;
    struct errand *e, *next;

    pthread_mutex_lock(&c->lock);
    e = c->asked;
    c->asked = NULL;
    c->asked_end = &c->asked;
    pthread_mutex_unlock(&c->lock);
    for (; e; e = next) {
        next = e->next;
        start(c, e);
    }
}

/* ---- the other side ---- */

void courier_send(struct courier *c, struct errand *e)
{
    e->courier = c;
    e->next = NULL;
    pthread_mutex_lock(&c->lock);
    *c->asked_end = e;
    c->asked_end = &e->next;
    pthread_mutex_unlock(&c->lock);
    loop_post(c->loop, start_all, c);
}

struct errand *courier_collect(struct courier *c)
{
    struct errand *list;

    pthread_mutex_lock(&c->lock);
    list = c->back;
    c->back = NULL;
    c->back_end = &c->back;
    pthread_mutex_unlock(&c->lock);
    return list;
}

enum err courier_open(struct courier **out, struct loop *loop, struct metrics *metrics,
                      const struct deliver_conf *conf, void (*wake)(void *ctx), void *ctx, struct why *why)
{
    struct courier *c = mem_new(struct courier);
    enum err err;

    *out = NULL;
    c->loop = loop;
    c->wake = wake;
    c->ctx = ctx;
    c->asked_end = &c->asked;
    c->back_end = &c->back;
    pthread_mutex_init(&c->lock, NULL);
    c->set = metrics_add(metrics, table, M_COUNT);
    for (size_t i = 0; i < ERRAND_KIND_COUNT; i++) {
        c->sent[i] = metric_series(c->set, M_NOTIFICATIONS, kind_names[i], "sent");
        c->lost[i] = metric_series(c->set, M_NOTIFICATIONS, kind_names[i], "failed");
    }
    err = deliver_open(&c->deliver, loop, conf, why);
    if (err) {
        courier_close(c);
        return err;
    }
    *out = c;
    return ERR_OK;
}

void courier_close(struct courier *c)
{
    if (!c)
        return;
    deliver_close(c->deliver);
    free_all(c->under_way);
    free_all(c->asked);
    free_all(c->back);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}
