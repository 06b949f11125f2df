/* SPDX-License-Identifier: Apache-2.0
 * scoring_test.c - the scoring service as its callers see it: the real program, the registry in PostgreSQL.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "grpc/client.h"
#include "harness/cluster.h"
#include "harness/http.h"
#include "harness/process.h"
#include "loop/loop.h"
#include "modelstore/modelstore.h"
#include "pg/cluster.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"
#include "unit/bundle/samples.h"

enum { MODELS = 2 };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process scoring;
    int rest_port;                        /* where the Open Inference Protocol has one of its own */
    struct bundle_sample samples[MODELS]; /* the same plan, forests of their own */
    struct bundle *bundles[MODELS];
    int64_t versions[MODELS];
    struct plan *reversed; /* the features the other way round, with one more between them */
    struct arena catalogues;
    struct loop *loop;
    struct grpc_channel *channel;
    struct why why;
} w;

static const struct model_change change = { .actor = { "test", 4 } };

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

/* ---- the world of a test ---- */

static void put_plan(const struct plan *plan)
{
    struct pg_params p = { 0 };

    pg_add_bytes(&p, slice_of(plan_hash(plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(plan));
    MUST(
        pg_exec(w.pg, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p, NULL, &w.why));
    pg_params_release(&p);
}

static struct plan *make_plan(const char *text)
{
    struct catalogue catalogue;
    struct plan *plan;

    MUST(catalogue_parse(&catalogue, slice_str(text), &w.catalogues, &w.why));
    MUST(plan_build(&plan, &catalogue, &w.why));
    return plan;
}

static void register_models(void)
{
    struct buf bytes;

    for (size_t i = 0; i < MODELS; i++) {
        bundle_sample_init(&w.samples[i], 11 + (uint32_t)i);
        w.samples[i].parts.thresholds.review += 0.1 * (double)i;
        buf_init(&bytes, 0);
        MUST(bundle_build(&bytes, &w.samples[i].parts, &w.why));
        MUST(bundle_open(&w.bundles[i], buf_slice(&bytes), &w.why));
        MUST(
            model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.versions[i], NULL, &w.why));
        buf_release(&bytes);
    }
}

static void promote(size_t model)
{
    MUST(model_promote(w.pg, w.versions[model], MODEL_ANY, &change, &w.why));
}

/* Connects once scoring is ready. */
static void connect_to(struct process *scoring)
{
    char address[64];

    process_wait_ready(scoring);
    snprintf(address, sizeof address, "127.0.0.1:%d", scoring->port);
    MUST(loop_open(&w.loop, &w.why));
    MUST(grpc_channel_open(&w.channel, w.loop, &(struct http_client_conf){ .address = address }, &w.why));
}

/* `setting` may be NULL. */
static void launch(const char *conninfo, const char *setting)
{
    char pg[512];

    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", conninfo);
    process_launch(&w.scoring, "scoring", (const char *const[]){ pg, setting, NULL });
}

static void start(const char *conninfo)
{
    launch(conninfo, NULL);
    connect_to(&w.scoring);
}

static void prepare(const char *conninfo)
{
    w.conninfo = conninfo;
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    register_models();
    put_plan(w.samples[0].plan);
    w.reversed = make_plan("entities: {customer: customer_id}\n"
                           "features:\n"
                           "  - {name: how_often, count: customer, window: 24h}\n"
                           "  - {name: hour, expr: tx.hour}\n"
                           "  - {name: how_much, expr: tx.amount}\n");
    promote(0);
}

static void setup(void)
{
    prepare(test_database());
    start(w.conninfo);
}

static void teardown(void)
{
    if (w.loop) {
        grpc_channel_close(w.channel);
        loop_close(w.loop);
    }
    if (w.scoring.pid)
        cr_expect_eq(process_stop(&w.scoring), 0, "scoring ends gracefully");
    pg_session_close(w.pg);
    for (size_t i = 0; i < MODELS; i++) {
        bundle_close(w.bundles[i]);
        bundle_sample_release(&w.samples[i]);
    }
    plan_free(w.reversed);
    arena_release(&w.catalogues);
}

TestSuite(scoring, .init = setup, .fini = teardown, .timeout = 120);

/* ---- asking ---- */

struct asked {
    bool is_done;
    enum err err;
    struct why why;
    struct arena arena;
    const Assay__V1__ScoreResponse *reply;
};

static void on_reply(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct asked *a = arg;

    a->is_done = true;
    a->err = err;
    a->why = *why;
    a->reply = (const Assay__V1__ScoreResponse *)reply;
}

/* The rows' customers are `first_customer` and those after it. */
static void send_customers(struct asked *a, const void *plan, size_t plan_len, const float *rows,
                           size_t count, size_t columns, uint64_t first_customer)
{
    Assay__V1__ScoreRequest request = ASSAY__V1__SCORE_REQUEST__INIT;
    Assay__V1__ScoreRequest__Row messages[16], *pointers[16];

    arena_reset(&a->arena);
    *a = (struct asked){ .arena = a->arena };
    cr_assert_leq(count, ARRAY_LEN(messages));
    for (size_t i = 0; i < count; i++) {
        assay__v1__score_request__row__init(&messages[i]);
        messages[i].vector =
            (ProtobufCBinaryData){ columns * sizeof(float), (uint8_t *)(uintptr_t)(rows + i * columns) };
        messages[i].arm_hash = (first_customer + i) * UINT64_C(0x9e3779b97f4a7c15);
        pointers[i] = &messages[i];
    }
    request.plan = (ProtobufCBinaryData){ plan_len, (uint8_t *)(uintptr_t)plan };
    request.n_rows = count;
    request.rows = pointers;
    grpc_call(w.channel, &assay__v1__scoring__descriptor, "Score", &request.base,
              clock_mono_us() + 20 * SECOND_US, &a->arena, on_reply, a);
}

static void send_rows(struct asked *a, const void *plan, size_t plan_len, const float *rows, size_t count,
                      size_t columns)
{
    send_customers(a, plan, plan_len, rows, count, columns, 0);
}

static void ask(struct asked *a, const struct plan *plan, const float *rows, size_t count)
{
    send_rows(a, plan_hash(plan), SHA256_BYTES, rows, count, plan_columns(plan));
    while (!a->is_done)
        loop_turn(w.loop, true);
}

/* The model among ours that the reply names; its rows are then compared with that model's. */
static size_t check_rows(const struct asked *a, const float *rows, size_t count)
{
    struct forest_scratch *scratch;
    size_t model = 0;

    cr_assert_eq(a->err, ERR_OK, "%s", a->why.text);
    cr_assert_eq(a->reply->n_rows, count);
    cr_assert_eq(a->reply->n_models, 1);
    while (model < MODELS && w.versions[model] != atoll(a->reply->models[0]->version))
        model++;
    cr_assert_lt(model, MODELS);
    cr_assert_eq(memcmp(a->reply->models[0]->bundle.data, bundle_hash(w.bundles[model]), SHA256_BYTES), 0);
    scratch = forest_scratch_new(bundle_forest(w.bundles[model]));
    for (size_t i = 0; i < count; i++) {
        const Assay__V1__ScoreResponse__Row *row = a->reply->rows[i];
        float margin =
            forest_margin(bundle_forest(w.bundles[model]), rows + i * SAMPLE_BUNDLE_COLUMNS, scratch);

        cr_assert_eq(memcmp(&margin, &row->margin, sizeof margin), 0);
        cr_assert_eq(row->score, bundle_score(w.bundles[model], margin));
        cr_assert_str_eq(row->arm, "champion");
    }
    forest_scratch_free(scratch);
    return model;
}

static void wait_for_version(size_t model)
{
    struct asked a = { 0 };

    do
        ask(&a, w.samples[0].plan, w.samples[0].rows, 1);
    while (check_rows(&a, w.samples[0].rows, 1) != model);
    arena_release(&a.arena);
}

/* ---- scores ---- */

Test(scoring, scores_rows_as_the_bundle_does_and_says_why)
{
    struct asked a = { 0 };
    const Assay__V1__ScoreResponse__Row *row;

    ask(&a, w.samples[0].plan, w.samples[0].rows, 16);
    cr_assert_eq(check_rows(&a, w.samples[0].rows, 16), 0);
    cr_assert_eq(a.reply->models[0]->thresholds->review, 0.3);
    row = a.reply->rows[0];
    cr_assert_geq(row->n_contributions, 1);
    cr_assert_str_eq(row->contributions[0]->feature, "amount");
    cr_assert_str_eq(row->contributions[0]->describe, "amount of the payment");
    cr_assert_eq(row->contributions[0]->value, (double)w.samples[0].rows[0]);
    for (size_t i = 1; i < row->n_contributions; i++)
        cr_assert(fabs(row->contributions[i - 1]->margin) >= fabs(row->contributions[i]->margin));
    arena_release(&a.arena);
}

Test(scoring, finds_features_by_identity_in_a_plan_it_has_not_seen)
{
    struct asked a = { 0 };
    float served[3 * 8], own[2 * 8];

    for (size_t i = 0; i < 8; i++) {
        own[2 * i] = served[3 * i + 2] = w.samples[0].rows[2 * i];
        own[2 * i + 1] = served[3 * i] = w.samples[0].rows[2 * i + 1];
        served[3 * i + 1] = 1e6F; /* of no concern to the model */
    }
    put_plan(w.reversed);
    ask(&a, w.reversed, served, 8);
    check_rows(&a, own, 8);
    arena_release(&a.arena);
}

Test(scoring, says_what_is_wrong_with_a_call)
{
    struct asked a = { 0 };
    float row[8] = { 0 };

    ask(&a, w.reversed, row, 1);
    cr_assert_eq(a.err, ERR_NOT_FOUND, "%s", a.why.text);
    send_rows(&a, "short", 5, row, 1, 2);
    while (!a.is_done)
        loop_turn(w.loop, true);
    cr_assert_eq(a.err, ERR_INVALID);
    send_rows(&a, plan_hash(w.samples[0].plan), SHA256_BYTES, row, 1, 3);
    while (!a.is_done)
        loop_turn(w.loop, true);
    cr_assert_eq(a.err, ERR_INVALID);
    cr_assert(strstr(a.why.text, "row 0") != NULL, "%s", a.why.text);
    arena_release(&a.arena);
}

Test(scoring, takes_every_feature_as_missing_when_there_is_no_vector)
{
    struct asked a = { 0 };
    float missing[] = { NAN, NAN };

    send_rows(&a, "", 0, NULL, 1, 0);
    while (!a.is_done)
        loop_turn(w.loop, true);
    check_rows(&a, missing, 1);
    arena_release(&a.arena);
}

/* ---- models come and go ---- */

Test(scoring, swaps_the_champion_under_load_without_losing_a_request)
{
    enum { IN_FLIGHT = 16, SWAPS = 10 };
    struct asked asked[IN_FLIGHT] = { 0 };
    size_t seen[MODELS] = { 0 }, answered = 0;

    for (size_t i = 0; i < IN_FLIGHT; i++)
        send_rows(&asked[i], plan_hash(w.samples[0].plan), SHA256_BYTES, w.samples[0].rows, 4, 2);
    for (size_t swap = 1; swap <= SWAPS; swap++) {
        size_t wanted = swap % MODELS, with_wanted = 0;

        promote(wanted);
        while (with_wanted < 4 * IN_FLIGHT) {
            loop_turn(w.loop, true);
            for (size_t i = 0; i < IN_FLIGHT; i++) {
                size_t model;

                if (!asked[i].is_done)
                    continue;
                model = check_rows(&asked[i], w.samples[0].rows, 4);
                seen[model]++;
                answered++;
                with_wanted = model == wanted ? with_wanted + 1 : 0;
                send_rows(&asked[i], plan_hash(w.samples[0].plan), SHA256_BYTES, w.samples[0].rows, 4, 2);
            }
        }
    }
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        while (!asked[i].is_done)
            loop_turn(w.loop, true);
        check_rows(&asked[i], w.samples[0].rows, 4);
        arena_release(&asked[i].arena);
    }
    cr_assert(seen[0] > 0 && seen[1] > 0 && answered >= SWAPS * 4 * IN_FLIGHT);
}

