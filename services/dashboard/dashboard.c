/* SPDX-License-Identifier: Apache-2.0 */
#include "dashboard.h"

#include <stdio.h>
#include <string.h>

#include "app/service.h"
#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "desk/desk.h"
#include "follower.h"
#include "fraud/money.h"
#include "gateway.h"
#include "http/server.h"
#include "live.h"
#include "pages.h"
#include "pg/session.h"
#include "replaystore/shelf.h"
#include "routes.h"
#include "similar.h"
#include "visitor.h"

/* Who changes something or is only let through waits for nobody who reads, who reads for nobody who asks what takes long,
 * and nobody who is logged in for those who try to. */
enum {
    QUICK_DESKS = 2,
    READING_DESKS = 3,
    LOGIN_MOST = 24,    /* passwords waiting to be looked at: some two seconds */
    LONG_MOST = 24,     /* what takes long, waiting */
    LONG_OF_PERSON = 6, /* of these */
    LONG_PATIENCE = 30 /* times as long */,
    FOLLOWER_RESTS = 2 /* app/watch.h: times as long as a turn took, with its rests between pieces */,
    WORK_RESTS = 9 /* times as long as it worked, with those rests taken off */,
    WORK_REST_MOST_US = 2000000,
    MINUTE_MS = 60000,
    DAY_MS = 86400000
};

#define AT(field) offsetof(struct dashboard_settings, field)
const struct conf_field dashboard_fields[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "PostgreSQL", 0, 0 },
    { "DASHBOARD_PG_ROLE", CONF_TEXT, AT(pg_role), "assay_dashboard",
      "role taken on PostgreSQL; empty: the login's own", 0, 0 },
    { "DASHBOARD_PAGES", CONF_TEXT, AT(pages), "", "directory of the built pages; empty: none are served", 0,
      0 },
    { "DASHBOARD_TLS_PROXY", CONF_BOOL, AT(is_behind_tls), "no",
      "a proxy before it speaks TLS, and says in X-Forwarded-For who asks", 0, 0 },
    { "BASE_CURRENCY", CONF_TEXT, AT(base_currency), BASE_CURRENCY_DEFAULT,
      "the currency in which features add up", 0, 0 },
    { "DASHBOARD_IDLE", CONF_DURATION_MS, AT(idle_ms), "30m",
      "without a request for that long a session ends", 1000, DAY_MS },
    { "DASHBOARD_SESSION", CONF_DURATION_MS, AT(longest_ms), "12h", "the longest that a session lasts",
      MINUTE_MS, INT64_C(31) * DAY_MS },
    { "DASHBOARD_CASES", CONF_TEXT, AT(case_actions), "review",
      "decisions that become cases, by action: review,challenge", 0, 0 },
    { "DASHBOARD_CASE_SCORE", CONF_TEXT, AT(case_score), "2", "and by score, from this on; above 1: none", 0,
      0 },
    { "DASHBOARD_REVIEW_COST", CONF_INT, AT(review_cost), "300",
      "what a review costs, minor units of the base currency", 0, INT64_C(1000000000) },
    { "DASHBOARD_SLA", CONF_DURATION_MS, AT(sla_ms), "4h", "until a case is due", 1000,
      INT64_C(31) * DAY_MS },
    { "DASHBOARD_TURN", CONF_DURATION_MS, AT(turn_ms), "500ms", "how often new decisions are looked for", 10,
      60000 },
    { "DASHBOARD_UNDO", CONF_DURATION_MS, AT(undo_ms), "10s", "how long a decision on a case can be undone",
      0, 3600000 },
    { "DASHBOARD_LOCK", CONF_DURATION_MS, AT(lock_ms), "30m", "how long a case that was taken is its taker's",
      1000, DAY_MS },
    { "RULES_ADDR", CONF_TEXT, AT(rules_addr), "127.0.0.1:9003", "rules, several by commas", 0, 0 },
    { "RETRAINER_ADDR", CONF_TEXT, AT(retrainer_addr), "127.0.0.1:9005", "retrainer", 0, 0 },
    { "MONITOR_ADDR", CONF_TEXT, AT(monitor_addr), "127.0.0.1:9004", "monitor", 0, 0 },
    { "DASHBOARD_ASK", CONF_DURATION_MS, AT(ask_ms), "30s",
      "until one of these has answered; five times as long for a list as CSV", 100, 600000 },
    { "DASHBOARD_SIMILAR", CONF_INT, AT(similar), "200000",
      "past decisions held in memory to be compared with; 0: none", 0, 10000000 },
    { "DASHBOARD_STATEMENT", CONF_DURATION_MS, AT(statement_ms), "10s",
      "the longest that a statement of a request may take; thirty times as long for what may take long", 10,
      600000 },
    { "DASHBOARD_KEEP", CONF_DURATION_MS, AT(keep_ms), "400d",
      "how long payments are kept for the pages; 0: for ever", 0, INT64_C(36500) * DAY_MS },
    { "DASHBOARD_KEEP_MINUTES", CONF_DURATION_MS, AT(keep_minutes_ms), "35d",
      "how long what is counted by the minute is kept; 0: for ever", 0, INT64_C(36500) * DAY_MS },
};
const size_t dashboard_field_count = ARRAY_LEN(dashboard_fields);

