/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include "base/array.h"
#include "base/clock.h"
#include "idempotency.h"
#include "log/log.h"

#define QUOTA_EXCEEDED "https://iana.org/assignments/http-problem-types#quota-exceeded"

/* ---- answering ---- */

void exchange_drop_body(struct exchange *x)
{
    arena_release(&x->body_arena);
    x->body = NULL;
}

/* The attributes are those of OpenTelemetry's conventions for HTTP servers. */
static void record(const struct exchange *x, int status)
{
    const char *route = strchr(x->route->name, ' ') + 1;
    struct slice method = slice_of(x->route->name, (size_t)(route - 1 - x->route->name));
    const struct span_attribute attributes[] = {
        { "http.request.method", method.len == 4 ? "POST" : "GET", 0 },
        { "http.route", route, 0 },
        { "http.response.status_code", NULL, status },
    };
    int64_t now_us = clock_wall_us();

    spans_add(x->in->spans, &(struct span){ .at = &x->trace,
                                            .name = x->route->name,
                                            .kind = SPAN_SERVER,
                                            .start_us = now_us - (clock_mono_us() - x->req->arrived_mono_us),
                                            .end_us = now_us,
                                            .attributes = attributes,
                                            .attribute_count = ARRAY_LEN(attributes),
                                            .trouble = status >= 500 ? "it was not answered" : NULL });
}

void exchange_send(struct exchange *x, int status, struct slice body, bool is_replayed)
{
    struct http_header headers[6];
    struct http_request *req = x->req;
    const struct bucket *b = &x->key.bucket;
    size_t count = 0;

    if (x->was_limited) {
        headers[count++] = (struct http_header){
            SLICE("ratelimit-policy"),
            arena_printf(&req->arena, "\"default\";q=%lld;w=%lld", (long long)b->burst,
                         (long long)((b->burst + b->rate_per_s - 1) / b->rate_per_s)),
        };
        headers[count++] = (struct http_header){
            SLICE("ratelimit"),
            arena_printf(&req->arena, "\"default\";r=%lld;t=%lld", (long long)bucket_left(b),
                         (long long)bucket_full_in_s(b)),
        };
    }
    if (status == 429 || status == 503)
        headers[count++] = (struct http_header){
            SLICE("retry-after"),
            arena_printf(&req->arena, "%lld",
                         (long long)(status == 429 ? bucket_next_in_s(b, x->tokens) : 1)),
        };
    if (status == 401)
        headers[count++] = (struct http_header){ SLICE("www-authenticate"), SLICE("Bearer") };
    if (is_replayed)
        headers[count++] = (struct http_header){ SLICE("idempotency-replayed"), SLICE("true") };
    if (x->in->spans && trace_is_sampled(&x->trace))
        record(x, status);
    exchange_drop_body(x);
    pass_done(&x->pass);
    http_reply(req, &(struct http_reply){ .status = status,
                                          .type = status < 400 ? "application/json" : PROBLEM_MEDIA_TYPE,
                                          .body = body,
                                          .headers = headers,
                                          .header_count = count });
}

bool status_is_passing(int status)
{
    return status >= 500 || status == 429;
}

void exchange_reply(struct exchange *x, int status, struct slice body)
{
    if (status >= 500) /* an outage makes many: only our own faults are worth a line */
        log_limited(status == 500 ? LOG_ERROR : LOG_DEBUG, "request_failed",
                    "route=%s status=%d account=%u trace=%.*s", log_quoted(slice_str(x->route->name)), status,
                    x->key.account, SLICE_ARG(trace_id(&x->trace)));
    if (x->is_idempotent)
        idempotency_end(x, status, body);
    else
        exchange_send(x, status, body, false);
}

static void reply_problem(struct exchange *x, const struct problem *p)
{
    struct buf out;
    struct json_out o;

    buf_init(&out, 0);
    o = json_out_to(&out);
    problem_write(&o, NULL, p);
    exchange_reply(x, p->status, buf_slice(&out));
    buf_release(&out);
}