Test(scoring, keeps_the_champion_when_the_next_one_is_broken)
{
    struct asked a = { 0 };

    MUST(pg_exec_script(
        w.pg,
        "INSERT INTO models (name, sha256, bundle) VALUES ('sample', sha256('no bundle'), 'no bundle');"
        "UPDATE aliases SET version = (SELECT max(version) FROM models) WHERE alias = 'champion'",
        &w.why));
    for (int64_t until = clock_mono_us() + 2 * SECOND_US; clock_mono_us() < until;) {
        ask(&a, w.samples[0].plan, w.samples[0].rows, 2);
        cr_assert_eq(check_rows(&a, w.samples[0].rows, 2), 0);
    }
    promote(1); /* and the one after that is taken all the same */
    wait_for_version(1);
    arena_release(&a.arena);
}

Test(scoring, leaves_a_call_to_the_previous_champion_until_its_features_are_served)
{
    struct bundle_sample wide;
    struct asked a = { 0 };
    struct http_said said;
    struct buf bytes;
    int64_t version;

    bundle_sample_init(&wide, 20);
    plan_free(wide.plan);
    wide.plan = make_plan("entities: {customer: customer_id}\n"
                          "features:\n"
                          "  - {name: amount, expr: tx.amount}\n"
                          "  - {name: customer_count_7d, count: customer, window: 7d}\n");
    wide.parts.plan = wide.plan;
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &wide.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &version, NULL, &w.why));
    MUST(model_promote(w.pg, version, w.versions[0], &change, &w.why));
    for (bool is_loaded = false; !is_loaded;) {
        char path[64];

        snprintf(path, sizeof path, "/v2/models/sample/versions/%lld/ready", (long long)version);
        said = http_ask(w.scoring.port, "GET", path, NULL, NULL, NULL, 0);
        is_loaded = said.status == 200;
        http_said_free(&said);
    }
    ask(&a, w.samples[0].plan, w.samples[0].rows, 2);
    cr_assert_eq(check_rows(&a, w.samples[0].rows, 2), 0);
    put_plan(wide.plan);
    ask(&a, wide.plan, wide.rows, 1);
    cr_assert_eq(a.err, ERR_OK, "%s", a.why.text);
    cr_assert_eq(atoll(a.reply->models[0]->version), version);
    arena_release(&a.arena);
    buf_release(&bytes);
    bundle_sample_release(&wide);
}

