/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "api/problem.h"
#include "app/service.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "http/client.h"
#include "http/server.h"
#include "log/log.h"
#include "routes.h"
#include "trace/span.h"
#include "userstore/delegate.h"

enum {
    SMALL_BYTES = 2 << 20,
    LARGE_BYTES = (64 << 20) + (1 << 20), /* a list as CSV */
    ANSWER_BYTES = 8 << 20,
    SMALL_MOST = 32, /* at once, to each service */
    LARGE_MOST = 2,
    LARGE_PATIENCE = 5, /* times as long */
};
#define KEY_RENEWED_US (DELEGATE_HOURS / 2 * HOUR_US)
#define KEY_TRIED_US   (10 * SECOND_US) /* a second key in a row that is not believed lasts so long at least */

enum destination { RULES, RETRAINER, MONITOR, DESTINATION_COUNT };

/* ---- the table ---- */

struct row {
    struct http_route route;
    enum destination to;
    const char *roles;
    bool is_csv; /* its body or its answer: large */
};

static void on_pass(void *service, struct http_request *req);

#define READERS_OF_RULES  "rule_author publisher lead analyst admin auditor"
#define AUTHORS           "rule_author publisher"
#define KEEPERS_OF_LISTS  "lead rule_author publisher admin"
#define READERS_OF_MODELS "model_owner lead admin auditor"
#define SILENCERS         "lead model_owner admin"

#define PASS(method, path, to, roles)                                                                        \
    {                                                                                                        \
        { method, path, on_pass, SMALL_BYTES }, to, roles, false                                             \
    }
#define PASS_CSV(method, path, to, roles)                                                                    \
    {                                                                                                        \
        { method, path, on_pass, LARGE_BYTES }, to, roles, true                                              \
    }
