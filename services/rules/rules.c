/* SPDX-License-Identifier: Apache-2.0
 * rules.c - answers Decide with the policy in force, all items of a call by the same one.
 *
 * A call whose plan of features is new waits a moment for it: it is one row of PostgreSQL away. When that
 * does not come, rules on features do not fire, and lists, other rules and thresholds decide. */
#include "rules.h"

#include "app/service.h"
#include "backtests.h"
#include "base/array.h"
#include "base/clock.h"
#include "desk/desk.h"
#include "fraud/txn.h"
#include "pg/pg.h"
#include "policystore/store.h"
#include "routes.h"

enum { WAITING_MAX = 1024, WAIT_FOR_PLAN_US = 50000, CALL_ITEMS_MAX = 4096 };

enum { METRIC_DECISIONS, METRIC_FIRED, METRIC_ITEMS, METRIC_SECONDS, METRIC_COUNT };
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_DECISIONS] = { "assay_rules_decisions_total",
                           METRIC_COUNTER,
                           "Items decided, by action",
                           { "action" } },
    [METRIC_FIRED] = { "assay_rules_fired_total", METRIC_COUNTER, "Rules that fired, by rule", { "rule" } },
    [METRIC_ITEMS] = { "assay_rules_batch_items", METRIC_SIZES, "Items in one call", { NULL } },
    [METRIC_SECONDS] = { "assay_rules_decide_seconds",
                         METRIC_HISTOGRAM,
                         "Time to decide one call, without waiting",
                         { NULL } },
};

struct waiting {
    struct grpc_request *request;
    const Assay__V1__DecideRequest *message;
};

struct rules {
    struct pg_pool *pg;
    struct policy_store *store;
    struct desk *desk, *trial_desk;
    struct backtests *backtests;
    struct metric_set *metrics;
    size_t by_action[ACTION_COUNT];
    struct waiting waiting[WAITING_MAX];
    size_t waiting_count;
    struct loop_timer patience;
};

/* ---- deciding ---- */

static void count_fired(struct rules *rules, Assay__V1__FiredRule *const *fired, size_t n)
{
    for (size_t i = 0; i < n; i++)
        metric_inc(rules->metrics, METRIC_FIRED,
                   metric_series(rules->metrics, METRIC_FIRED, fired[i]->id, NULL));
}

static void count(struct rules *rules, const Assay__V1__DecideResponse *response, int64_t began_us)
{
    for (size_t i = 0; i < response->n_items; i++) {
        const Assay__V1__DecideResponse__Item *item = response->items[i];

        metric_inc(rules->metrics, METRIC_DECISIONS, rules->by_action[item->action]);
        count_fired(rules, item->rules, item->n_rules);
        count_fired(rules, item->noted, item->n_noted);
    }
    metric_observe_size(rules->metrics, METRIC_ITEMS, 0, response->n_items);
    metric_observe_us(rules->metrics, METRIC_SECONDS, 0, clock_mono_us() - began_us);
}

static void decide(struct rules *rules, struct grpc_request *request, const Assay__V1__DecideRequest *message)
{
    int64_t began_us = clock_mono_us();
    Assay__V1__DecideResponse *response =
        policy_store_decide(rules->store, message, grpc_request_arena(request));

    count(rules, response, began_us);
    grpc_reply(request, &response->base);
}

static void on_decide(void *service, struct grpc_request *request, const ProtobufCMessage *input)
{
    struct rules *rules = service;
    const Assay__V1__DecideRequest *message = (const Assay__V1__DecideRequest *)input;
    struct why why = { 0 };

    if (message->n_items > CALL_ITEMS_MAX) {
        grpc_fail(
            request,
            err_set(&why, ERR_TOO_LARGE, "%zu items are more than %d", message->n_items, CALL_ITEMS_MAX),
            &why);
        return;
    }
    if (!policy_store_policy(rules->store)) {
        /* Without the deny lists nothing may be approved; who asked may have a policy of its own. */
        grpc_fail(request, err_set(&why, ERR_UNAVAILABLE, "no policy was read yet"), &why);
        return;
    }
    if (policy_store_plan(rules->store, slice_of(message->plan.data, message->plan.len)) == PLAN_ASKED &&
        rules->waiting_count < WAITING_MAX) {
        rules->waiting[rules->waiting_count++] = (struct waiting){ request, message };
        if (!loop_timer_is_set(&rules->patience))
            loop_timer_set(&rules->patience, WAIT_FOR_PLAN_US);
        return;
    }
    decide(rules, request, message);
}

static const struct grpc_method methods[] = {
    { &assay__v1__rules__descriptor, "Decide", on_decide },
};

/* ---- those who wait for a plan ---- */