/* What a metric of scoring says now; 0 where it is not there. */
static double metric_of(const char *series)
{
    struct http_said said = http_ask(w.scoring.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    const char *at = strstr(said.body, series);
    double value = at ? atof(at + strlen(series)) : 0;

    cr_assert_eq(said.status, 200);
    http_said_free(&said);
    return value;
}

Test(scoring, goes_back_to_a_model_that_is_warm)
{
    int64_t version;
    double loads;

    promote(1);
    wait_for_version(1);
    loads = metric_of("assay_scoring_loads_total{outcome=\"ok\"} ");
    cr_assert_eq(loads, 2);
    MUST(model_roll_back(w.pg, SLICE("sample"), w.versions[1], &change, &version, NULL, &w.why));
    wait_for_version(0);
    cr_assert_eq(metric_of("assay_scoring_loads_total{outcome=\"ok\"} "), loads, "nothing was read again");
}

Test(scoring, says_in_the_database_what_it_serves)
{
    struct model_served served = { 0 };

    while (served.with_version != 1)
        MUST(model_served(w.pg, SLICE("sample"), "champion", w.versions[0], &served, &w.why));
    cr_assert_eq(served.processes, 1);
    promote(1);
    do
        MUST(model_served(w.pg, SLICE("sample"), "champion", w.versions[1], &served, &w.why));
    while (served.with_version != 1);
    MUST(model_served(w.pg, SLICE("sample"), "previous_champion", w.versions[0], &served, &w.why));
    cr_assert_eq(served.with_version, 1);
    MUST(model_served(w.pg, SLICE("sample"), "champion", w.versions[0], &served, &w.why));
    cr_assert(served.processes == 1 && served.with_version == 0);
}

Test(scoring, scores_nothing_by_the_model_before_once_its_row_says_another)
{
    const struct plan *plan = w.samples[0].plan;
    struct asked under_way[8] = { 0 }, after = { 0 };
    int64_t version;

    promote(1);
    wait_for_version(1);
    for (size_t i = 0; i < 60; i++) {
        struct model_served served = { 0 };
        size_t model = i % 2 ? 1 : 0;

        /* Calls are always under way, so that the change falls among them. */
        for (size_t c = 0; c < ARRAY_LEN(under_way); c++)
            send_rows(&under_way[c], plan_hash(plan), SHA256_BYTES, w.samples[0].rows, 16,
                      plan_columns(plan));
        if (model)
            promote(1);
        else
            MUST(model_roll_back(w.pg, SLICE("sample"), w.versions[1], &change, &version, NULL, &w.why));
        while (served.with_version != 1)
            MUST(model_served(w.pg, SLICE("sample"), "champion", w.versions[model], &served, &w.why));
        ask(&after, plan, w.samples[0].rows, 1);
        cr_assert_eq(check_rows(&after, w.samples[0].rows, 1), model, "change %zu", i);
        for (size_t c = 0; c < ARRAY_LEN(under_way); c++) {
            while (!under_way[c].is_done)
                loop_turn(w.loop, true);
            check_rows(&under_way[c], w.samples[0].rows, 16);
            arena_release(&under_way[c].arena);
        }
    }
    arena_release(&after.arena);
}

/* ---- experiments ---- */

enum { CUSTOMERS = 2000, CALL_CUSTOMERS = 10 };

/* Model 1 against model 0, for this share of the customers. */
static void start_trial(double share, int64_t salt)
{
    static const enum model_state way[] = { MODEL_REGISTERED, MODEL_VALIDATED, MODEL_SHADOW, MODEL_AB };
    struct pg_params p = { 0 };

    for (size_t i = 1; i < ARRAY_LEN(way); i++)
        MUST(model_move(w.pg, w.versions[1], way[i - 1], way[i], &change, &w.why));
    pg_add_i64(&p, w.versions[0]);
    pg_add_i64(&p, w.versions[1]);
    pg_add_f64(&p, share);
    pg_add_i64(&p, salt);
    MUST(
        pg_exec(w.pg,
                "INSERT INTO experiments (name, stage, champion, candidate, share, salt, design, started_at) "
                "VALUES ('sample', 'ab', $1::int8, $2::int8, $3::float8, $4::int8, '{}', now())",
                &p, NULL, &w.why));
    pg_params_release(&p);
}

/* Which customers the challenger decides for, and that each row is of the model it names. */
static size_t draw(bool drawn[CUSTOMERS])
{
    struct forest_scratch *scratch[MODELS];
    struct asked a = { 0 };
    size_t count = 0;

    for (size_t i = 0; i < MODELS; i++)
        scratch[i] = forest_scratch_new(bundle_forest(w.bundles[i]));
    for (size_t first = 0; first < CUSTOMERS; first += CALL_CUSTOMERS) {
        send_customers(&a, plan_hash(w.samples[0].plan), SHA256_BYTES, w.samples[0].rows, CALL_CUSTOMERS, 2,
                       first);
        while (!a.is_done)
            loop_turn(w.loop, true);
        cr_assert_eq(a.err, ERR_OK, "%s", a.why.text);
        for (size_t i = 0; i < CALL_CUSTOMERS; i++) {
            const Assay__V1__ScoreResponse__Row *row = a.reply->rows[i];
            const Assay__V1__ScoreResponse__Model *model = a.reply->models[row->model];
            size_t own = strcmp(row->arm, "challenger") == 0;
            float margin =
                forest_margin(bundle_forest(w.bundles[own]), w.samples[0].rows + 2 * i, scratch[own]);

            cr_assert_str_eq(row->arm, own ? "challenger" : "champion");
            cr_assert_eq(atoll(model->version), w.versions[own]);
            cr_assert_eq(model->thresholds->review, w.samples[own].parts.thresholds.review);
            cr_assert_eq(memcmp(model->bundle.data, bundle_hash(w.bundles[own]), SHA256_BYTES), 0);
            cr_assert_eq(memcmp(&margin, &row->margin, sizeof margin), 0);
            cr_assert_eq(row->score, bundle_score(w.bundles[own], margin));
            drawn[first + i] = own == 1;
            count += own;
        }
    }
    for (size_t i = 0; i < MODELS; i++)
        forest_scratch_free(scratch[i]);
    arena_release(&a.arena);
    return count;
}

static void wait_for_draw(bool drawn[CUSTOMERS], bool is_any)
{
    while ((draw(drawn) > 0) != is_any)
        ;
}

/* Once it is not what it was before; the one that the change fell into is of neither. */
static size_t draw_another(const bool before[CUSTOMERS], bool drawn[CUSTOMERS])
{
    do
        draw(drawn);
    while (memcmp(before, drawn, CUSTOMERS * sizeof *drawn) == 0);
    return draw(drawn);
}

Test(scoring, gives_a_share_of_the_customers_to_the_challenger_and_always_the_same)
{
    static bool drawn[CUSTOMERS], again[CUSTOMERS], wider[CUSTOMERS], other[CUSTOMERS];
    const double share = 0.3;
    double mean = share * CUSTOMERS, deviation = sqrt(CUSTOMERS * share * (1 - share));
    size_t count, both = 0, other_count;

    start_trial(share, 42);
    wait_for_draw(drawn, true);
    count = draw(drawn);
    /* Four standard deviations: a right draw is outside of them once in 15,000 salts, and this salt is fixed. */
    cr_assert(fabs((double)count - mean) < 4 * deviation, "%zu of %d", count, CUSTOMERS);
    cr_assert_eq(draw(again), count);
    cr_assert_eq(memcmp(drawn, again, sizeof drawn), 0, "the same customers, whenever they come");

    MUST(pg_exec_script(w.pg, "UPDATE experiments SET share = 0.6", &w.why));
    count = draw_another(drawn, wider);
    cr_assert(fabs((double)count - 0.6 * CUSTOMERS) < 4 * sqrt(CUSTOMERS * 0.6 * 0.4));
    for (size_t i = 0; i < CUSTOMERS; i++)
        cr_assert(!drawn[i] || wider[i], "who was in the arm stays there when its share grows");

    MUST(pg_exec_script(w.pg, "UPDATE experiments SET share = 0.3, salt = 43", &w.why));
    other_count = draw_another(wider, other);
    cr_assert(fabs((double)other_count - mean) < 4 * deviation);
    for (size_t i = 0; i < CUSTOMERS; i++)
        both += drawn[i] && other[i];
    /* Drawn independently: share squared of the customers are in both. */
    cr_assert(fabs((double)both - share * mean) < 4 * sqrt(CUSTOMERS * share * share * (1 - share * share)),
              "%zu customers are in both", both);
}

Test(scoring, ends_the_challengers_arm_with_the_experiment)
{
    static bool drawn[CUSTOMERS];

    start_trial(0.5, 1);
    wait_for_draw(drawn, true);
    MUST(model_move(w.pg, w.versions[1], MODEL_AB, MODEL_VALIDATED, &change, &w.why));
    wait_for_draw(drawn, false);
}

Test(scoring, has_no_challengers_arm_without_an_experiment_or_for_another_candidate)
{
    static bool drawn[CUSTOMERS];

    start_trial(1, 1);
    wait_for_draw(drawn, true);
    MUST(pg_exec_script(w.pg, "UPDATE experiments SET candidate = champion", &w.why));
    wait_for_draw(drawn, false);
    MUST(
        pg_exec_script(w.pg, "UPDATE experiments SET candidate = (SELECT max(version) FROM models)", &w.why));
    wait_for_draw(drawn, true);
    MUST(pg_exec_script(w.pg, "UPDATE experiments SET state = 'passed'", &w.why));
    wait_for_draw(drawn, false);
}

Test(scoring, makes_the_challenger_champion_between_two_requests)
{
    static bool drawn[CUSTOMERS];

    start_trial(0.5, 1);
    wait_for_draw(drawn, true);
    promote(1);
    wait_for_version(1);
    cr_assert_eq(metric_of("assay_scoring_loads_total{outcome=\"ok\"} "), 2, "it was warm as challenger");
}

Test(scoring, lets_the_champion_score_where_the_challenger_lacks_a_feature)
{
    struct bundle_sample other;
    struct asked a = { 0 };
    struct plan *plan;
    struct buf bytes;

    plan = make_plan("entities: {customer: customer_id}\n"
                     "features:\n"
                     "  - {name: amount, expr: tx.amount}\n"
                     "  - {name: customer_count_7d, count: customer, window: 7d}\n");
    bundle_sample_init(&other, 20);
    plan_free(other.plan);
    other.parts.plan = other.plan = plan;
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &other.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.versions[1], NULL, &w.why));
    start_trial(1, 1);
    while (metric_of("\nassay_scoring_fell_back_total ") < 16) {
        ask(&a, w.samples[0].plan, w.samples[0].rows, 16);
        cr_assert_eq(check_rows(&a, w.samples[0].rows, 16), 0);
    }
    put_plan(plan);
    ask(&a, plan, other.rows, 4);
    cr_assert_eq(a.err, ERR_UNAVAILABLE, "the champion has no features in that one: %s", a.why.text);
    arena_release(&a.arena);
    buf_release(&bytes);
    bundle_sample_release(&other);
}

