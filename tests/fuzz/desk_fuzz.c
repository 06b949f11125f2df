/* SPDX-License-Identifier: Apache-2.0
 * desk_fuzz.c - what people and their pages ask of dashboard, rules, retrainer and monitor, up to PostgreSQL, which is
 * away: every request is refused in words, or would have been asked of it. The first byte chooses the service, the second
 * the route; then the id, the name and the members of the query, a line each, and behind an empty line the body.
 *
 * This file takes the place of the desk, of the session and of what opens the services. */
#include <stdlib.h>
#include <string.h>

#include "../../services/dashboard/dashboard.h"
#include "../../services/monitor/monitor.h"
#include "../../services/rules/backtests.h"
#include "../../services/retrainer/rest.h"
#include "../../services/retrainer/retrainer.h"
#include "../../services/rules/rules.h"
#include "desk/desk.h"
#include "drift/verdict.h"
#include "pg/session.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Their headers name members of queries alike. */
extern const struct http_route dashboard_routes[], rules_routes[], monitor_routes[];
extern const size_t dashboard_route_count, rules_route_count, monitor_route_count;

static struct call *call;

static void run(enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    struct why why = { 0 };

    if (answer(call, NULL, &why) && !why.text[0])
        abort(); /* a refusal has words */
}

/* ---- the desk ---- */

enum err desk_open(struct desk **out, const struct desk_conf *conf, struct why *why)
{
    (void)conf;
    *out = NULL;
    return err_set(why, ERR_UNAVAILABLE, "there is none");
}
void desk_close(struct desk *d)
{
    (void)d;
}
void desk_ask(struct desk *d, struct http_request *req,
              enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    (void)d;
    (void)req;
    run(answer);
}
void desk_ask_for(struct desk *d, struct http_request *req, const char *scope,
                  enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    (void)scope;
    desk_ask(d, req, answer);
}
void desk_ask_with(struct desk *d, struct http_request *req, const char *scope, const char *body_type,
                   enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    (void)scope;
    (void)body_type;
    desk_ask(d, req, answer);
}

struct desk *desk_least_busy(struct desk *const *desks, size_t count)
{
    (void)desks;
    (void)count;
    return NULL;
}

/* ---- PostgreSQL ---- */

static enum err away(struct why *why)
{
    return err_set(why, ERR_UNAVAILABLE, "PostgreSQL is away");
}
enum err pg_session_open(struct pg_session **out, const char *conninfo, const char *application,
                         struct why *why)
{
    (void)conninfo;
    (void)application;
    *out = NULL;
    return away(why);
}
void pg_session_close(struct pg_session *s)
{
    (void)s;
}
enum err pg_session_role(struct pg_session *s, const char *role, struct why *why)
{
    (void)s;
    (void)role;
    return away(why);
}
enum err pg_session_verifier(struct pg_session *s, const char *user, const char *password, char **out,
                             struct why *why)
{
    (void)s;
    (void)user;
    (void)password;
    *out = NULL;
    return away(why);
}
enum err pg_exec(struct pg_session *s, const char *sql, const struct pg_params *params,
                 struct pg_result **out, struct why *why)
{
    (void)s;
    (void)sql;
    (void)params;
    if (out)
        *out = NULL;
    return away(why);
}
enum err pg_exec_script(struct pg_session *s, const char *sql, struct why *why)
{
    (void)s;
    (void)sql;
    return away(why);
}
enum err pg_commit_or_abort(struct pg_session *s, enum err err, struct why *why)
{
    (void)s;
    return err ? err : away(why);
}
void pg_result_free(struct pg_result *r)
{
    (void)r;
}
const char *pg_sqlstate(const struct pg_session *s)
{
    (void)s;
    return "";
}
enum err pg_copy_out(struct pg_session *s, const char *query, pg_row_fn *on_row, void *ctx, struct why *why)
{
    (void)s;
    (void)query;
    (void)on_row;
    (void)ctx;
    return away(why);
}
enum err pg_copy_begin(struct pg_session *s, const char *target, struct why *why)
{
    (void)s;
    (void)target;
    return away(why);
}
enum err pg_copy_row(struct pg_session *s, const struct pg_params *row, struct why *why)
{
    (void)s;
    (void)row;
    return away(why);
}
enum err pg_copy_end(struct pg_session *s, size_t *rows, struct why *why)
{
    (void)s;
    *rows = 0;
    return away(why);
}

/* ---- the services ---- */

static const struct dashboard_settings dashboard_settings = { .base_currency = "EUR",
                                                              .case_actions = "review",
                                                              .case_score = "2" };
