/* SPDX-License-Identifier: Apache-2.0
 * fallback_test.c - the score when scoring is gone: the online model as PostgreSQL has it, by the real ingestion.
 * The other parts are as small as they can be. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/parts.h"
#include "modelstore/modelstore.h"
#include "onlinestore/onlinestore.h"
#include "pg/session.h"
#include "unit/bundle/samples.h"

enum { STATES = 12, FIRST_N = 100 };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process ingestion, features, scoring, rules;
    char key[64];

    struct bundle_sample sample; /* two features: the fake features' vector fits */
    struct online_reference *reference;
    struct online_binding *binding;
    int64_t version;
    struct online *states[STATES]; /* that were written, with n = FIRST_N + place */
    size_t count;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static void put_plan(void)
{
    struct pg_params p = { 0 };
    struct why why = { 0 };

    pg_add_bytes(&p, slice_of(plan_hash(w.sample.plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(w.sample.plan));
    MUST(pg_exec(w.pg, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p, NULL, &why));
    pg_params_release(&p);
}

/* The plan, a bundle over it, and the way from vectors to entries. */
static void make_reference(void)
{
    struct why why = { 0 };
    struct buf bytes;

    bundle_sample_init(&w.sample, 7);
    put_plan();
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &w.sample.parts, &why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.version, NULL, &why));
    buf_release(&bytes);
    MUST(online_reference_read(&w.reference, w.pg, w.version, online_defaults.bits, &why));
    w.binding = online_bind(w.reference, w.sample.plan);
    cr_assert_eq(online_binding_missing(w.binding), 0);
}

/* Large amounts are frauds. */
static void teach(struct online *model, size_t rows)
{
    struct online_entry *entries = mem_new_n(struct online_entry, online_binding_entries_max(w.binding));

    for (size_t i = 0; i < rows; i++) {
        const float *row = w.sample.rows + (i % SAMPLE_BUNDLE_ROWS) * SAMPLE_BUNDLE_COLUMNS;
        size_t count = online_binding_encode(
            w.binding, slice_of((const char *)row, SAMPLE_BUNDLE_COLUMNS * sizeof *row), entries);

        online_learn(model, entries, count, row[0] > 3000, 1, (int64_t)(100 * row[0]), i);
    }
    mem_free(entries);
}

/* The next state: the one before, which has learned more. */
static void write_state(double decline)
{
    struct online_row row = { .n = FIRST_N + (int64_t)w.count,
                              .labels = 1000 * (int64_t)(w.count + 1),
                              .reference = w.version,
                              .thresholds = { 2, 2, decline } };
    struct why why = { 0 };
    struct buf packed;

    cr_assert_lt(w.count, (size_t)STATES);
    row.model = online_new(&online_defaults);
    if (w.count > 0) {
        online_free(row.model);
        buf_init(&packed, 0);
        online_pack(w.states[w.count - 1], &packed);
        MUST(online_open(&row.model, buf_slice(&packed), &why));
        buf_release(&packed);
    }
    teach(row.model, 1000);
    MUST(online_store_write(w.pg, SLICE("sample"), &row, &why));
    w.states[w.count++] = row.model;
}

static void start_ingestion(void)
{
    char pg[512], features[64], scoring[64], rules[64];

    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", w.features.port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", w.scoring.port);
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d", w.rules.port);
    process_start(&w.ingestion, "ingestion",
                  (const char *const[]){ pg, features, scoring, rules, "ASSAY_DEADLINE=5s", NULL });
}

static void setup(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "decide,read,explain", w.key);
    make_reference();
    w.features.port = free_port();
    w.scoring.port = free_port();
    w.rules.port = free_port();
    fake_start(&w.features, FAKE_FEATURES, w.features.port, w.conninfo);
    fake_start(&w.scoring, FAKE_SCORING, w.scoring.port, NULL);
    fake_start(&w.rules, FAKE_RULES, w.rules.port, NULL);
    start_ingestion();
}

static void teardown(void)
{
    process_kill(&w.features);
    process_kill(&w.scoring);
    process_kill(&w.rules);
    if (w.ingestion.pid)
        cr_expect_eq(process_stop(&w.ingestion), 0, "ingestion ends gracefully");
    for (size_t i = 0; i < w.count; i++)
        online_free(w.states[i]);
    online_binding_free(w.binding);
    online_reference_free(w.reference);
    bundle_sample_release(&w.sample);
    pg_session_close(w.pg);
}

TestSuite(fallback, .init = setup, .fini = teardown, .timeout = 120);