/* ---- signatures ---- */

static struct signing_key signer;
static char keys_path[64];

/* One more is trusted. */
static void trust(const struct signing_key *key)
{
    FILE *file = fopen(keys_path, "a");
    struct buf text;

    buf_init(&text, 0);
    signing_key_format_public(&text, key);
    cr_assert(file && fputs(buf_str(&text), file) >= 0 && fclose(file) == 0);
    buf_release(&text);
}

static void setup_signed(void)
{
    char setting[96];

    prepare(test_database());
    signing_key_make(&signer);
    snprintf(keys_path, sizeof keys_path, "/tmp/assay_keys_XXXXXX");
    close(mkstemp(keys_path));
    trust(&signer);
    snprintf(setting, sizeof setting, "ASSAY_MODEL_KEYS=%s", keys_path);
    launch(w.conninfo, setting);
}

static void teardown_signed(void)
{
    teardown();
    unlink(keys_path);
}

TestSuite(scoring_signed, .init = setup_signed, .fini = teardown_signed, .timeout = 120);

Test(scoring_signed, serves_what_a_trusted_key_signed_and_nothing_else)
{
    struct asked a = { 0 };
    struct signing_key other;

    /* It is not ready with an unsigned champion; the key makes it so. */
    MUST(model_sign(w.pg, w.versions[0], &signer, SLICE("test"), &w.why));
    connect_to(&w.scoring);
    ask(&a, w.samples[0].plan, w.samples[0].rows, 4);
    cr_assert_eq(check_rows(&a, w.samples[0].rows, 4), 0);
    promote(1); /* by somebody who does not ask for signatures */
    while (metric_of("assay_scoring_loads_total{outcome=\"forbidden\"} ") < 1)
        ;
    signing_key_make(&other);
    MUST(model_sign(w.pg, w.versions[1], &other, SLICE("test"), &w.why));
    while (metric_of("assay_scoring_loads_total{outcome=\"forbidden\"} ") < 2)
        ;
    ask(&a, w.samples[0].plan, w.samples[0].rows, 4);
    cr_assert_eq(check_rows(&a, w.samples[0].rows, 4), 0);
    MUST(model_sign(w.pg, w.versions[1], &signer, SLICE("test"), &w.why));
    wait_for_version(1);
    arena_release(&a.arena);
}

