/* SPDX-License-Identifier: Apache-2.0
 * scoring.c - answers Score with the champion, all rows of a call by the same model.
 *
 * A call whose plan of features is new waits for it within its deadline: it is one row of PostgreSQL away. A
 * champion that needs a feature which the plan does not have yet leaves the call to the previous champion,
 * when that one fits: so a new model may be promoted before its features are being computed. While an
 * experiment runs, the rows of the customers that were drawn for the challenger (lifecycle/arm.h) are scored
 * by that one, with its own thresholds; they too fall back to the champion where the challenger does not fit. */
#include "scoring.h"

#include <math.h>

#include "app/service.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "lifecycle/arm.h"
#include "log/log.h"
#include "modelstore/keys.h"
#include "oip.h"
#include "pg/pg.h"
#include "plans.h"
#include "proto/assay.pb-c.h"
#include "registry.h"

enum { WAITING_MAX = 4096, CALL_ROWS_MAX = 4096, DRAIN_US = 5000000 };

enum { METRIC_ROWS, METRIC_FELL_BACK, METRIC_UNSCORED, METRIC_BATCH, METRIC_SECONDS, METRIC_COUNT };
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_ROWS] = { "assay_scoring_rows_total",
                      METRIC_COUNTER,
                      "Rows scored, by the alias that scored",
                      { "alias" } },
    [METRIC_FELL_BACK] = { "assay_scoring_fell_back_total",
                           METRIC_COUNTER,
                           "Rows of the challenger's arm that the champion scored, as the plan lacks a "
                           "feature",
                           { NULL } },
    [METRIC_UNSCORED] = { "assay_scoring_unscored_total",
                          METRIC_COUNTER,
                          "Rows that no model scored, by reason",
                          { "reason" } },
    [METRIC_BATCH] = { "assay_scoring_batch_rows", METRIC_SIZES, "Rows in one call", { NULL } },
    [METRIC_SECONDS] = { "assay_scoring_score_seconds",
                         METRIC_HISTOGRAM,
                         "Time to score one call, without waiting",
                         { NULL } },
};

/* A call that waits for its plan. */
struct waiting {
    struct grpc_request *request;
    const Assay__V1__ScoreRequest *message;
};

struct scoring {
    struct service *app;
    struct pg_pool *pg;
    struct registry *registry;
    struct plans *plans;
    struct http_server *rest; /* NULL: the Open Inference Protocol is on the port of gRPC */
    struct oip oip;
    struct metric_set *metrics;
    size_t by_champion, by_previous, by_challenger;
    struct waiting *waiting;
    size_t waiting_count, waiting_cap;
};

/* ---- one row ---- */

/* Little-endian float32 on the wire and in memory: the machines that this runs on agree with it. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "vectors are read as they lie");

static void fill_row(struct model *m, const struct binding *binding, const uint8_t *vector)
{
    for (size_t c = 0; c < m->columns; c++)
        memcpy(&m->row[c], vector + sizeof(float) * binding->from[c], sizeof(float));
}

static void fill_missing(struct model *m)
{
    for (size_t c = 0; c < m->columns; c++)
        m->row[c] = NAN;
}

static void put_contributions(Assay__V1__ScoreResponse__Row *out, const struct model *m, struct arena *arena)
{
    size_t top[FOREST_TOLD];
    size_t count = forest_top(bundle_forest(m->bundle), m->contributions, top, FOREST_TOLD);
    Assay__V1__Contribution *all = arena_new(arena, Assay__V1__Contribution, count + 1);

    out->n_contributions = count;
    out->contributions = arena_new(arena, Assay__V1__Contribution *, count + 1);
    for (size_t i = 0; i < count; i++) {
        assay__v1__contribution__init(&all[i]);
        all[i].feature = m->names[top[i]];
        all[i].describe = m->describes[top[i]];
        all[i].value = (double)m->row[top[i]];
        all[i].margin = m->contributions[top[i]];
        out->contributions[i] = &all[i];
    }
}

static Assay__V1__ScoreResponse__Row *score_row(struct model *m, struct arena *arena)
{
    Assay__V1__ScoreResponse__Row *out = arena_new(arena, Assay__V1__ScoreResponse__Row, 1);

    assay__v1__score_response__row__init(out);
    out->margin = model_explain(m);
    out->score = bundle_score(m->bundle, out->margin);
    put_contributions(out, m, arena);
    return out;
}

/* ---- one call ---- */

/* One of the models that score a call's rows. */
struct lane {
    struct model *model;           /* NULL: this arm has none */
    const struct binding *binding; /* NULL: an empty plan, which says that nothing is known of the features */
    enum arm arm;
    size_t series;  /* of METRIC_ROWS */
    uint32_t index; /* in the response, once it is in it */
    size_t rows;
};