const char *const dashboard_queries[] = {
    [QUERY_ACTOR] = "actor",     [QUERY_ACTION] = "action",     [QUERY_SUBJECT] = "subject",
    [QUERY_STATE] = "state",     [QUERY_ASSIGNEE] = "assignee", [QUERY_SORT] = "sort",
    [QUERY_RULE] = "rule",       [QUERY_MERCHANT] = "merchant", [QUERY_COUNTRY] = "country",
    [QUERY_ENTITY] = "entity",   [QUERY_AMOUNT] = "amount",     [QUERY_SCORE] = "score",
    [QUERY_AGE] = "age",         [QUERY_ACCOUNT] = "account",   [QUERY_CURSOR] = "cursor",
    [QUERY_MINUTES] = "minutes", [QUERY_COUNT] = NULL,
};
static_assert((int)QUERY_COUNT <= (int)DESK_QUERY_MAX, "the desk keeps all of them");

struct dashboard {
    const struct dashboard_settings *conf;
    struct pages *pages;
    struct gateway *gateway;
    struct live *live;
    struct desk *quick[QUICK_DESKS], *reading[READING_DESKS], *login, *hashing, *past, *sums;
    struct shelf *shelf; /* of `past` */
    struct watch *watch;
    struct follower_memory memory; /* of its thread */
    struct similar *similar;
    char limit_sql[64], long_limit_sql[64]; /* of the sessions that answer requests */
};

const struct dashboard_settings *dashboard_conf(const struct dashboard *d)
{
    return d->conf;
}

const struct pages *dashboard_pages(const struct dashboard *d)
{
    return d->pages;
}

struct gateway *dashboard_gateway(const struct dashboard *d)
{
    return d->gateway;
}

struct live *dashboard_live(const struct dashboard *d)
{
    return d->live;
}

struct similar *dashboard_similar(const struct dashboard *d)
{
    return d->similar;
}

void dashboard_ask(struct dashboard *d, struct http_request *req, const char *roles, dashboard_answer *answer)
{
    desk_ask_for(desk_least_busy(d->quick, QUICK_DESKS), req, roles, answer);
}

void dashboard_ask_reading(struct dashboard *d, struct http_request *req, const char *roles,
                           dashboard_answer *answer)
{
    desk_ask_for(desk_least_busy(d->reading, READING_DESKS), req, roles, answer);
}

void dashboard_ask_hashing(struct dashboard *d, struct http_request *req, const char *roles,
                           dashboard_answer *answer)
{
    desk_ask_for(strcmp(roles, "none") == 0 ? d->login : d->hashing, req, roles, answer);
}

static void ask_again(struct desk *desk, struct call *c, dashboard_answer *answer)
{
    if (c->req->is_gone)
        http_reply(c->req, &(struct http_reply){ .status = 503 });
    else
        desk_ask_as(desk, c->req, c->scope, c->actor, answer);
}

void dashboard_ask_past(struct call *c, dashboard_answer *answer)
{
    struct dashboard *d = c->ctx;

    ask_again(d->past, c, answer);
}

void dashboard_ask_sums(struct call *c, dashboard_answer *answer)
{
    struct dashboard *d = c->ctx;

    ask_again(d->sums, c, answer);
}

struct shelf *dashboard_shelf(const struct dashboard *d)
{
    return d->shelf;
}

void dashboard_ask_with(struct dashboard *d, struct http_request *req, const char *roles,
                        const char *body_type, dashboard_answer *answer)
{
    desk_ask_with(desk_least_busy(d->quick, QUICK_DESKS), req, roles, body_type, answer);
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct dashboard *d = ctx;
    bool is_behind = false;
    int64_t began_us = clock_mono_us(), least_us;
    enum err err = s ? follower_turn(d->conf, &d->memory, s, &is_behind, why) : ERR_UNAVAILABLE;

    (void)is_ending;
    least_us = WORK_RESTS * (clock_mono_us() - began_us - d->memory.rested_us) - d->memory.rested_us;
    if (least_us > WORK_REST_MOST_US)
        least_us = WORK_REST_MOST_US;
    *rest_us = is_behind ? 0 : d->conf->turn_ms * 1000;
    if (*rest_us < least_us)
        *rest_us = least_us;
    return err;
}