Test(scoring_signed, a_key_that_is_trusted_later_makes_its_models_good)
{
    struct signing_key other;

    signing_key_make(&other);
    MUST(model_sign(w.pg, w.versions[0], &signer, SLICE("test"), &w.why));
    MUST(model_sign(w.pg, w.versions[1], &other, SLICE("test"), &w.why));
    connect_to(&w.scoring);
    wait_for_version(0);
    promote(1);
    while (metric_of("assay_scoring_loads_total{outcome=\"forbidden\"} ") < 1)
        ;
    trust(&other);
    wait_for_version(1);
}

static struct test_cluster own;

static void setup_own_cluster(void)
{
    test_cluster_start(&own);
    prepare(cluster_conninfo(own.cluster));
    start(w.conninfo);
}

static void teardown_own_cluster(void)
{
    teardown();
    test_cluster_end(&own);
}

TestSuite(scoring_alone, .init = setup_own_cluster, .fini = teardown_own_cluster, .timeout = 120);

Test(scoring_alone, goes_on_without_postgresql_and_hears_of_changes_when_it_is_back)
{
    struct asked a = { 0 };

    ask(&a, w.samples[0].plan, w.samples[0].rows, 4);
    check_rows(&a, w.samples[0].rows, 4);
    cluster_kill(own.cluster);
    for (int i = 0; i < 50; i++) {
        ask(&a, w.samples[0].plan, w.samples[0].rows, 4);
        check_rows(&a, w.samples[0].rows, 4);
    }
    ask(&a, w.reversed, (float[]){ 0, 0, 0 }, 1);
    cr_assert_eq(a.err, ERR_UNAVAILABLE, "%s", a.why.text);
    MUST(cluster_start(own.cluster, &w.why));
    pg_session_close(w.pg);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    promote(1);
    wait_for_version(1);
    arena_release(&a.arena);
}