static bool measures(const char *line)
{
    struct http_said said = http_ask(w.ingestion.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    bool is = said.body && strstr(said.body, line);

    http_said_free(&said);
    return is;
}

static void wait_for(const char *line)
{
    for (int i = 0; i < 1000 && !measures(line); i++)
        usleep(10000);
    cr_assert(measures(line), "%s", line);
}

static void wait_for_labels(int64_t labels)
{
    char line[64];

    snprintf(line, sizeof line, "assay_ingestion_fallback_labels %" PRId64 "\n", labels);
    wait_for(line);
}

static struct http_said post(int number, int amount)
{
    char at[RFC3339_SIZE], body[512];
    int len;

    rfc3339_format(clock_wall_us(), at);
    len = snprintf(body, sizeof body,
                   "{\"transaction_id\":\"t-%d\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
                   "\"customer_id\":\"c-%d\"}",
                   number, at, amount, number);
    return http_ask(w.ingestion.port, "POST", "/v1/transactions", w.key, NULL, body, (size_t)len);
}

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? text : "";
}

/* What the kernel says of a stored vector, by the model that the decision names. */
static double score_of(struct slice version, struct slice vector)
{
    struct online_entry *entries = mem_new_n(struct online_entry, online_binding_entries_max(w.binding));
    size_t count = online_binding_encode(w.binding, vector, entries);
    int64_t n;
    double score;

    cr_assert(slice_starts_with(version, SLICE("online:")) &&
                  slice_to_i64(slice_of(version.ptr + 7, version.len - 7), &n),
              "%.*s", SLICE_ARG(version));
    cr_assert(n >= FIRST_N && n < FIRST_N + (int64_t)w.count, "%" PRId64, n);
    cr_assert_gt(count, 0);
    score = online_probability(online_margin(w.states[n - FIRST_N], entries, count));
    mem_free(entries);
    return score;
}

/* Every decision by the fallback has the kernel's score of its vector, bit for bit. Returns how many there are, and
 * of how many versions. */
static size_t check_scores(size_t *versions)
{
    bool is_seen[STATES] = { false };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    size_t count;

    *versions = 0;
    MUST(pg_exec(w.pg, "SELECT model_version, vector, score FROM decisions WHERE arm = 'fallback'", NULL, &r,
                 &why));
    count = pg_rows(r);
    for (size_t i = 0; i < count; i++) {
        struct slice version = pg_get_text(r, i, 0);
        double expected = score_of(version, pg_get_bytes(r, i, 1)), stored = pg_get_float(r, i, 2);
        int64_t n = 0;

        cr_assert(memcmp(&expected, &stored, sizeof stored) == 0, "%.*s: %.17g, not %.17g",
                  SLICE_ARG(version), stored, expected);
        cr_assert(slice_to_i64(slice_of(version.ptr + 7, version.len - 7), &n));
        *versions += !is_seen[n - FIRST_N];
        is_seen[n - FIRST_N] = true;
    }
    pg_result_free(r);
    return count;
}

static bool has_reason(const json_t *decision, const char *code)
{
    const json_t *list = json_object_get(decision, "reasons");

    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(text_at(json_array_get(list, i), "code"), code) == 0)
            return true;
    }
    return false;
}

Test(fallback, scores_when_scoring_is_gone_and_says_so)
{
    struct http_said said, again;
    size_t versions;

    write_state(0.5);
    wait_for_labels(1000);
    said = post(0, 20000);
    cr_assert_str_eq(text_at(said.json, "arm"), "champion", "%s", said.body);
    http_said_free(&said);
    process_kill(&w.scoring);
    process_kill(&w.rules); /* the policy kernel here tells reasons as the service does */
    said = post(1, 4000);
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "action"), "decline", "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "arm"), "fallback");
    cr_assert_str_eq(text_at(said.json, "model_version"), "online:100");
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(said.json, "degraded"), 0)), "scoring");
    cr_assert(has_reason(said.json, "degraded:scoring") && has_reason(said.json, "threshold:decline"), "%s",
              said.body);
    cr_assert_eq(json_number_value(json_object_get(json_object_get(said.json, "thresholds"), "decline")),
                 0.5);
    again = http_ask(w.ingestion.port, "GET", "/v1/transactions/t-1", w.key, NULL, NULL, 0);
    cr_assert_str_eq(again.body, said.body);
    http_said_free(&again);
    http_said_free(&said);
    said = post(2, 10);
    cr_assert_str_eq(text_at(said.json, "action"), "approve", "%s", said.body);
    http_said_free(&said);
    cr_assert_eq(check_scores(&versions), 2);
}