static bool is_follower_well(void *arg, struct why *detail)
{
    const struct dashboard *d = arg;

    return watch_is_well(d->watch, detail);
}

/* What may take long changes nothing, and its statements may take longer. */
static enum err open_desk(struct dashboard *d, struct desk **out, struct service *app,
                          const char *application, size_t most, bool is_long, struct why *why)
{
    return desk_open(out,
                     &(struct desk_conf){ .loop = service_loop(app),
                                          .pg_url = d->conf->pg_url,
                                          .pg_role = d->conf->pg_role,
                                          .application = application,
                                          .session_sql = is_long ? d->long_limit_sql : d->limit_sql,
                                          .queries = dashboard_queries,
                                          .admit = visitor_admit,
                                          .is_behind_proxy = d->conf->is_behind_tls,
                                          .headers = rest_headers,
                                          .header_count = rest_header_count,
                                          .spans = service_spans(app),
                                          .trace_share = service_trace_share(app),
                                          .most = most,
                                          .most_of_person = is_long ? LONG_OF_PERSON : 0,
                                          .changes_nothing = is_long,
                                          .ctx = d },
                     why);
}

static enum err open_desks(struct dashboard *d, struct service *app, struct why *why)
{
    const struct dashboard_settings *conf = d->conf;
    enum err err = ERR_OK;

    snprintf(d->limit_sql, sizeof d->limit_sql, "SET statement_timeout = %lld",
             (long long)conf->statement_ms);
    snprintf(d->long_limit_sql, sizeof d->long_limit_sql, "SET statement_timeout = %lld",
             (long long)conf->statement_ms * LONG_PATIENCE);
    d->shelf = shelf_new();
    for (size_t i = 0; i < QUICK_DESKS && !err; i++)
        err = open_desk(d, &d->quick[i], app, "assay-dashboard-desk", 0, false, why);
    for (size_t i = 0; i < READING_DESKS && !err; i++)
        err = open_desk(d, &d->reading[i], app, "assay-dashboard-reading", 0, false, why);
    if (!err)
        err = open_desk(d, &d->login, app, "assay-dashboard-login", LOGIN_MOST, false, why);
    if (!err)
        err = open_desk(d, &d->hashing, app, "assay-dashboard-hashing", 0, false, why);
    if (!err)
        err = open_desk(d, &d->past, app, "assay-dashboard-past", LONG_MOST, true, why);
    if (!err)
        err = open_desk(d, &d->sums, app, "assay-dashboard-sums", LONG_MOST, true, why);
    return err;
}

enum err dashboard_open(struct dashboard **out, struct service *app, const struct dashboard_settings *conf,
                        struct why *why)
{
    struct dashboard *d = mem_new(struct dashboard);
    enum err err;

    *out = NULL;
    d->conf = conf;
    err = follower_check(conf, why);
    if (!err)
        err = pages_open(&d->pages, conf->pages, why);
    if (!err)
        err = gateway_open(&d->gateway, d, app, conf, why);
    if (!err)
        err = live_open(&d->live, app, conf, why);
    if (!err)
        err = open_desks(d, app, why);
    if (!err)
        err = watch_open(&d->watch,
                         &(struct watch_conf){ .name = "dashboard",
                                               .conninfo = conf->pg_url,
                                               .application = "assay-dashboard",
                                               .role = conf->pg_role,
                                               .rests = FOLLOWER_RESTS,
                                               .turn = turn,
                                               .ctx = d },
                         why);
    if (!err)
        err = similar_open(&d->similar, conf, why);
    if (!err) {
        service_check(app, "follower", is_follower_well, d);
        err = service_listen(app,
                             &(struct service_listener){ .routes = dashboard_routes,
                                                         .route_count = dashboard_route_count,
                                                         .service = d },
                             why);
    }
    if (!err)
        gateway_listen(d->gateway, app);
    if (err) {
        dashboard_close(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

void dashboard_close(struct dashboard *d)
{
    if (!d)
        return;
    watch_close(d->watch);
    for (size_t i = 0; i < QUICK_DESKS; i++)
        desk_close(d->quick[i]);
    for (size_t i = 0; i < READING_DESKS; i++)
        desk_close(d->reading[i]);
    desk_close(d->login);
    desk_close(d->hashing);
    desk_close(d->past);
    desk_close(d->sums);
    shelf_free(d->shelf);
    live_close(d->live);
    gateway_close(d->gateway);
    similar_close(d->similar);
    pages_close(d->pages);
    mem_free(d);
}