/* ---- the Open Inference Protocol ---- */

static struct http_said get(const char *path)
{
    return http_ask(w.scoring.port, "GET", path, NULL, NULL, NULL, 0);
}

static struct http_said infer(const char *path, const char *body)
{
    return http_ask(w.scoring.port, "POST", path, NULL, NULL, body, strlen(body));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

Test(scoring, describes_itself_by_the_open_inference_protocol)
{
    char path[96];
    struct http_said said = get("/v2");

    cr_assert_eq(said.status, 200);
    cr_assert_str_eq(text(said.json, "name"), "assay");
    cr_assert(json_is_array(json_object_get(said.json, "extensions")));
    http_said_free(&said);
    said = get("/v2/health/live");
    cr_assert(said.status == 200 && json_is_true(json_object_get(said.json, "live")));
    http_said_free(&said);
    said = get("/v2/health/ready");
    cr_assert(said.status == 200 && json_is_true(json_object_get(said.json, "ready")));
    http_said_free(&said);
    said = get("/v2/models/sample");
    cr_assert_eq(said.status, 200);
    cr_assert_str_eq(text(said.json, "name"), "sample");
    cr_assert_eq(json_array_size(json_object_get(said.json, "versions")), 1);
    cr_assert_eq(json_array_size(json_object_get(said.json, "inputs")), 2);
    cr_assert_str_eq(text(json_array_get(json_object_get(said.json, "inputs"), 1), "name"),
                     "customer_count_24h");
    cr_assert_eq(json_array_size(json_object_get(said.json, "outputs")), 3);
    http_said_free(&said);
    snprintf(path, sizeof path, "/v2/models/sample/versions/%lld/ready", (long long)w.versions[0]);
    said = get(path);
    cr_assert(said.status == 200 && json_is_true(json_object_get(said.json, "ready")));
    http_said_free(&said);
    said = get("/v2/models/sample/versions/4711");
    cr_assert_eq(said.status, 404);
    cr_assert_neq(text(said.json, "error")[0], '\0');
    http_said_free(&said);
    said = get("/v2/models/other/ready");
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
}

static double output(const struct http_said *said, const char *name, size_t i)
{
    const json_t *outputs = json_object_get(said->json, "outputs");

    for (size_t o = 0; o < json_array_size(outputs); o++)
        if (strcmp(text(json_array_get(outputs, o), "name"), name) == 0)
            return json_number_value(json_array_get(json_object_get(json_array_get(outputs, o), "data"), i));
    return NAN;
}

Test(scoring, infers_the_same_from_every_form_of_tensor)
{
    static const char *const bodies[] = {
        "{\"id\":\"a\",\"inputs\":[{\"name\":\"all\",\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[3500,3,"
        "100,null]}]}",
        "{\"id\":\"a\",\"inputs\":[{\"name\":\"all\",\"shape\":[2,2],\"datatype\":\"FP64\",\"data\":[[3500,3]"
        ",[100,null]]}]}",
        "{\"id\":\"a\",\"inputs\":[{\"name\":\"customer_count_24h\",\"shape\":[2],\"datatype\":\"FP16\","
        "\"data\":[3,null]},"
        "{\"name\":\"amount\",\"shape\":[2,1],\"datatype\":\"INT64\",\"data\":[[3500],[100]]}]}",
        "{\"id\":\"a\",\"outputs\":[{\"name\":\"margin\"},{\"name\":\"score\"},{\"name\":\"contributions\","
        "\"parameters\":{\"method\":\"shapley\"}}],\"inputs\":[{\"name\":\"amount\",\"shape\":[2],"
        "\"datatype\":\"UINT16\",\"data\":[3500,100]},{\"name\":\"customer_count_24h\",\"shape\":[2],"
        "\"datatype\":"
        "\"FP32\",\"data\":[3.0,null]}]}",
    };
    const float rows[] = { 3500, 3, 100, NAN };
    const struct forest *forest = bundle_forest(w.bundles[0]);
    struct forest_scratch *scratch = forest_scratch_new(forest);
    char path[96];

    snprintf(path, sizeof path, "/v2/models/sample/versions/%lld/infer", (long long)w.versions[0]);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct http_said said = infer(i % 2 ? path : "/v2/models/sample/infer", bodies[i]);

        cr_assert_eq(said.status, 200, "%zu: %s", i, said.body);
        cr_assert_str_eq(text(said.json, "id"), "a");
        cr_assert_str_eq(text(said.json, "model_name"), "sample");
        cr_assert_eq(atoll(text(said.json, "model_version")), w.versions[0]);
        for (size_t r = 0; r < 2; r++) {
            float margin = forest_margin(forest, rows + 2 * r, scratch);

            cr_assert_eq(output(&said, "margin", r), (double)margin);
            cr_assert_eq(output(&said, "score", r), bundle_score(w.bundles[0], margin));
        }
        if (i == 3)
            cr_assert_float_eq(output(&said, "contributions", 0) + output(&said, "contributions", 1) +
                                   output(&said, "contributions", 2),
                               output(&said, "margin", 0), 1e-5);
        http_said_free(&said);
    }
    forest_scratch_free(scratch);
}