static Assay__V1__ScoreResponse__Model *describe_model(struct model *m, struct arena *arena)
{
    Assay__V1__ScoreResponse__Model *out = arena_new(arena, Assay__V1__ScoreResponse__Model, 1);
    Assay__V1__Thresholds *thresholds = arena_new(arena, Assay__V1__Thresholds, 1);
    struct bundle_thresholds own = bundle_thresholds(m->bundle);

    assay__v1__thresholds__init(thresholds);
    thresholds->challenge = own.challenge;
    thresholds->review = own.review;
    thresholds->decline = own.decline;
    assay__v1__score_response__model__init(out);
    out->version = m->version_text;
    out->bundle = (ProtobufCBinaryData){ SHA256_BYTES, (uint8_t *)(uintptr_t)bundle_hash(m->bundle) };
    out->thresholds = thresholds;
    return out;
}

/* The model that scores vectors of this plan: the champion, else the previous one. */
static enum err choose(struct scoring *s, struct slice plan, struct lane *lane, struct why *why)
{
    const struct {
        const char *alias;
        size_t series;
    } candidates[] = { { "champion", s->by_champion }, { "previous_champion", s->by_previous } };
    struct slice name = registry_name(s->registry);
    const char *missing = NULL;

    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        *lane = (struct lane){ .model = registry_find(s->registry, name, candidates[i].alias),
                               .arm = ARM_CHAMPION,
                               .series = candidates[i].series };
        if (lane->model == NULL)
            continue;
        if (plan.len == 0)
            return ERR_OK;
        lane->binding = plans_bind(s->plans, plan, lane->model);
        if (lane->binding != NULL && lane->binding->missing == NULL)
            return ERR_OK;
        if (missing == NULL && lane->binding != NULL)
            missing = lane->binding->missing;
    }
    if (missing)
        return err_set(why, ERR_UNAVAILABLE, "the vectors' plan lacks feature %s", missing);
    return err_set(why, ERR_UNAVAILABLE, "no champion: %s", registry_trouble(s->registry));
}

/* The challenger of the experiment that runs; its lane has no model when it cannot score this plan. False when
 * none runs. */
static bool choose_challenger(struct scoring *s, struct slice plan, struct registry_trial *trial,
                              struct lane *lane)
{
    *lane = (struct lane){ .arm = ARM_CANDIDATE, .series = s->by_challenger };
    if (!registry_trial(s->registry, registry_name(s->registry), trial))
        return false;
    lane->model = trial->challenger;
    if (plan.len) {
        lane->binding = plans_bind(s->plans, plan, lane->model);
        if (lane->binding == NULL || lane->binding->missing != NULL)
            lane->model = NULL;
    }
    return true;
}

static enum err fill(struct lane *lane, const ProtobufCBinaryData *vector, size_t row, struct why *why)
{
    const struct binding *binding = lane->binding;

    if (vector->len == 0)
        fill_missing(lane->model); /* features was away */
    else if (binding == NULL || vector->len != binding->vector_bytes)
        return err_set(why, ERR_INVALID, "row %zu has %zu bytes, its plan %zu", row, vector->len,
                       binding ? binding->vector_bytes : 0);
    else
        fill_row(lane->model, binding, vector->data);
    return ERR_OK;
}

static enum err answer(struct scoring *s, const Assay__V1__ScoreRequest *message,
                       Assay__V1__ScoreResponse *response, struct arena *arena, struct why *why)
{
    struct slice plan = slice_of(message->plan.data, message->plan.len);
    struct registry_trial trial;
    struct lane lanes[ARM_COUNT];
    bool is_trial;
    enum err err = choose(s, plan, &lanes[ARM_CHAMPION], why);

    if (err)
        return err;
    is_trial = choose_challenger(s, plan, &trial, &lanes[ARM_CANDIDATE]);
    response->models = arena_new(arena, Assay__V1__ScoreResponse__Model *, ARM_COUNT);
    response->rows = arena_new(arena, Assay__V1__ScoreResponse__Row *, message->n_rows + 1);
    for (size_t i = 0; i < message->n_rows; i++) {
        const Assay__V1__ScoreRequest__Row *row = message->rows[i];
        enum arm arm = is_trial ? arm_of(row->arm_hash, trial.salt, trial.share) : ARM_CHAMPION;
        struct lane *lane = &lanes[arm];

        if (lane->model == NULL) {
            metric_inc(s->metrics, METRIC_FELL_BACK, 0);
            lane = &lanes[ARM_CHAMPION];
        }
        err = fill(lane, &row->vector, i, why);
        if (err)
            return err;
        if (lane->rows++ == 0) {
            lane->index = (uint32_t)response->n_models;
            response->models[response->n_models++] = describe_model(lane->model, arena);
        }
        response->rows[i] = score_row(lane->model, arena);
        response->rows[i]->model = lane->index;
        response->rows[i]->arm = (char *)(uintptr_t)arm_name(lane->arm);
    }
    response->n_rows = message->n_rows;
    for (size_t i = 0; i < ARM_COUNT; i++)
        if (lanes[i].rows)
            metric_add(s->metrics, METRIC_ROWS, lanes[i].series, (double)lanes[i].rows);
    return ERR_OK;
}

