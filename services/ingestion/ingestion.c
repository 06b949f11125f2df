/* SPDX-License-Identifier: Apache-2.0 */
#include "ingestion.h"

#include <sodium.h>

#include "app/service.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control.h"
#include "fallback.h"
#include "gate.h"
#include "keys.h"
#include "log/log.h"
#include "part.h"
#include "pipeline.h"
#include "policystore/store.h"
#include "proto/assay.pb-c.h"

enum { ROUTES_MAX = 16 };
#define EXPIRE_EVERY_US (10 * MINUTE_US)

static const struct metric metrics_table[M_COUNT] = {
    [M_ACTIONS] = { "assay_ingestion_decisions_total",
                    METRIC_COUNTER,
                    "Decisions made, by action",
                    { "action" } },
    [M_DEGRADED] = { "assay_ingestion_degraded_total",
                     METRIC_COUNTER,
                     "Decisions made without a part, by part",
                     { "part" } },
    [M_OUTCOMES] = { "assay_ingestion_outcomes_total",
                     METRIC_COUNTER,
                     "Transactions, by what became of them",
                     { "outcome" } },
    [M_STAGE] = { "assay_ingestion_stage_seconds",
                  METRIC_HISTOGRAM,
                  "Time of one call, by stage",
                  { "stage" } },
    [M_GROUP] = { "assay_ingestion_group_size",
                  METRIC_SIZES,
                  "Transactions in one call, by stage",
                  { "stage" } },
    [M_DECIDE] = { "assay_ingestion_decide_seconds",
                   METRIC_HISTOGRAM,
                   "From the first byte to the commit",
                   { NULL } },
    [M_LABELS] = { "assay_ingestion_labels_total",
                   METRIC_COUNTER,
                   "Labels, by what became of them",
                   { "outcome" } },
    [M_REFUSED] = { "assay_ingestion_refused_total",
                    METRIC_COUNTER,
                    "Requests refused before their handler, by status",
                    { "status" } },
    [M_POISONED] = { "assay_ingestion_poisoned_total",
                     METRIC_COUNTER,
                     "Decisions PostgreSQL would not store",
                     { NULL } },
    [M_COMMIT_UNKNOWN] = { "assay_ingestion_commit_unknown_total",
                           METRIC_COUNTER,
                           "Commits whose outcome was not seen and had to be looked up",
                           { NULL } },
    [M_JOBS] = { "assay_ingestion_in_flight", METRIC_GAUGE, "Transactions under way", { NULL } },
    [M_PART_UP] = { "assay_ingestion_part_up",
                    METRIC_GAUGE,
                    "1 when the part is used, 0 when it is done without",
                    { "part" } },
};

void count(struct ingestion *in, enum counted metric, const char *value)
{
    metric_inc(in->metrics, metric, value ? metric_series(in->metrics, metric, value, NULL) : 0);
}

static void collect(void *ctx)
{
    struct ingestion *in = ctx;

    metric_put(in->metrics, M_JOBS, 0, (double)pipeline_jobs(in->pipeline));
}

static void on_pg_up(void *ctx)
{
    struct ingestion *in = ctx;

    keys_read(in->keys);
    policy_store_hear(in->policy);
    control_read(in->control);
}

static void on_pg_notify(void *ctx, const char *channel, const char *payload)
{
    struct ingestion *in = ctx;

    (void)payload;
    if (strcmp(channel, "keys") == 0)
        keys_read(in->keys);
    else if (strcmp(channel, "slice") == 0)
        control_read(in->control);
    else
        policy_store_hear(in->policy);
}

static void on_idle(void *ctx)
{
    struct ingestion *in = ctx;

    service_let_go(in->app);
}

/* What somebody no longer waits for is finished all the same. */
static void on_drain(void *ctx)
{
    struct ingestion *in = ctx;

    service_hold(in->app);
    pipeline_when_idle(in->pipeline, on_idle, in);
}

static void on_expired(void *ctx, const struct pg_reply *reply)
{
    (void)ctx;
    if (reply->err == ERR_INTERNAL)
        log_event(LOG_WARN, "idempotency_keys_not_expired", "reason=%s",
                  log_quoted(slice_str(reply->why.text)));
}

/* Every process does it; whoever comes second finds nothing. */
static void on_expire(void *ctx)
{
    struct ingestion *in = ctx;
    struct pg_unit *unit = pg_unit_new(in->pg);

    pg_unit_add(unit, SQL_KEY_EXPIRE);
    pg_unit_send(unit, clock_mono_us() + MINUTE_US, on_expired, in);
    loop_timer_set(&in->expire, EXPIRE_EVERY_US);
}

static bool is_pg_ready(void *arg, struct why *detail)
{
    struct ingestion *in = arg;

    if (pg_pool_is_up(in->pg))
        return true;
    err_set(detail, ERR_UNAVAILABLE, "%s", pg_pool_trouble(in->pg));
    return false;
}