Test(scoring, answers_what_cannot_be_inferred_with_an_error)
{
    static const struct {
        int status;
        const char *body;
    } cases[] = {
        { 400, "not JSON" },
        { 400, "[]" },
        { 400, "{}" },
        { 400, "{\"inputs\":[]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2,3]}]}" },
        { 400,
          "{\"inputs\":[{\"name\":\"all\",\"shape\":[2,2],\"datatype\":\"FP32\",\"data\":[[1,2],[3]]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,\"2\"]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1e39,2]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"UINT8\",\"data\":[256,2]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"INT32\",\"data\":[1,null]}]}" },
        { 400,
          "{\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"BYTES\",\"data\":[\"a\",\"b\"]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"all\",\"shape\":[-1,2],\"datatype\":\"FP32\",\"data\":[1,2]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"amount\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"amount\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]},"
               "{\"name\":\"customer_count_24h\",\"shape\":[2],\"datatype\":\"FP32\",\"data\":[1,2]}]}" },
        { 400, "{\"inputs\":[{\"name\":\"amount\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]},"
               "{\"name\":\"amount\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]}]}" },
        { 400,
          "{\"outputs\":[{\"name\":\"other\"}],\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":"
          "\"FP32\",\"data\":[1,2]}]}" },
        { 400,
          "{\"id\":7,\"inputs\":[{\"name\":\"all\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]}]}" },
        { 413, "{\"inputs\":[{\"name\":\"all\",\"shape\":[1048576,1048576],\"datatype\":\"FP32\",\"data\":[1,"
               "2]}]}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_said said = infer("/v2/models/sample/infer", cases[i].body);

        cr_assert_eq(said.status, cases[i].status, "%s: %s", cases[i].body, said.body);
        cr_assert_neq(text(said.json, "error")[0], '\0', "%s: %s", cases[i].body, said.body);
        http_said_free(&said);
    }
}

/* ---- before there is a champion ---- */

static void setup_empty(void)
{
    char pg[512], rest[64];

    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    register_models();
    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    w.rest_port = free_port();
    snprintf(rest, sizeof rest, "ASSAY_SCORING_REST_PORT=%d", w.rest_port);
    process_launch(&w.scoring, "scoring", (const char *const[]){ pg, rest, NULL });
}

TestSuite(scoring_empty, .init = setup_empty, .fini = teardown, .timeout = 180);

Test(scoring_empty, is_live_but_not_ready_until_there_is_a_champion)
{
    int rest_port = w.rest_port;
    struct http_said said = { 0 };

    for (int64_t until = clock_mono_us() + 20 * SECOND_US; said.status == 0 && clock_mono_us() < until;)
        said = http_ask(rest_port, "GET", "/v2/health/live", NULL, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    http_said_free(&said);
    said = http_ask(rest_port, "GET", "/v2/health/ready", NULL, NULL, NULL, 0);
    cr_assert(said.status == 503 && json_is_false(json_object_get(said.json, "ready")));
    http_said_free(&said);
    said = http_ask(rest_port, "POST", "/v2/models/sample/infer", NULL, NULL, "{}", 2);
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
    said = http_ask(rest_port, "GET", "/v2/nothing", NULL, NULL, NULL, 0);
    cr_assert(said.status == 404 && text(said.json, "error")[0] != '\0');
    http_said_free(&said);
    promote(0);
    process_wait_ready(&w.scoring);
    said = http_ask(rest_port, "GET", "/v2/health/ready", NULL, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    http_said_free(&said);
}