/* Roles as in routes.c. */
static const struct row rows[] = {
    PASS("GET", "/v1/rulesets", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/rulesets", RULES, "rule_author"),
    PASS("POST", "/v1/rulesets:check", RULES, AUTHORS),
    PASS("POST", "/v1/rulesets:rollback", RULES, "publisher"),
    PASS("GET", "/v1/rulesets/{id}", RULES, READERS_OF_RULES),
    PASS("PUT", "/v1/rulesets/{id}", RULES, "rule_author"),
    PASS("DELETE", "/v1/rulesets/{id}", RULES, "rule_author"),
    PASS("GET", "/v1/rulesets/{id}:diff", RULES, READERS_OF_RULES),
    PASS("GET", "/v1/rulesets/{id}:serving", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/rulesets/{id}:prepare", RULES, AUTHORS),
    PASS("POST", "/v1/rulesets/{id}:shadow", RULES, AUTHORS),
    PASS("POST", "/v1/rulesets/{id}:publish", RULES, "publisher"),
    PASS("POST", "/v1/rulesets/{id}:retire", RULES, "publisher"),
    PASS("GET", "/v1/rulesets/{id}:history", RULES, READERS_OF_RULES),
    PASS("GET", "/v1/rulesets:names", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/rulesets:explain", RULES, READERS_OF_RULES),
    PASS("GET", "/v1/backtests", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/backtests", RULES, AUTHORS),
    PASS("POST", "/v1/backtests:try", RULES, READERS_OF_RULES),
    PASS("GET", "/v1/backtests/{id}", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/backtests/{id}:cancel", RULES, AUTHORS),
    PASS("GET", "/v1/lists", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/lists", RULES, KEEPERS_OF_LISTS),
    PASS("GET", "/v1/lists/{id}", RULES, READERS_OF_RULES),
    PASS("DELETE", "/v1/lists/{id}", RULES, "publisher admin"),
    PASS("GET", "/v1/lists/{id}/entries", RULES, READERS_OF_RULES),
    PASS("GET", "/v1/lists/{id}/changes", RULES, READERS_OF_RULES),
    PASS("POST", "/v1/lists/{id}/entries:preview", RULES, KEEPERS_OF_LISTS),
    PASS("POST", "/v1/lists/{id}/entries:add", RULES, KEEPERS_OF_LISTS),
    PASS("POST", "/v1/lists/{id}/entries:remove", RULES, KEEPERS_OF_LISTS),
    PASS_CSV("GET", "/v1/lists/{id}/csv", RULES, READERS_OF_RULES),
    PASS_CSV("POST", "/v1/lists/{id}/csv", RULES, KEEPERS_OF_LISTS),

    PASS("GET", "/v1/retraining-runs", RETRAINER, READERS_OF_MODELS),
    PASS("POST", "/v1/retraining-runs", RETRAINER, "model_owner"),
    PASS("GET", "/v1/retraining-runs/{id}", RETRAINER, READERS_OF_MODELS),
    PASS("POST", "/v1/retraining-runs/{id}:cancel", RETRAINER, "model_owner"),
    PASS("GET", "/v1/retraining-schedules", RETRAINER, READERS_OF_MODELS),
    PASS("PUT", "/v1/retraining-schedules/{id}", RETRAINER, "model_owner"),
    PASS("DELETE", "/v1/retraining-schedules/{id}", RETRAINER, "model_owner"),
    PASS("GET", "/v1/experiments", RETRAINER, READERS_OF_MODELS),
    PASS("GET", "/v1/experiments/{id}", RETRAINER, READERS_OF_MODELS),
    PASS("POST", "/v1/experiments/{id}:stop", RETRAINER, "model_owner"),
    PASS("GET", "/v1/models", RETRAINER, READERS_OF_MODELS),
    PASS("GET", "/v1/models/{name}/versions/{id}", RETRAINER, READERS_OF_MODELS),
    PASS("GET", "/v1/models/{id}:compare", RETRAINER, READERS_OF_MODELS),
    PASS("GET", "/v1/control-slice", RETRAINER, READERS_OF_MODELS),
    PASS("POST", "/v1/models/{id}:promote", RETRAINER, "model_owner"),
    PASS("POST", "/v1/models/{id}:rollback", RETRAINER, "model_owner"),

    PASS("GET", "/v1/drift", MONITOR, "any"),
    PASS("GET", "/v1/drift/{id}", MONITOR, "any"),
    PASS("GET", "/v1/quality", MONITOR, "any"),
    PASS("GET", "/v1/model-requests", MONITOR, "any"),
    PASS("GET", "/v1/data-health", MONITOR, "any"),
    PASS("GET", "/v1/conditions", MONITOR, "any"),
    PASS("GET", "/v1/alerts", MONITOR, "any"),
    PASS("GET", "/v1/alerts/{id}", MONITOR, "any"),
    PASS("GET", "/v1/silences", MONITOR, "any"),
    PASS("POST", "/v1/silences", MONITOR, SILENCERS),
    PASS("POST", "/v1/silences/{id}:expire", MONITOR, SILENCERS),
    PASS("GET", "/v1/webhooks", MONITOR, "admin auditor"),
    PASS("POST", "/v1/webhooks", MONITOR, "admin"),
    PASS("GET", "/v1/webhooks/{id}", MONITOR, "admin auditor"),
    PASS("DELETE", "/v1/webhooks/{id}", MONITOR, "admin"),
    PASS("POST", "/v1/webhooks/{id}:rotate", MONITOR, "admin"),
    PASS("POST", "/v1/webhooks/{id}:enable", MONITOR, "admin"),
    PASS("POST", "/v1/webhooks/{id}:disable", MONITOR, "admin"),
    PASS("POST", "/v1/webhooks/{id}:test", MONITOR, "admin"),
    PASS("GET", "/v1/deliveries/{id}", MONITOR, "admin auditor"),
};

/* A route is the first member of its row. */
static const struct row *row_of(const struct http_request *req)
{
    return (const struct row *)(const void *)req->route;
}

/* ---- the gateway ---- */

/* How a service is asked for what is small, or for what may be large. */
struct line {
    struct http_client *client;
    size_t under_way, most, answer_most;
};

struct gateway {
    struct dashboard *dashboard;
    struct spans *spans;
    struct trace_dice dice;
    int64_t patience_us;
    bool is_doubted; /* the loop's: nobody has believed a key since one was not believed */
    struct line small[DESTINATION_COUNT], large[DESTINATION_COUNT];
    /* Made on a desk's thread, used on the loop: under the lock. */
    pthread_mutex_t lock;
    char key[DELEGATE_KEY_SIZE];
    int64_t made_mono_us, renew_mono_us; /* 0: there is none */
};

static const char *const names[] = { [RULES] = "rules", [RETRAINER] = "retrainer", [MONITOR] = "monitor" };
static_assert(ARRAY_LEN(names) == DESTINATION_COUNT, "every service has a name");

/* One request on its way; of its request's arena. */
struct pass {
    struct gateway *gateway;
    struct http_request *req;
    struct line *line;
    struct http_call *call;
    struct trace above, span; /* the request's, and the call's */
    int64_t began_us;
};

static struct line *line_of(struct gateway *g, const struct row *row)
{
    return row->is_csv ? &g->large[row->to] : &g->small[row->to];
}

/* ---- answers ---- */

static void refuse(struct http_request *req, int status, struct slice detail)
{
    struct problem problem = { .status = status, .detail = detail };
    struct http_header headers[DESK_HEADERS_MAX + 1];
    size_t count = 0;
    struct buf text;
    struct json_out o;

    for (size_t i = 0; i < rest_header_count; i++)
        headers[count++] = rest_headers[i];
    if (status == 503)
        headers[count++] = (struct http_header){ SLICE("retry-after"), SLICE("1") };
    buf_init(&text, 0);
    o = json_out_to(&text);
    problem_write(&o, NULL, &problem);
    http_reply(req, &(struct http_reply){ .status = status,
                                          .type = PROBLEM_MEDIA_TYPE,
                                          .body = buf_slice(&text),
                                          .headers = headers,
                                          .header_count = count });
    buf_release(&text);
}

static int status_for(enum err err)
{
    return err == ERR_TIMEOUT ? 504 : err == ERR_UNKNOWN || err == ERR_TOO_LARGE ? 502 : 503;
}

/* What becomes of a request that was not answered. */
static void refuse_for(struct http_request *req, enum err err, const struct why *why)
{
    const char *name = names[row_of(req)->to];

    switch (err) {
    case ERR_TIMEOUT:
        refuse(req, status_for(err),
               arena_printf(&req->arena, "%s has not answered in time; it may still do it", name));
        break;
    case ERR_UNKNOWN:
        refuse(req, status_for(err),
               arena_printf(&req->arena, "%s went away before it answered, and may have done it: %s", name,
                            why->text));
        break;
    case ERR_TOO_LARGE:
        refuse(req, status_for(err),
               arena_printf(&req->arena, "the answer of %s is too large to pass on", name));
        break;
    default:
        refuse(req, status_for(err), arena_printf(&req->arena, "%s cannot be reached: %s", name, why->text));
    }
}

static void forward(struct http_request *req, const struct http_client_answer *answer)
{
    struct slice type = http_headers_find(answer->fields, answer->field_count, "content-type");
    struct slice wait = http_headers_find(answer->fields, answer->field_count, "retry-after");
    struct http_header headers[DESK_HEADERS_MAX + 1];
    size_t count = 0;

    for (size_t i = 0; i < rest_header_count; i++)
        headers[count++] = rest_headers[i];
    if (wait.ptr)
        headers[count++] = (struct http_header){ SLICE("retry-after"), wait };
    http_reply(req, &(struct http_reply){ .status = answer->status,
                                          .type = type.len ? arena_slice(&req->arena, type).ptr : NULL,
                                          .body = answer->body,
                                          .headers = headers,
                                          .header_count = count });
}

/* Of the request and of the call below it; `trouble` is what became of a call without an answer, else NULL. */
static void tell(struct pass *p, int status, const char *trouble)
{
    struct gateway *g = p->gateway;

    if (g->spans && trace_is_sampled(&p->span))
        spans_add(g->spans, &(struct span){ .at = &p->span,
                                            .name = names[row_of(p->req)->to],
                                            .kind = SPAN_CLIENT,
                                            .start_us = p->began_us,
                                            .end_us = clock_wall_us(),
                                            .trouble = trouble });
    desk_tell(g->spans, &p->above, p->req, status);
}

static void forget_key(struct gateway *g)
{
    pthread_mutex_lock(&g->lock);
    g->renew_mono_us = g->is_doubted ? g->made_mono_us + KEY_TRIED_US : 0;
    pthread_mutex_unlock(&g->lock);
    g->is_doubted = true;
}

static void on_answer(void *arg, enum err err, const struct http_client_answer *answer, const struct why *why)
{
    struct pass *p = arg;
    struct http_request *req = p->req;

    p->line->under_way--;
    req->on_gone = NULL;
    tell(p,
         err                     ? status_for(err)
         : answer->status == 401 ? 503
                                 : answer->status,
         err                     ? err_name(err)
         : answer->status >= 500 ? "it was not answered"
                                 : NULL);
    if (err) {
        refuse_for(req, err, why);
    } else if (answer->status == 401) {
        /* It is the dashboard that is not believed, not the person; a new key comes with the next request. */
        log_limited(LOG_WARN, "not_believed", "by=%s", names[row_of(req)->to]);
        forget_key(p->gateway);
        refuse(req, 503,
               arena_printf(&req->arena, "%s does not take the dashboard's word", names[row_of(req)->to]));
    } else {
        p->gateway->is_doubted = false;
        forward(req, answer);
    }
}

/* ---- requests ---- */

static void on_gone(struct http_request *req)
{
    struct pass *p = req->user;

    p->line->under_way--;
    http_call_cancel(p->call);
    tell(p, 499, "who asked has gone");
    http_reply(req, &(struct http_reply){ .status = 503 }); /* nobody sees it */
}

static struct slice bearer(struct gateway *g, struct arena *arena)
{
    struct slice text;

    pthread_mutex_lock(&g->lock);
    text = arena_printf(arena, "Bearer %s", g->key);
    pthread_mutex_unlock(&g->lock);
    return text;
}

static void send_on(struct pass *p, const char *actor)
{
    struct gateway *g = p->gateway;
    struct http_request *req = p->req;
    const struct row *row = row_of(req);
    struct slice type = http_header(req, "content-type");
    struct http_header fields[] = {
        { SLICE("authorization"), bearer(g, &req->arena) },
        { SLICE("x-assay-actor"), arena_printf(&req->arena, "user:%s", actor) },
        { SLICE("traceparent"), slice_str(p->span.parent) },
        { SLICE("content-type"), type },
    };
    const struct http_client_request request = {
        .method = row->route.method,
        .path = req->query.len
                    ? arena_printf(&req->arena, "%.*s?%.*s", SLICE_ARG(req->path), SLICE_ARG(req->query))
                    : req->path,
        .fields = fields,
        .field_count = ARRAY_LEN(fields) - !type.len,
        .body = req->body,
        .deadline_mono_us = clock_mono_us() + g->patience_us * (row->is_csv ? LARGE_PATIENCE : 1),
    };

    p->line->under_way++;
    p->began_us = clock_wall_us();
    req->user = p;
    req->on_gone = on_gone;
    p->call = http_client_send(p->line->client, &request, on_answer, p);
}

static void take_over(struct call *c)
{
    struct gateway *g = dashboard_gateway(c->ctx);
    struct http_request *req = c->req;
    struct line *line = line_of(g, row_of(req));
    struct pass *p;

    if (req->is_gone) {
        http_reply(req, &(struct http_reply){ .status = 503 });
        return;
    }
    if (line->under_way == line->most) {
        desk_tell(g->spans, &c->trace, req, 503);
        refuse(req, 503, SLICE("too many such requests are under way"));
        return;
    }
    p = arena_new(&req->arena, struct pass, 1);
    *p = (struct pass){ .gateway = g, .req = req, .line = line, .above = c->trace };
    trace_below(&p->span, &p->above, trace_throw(&g->dice));
    send_on(p, c->actor);
}

/* The loop waits for the lock, so the database is asked without it; two desks may make a key each. */
static enum err renew_key(struct gateway *g, struct pg_session *s, struct why *why)
{
    char key[DELEGATE_KEY_SIZE];
    enum err err = delegate_make(s, "dashboard", key, why);

    if (!err) {
        pthread_mutex_lock(&g->lock);
        memcpy(g->key, key, sizeof key);
        g->made_mono_us = clock_mono_us();
        g->renew_mono_us = g->made_mono_us + KEY_RENEWED_US;
        pthread_mutex_unlock(&g->lock);
    }
    sodium_memzero(key, sizeof key);
    return err;
}

/* On a desk's thread: what has been admitted needs a key to be passed on with. */
static enum err hand_over(struct call *c, struct pg_session *s, struct why *why)
{
    struct gateway *g = dashboard_gateway(c->ctx);
    bool is_due;

    c->take_over = take_over;
    pthread_mutex_lock(&g->lock);
    is_due = clock_mono_us() >= g->renew_mono_us;
    pthread_mutex_unlock(&g->lock);
    return is_due ? renew_key(g, s, why) : ERR_OK;
}

static void on_pass(void *service, struct http_request *req)
{
    struct gateway *g = service;
    const struct row *row = row_of(req);

    dashboard_ask_with(g->dashboard, req, row->roles, row->is_csv ? "text/csv" : "application/json",
                       hand_over);
}

/* ---- its life ---- */

/* Its certificate must name the service, wherever it stands. */
static enum err open_line(struct line *line, struct service *app, const char *name, const char *address,
                          size_t most, size_t answer_most, struct why *why)
{
    line->most = most;
    return http_client_open(
        &line->client, service_loop(app),
        &(struct http_client_conf){
            .address = address, .body_most = answer_most, .tls = service_client_tls(app), .tls_name = name },
        why);
}

enum err gateway_open(struct gateway **out, struct dashboard *d, struct service *app,
                      const struct dashboard_settings *conf, struct why *why)
{
    const char *const addresses[] = {
        [RULES] = conf->rules_addr, [RETRAINER] = conf->retrainer_addr, [MONITOR] = conf->monitor_addr
    };
    struct gateway *g = mem_new(struct gateway);
    enum err err = ERR_OK;

    *out = NULL;
    g->dashboard = d;
    g->spans = service_spans(app);
    g->patience_us = conf->ask_ms * MS_US;
    pthread_mutex_init(&g->lock, NULL);
    for (size_t i = 0; i < DESTINATION_COUNT && !err; i++) {
        err = open_line(&g->small[i], app, names[i], addresses[i], SMALL_MOST, ANSWER_BYTES, why);
        if (!err)
            err = open_line(&g->large[i], app, names[i], addresses[i], LARGE_MOST, LARGE_BYTES, why);
    }
    if (err) {
        gateway_close(g);
        return err;
    }
    *out = g;
    return ERR_OK;
}

void gateway_listen(struct gateway *g, struct service *app)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        http_server_add_routes(service_http(app), &rows[i].route, 1, g);
}

const struct http_route *gateway_route(size_t i, const char **roles)
{
    if (i >= ARRAY_LEN(rows))
        return NULL;
    *roles = rows[i].roles;
    return &rows[i].route;
}

void gateway_close(struct gateway *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < DESTINATION_COUNT; i++) {
        if (g->small[i].client)
            http_client_close(g->small[i].client);
        if (g->large[i].client)
            http_client_close(g->large[i].client);
    }
    pthread_mutex_destroy(&g->lock);
    sodium_memzero(g->key, sizeof g->key);
    mem_free(g);
}