static void decide_waiting(struct rules *rules, bool is_over)
{
    size_t kept = 0;

    for (size_t i = 0; i < rules->waiting_count; i++) {
        struct waiting w = rules->waiting[i];

        if (!is_over && policy_store_plan(rules->store,
                                          slice_of(w.message->plan.data, w.message->plan.len)) == PLAN_ASKED)
            rules->waiting[kept++] = w;
        else
            decide(rules, w.request, w.message);
    }
    rules->waiting_count = kept;
    if (kept == 0)
        loop_timer_stop(&rules->patience);
}

static void on_change(void *ctx)
{
    decide_waiting(ctx, false);
}

static void on_patience(void *ctx)
{
    decide_waiting(ctx, true);
}

/* ---- the service ---- */

static void on_pg_up(void *ctx)
{
    struct rules *rules = ctx;

    policy_store_hear(rules->store);
}

static void on_pg_notify(void *ctx, const char *channel, const char *payload)
{
    struct rules *rules = ctx;

    (void)channel;
    (void)payload;
    policy_store_hear(rules->store);
}

static bool is_policy_there(void *arg, struct why *detail)
{
    const struct rules *rules = arg;

    if (policy_store_policy(rules->store))
        return true;
    err_set(detail, ERR_UNAVAILABLE, "no policy was read yet: %s", pg_pool_trouble(rules->pg));
    return false;
}

static enum err open_desks(struct rules *rules, struct service *app, const struct rules_settings *conf,
                           struct why *why)
{
    struct desk_conf desk = { .loop = service_loop(app),
                              .pg_url = conf->pg_url,
                              .pg_role = conf->pg_role,
                              .application = "assay-rules-desk",
                              .queries = rules_queries,
                              .has_owners = true,
                              .ctx = rules,
                              .spans = service_spans(app),
                              .trace_share = service_trace_share(app) };
    const struct backtests_conf backtests = { .pg_url = conf->pg_url,
                                              .pg_role = conf->pg_role,
                                              .directory = conf->backtests,
                                              .disk_gb = conf->backtests_gb };
    enum err err = backtests_open(&rules->backtests, &backtests, why);

    if (!err)
        err = desk_open(&rules->desk, &desk, why);
    desk.application = "assay-rules-trials";
    desk.changes_nothing = true; /* they are tried, and nothing is kept */
    if (!err)
        err = desk_open(&rules->trial_desk, &desk, why);
    return err;
}

enum err rules_open(struct rules **out, struct service *app, const struct rules_settings *conf,
                    struct why *why)
{
    static const char *const channels[] = { "policy", NULL };
    struct rules *rules = mem_new(struct rules);
    const struct pg_pool_options pool = {
        .conninfo = conf->pg_url,
        .service = "assay-rules",
        .role = *conf->pg_role ? conf->pg_role : NULL,
        .connections = 2, /* one may be busy with a page of a list while a plan is asked for */
        .channels = channels,
        .on_up = on_pg_up,
        .on_notify = on_pg_notify,
        .ctx = rules,
    };
    const struct service_listener listener = { .methods = methods,
                                               .method_count = ARRAY_LEN(methods),
                                               .routes = rules_routes,
                                               .route_count = rules_route_count,
                                               .service = rules };
    enum err err;

    *out = NULL;
    rules->metrics = metrics_add(service_metrics(app), metric_table, METRIC_COUNT);
    for (enum action a = 0; a < ACTION_COUNT; a++)
        rules->by_action[a] = metric_series(rules->metrics, METRIC_DECISIONS, action_name(a), NULL);
    loop_timer_init(&rules->patience, service_loop(app), on_patience, rules);
    err = pg_pool_open(&rules->pg, service_loop(app), &pool, why);
    if (!err)
        err = open_desks(rules, app, conf, why);
    if (!err) {
        rules->store = policy_store_open(&(struct policy_store_options){ .loop = service_loop(app),
                                                                         .pool = rules->pg,
                                                                         .metrics = service_metrics(app),
                                                                         .service = "rules",
                                                                         .on_change = on_change,
                                                                         .ctx = rules });
        service_check(app, "policy", is_policy_there, rules);
        err = service_listen(app, &listener, why);
    }
    if (err) {
        rules_close(rules);
        return err;
    }
    *out = rules;
    return ERR_OK;
}

struct desk *rules_desk(struct rules *rules)
{
    return rules->desk;
}

struct desk *rules_trial_desk(struct rules *rules)
{
    return rules->trial_desk;
}

struct backtests *rules_backtests(struct rules *rules)
{
    return rules->backtests;
}

void rules_close(struct rules *rules)
{
    if (!rules)
        return;
    loop_timer_release(&rules->patience);
    desk_close(rules->trial_desk);
    desk_close(rules->desk);
    backtests_close(rules->backtests);
    pg_pool_close(rules->pg);
    policy_store_close(rules->store);
    mem_free(rules);
}
