/* SPDX-License-Identifier: Apache-2.0
 * transactions.c - POST /v1/transactions and :batch, GET /v1/transactions/{id}. */
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "exchange.h"
#include "fraud/canonical.h"
#include "fraud/pan.h"
#include "log/log.h"
#include "pipeline.h"

enum { BATCH_MAX = 1000, BATCH_BYTES = 4 << 20, ONE_BYTES = 64 << 10 };

static const char batch_list[] = "transactions";

/* A job's place in the pipeline, in the job's memory: it is taken until the job has ended, also when nobody
 * waits for it any more. */
struct ticket {
    struct pass pass;
    struct item *item; /* NULL: nobody does */
};

/* What a request of one or many waits for. */
struct waiting {
    struct exchange *x;
    struct loop_timer deadline;
    bool is_batch;
    size_t count, open; /* items; without an answer yet */
    struct item {
        struct waiting *w;
        struct job *job; /* on its way, or done and not released */
        struct ticket *ticket;
        bool is_done;
        enum err err; /* of an item that never became a job */
        struct why why;
        struct faults faults;
        struct slice id;
    } * items;
};

static void item_problem(const struct item *item, struct problem *p)
{
    if (item->faults.count) {
        *p = (struct problem){ .status = 422,
                               .detail = SLICE("the request breaks the rules named in errors"),
                               .faults = &item->faults };
    } else if (item->job && item->is_done) {
        problem_of(p, item->job->err, &item->job->why);
    } else {
        problem_of(p, item->err, &item->why);
    }
}

static bool item_is_decided(const struct item *item)
{
    return item->job && item->is_done && item->job->err == ERR_OK;
}

static void release(struct waiting *w)
{
    loop_timer_release(&w->deadline);
    for (size_t i = 0; i < w->count; i++)
        job_release(w->items[i].job);
}

static void write_item(struct json_out *o, const struct waiting *w, const struct item *item)
{
    struct problem p;

    json_out_open(o, NULL);
    if (item_is_decided(item)) {
        json_out_int(o, "status", 200);
        decision_write(o, "decision", item->job->txn.id, &item->job->decision, w->x->explains);
    } else {
        item_problem(item, &p);
        w->x->is_passing |= status_is_passing(p.status);
        json_out_int(o, "status", p.status);
        if (item->id.len)
            json_out_text(o, "transaction_id", item->id);
        problem_write(o, "problem", &p);
    }
    json_out_end(o);
}

static void answer(struct waiting *w)
{
    struct exchange *x = w->x;
    struct json_out o;
    struct problem p;
    struct buf out;
    int status = 200;

    buf_init(&out, 0);
    o = json_out_to(&out);
    if (w->is_batch) {
        json_out_open(&o, NULL);
        json_out_list(&o, "results");
        for (size_t i = 0; i < w->count; i++)
            write_item(&o, w, &w->items[i]);
        json_out_end(&o);
        json_out_end(&o);
    } else if (item_is_decided(&w->items[0])) {
        decision_write(&o, NULL, w->items[0].job->txn.id, &w->items[0].job->decision, x->explains);
    } else {
        item_problem(&w->items[0], &p);
        problem_write(&o, NULL, &p);
        status = p.status;
    }
    release(w);
    exchange_reply(x, status, buf_slice(&out));
    buf_release(&out);
}

static void on_deadline(void *ctx)
{
    struct waiting *w = ctx;

    for (size_t i = 0; i < w->count; i++) {
        struct item *item = &w->items[i];

        if (item->job && !item->is_done) {
            item->err =
                item->job->waits
                    ? err_set(&item->why, ERR_UNAVAILABLE,
                              "overloaded: it could not be begun within its deadline; nothing was stored")
                    : err_set(
                          &item->why, ERR_TIMEOUT,
                          "the deadline passed; it may still be decided: send the same transaction again");
            item->ticket->item = NULL; /* it goes on, and releases itself */
            item->job = NULL;
        }
    }
    answer(w);
}

static void on_done(void *ctx, struct job *job)
{
    struct ticket *ticket = ctx;
    struct item *item;
    struct waiting *w;

    /* What nobody worked on says nothing about how fast work is done. */
    if (job->err == ERR_UNAVAILABLE || job->err == ERR_TIMEOUT)
        pass_leave(&ticket->pass);
    else
        pass_done(&ticket->pass);
    /* Whoever asked has turned to something else by then: a late decision is told to the retry. */
    if (ticket->item && clock_mono_us() >= job->deadline_mono_us)
        on_deadline(ticket->item->w);
    item = ticket->item;
    if (!item) {
        job_release(job);
        return;
    }
    w = item->w;
    item->is_done = true;
    if (!job->err && !job->is_replayed) {
        count(w->x->in, M_ACTIONS, action_name(job->decision.action));
        metric_observe_us(w->x->in->metrics, M_DECIDE, 0, clock_mono_us() - job->arrived_mono_us);
    }
    if (--w->open == 0)
        answer(w);
}