static void fail(struct scoring *s, struct grpc_request *request, size_t rows, enum err err,
                 const struct why *why)
{
    metric_add(s->metrics, METRIC_UNSCORED, metric_series(s->metrics, METRIC_UNSCORED, err_name(err), NULL),
               (double)rows);
    grpc_fail(request, err, why);
}

static void score(struct scoring *s, struct grpc_request *request, const Assay__V1__ScoreRequest *message)
{
    Assay__V1__ScoreResponse response = ASSAY__V1__SCORE_RESPONSE__INIT;
    int64_t began_us = clock_mono_us();
    struct why why = { 0 };
    enum err err = answer(s, message, &response, grpc_request_arena(request), &why);

    if (err) {
        fail(s, request, message->n_rows, err, &why);
        return;
    }
    metric_observe_size(s->metrics, METRIC_BATCH, 0, message->n_rows);
    metric_observe_us(s->metrics, METRIC_SECONDS, 0, clock_mono_us() - began_us);
    grpc_reply(request, &response.base);
}

/* Answers when the plan is known or is known not to come; false: it is still on its way. */
static bool try_to_score(struct scoring *s, struct grpc_request *request,
                         const Assay__V1__ScoreRequest *message)
{
    struct slice plan = slice_of(message->plan.data, message->plan.len);
    struct why why = { 0 };

    if (plan.len == 0) {
        score(s, request, message);
        return true;
    }
    if (plan.len != SHA256_BYTES) {
        fail(s, request, message->n_rows,
             err_set(&why, ERR_INVALID, "a plan is named by %d bytes", SHA256_BYTES), &why);
        return true;
    }
    switch (plans_know(s->plans, plan, grpc_request_deadline(request))) {
    case PLAN_KNOWN:
        score(s, request, message);
        return true;
    case PLAN_ABSENT:
        fail(s, request, message->n_rows, err_set(&why, ERR_NOT_FOUND, "no plan of that name"), &why);
        return true;
    case PLAN_AWAY:
        fail(s, request, message->n_rows, err_set(&why, ERR_UNAVAILABLE, "the plan cannot be read now"),
             &why);
        return true;
    default:
        return false;
    }
}

static void on_score(void *service, struct grpc_request *request, const ProtobufCMessage *input)
{
    const Assay__V1__ScoreRequest *message = (const Assay__V1__ScoreRequest *)input;
    struct scoring *s = service;
    struct why why = { 0 };

    if (message->n_rows > CALL_ROWS_MAX) {
        fail(s, request, message->n_rows,
             err_set(&why, ERR_TOO_LARGE, "%zu rows are more than %d", message->n_rows, CALL_ROWS_MAX), &why);
        return;
    }
    if (try_to_score(s, request, message))
        return;
    if (s->waiting_count == WAITING_MAX) {
        fail(s, request, message->n_rows, err_set(&why, ERR_UNAVAILABLE, "too many calls wait for a plan"),
             &why);
        return;
    }
    ARRAY_RESERVE_ONE(s->waiting, s->waiting_count, s->waiting_cap);
    s->waiting[s->waiting_count++] = (struct waiting){ request, message };
}

static const struct grpc_method methods[] = {
    { &assay__v1__scoring__descriptor, "Score", on_score },
};

/* A plan came, or did not. */
static void on_plan(void *ctx)
{
    struct scoring *s = ctx;
    size_t kept = 0;

    for (size_t i = 0; i < s->waiting_count; i++)
        if (!try_to_score(s, s->waiting[i].request, s->waiting[i].message))
            s->waiting[kept++] = s->waiting[i];
    s->waiting_count = kept;
}

/* ---- the service ---- */

static void on_models(void *ctx)
{
    struct scoring *s = ctx;

    plans_forget_models(s->plans);
}