const struct dashboard_settings *dashboard_conf(const struct dashboard *d)
{
    (void)d;
    return &dashboard_settings;
}
const struct pages *dashboard_pages(const struct dashboard *d)
{
    (void)d;
    return NULL;
}
struct gateway *dashboard_gateway(const struct dashboard *d)
{
    (void)d;
    return NULL;
}
struct live *dashboard_live(const struct dashboard *d)
{
    (void)d;
    return NULL;
}
struct similar *dashboard_similar(const struct dashboard *d)
{
    (void)d;
    return NULL;
}
struct shelf *dashboard_shelf(const struct dashboard *d)
{
    (void)d;
    return NULL;
}
void dashboard_ask(struct dashboard *d, struct http_request *req, const char *roles,
                   enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    (void)d;
    desk_ask_for(NULL, req, roles, answer);
}
void dashboard_ask_reading(struct dashboard *d, struct http_request *req, const char *roles,
                           enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    dashboard_ask(d, req, roles, answer);
}
void dashboard_ask_hashing(struct dashboard *d, struct http_request *req, const char *roles,
                           enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    dashboard_ask(d, req, roles, answer);
}
void dashboard_ask_past(struct call *c,
                        enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    dashboard_ask(c->ctx, c->req, c->scope, answer);
}
void dashboard_ask_sums(struct call *c,
                        enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    dashboard_ask(c->ctx, c->req, c->scope, answer);
}
void dashboard_ask_with(struct dashboard *d, struct http_request *req, const char *roles,
                        const char *body_type,
                        enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    (void)body_type;
    dashboard_ask(d, req, roles, answer);
}
/* By their places, as in dashboard.c. */
const char *const dashboard_queries[] = { "actor", "action",   "subject", "state",   "assignee", "sort",
                                          "rule",  "merchant", "country", "entity",  "amount",   "score",
                                          "age",   "account",  "cursor",  "minutes", NULL };

struct desk *rules_desk(struct rules *rules)
{
    (void)rules;
    return NULL;
}
struct desk *rules_trial_desk(struct rules *rules)
{
    (void)rules;
    return NULL;
}
struct backtests *rules_backtests(struct rules *rules)
{
    (void)rules;
    return NULL;
}

enum err backtests_open(struct backtests **out, const struct backtests_conf *conf, struct why *why)
{
    (void)conf;
    *out = NULL;
    return away(why);
}
void backtests_close(struct backtests *b)
{
    (void)b;
}
void backtests_wake(struct backtests *b)
{
    (void)b;
}
enum err backtests_try(struct backtests *b, struct pg_session *s, const struct trial_question *q,
                       struct buf *out, struct why *why)
{
    (void)b;
    (void)s;
    (void)q;
    (void)out;
    return away(why);
}

const struct drift_settings *monitor_judging(const struct monitor *m)
{
    (void)m;
    return &drift_settings_default;
}
struct alerts *monitor_alerts(const struct monitor *m)
{
    (void)m;
    return NULL;
}
const struct alerts_rules *alerts_rules(const struct alerts *a)
{
    static const struct alerts_rules rules = { .source = "/assay/monitor" };

    (void)a;
    return &rules;
}

enum err retrainer_now(const struct retrainer_settings *conf, struct pg_session *s, int64_t *now_us,
                       struct why *why)
{
    (void)conf;
    (void)s;
    (void)why;
    *now_us = INT64_C(1700000000000000);
    return ERR_OK;
}

/* ---- a request ---- */

#define HEX_32 "0123456789abcdef0123456789abcdef"

static struct slice next_line(struct slice *rest)
{
    const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    struct slice line = slice_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);

    *rest = slice_of(rest->ptr + line.len + (end != NULL), rest->len - line.len - (end != NULL));
    return line;
}

static void fill(struct call *c, struct slice rest)
{
    struct slice line;

    buf_init(&c->out, 0);
    c->status = 200;
    c->limit = 50;
    c->now_us = INT64_C(1700000000000000);
    c->roles = SLICE("lead");
    c->cookie = SLICE("assay_session=" HEX_32 HEX_32);
    strcpy(c->actor, "ann");
    strcpy(c->address, "127.0.0.1");
    c->id = arena_slice(&c->arena, next_line(&rest));
    c->name = arena_slice(&c->arena, next_line(&rest));
    for (size_t i = 0; i < DESK_QUERY_MAX && (line = next_line(&rest)).len; i++)
        if (!slice_eq_str(line, "-"))
            c->query[i] = arena_slice(&c->arena, line);
    c->body = arena_slice(&c->arena, rest);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct retrainer_settings settings = { .clock = "live", .model_keys = "", .stages = "{}" };
    static const struct office office = { &settings };
    const struct {
        const struct http_route *routes;
        size_t count;
    } services[] = { { dashboard_routes, dashboard_route_count },
                     { rules_routes, rules_route_count },
                     { monitor_routes, monitor_route_count },
                     { rest_routes, rest_route_count } };
    struct http_request req = { 0 };
    const struct http_route *route;
    struct call c = { 0 };
    size_t which;

    if (size < 2)
        return 0;
    which = data[0] % (sizeof services / sizeof *services);
    route = &services[which].routes[data[1] % services[which].count];
    if (which == 0 && strncmp(route->path, "/v1/", 4) != 0)
        return 0; /* a page: pages_test.c */
    if (which == 3)
        c.ctx = (void *)(uintptr_t)&office;
    req.method = slice_str(route->method);
    req.route = route;
    c.req = &req;
    fill(&c, slice_of((const char *)data + 2, size - 2));
    call = &c;
    route->handle(NULL, &req);
    buf_release(&c.out);
    arena_release(&c.arena);
    return 0;
}