Test(fallback, decides_by_thresholds_set_from_what_it_said_before_it_learned)
{
    struct bundle_thresholds set;
    struct http_said said;
    struct pg_params p = { 0 };
    struct why why = { 0 };

    write_state(2);
    set = online_thresholds(w.reference, w.states[0]);
    cr_assert(set.decline > 0 && set.decline < 1, "%f", set.decline);
    pg_add_f64(&p, set.challenge);
    pg_add_f64(&p, set.review);
    pg_add_f64(&p, set.decline);
    MUST(pg_exec(w.pg,
                 "UPDATE online_models SET challenge = $1::float8, review = $2::float8, decline = $3::float8",
                 &p, NULL, &why));
    pg_params_release(&p);
    wait_for_labels(1000);
    process_kill(&w.scoring);
    said = post(1, 4500);
    cr_assert_str_eq(text_at(said.json, "arm"), "fallback", "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "action"), "decline", "%s", said.body);
    cr_assert_eq(json_number_value(json_object_get(json_object_get(said.json, "thresholds"), "decline")),
                 set.decline);
    http_said_free(&said);
    said = post(2, 10);
    cr_assert_str_eq(text_at(said.json, "arm"), "fallback", "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "action"), "approve", "%s", said.body);
    http_said_free(&said);
}

struct traffic {
    pthread_t thread;
    atomic_bool is_over;
    int sent, refused;
};

static void *send_traffic(void *arg)
{
    struct traffic *t = arg;

    while (!atomic_load(&t->is_over)) {
        struct http_said said = post(t->sent, 37 * t->sent % 5000);

        t->refused += said.status != 200 || strcmp(text_at(said.json, "arm"), "fallback") != 0;
        t->sent++;
        http_said_free(&said);
    }
    return NULL;
}

Test(fallback, takes_newer_weights_while_traffic_flows)
{
    struct traffic t = { .refused = 0 };
    size_t versions;

    write_state(0.5);
    wait_for_labels(1000);
    process_kill(&w.scoring);
    cr_assert_eq(pthread_create(&t.thread, NULL, send_traffic, &t), 0);
    for (int i = 1; i < 6; i++) {
        write_state(0.5);
        wait_for_labels(1000 * (i + 1));
    }
    atomic_store(&t.is_over, true);
    pthread_join(t.thread, NULL);
    cr_assert_eq(t.refused, 0, "%d of %d", t.refused, t.sent);
    cr_assert_eq(check_scores(&versions), (size_t)t.sent);
    cr_assert_geq(versions, 5);
}

/* `count` answers had that outcome by then. */
static void expect_no_score(int number, int count, const char *outcome)
{
    struct http_said said = post(number, 4000);
    char line[128];

    cr_expect_eq(said.status, 200, "%s", said.body);
    cr_expect(json_is_null(json_object_get(said.json, "score")), "%s", said.body);
    cr_expect_str_eq(text_at(said.json, "arm"), "", "%s", said.body);
    http_said_free(&said);
    snprintf(line, sizeof line, "assay_ingestion_fallback_total{outcome=\"%s\"} %d\n", outcome, count);
    cr_expect(measures(line), "%s", line);
}

Test(fallback, leaves_it_to_the_rules_without_a_model_that_may_decide)
{
    process_kill(&w.scoring);
    expect_no_score(1, 1, "no_model");
    write_state(2);
    wait_for_labels(1000);
    expect_no_score(2, 2, "no_model");
    write_state(0.5);
    wait_for_labels(2000);
    process_kill(&w.features);
    expect_no_score(3, 1, "no_vector");
}

Test(fallback, keeps_the_last_good_weights_and_lets_go_of_those_that_were_removed)
{
    struct http_said said;

    process_kill(&w.scoring);
    write_state(0.5);
    wait_for_labels(1000);
    database_run(w.pg, "UPDATE online_models SET n = n + 1, state = 'not a model'");
    sleep(2); /* two looks */
    said = post(1, 4000);
    cr_assert_str_eq(text_at(said.json, "model_version"), "online:100", "%s", said.body);
    http_said_free(&said);
    write_state(0.5);
    wait_for_labels(2000);
    database_run(w.pg, "DELETE FROM online_models");
    wait_for_labels(0);
    expect_no_score(2, 1, "no_model");
}

Test(fallback, follows_to_another_plan)
{
    struct http_said said;

    process_kill(&w.scoring);
    database_run(w.pg, "DELETE FROM plans");
    write_state(0.5);
    wait_for_labels(1000);
    expect_no_score(1, 1, "no_plan");
    put_plan();
    for (int i = 0; i < 1000; i++) {
        bool is_scored;

        said = post(2 + i, 4000);
        is_scored = strcmp(text_at(said.json, "arm"), "fallback") == 0;
        http_said_free(&said);
        if (is_scored)
            return;
        usleep(10000);
    }
    cr_assert_fail("the plan was never taken up");
}