static void on_pg_up(void *ctx)
{
    struct scoring *s = ctx;

    plans_hear(s->plans);
    registry_hear(s->registry);
}

static void on_pg_notify(void *ctx, const char *channel, const char *payload)
{
    struct scoring *s = ctx;

    (void)channel;
    (void)payload;
    registry_hear(s->registry);
}

static bool is_champion_there(void *arg, struct why *detail)
{
    const struct scoring *s = arg;

    if (registry_find(s->registry, registry_name(s->registry), "champion"))
        return true;
    err_set(detail, ERR_UNAVAILABLE, "no champion: %s",
            *registry_trouble(s->registry) ? registry_trouble(s->registry) : pg_pool_trouble(s->pg));
    return false;
}

static bool is_ready(void *arg)
{
    const struct scoring *s = arg;

    return service_is_ready(s->app);
}

static void on_rest_drained(void *ctx)
{
    struct scoring *s = ctx;

    service_let_go(s->app);
}

static void on_drain(void *arg)
{
    struct scoring *s = arg;

    service_hold(s->app);
    http_server_drain(s->rest, DRAIN_US, on_rest_drained, s);
}

/* On a port of its own, or on that of gRPC. */
static enum err listen_for_both(struct scoring *s, int64_t rest_port, struct why *why)
{
    const struct service_listener listener = { .methods = methods,
                                               .method_count = ARRAY_LEN(methods),
                                               .service = s };
    struct http_server_conf conf = service_http_conf(s->app);
    enum err err = service_listen(s->app, &listener, why);

    if (err)
        return err;
    if (rest_port == 0) {
        http_server_add_routes(service_http(s->app), oip_routes, oip_route_count, &s->oip);
        return ERR_OK;
    }
    conf.name = "oip";
    conf.port = (int)rest_port;
    err = http_server_open(&s->rest, service_loop(s->app), &conf, service_metrics(s->app), why);
    if (err)
        return err;
    http_server_add_routes(s->rest, oip_routes, oip_route_count, &s->oip);
    http_server_on_refusal(s->rest, oip_refuse, NULL);
    service_on_drain(s->app, on_drain, s);
    return ERR_OK;
}

enum err scoring_open(struct scoring **out, struct service *app, const struct scoring_settings *conf,
                      struct why *why)
{
    static const char *const channels[] = { "models", NULL };
    struct scoring *s = mem_new(struct scoring);
    const struct trusted_keys *keys;
    struct arena arena = { 0 };
    const char *role = *conf->pg_role ? conf->pg_role : NULL;
    const struct pg_pool_options pool = {
        .conninfo = conf->pg_url,
        .service = "assay-scoring",
        .role = role,
        .connections = 2,
        .channels = channels,
        .on_up = on_pg_up,
        .on_notify = on_pg_notify,
        .ctx = s,
    };
    enum err err;

    *out = NULL;
    s->app = app;
    s->metrics = metrics_add(service_metrics(app), metric_table, METRIC_COUNT);
    s->by_champion = metric_series(s->metrics, METRIC_ROWS, "champion", NULL);
    s->by_previous = metric_series(s->metrics, METRIC_ROWS, "previous_champion", NULL);
    s->by_challenger = metric_series(s->metrics, METRIC_ROWS, "challenger", NULL);
    err = model_keys_read(&keys, conf->model_keys, &arena, why); /* so that a wrong path is noticed at once */
    arena_release(&arena);
    if (err)
        goto out;
    err = pg_pool_open(&s->pg, service_loop(app), &pool, why);
    if (err)
        goto out;
    s->plans = plans_open(s->pg, on_plan, s);
    err = registry_open(&s->registry,
                        &(struct registry_options){ .loop = service_loop(app),
                                                    .pool = s->pg,
                                                    .conninfo = conf->pg_url,
                                                    .role = role,
                                                    .name = conf->model,
                                                    .model_keys = conf->model_keys,
                                                    .metrics = service_metrics(app),
                                                    .on_change = on_models,
                                                    .ctx = s },
                        why);
    if (err)
        goto out;
    s->oip = (struct oip){ .registry = s->registry, .is_ready = is_ready, .arg = s };
    service_check(app, "champion", is_champion_there, s);
    err = listen_for_both(s, conf->rest_port, why);
    if (err)
        goto out;
    *out = s;
    s = NULL;
out:
    scoring_close(s);
    return err;
}

void scoring_close(struct scoring *s)
{
    if (s == NULL)
        return;
    http_server_close(s->rest);
    pg_pool_close(s->pg);
    registry_close(s->registry);
    plans_close(s->plans);
    mem_free(s->waiting);
    mem_free(s);
}