void exchange_problem(struct exchange *x, int status, const char *type, const char *detail)
{
    struct problem p = { .status = status, .type = type, .detail = slice_str(detail) };

    reply_problem(x, &p);
}

void exchange_faults(struct exchange *x, const struct faults *faults)
{
    struct problem p = { .status = 422,
                         .detail = SLICE("the request breaks the rules named in errors"),
                         .faults = faults };

    reply_problem(x, &p);
}

void problem_of(struct problem *p, enum err err, const struct why *why)
{
    *p = (struct problem){ .status = err_http_status(err), .detail = slice_str(why->text) };
}

void exchange_err(struct exchange *x, enum err err, const struct why *why)
{
    struct problem p;

    problem_of(&p, err, why);
    reply_problem(x, &p);
}

void exchange_refuse(struct exchange *x, int status, const char *type, const char *detail)
{
    char code[8];

    snprintf(code, sizeof code, "%d", status);
    count(x->in, M_REFUSED, code);
    x->is_idempotent = false;
    exchange_problem(x, status, type, detail);
}

/* ---- before the handler ---- */

static bool read_deadline(struct exchange *x, const struct caller *key)
{
    struct slice field = x->route->is_timed ? http_header(x->req, "assay-deadline-ms") : (struct slice){ 0 };
    int64_t ms = x->in->conf.deadline_ms;

    if (field.ptr && (!slice_to_i64(field, &ms) || ms <= 0)) {
        exchange_refuse(x, 400, NULL, "Assay-Deadline-Ms must be a positive number of milliseconds");
        return false;
    }
    if (ms < key->deadline_floor_ms)
        ms = key->deadline_floor_ms;
    if (ms > key->deadline_cap_ms)
        ms = key->deadline_cap_ms;
    x->deadline_mono_us = x->req->arrived_mono_us + ms * MS_US;
    return true;
}

static bool is_json(struct slice type)
{
    static const char json[] = "application/json";

    return !type.ptr || (type.len >= sizeof json - 1 && strncasecmp(type.ptr, json, sizeof json - 1) == 0 &&
                         (type.len == sizeof json - 1 || strchr("; ", type.ptr[sizeof json - 1])));
}

/* A batch is an object with its list and nothing else. */
static bool check_batch(struct exchange *x, const struct json_value *list)
{
    struct faults faults = { .arena = &x->req->arena };
    struct json_path at = { .key = x->route->list };
    size_t items = list && list->kind == JSON_IN_ARRAY ? list->children.count : 0;

    if (x->body->kind != JSON_IN_OBJECT) {
        faults_add(&faults, NULL, "must be an object whose member \"%s\" is a list", x->route->list);
    } else {
        if (items == 0 || items > x->route->list_max)
            faults_add(&faults, &at, "must list 1 to %zu items", x->route->list_max);
        for (const struct json_value *each = x->body->children.first; each; each = each->next) {
            if (each != list)
                faults_add(&faults, &(struct json_path){ .key = arena_slice(faults.arena, each->key).ptr },
                           "there is no such field");
        }
    }
    if (faults.count == 0)
        return true;
    count(x->in, M_REFUSED, "422");
    exchange_faults(x, &faults);
    return false;
}

/* The body's values; for a batch also how many items it lists. */
static bool read_body(struct exchange *x, size_t *items)
{
    struct why why = { 0 };
    const struct json_value *list;

    *items = 1;
    if (!x->route->is_post)
        return true;
    if (!is_json(http_header(x->req, "content-type"))) {
        exchange_refuse(x, 415, NULL, "the body must be application/json");
        return false;
    }
    if (json_read(&x->body, x->req->body, JSON_DEPTH_MAX, &x->body_arena, &why)) {
        exchange_refuse(x, 400, NULL, why.text);
        return false;
    }
    if (!x->route->list)
        return true;
    list = json_member(x->body, x->route->list);
    *items = list && list->kind == JSON_IN_ARRAY ? list->children.count : 0;
    return check_batch(x, list);
}

