/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"

enum { ECHO_EVERY = 40 };

static const int64_t tick_us = 5 * MS_US;
static const int64_t deadline_us = 2 * SECOND_US, give_up_us = 120 * SECOND_US;
static const int64_t pause_least_us = 50 * MS_US, pause_most_us = 800 * MS_US;

/* One request, with all its attempts. */
struct request {
    struct load *load;
    struct item *item;
    bool is_rival, is_echo;
    size_t target;
    unsigned attempts;
    int64_t began_us, sent_us, pause_us;
    struct loop_timer again;
};

static void transmit(void *ctx);

static void send_new(struct load *l, struct item *item, bool is_rival, size_t target, int64_t after_us)
{
    struct request *r = mem_new(struct request);

    r->load = l;
    r->item = item;
    r->is_rival = is_rival;
    r->is_echo = after_us > 0;
    r->target = target;
    r->pause_us = pause_least_us;
    r->began_us = clock_mono_us() + after_us;
    loop_timer_init(&r->again, l->loop, transmit, r);
    item->unfinished++;
    l->in_flight++;
    if (after_us)
        loop_timer_set(&r->again, after_us);
    else
        transmit(r);
}

static void finish(struct request *r)
{
    struct load *l = r->load;
    struct item *item = r->item;

    if (--item->unfinished == 0)
        item_is_done(item);
    l->in_flight--;
    l->answers++;
    loop_timer_release(&r->again);
    mem_free(r);
}

static void retry(struct request *r)
{
    struct load *l = r->load;

    l->retries++;
    r->attempts++;
    if (clock_mono_us() - r->began_us > give_up_us) {
        violated(l->record, "no answer, however often it was tried", r->item->id);
        finish(r);
        return;
    }
    r->target = (r->target + 1) % LOAD_TARGETS;
    loop_timer_set(&r->again, r->pause_us);
    r->pause_us = r->pause_us * 2 < pause_most_us ? r->pause_us * 2 : pause_most_us;
}

/* Shows both from where they part. */
static void differ(struct record *record, const struct item *item, const char *again)
{
    char said[256];
    size_t at = 0;

    while (again[at] && item->said[at] == again[at])
        at++;
    at = at > 30 ? at - 30 : 0;
    snprintf(said, sizeof said, "%s: ...%.80s, then ...%.80s", item->id, item->said + at, again + at);
    violated(record, "two different decisions for one id", said);
}

static void take_decision(struct request *r, struct slice body)
{
    struct load *l = r->load;
    struct item *item = r->item;
    char *said = NULL;
    struct answer a = answer_read(body, &said);
    bool is_first = r->attempts == 0 && !r->is_echo && !item->is_twin && !item->rival;

    l->degraded += a.is_degraded;
    if (item->has_answer &&
        (strcmp(said, item->said) != 0 || (item->answer.entry && item->answer.entry != a.entry)))
        differ(l->record, item, said);
    mem_free(item->said);
    item->said = said;
    item->answer = a;
    item->has_answer = true;
    *(r->is_rival ? &item->rival_accepted : &item->body_accepted) = true;
    if (item->body_accepted && item->rival_accepted)
        violated(l->record, "two bodies accepted under one id", item->id);
    if (l->on_decision)
        l->on_decision(l->ctx, r->sent_us, r->target, &a, is_first);
    if (is_first && !l->stops_us && chance_below(&l->chance, ECHO_EVERY) == 0) {
        l->echoes++;
        send_new(l, item, false, chance_below(&l->chance, LOAD_TARGETS),
                 chance_between(&l->chance, SECOND_US, 8 * SECOND_US));
    }
    finish(r);
}

static void on_answer(void *arg, enum err err, const struct http_client_answer *answer, const struct why *why)
{
    struct request *r = arg;
    struct load *l = r->load;
    int status = err ? 0 : answer->status;

    (void)why;
    if (status == 200 && r->item->kind == ITEM_TRANSACTION) {
        take_decision(r, answer->body);
    } else if (status == 409 && r->item->rival) {
        l->conflicts++;
        finish(r);
    } else if ((status == 200 || status == 202) && r->item->kind == ITEM_LABEL) {
        r->item->has_answer = true;
        finish(r);
    } else if (err || status == 503 || status == 504 || status == 429) {
        retry(r);
    } else {
        char said[400];

        snprintf(said, sizeof said, "%s: status %d %.*s", r->item->id, status,
                 (int)(answer->body.len < 300 ? answer->body.len : 300), answer->body.ptr);
        violated(l->record, "an answer that nothing explains", said);
        finish(r);
    }
}

static void transmit(void *ctx)
{
    struct request *r = ctx;
    struct load *l = r->load;
    const char *body = r->is_rival ? r->item->rival : r->item->body;
    struct http_header fields[] = {
        { SLICE("authorization"), slice_str(l->authorization) },
        { SLICE("content-type"), SLICE("application/json") },
        { SLICE("assay-deadline-ms"), SLICE("1000") },
    };
    struct http_client_request request = {
        .method = "POST",
        .path = r->item->kind == ITEM_LABEL ? SLICE("/v1/labels") : SLICE("/v1/transactions"),
        .fields = fields,
        .field_count = ARRAY_LEN(fields),
        .body = slice_str(body),
    };

    r->sent_us = clock_mono_us();
    request.deadline_mono_us = r->sent_us + deadline_us;
    http_client_send(l->targets[r->target], &request, on_answer, r);
}

static void on_tick(void *ctx)
{
    struct load *l = ctx;
    double due = (double)(clock_mono_us() - l->began_us) * l->rate / SECOND_US;

    for (; l->sent < due && !l->stops_us; l->sent++) {
        struct item *item = record_next(l->record);
        size_t first = chance_below(&l->chance, LOAD_TARGETS);

        if (!item) {
            l->is_exhausted = true;
            load_stop(l);
            return;
        }
        send_new(l, item, false, first, 0);
        if (item->rival || item->is_twin)
            send_new(l, item, item->rival != NULL, 1 - first, 0);
    }
    if (!l->stops_us)
        loop_timer_set(&l->tick, tick_us);
}

void load_open(struct load *l, struct loop *loop, struct record *record, const int ports[LOAD_TARGETS],
               const char *key, double rate, uint64_t seed)
{
    struct why why = { 0 };

    *l = (struct load){ .loop = loop, .record = record, .rate = rate, .chance = { seed } };
    snprintf(l->authorization, sizeof l->authorization, "Bearer %s", key);
    for (size_t i = 0; i < LOAD_TARGETS; i++) {
        char address[32];
        struct http_client_conf conf = { .address = address };

        snprintf(address, sizeof address, "127.0.0.1:%d", ports[i]);
        if (http_client_open(&l->targets[i], loop, &conf, &why))
            die("client", why.text);
    }
    loop_timer_init(&l->tick, loop, on_tick, l);
}

void load_close(struct load *l)
{
    loop_timer_release(&l->tick);
    for (size_t i = 0; i < LOAD_TARGETS; i++)
        http_client_close(l->targets[i]);
}

void load_start(struct load *l)
{
    l->began_us = clock_mono_us();
    loop_timer_set(&l->tick, 0);
}

void load_stop(struct load *l)
{
    if (!l->stops_us)
        l->stops_us = clock_mono_us();
    loop_timer_stop(&l->tick);
}