static bool are_keys_ready(void *arg, struct why *detail)
{
    struct ingestion *in = arg;

    if (keys_are_known(in->keys))
        return true;
    err_set(detail, ERR_UNAVAILABLE, "not read yet");
    return false;
}

static enum err read_settings(struct ingestion *in, struct why *why)
{
    unsigned char digest[SHA256_BYTES];
    enum err err;

    in->base_currency = slice_str(in->conf.base_currency);
    if (currency_exponent(in->base_currency) < 0)
        return err_set(why, ERR_INVALID, "ASSAY_BASE_CURRENCY \"%s\" is no currency of ISO 4217",
                       in->conf.base_currency);
    err = fx_parse(&in->fx, slice_str(in->conf.fx_rates), why);
    if (err)
        return err_wrap(why, err, "ASSAY_FX_RATES");
    sha256(slice_str(in->conf.arm_salt), digest);
    memcpy(in->arm_key.bytes, digest, sizeof in->arm_key.bytes);
    return ERR_OK;
}

static enum err open_parts(struct ingestion *in, struct why *why)
{
    enum err err = part_open(&in->features, in, "features", in->conf.features_addr,
                             &assay__v1__features__descriptor, why);

    if (!err)
        err = part_open(&in->scoring, in, "scoring", in->conf.scoring_addr, &assay__v1__scoring__descriptor,
                        why);
    if (!err)
        err = part_open(&in->rules, in, "rules", in->conf.rules_addr, &assay__v1__rules__descriptor, why);
    return err;
}

enum err ingestion_open(struct ingestion *in, struct why *why)
{
    static const char *const channels[] = { "keys", "policy", "slice", NULL };
    struct pg_pool_options pg = {
        .conninfo = in->conf.pg_url,
        .service = "ingestion",
        .role = "assay_ingestion",
        .statements = statements,
        .statement_count = SQL_COUNT,
        .connections = (size_t)in->conf.pg_connections,
        .channels = channels,
        .on_up = on_pg_up,
        .on_notify = on_pg_notify,
        .ctx = in,
    };
    enum err err = read_settings(in, why);

    if (err)
        return err;
    if (sodium_init() < 0)
        return err_set(why, ERR_INTERNAL, "libsodium cannot start");
    in->loop = service_loop(in->app);
    in->spans = service_spans(in->app);
    in->trace_share = service_trace_share(in->app);
    in->metrics = metrics_add(service_metrics(in->app), metrics_table, M_COUNT);
    metrics_on_write(service_metrics(in->app), collect, in);
    buf_init(&in->scratch, 0);
    in->keys = keys_new(in);
    in->control = control_new(in);
    in->gate = gate_new(in);
    in->pipeline = pipeline_new(in);
    err = open_parts(in, why);
    if (!err)
        err = pg_pool_open(&in->pg, in->loop, &pg, why);
    if (!err)
        err = fallback_open(&in->fallback, in, why);
    if (err)
        return err;
    in->policy = policy_store_open(&(struct policy_store_options){
        .loop = in->loop, .pool = in->pg, .service = "ingestion", .metrics = service_metrics(in->app) });
    loop_timer_init(&in->expire, in->loop, on_expire, in);
    loop_timer_set(&in->expire, EXPIRE_EVERY_US);
    service_on_drain(in->app, on_drain, in);
    service_check(in->app, "postgres", is_pg_ready, in);
    service_check(in->app, "keys", are_keys_ready, in);
    return ERR_OK;
}

enum err ingestion_listen(struct ingestion *in, struct why *why)
{
    static struct http_route routes[ROUTES_MAX]; /* the server borrows them for ever */
    size_t n = 0;

    for (size_t i = 0; i < transaction_route_count; i++)
        routes[n++] = transaction_routes[i];
    for (size_t i = 0; i < label_route_count; i++)
        routes[n++] = label_routes[i];
    return service_listen(in->app,
                          &(struct service_listener){
                              .routes = routes,
                              .route_count = n,
                              .service = in,
                              .max_connections = (size_t)in->conf.connections_most,
                              .max_per_address = (size_t)in->conf.address_connections_most,
                              .max_streams = (size_t)in->conf.streams_most,
                              .reuse_port = in->conf.reuse_port,
                          },
                          why);
}

void ingestion_close(struct ingestion *in)
{
    loop_timer_release(&in->expire);
    fallback_close(in->fallback);
    part_close(in->features);
    part_close(in->scoring);
    part_close(in->rules);
    pg_pool_close(in->pg);
    policy_store_close(in->policy);
    pipeline_free(in->pipeline);
    gate_free(in->gate);
    keys_free(in->keys);
    control_free(in->control);
    buf_release(&in->scratch);
}