static void begin_trace(struct exchange *x)
{
    trace_begin(&x->trace, http_header(x->req, "traceparent"), trace_throw(&x->in->dice), x->in->trace_share);
}

static int64_t time_left(const struct exchange *x)
{
    return x->route->is_timed ? x->deadline_mono_us - loop_mono_us(x->in->loop) : INT64_MAX;
}

/* What a batch lists is known only now. */
static bool has_room_for_all(struct exchange *x, size_t items)
{
    struct arena body = x->body_arena; /* a refused request is gone */

    if (items <= 1 || gate_ask(x->in->gate, x->route->work, &x->key, items, time_left(x), x->req))
        return true;
    arena_release(&body);
    return false;
}

static void take_key(struct exchange *x, const struct caller *key)
{
    x->key = *key;
    x->explains = key->scopes & SCOPE_EXPLAIN;
    x->rules = (struct txn_rules){
        .account = key->account,
        .is_simulated = key->is_simulated,
        .allows_numeric_ids = key->allows_numeric_ids,
        .base_currency = x->in->base_currency,
        .fx = &x->in->fx,
        .now_us = x->req->now_us,
    };
}

static void refuse_scope(struct exchange *x)
{
    char detail[128];

    snprintf(detail, sizeof detail, "this key does not have the scope that is needed: %s", x->route->need);
    exchange_refuse(x, 403, NULL, detail);
}

/* What the key's rate leaves; the limits stand in the answer either way. */
static bool is_within_rate(struct exchange *x, struct caller *key, size_t items)
{
    bool has_room;

    if (!key->bucket.rate_per_s)
        return true;
    has_room = bucket_take(&key->bucket, (int64_t)items, clock_mono_us());
    x->was_limited = true;
    x->tokens = (int64_t)items;
    x->key.bucket = key->bucket;
    if (!has_room)
        exchange_refuse(x, 429, QUOTA_EXCEEDED, "this key has used up its rate");
    return has_room;
}

/* The cheapest refusals come first: under a flood, most requests end at the gate. */
static void run(struct exchange *x, struct caller *key)
{
    struct slice idempotency;
    size_t items;

    take_key(x, key);
    if (!(key->scopes & x->route->scopes)) {
        refuse_scope(x);
        return;
    }
    if (!read_deadline(x, key) || !gate_ask(x->in->gate, x->route->work, key, 1, time_left(x), x->req))
        return;
    begin_trace(x);
    if (!read_body(x, &items) || !has_room_for_all(x, items) || !is_within_rate(x, key, items))
        return;
    x->pass = gate_enter(x->in->gate, x->route->work, &x->key, items);
    idempotency = http_header(x->req, "idempotency-key");
    if (idempotency.ptr && x->route->is_post)
        idempotency_begin(x, idempotency);
    else
        x->route->run(x);
}

static void authorise(void *ctx)
{
    struct exchange *x = ctx;
    struct caller *key;

    switch (
        keys_find(x->in->keys, http_header(x->req, "authorization"), x->req->now_us, x->has_waited, &key)) {
    case ERR_OK:
        run(x, key);
        break;
    case ERR_UNKNOWN:
        x->has_waited = true;
        keys_wait(x->in->keys, &x->waiter);
        break;
    case ERR_UNAVAILABLE:
        exchange_refuse(x, 503, NULL, "the keys cannot be read");
        break;
    default:
        exchange_refuse(x, 401, NULL, "a valid key is needed: \"Authorization: Bearer ak_...\"");
        break;
    }
}

void exchange_begin(struct ingestion *in, struct http_request *req, const struct exchange_route *route)
{
    struct exchange *x = arena_new(&req->arena, struct exchange, 1);

    x->in = in;
    x->req = req;
    x->route = route;
    x->waiter = (struct keys_waiter){ .run = authorise, .ctx = x };
    authorise(x);
}