static void read_item(struct waiting *w, struct item *item, const struct json_value *value,
                      const struct json_path *at)
{
    struct exchange *x = w->x;
    struct ingestion *in = x->in;
    struct pass pass = pass_split(&x->pass);
    struct job *job;

    *item = (struct item){ .w = w };
    job = job_new(in->pipeline);
    job->arrived_mono_us = x->req->arrived_mono_us;
    job->deadline_mono_us = x->deadline_mono_us;
    job->trace = x->trace;
    job->key = caller_number(&x->key);
    item->faults.arena = &job->arena;
    item->faults.most = faults_most(w->count);
    if (!txn_from_json(&job->txn, value, &x->rules, at, &item->faults)) {
        /* What the answer needs stays in the request's arena, so that the job can go. */
        struct faults kept = { .arena = &x->req->arena };

        kept.items = arena_new(&x->req->arena, struct fault, item->faults.count);
        for (size_t i = 0; i < item->faults.count; i++) {
            kept.items[i].detail = arena_slice(kept.arena, item->faults.items[i].detail);
            kept.items[i].pointer = arena_slice(kept.arena, item->faults.items[i].pointer);
        }
        kept.count = item->faults.count;
        kept.untold = item->faults.untold;
        item->faults = kept;
        item->id = arena_slice(&x->req->arena, job->txn.id);
        job_release(job);
        pass_leave(&pass);
        return;
    }
    txn_hash(&job->txn, x->rules.is_simulated, &in->scratch, job->hash);
    item->id = arena_slice(&x->req->arena, job->txn.id);
    item->job = job;
    item->ticket = arena_new(&job->arena, struct ticket, 1);
    *item->ticket = (struct ticket){ pass, item };
}

static void post(struct exchange *x, bool is_batch)
{
    struct waiting *w = arena_new(&x->req->arena, struct waiting, 1);
    const struct json_value *list = is_batch ? json_member(x->body, batch_list) : NULL;
    const struct json_value *value = is_batch ? list->children.first : x->body;
    int64_t left_us = x->deadline_mono_us - clock_mono_us();

    w->x = x;
    w->is_batch = is_batch;
    w->count = is_batch ? list->children.count : 1;
    w->items = arena_new(&x->req->arena, struct item, w->count);
    loop_timer_init(&w->deadline, x->in->loop, on_deadline, w);
    for (size_t i = 0; i < w->count; i++, value = value->next) {
        struct json_path root = { .key = batch_list }, at = { .up = &root, .index = i };

        read_item(w, &w->items[i], value, is_batch ? &at : NULL);
        w->open += w->items[i].job != NULL;
    }
    exchange_drop_body(x); /* jobs and faults have copies */
    if (w->open == 0) {
        answer(w);
        return;
    }
    loop_timer_set(&w->deadline, left_us > 0 ? left_us : 0);
    for (size_t i = 0; i < w->count; i++) {
        if (w->items[i].job)
            job_submit(w->items[i].job, on_done, w->items[i].ticket);
    }
}

static void post_one(struct exchange *x)
{
    post(x, false);
}

static void post_batch(struct exchange *x)
{
    post(x, true);
}

static void on_found(void *ctx, struct job *job)
{
    struct exchange *x = ctx;
    struct json_out o;
    struct buf out;

    if (job->err) {
        exchange_err(x, job->err, &job->why);
    } else {
        buf_init(&out, 0);
        o = json_out_to(&out);
        decision_write(&o, NULL, job->txn.id, &job->decision, x->explains);
        exchange_reply(x, 200, buf_slice(&out));
        buf_release(&out);
    }
    job_release(job);
}

static void get_one(struct exchange *x)
{
    struct slice id = http_param(x->req, "id");
    struct why why;
    struct job *job;

    if (id.len > TXN_ID_MAX || !slice_is_utf8(id) || memchr(id.ptr, '\0', id.len)) {
        exchange_problem(x, 404, NULL, "there is no such transaction");
        return;
    }
    if (!pg_pool_is_up(x->in->pg)) {
        exchange_err(x, err_set(&why, ERR_UNAVAILABLE, "the database is missing"), &why);
        return;
    }
    job = job_new(x->in->pipeline);
    job->txn.account = x->key.account;
    job->txn.id = arena_slice(&job->arena, id);
    job_look_up(job, on_found, x);
}

static const struct exchange_route one = { .name = "POST /v1/transactions",
                                           .work = WORK_DECIDE,
                                           .scopes = SCOPE_DECIDE,
                                           .need = "decide",
                                           .is_post = true,
                                           .is_timed = true,
                                           .run = post_one };
static const struct exchange_route batch = { .name = "POST /v1/transactions:batch",
                                             .work = WORK_DECIDE,
                                             .scopes = SCOPE_DECIDE,
                                             .need = "decide",
                                             .is_post = true,
                                             .is_timed = true,
                                             .list = batch_list,
                                             .list_max = BATCH_MAX,
                                             .run = post_batch };
static const struct exchange_route get = { .name = "GET /v1/transactions",
                                           .work = WORK_READ,
                                           .scopes = SCOPE_READ | SCOPE_EXPLAIN,
                                           .need = "read",
                                           .run = get_one };

static void on_post(void *service, struct http_request *req)
{
    exchange_begin(service, req, &one);
}

static void on_post_batch(void *service, struct http_request *req)
{
    exchange_begin(service, req, &batch);
}

static void on_get(void *service, struct http_request *req)
{
    exchange_begin(service, req, &get);
}

const struct http_route transaction_routes[] = {
    { "POST", "/v1/transactions", on_post, ONE_BYTES },
    { "POST", "/v1/transactions:batch", on_post_batch, BATCH_BYTES },
    { "GET", "/v1/transactions/{id}", on_get, 0 },
};
const size_t transaction_route_count = ARRAY_LEN(transaction_routes);
