/* SPDX-License-Identifier: Apache-2.0
 * dashboard_evidence_test.c - what a case is compared with: the real program, real PostgreSQL, a made-up past. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "unit/bundle/samples.h"
#include "userstore/user.h"

/* What the sample's model reads, in another order, and more. */
#define CATALOGUE                                                                                            \
    "entities: {customer: customer_id, merchant: merchant_id}\n"                                             \
    "features:\n"                                                                                            \
    "  - {name: merchant_count_1h, count: merchant, window: 1h}\n"                                           \
    "  - {name: customer_count_24h, count: customer, window: 24h}\n"                                         \
    "  - {name: amount, expr: tx.amount}\n"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct history past;
    struct process dashboard;
    char pg_url[512], cookie[128], csrf[96];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void log_in(void)
{
    struct user user = { .name = SLICE("ann"), .roles = SLICE("analyst") };
    char token[SHA256_HEX_SIZE], hex[SHA256_HEX_SIZE], text[512];

    MUST(user_add(w.pg, &user, SLICE("correct horse battery"), SLICE("test"), &w.why));
    sha256_hex(SLICE("ann"), token);
    sha256_hex(slice_str(token), hex);
    snprintf(text, sizeof text,
             "INSERT INTO sessions (token_sha256, name, address, expires_at) VALUES ('\\x%s', 'ann', 'test', "
             "now() + interval '1 hour')",
             hex);
    database_run(w.pg, text);
    snprintf(w.cookie, sizeof w.cookie, "Cookie: assay_session=%s", token);
    snprintf(text, sizeof text, "csrf:%s", token);
    sha256_hex(slice_str(text), hex);
    snprintf(w.csrf, sizeof w.csrf, "X-CSRF-Token: %s", hex);
}

static void start_dashboard(void)
{
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_CASES=approve",
                                         "ASSAY_DASHBOARD_TURN=20ms", "ASSAY_DASHBOARD_KEEP=0",
                                         "ASSAY_DASHBOARD_KEEP_MINUTES=0", NULL });
    database_wait(w.pg, "SELECT count(*) FROM review_cases", (int64_t)w.past.transactions, NULL);
}

static void start(void)
{
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    history_open(&w.past, w.pg, CATALOGUE, 30);
    history_live_until(&w.past, HISTORY_START + 6 * DAY_US);
    log_in();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
}

static void stop(void)
{
    if (w.dashboard.pid)
        cr_assert_eq(process_stop(&w.dashboard), 0);
    history_close(&w.past);
    pg_session_close(w.pg);
}

TestSuite(dashboard_evidence, .init = start, .fini = stop, .timeout = 300);

/* The answer, the caller's; it must have that status. */
static json_t *get(const char *path, int status)
{
    const char *const headers[] = { w.cookie, NULL };
    struct http_said said = http_ask(w.dashboard.port, "GET", path, NULL, headers, NULL, 0);
    json_t *json = json_incref(said.json);

    cr_assert_eq(said.status, status, "%s: %d %s", path, said.status, said.body);
    http_said_free(&said);
    return json;
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* ---- similar cases ---- */

static int64_t promote(uint32_t seed)
{
    struct model_change change = { .actor = SLICE("test") };
    struct bundle_sample sample;
    int64_t version;
    struct buf bytes;

    bundle_sample_init(&sample, seed);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &version, NULL, &w.why));
    MUST(model_promote(w.pg, version, MODEL_ANY, &change, &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
    return version;
}

/* Asks until the index of that model is whole. */
static json_t *similar_by(int64_t version, int64_t labelled, const char *path)
{
    char wanted[32];

    snprintf(wanted, sizeof wanted, "%lld", (long long)version);
    for (int i = 0; i < 3000; i++) {
        json_t *found = get(path, 200);
        const char *by = text(found, "model_version");

        if (by && strcmp(by, wanted) == 0 && json_is_true(json_object_get(found, "is_whole")) &&
            number(found, "labelled") == labelled)
            return found;
        json_decref(found);
        usleep(20000);
    }
    cr_assert_fail("no index of model %s with %lld labelled decisions", wanted, (long long)labelled);
    return NULL;
}

static int downwards(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* Proximities of the payments of that kind to one, by going over all of them, the largest first. */
static size_t by_force(int64_t version, int64_t n, const char *which, double *proximities, size_t most)
{
    static const size_t from[] = { 2, 1 }; /* of the sample's features in the vector that was served */
    struct bundle *bundle;
    struct forest_leaves *leaves;
    struct forest_scratch *scratch;
    struct pg_result *r = NULL;
    uint16_t *found;
    char question[512];
    size_t trees, own = SIZE_MAX, count = 0;
    struct buf bytes;

    buf_init(&bytes, BUNDLE_BYTES_MAX);
    MUST(model_read(w.pg, version, NULL, &bytes, &w.why));
    MUST(bundle_open(&bundle, buf_slice(&bytes), &w.why));
    MUST(forest_leaves_new(&leaves, bundle_forest(bundle), &w.why));
    scratch = forest_scratch_new(bundle_forest(bundle));
    trees = forest_trees(bundle_forest(bundle));
    snprintf(question, sizeof question,
             "SELECT n, vector FROM decisions d WHERE n = %lld OR %s EXISTS (SELECT FROM labels l WHERE "
             "l.transaction_id = d.transaction_id)",
             (long long)n, which);
    MUST(pg_exec(w.pg, question, NULL, &r, &w.why));
    found = mem_new_n(uint16_t, pg_rows(r) * trees);
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct slice vector = pg_get_bytes(r, i, 1);
        float row[ARRAY_LEN(from)];

        for (size_t k = 0; k < ARRAY_LEN(from); k++)
            memcpy(&row[k], vector.ptr + sizeof(float) * from[k], sizeof(float));
        forest_leaves_find(leaves, row, found + i * trees, scratch);
        if (pg_get_int(r, i, 0) == n)
            own = i;
    }
    cr_assert_neq(own, SIZE_MAX);
    for (size_t i = 0; i < pg_rows(r); i++) {
        size_t matches = 0;

        for (size_t t = 0; t < trees; t++)
            matches += found[i * trees + t] == found[own * trees + t];
        if (i != own && matches && count < most)
            proximities[count++] = (double)matches / (double)trees;
    }
    qsort(proximities, count, sizeof *proximities, downwards);
    mem_free(found);
    pg_result_free(r);
    forest_scratch_free(scratch);
    forest_leaves_free(leaves);
    bundle_close(bundle);
    buf_release(&bytes);
    return count;
}

static void check_similar(int64_t version, const char *path, int64_t n, bool is_fresh)
{
    static double wanted[100000];
    int64_t labelled = database_int(w.pg, "SELECT count(DISTINCT transaction_id) FROM labels");
    json_t *found = similar_by(version, labelled, path), *each, *list = json_object_get(found, "similar");
    size_t i, k, total;

    cr_assert(json_is_null(json_object_get(found, "trouble")));
    cr_assert(json_is_true(json_object_get(found, "is_exact")));
    if (is_fresh)
        cr_assert_eq(number(found, "sampled"), (int64_t)w.past.transactions - labelled);
    for (int is_known = 0; is_known < 2; is_known++) {
        size_t most = is_known ? 12 : 8;

        total = by_force(version, n, is_known ? "" : "NOT", wanted, ARRAY_LEN(wanted));
        cr_assert_gt(total, most);
        k = 0;
        json_array_foreach(list, i, each)
        {
            if ((strcmp(text(each, "outcome"), "unknown") != 0) != is_known)
                continue;
            cr_assert_float_eq(json_number_value(json_object_get(each, "proximity")), wanted[k], 1e-9);
            k++;
        }
        cr_assert_eq(k, most);
    }
    json_array_foreach(list, i, each)
    {
        char question[256];

        snprintf(question, sizeof question,
                 "SELECT coalesce((SELECT is_fraud::int FROM labels WHERE transaction_id = '%s' ORDER BY "
                 "source DESC LIMIT 1), 2)",
                 text(each, "transaction_id"));
        cr_assert_str_eq(
            text(each, "outcome"),
            ((const char *const[]){ "legit", "fraud", "unknown" })[database_int(w.pg, question)]);
    }
    each = json_object_get(found, "nearest");
    cr_assert_eq(number(each, "count"), 50);
    cr_assert_eq(number(each, "fraud") + number(each, "legit") + number(each, "unknown"), 50);
    json_decref(found);
}

Test(dashboard_evidence, similar_cases_are_those_that_share_the_most_leaves_with_what_became_of_them)
{
    int64_t first, second, number_of_case, n;
    char path[64];

    database_run(
        w.pg,
        "INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) SELECT "
        "account, transaction_id, 1, known_at, false, known_at, 1000000 + n FROM decisions d WHERE n % 3 = 0 "
        "AND NOT EXISTS (SELECT FROM labels l WHERE l.transaction_id = d.transaction_id)");
    start_dashboard();
    number_of_case = database_int(w.pg, "SELECT \"case\" FROM review_cases ORDER BY n OFFSET 20 LIMIT 1");
    n = database_int(w.pg, "SELECT n FROM review_cases ORDER BY n OFFSET 20 LIMIT 1");
    snprintf(path, sizeof path, "/v1/cases/%lld/similar", (long long)number_of_case);
    first = promote(5);
    check_similar(first, path, n, true);
    second = promote(77);
    check_similar(second, path, n, true);
    database_run(
        w.pg,
        "INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) SELECT "
        "account, transaction_id, 3, known_at, true, known_at, 2000000 + n FROM decisions WHERE n % 30 = 0");
    check_similar(second, path, n, false);
    json_decref(get("/v1/cases/999999/similar", 404));
    json_decref(get("/v1/cases/x/similar", 404));
}

Test(dashboard_evidence, without_a_model_or_a_vector_the_answer_says_why_nothing_is_compared)
{
    json_t *found;

    start_dashboard();
    found = get("/v1/cases/1/similar", 200);
    cr_assert_str_eq(text(found, "trouble"), "no model is ready");
    cr_assert_eq(json_array_size(json_object_get(found, "similar")), 0);
    json_decref(found);
    database_run(
        w.pg,
        "UPDATE decisions SET plan = '', vector = '' WHERE n = (SELECT n FROM review_cases WHERE \"case\" = "
        "1)");
    found = get("/v1/cases/1/similar", 200);
    cr_assert_str_eq(text(found, "trouble"), "it was decided without features");
    json_decref(found);
}

/* ---- the graph ---- */

/* Payments straight into the table, each `n` with a transaction "t<n>". */
static void pay(int n, const char *card, const char *customer, const char *device, const char *merchant)
{
    char text[1024];

    snprintf(
        text, sizeof text,
        "INSERT INTO payments (account, transaction_id, known_at, n, occurred_at, decided_at, amount_minor, "
        "currency, amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, ip, "
        "country, channel) VALUES (1, 't%d', now(), %d, timestamptz '2020-02-01' + %d * interval '1 s', "
        "now(), 100, 'EUR', 100, 0, 0.1, '%s', '%s', '%s', '%s', '', 'DE', '')",
        n, 5000000 + n, n, customer, card, merchant, device);
    database_run(w.pg, text);
}

static int64_t make_case(int n, const char *card, const char *customer, const char *device,
                         const char *merchant)
{
    char text[1024];

    pay(n, card, customer, device, merchant);
    snprintf(
        text, sizeof text,
        "INSERT INTO review_cases (account, transaction_id, known_at, n, due_at, action, expected_loss, "
        "amount_minor, currency, amount_base_minor, occurred_at, customer_id, card_id, merchant_id, "
        "device_id, ip, country, channel, rules) SELECT account, transaction_id, known_at, n, now(), 2, 7, "
        "100, 'EUR', 100, occurred_at, customer_id, card_id, merchant_id, device_id, ip, country, channel, "
        "'{}' FROM payments WHERE n = %d RETURNING \"case\"",
        5000000 + n);
    return database_int(w.pg, text);
}

static const json_t *node_of(const json_t *graph, const char *value)
{
    json_t *each;
    size_t i;

    json_array_foreach(json_object_get(graph, "nodes"), i,
                       each) if (strcmp(text(each, "value"), value) == 0) return each;
    return NULL;
}

static int64_t payments_between(const json_t *graph, const char *a, const char *b)
{
    int64_t from = number(node_of(graph, a), "node"), to = number(node_of(graph, b), "node");
    json_t *each;
    size_t i;

    json_array_foreach(
        json_object_get(graph, "edges"), i,
        each) if ((number(each, "from") == from && number(each, "to") == to) ||
                  (number(each, "from") == to && number(each, "to") == from)) return number(each, "payments");
    return 0;
}

Test(dashboard_evidence, a_graph_goes_two_hops_counts_hubs_and_says_what_it_left_out)
{
    json_t *graph, *each;
    char path[64];
    int64_t id;
    size_t i;

    start_dashboard();
    id = make_case(1, "c1", "u1", "d1", "shop");
    pay(2, "c2", "u2", "d1", "shop");      /* the same device: hop 1 */
    pay(3, "c2", "u2", "d2", "shop");      /* its card on another device: hop 2 */
    pay(4, "c3", "u3", "d2", "shop");      /* that device with another card: too far */
    pay(5, "c1", "u1", "d1", "elsewhere"); /* the card itself at another merchant: hop 1, and not followed */
    pay(6, "c4", "u4", "d4", "elsewhere");
    for (int n = 0; n < 120; n++) {
        char card[16], customer[16];

        snprintf(card, sizeof card, "k%d", n);
        snprintf(customer, sizeof customer, "v%d", n);
        pay(100 + n, card, customer, "", "shop");
    }
    database_run(
        w.pg,
        "INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) VALUES (1, "
        "'t2', 3, now(), true, now(), 9000000)");
    snprintf(path, sizeof path, "/v1/cases/%lld/graph", (long long)id);
    graph = get(path, 200);
    cr_assert_eq(number(node_of(graph, "c1"), "hop"), 0);
    cr_assert_eq(number(node_of(graph, "c2"), "hop"), 1);
    cr_assert_eq(number(node_of(graph, "d2"), "hop"), 2);
    cr_assert_null(node_of(graph, "c3"));
    cr_assert_null(node_of(graph, "c4"), "a merchant that was come to is not followed");
    cr_assert_null(node_of(graph, "k7"), "nor is a hub");
    cr_assert(json_is_true(json_object_get(node_of(graph, "shop"), "is_hub")));
    cr_assert_eq(number(node_of(graph, "shop"), "counted_payments"), 124);
    cr_assert_eq(number(node_of(graph, "shop"), "counted_customers"), 123);
    cr_assert_eq(number(node_of(graph, "c2"), "frauds"), 1);
    cr_assert_eq(payments_between(graph, "d1", "c2"), 1);
    cr_assert_eq(payments_between(graph, "c1", "elsewhere"), 1);
    cr_assert_eq(payments_between(graph, "c1", "d1"), 2);
    cr_assert_eq(number(graph, "nodes_left_out"), 0);
    json_array_foreach(json_object_get(graph, "payments"), i, each)
        cr_assert_str_neq(text(json_object_get(each, "payment"), "transaction_id"), "t1");
    cr_assert_eq(i, 3, "t2, t3, t5");
    json_decref(graph);
    for (int n = 0; n < 90; n++) {
        char card[16];

        snprintf(card, sizeof card, "w%d", n);
        pay(400 + n, card, "u1", "", "");
    }
    graph = get(path, 200);
    cr_assert(json_is_true(json_object_get(node_of(graph, "u1"), "is_cut")));
    cr_assert_eq(number(node_of(graph, "u1"), "counted_payments"), 92);
    cr_assert_leq(json_array_size(json_object_get(graph, "nodes")), 64);
    json_decref(graph);
    json_decref(get("/v1/cases/999999/graph", 404));
}

/* ---- places, and what was decided in shadow ---- */

static void set_place(int64_t n, double lat, double lon)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct arena arena = { 0 };
    struct txn txn;
    char question[128];

    snprintf(question, sizeof question, "SELECT body FROM log WHERE n = %lld", (long long)n);
    MUST(pg_exec(w.pg, question, NULL, &r, &w.why));
    MUST(txn_unpack(&txn, pg_get_bytes(r, 0, 0), &arena, &w.why));
    txn.has_place = true;
    txn.lat = lat;
    txn.lon = lon;
    pg_add_i64(&p, n);
    pg_add_bytes(&p, txn_pack(&txn, &arena));
    MUST(pg_exec(w.pg, "UPDATE log SET body = $2::bytea WHERE n = $1::int8", &p, NULL, &w.why));
    pg_params_release(&p);
    pg_result_free(r);
    arena_release(&arena);
}

Test(dashboard_evidence, places_tell_how_far_and_how_fast_it_was_from_the_payment_before)
{
    json_t *found, *last;
    char path[64], question[512];
    int64_t id, n, before;

    start_dashboard();
    id = database_int(
        w.pg,
        "SELECT c.\"case\" FROM review_cases c WHERE c.card_id <> '' AND EXISTS (SELECT FROM payments p "
        "WHERE p.card_id = c.card_id AND p.occurred_at < c.occurred_at) ORDER BY c.n DESC LIMIT 1");
    snprintf(path, sizeof path, "/v1/cases/%lld/places", (long long)id);
    snprintf(question, sizeof question, "SELECT n FROM review_cases WHERE \"case\" = %lld", (long long)id);
    n = database_int(w.pg, question);
    snprintf(question, sizeof question,
             "SELECT p.n FROM review_cases c JOIN payments p USING (card_id) WHERE c.\"case\" = %lld AND "
             "p.occurred_at < c.occurred_at ORDER BY p.occurred_at DESC LIMIT 1",
             (long long)id);
    before = database_int(w.pg, question);
    set_place(n, 48.8566, 2.3522);       /* Paris */
    set_place(before, 51.5074, -0.1278); /* London: 343.6 km away by the haversine formula */
    found = get(path, 200);
    last = json_object_get(found, "last");
    cr_assert_geq(json_array_size(json_object_get(found, "places")), 2);
    cr_assert_float_eq(json_number_value(json_object_get(last, "km")), 343.56, 0.05);
    snprintf(
        question, sizeof question,
        "SELECT (extract(epoch FROM a.occurred_at - b.occurred_at) * 1000)::int8 FROM payments a, payments b "
        "WHERE a.n = %lld AND b.n = %lld",
        (long long)n, (long long)before);
    cr_assert_float_eq(json_number_value(json_object_get(last, "seconds")),
                       (double)database_int(w.pg, question) / 1000, 0.001);
    cr_assert_float_eq(json_number_value(json_object_get(last, "km_per_h")) *
                           json_number_value(json_object_get(last, "seconds")) / 3600,
                       json_number_value(json_object_get(last, "km")), 1e-6);
    json_decref(found);
    json_decref(get("/v1/cases/999999/places", 404));
}

Test(dashboard_evidence, the_timeline_tells_what_rules_and_models_in_shadow_would_have_done)
{
    Assay__V1__DecisionRecord record = ASSAY__V1__DECISION_RECORD__INIT;
    Assay__V1__ShadowOutcome shadow = ASSAY__V1__SHADOW_OUTCOME__INIT;
    unsigned char packed[256];
    struct pg_params p = { 0 };
    json_t *file, *each;
    size_t i, found = 0;

    start_dashboard();
    shadow.ruleset_version = (char *)"5";
    shadow.action = ASSAY__V1__ACTION__DECLINE;
    record.shadow = &shadow;
    pg_add_bytes(&p, slice_of((const char *)packed, assay__v1__decision_record__pack(&record, packed)));
    MUST(pg_exec(
        w.pg,
        "UPDATE decisions SET record = $1::bytea WHERE n = (SELECT n FROM review_cases WHERE \"case\" "
        "= 1)",
        &p, NULL, &w.why));
    pg_params_release(&p);
    file = get("/v1/cases/1", 200);
    json_array_foreach(json_object_get(file, "timeline"), i, each)
    {
        if (strcmp(text(each, "kind"), "shadow") != 0)
            continue;
        found++;
        cr_assert_str_eq(text(each, "actor"), "rules 5");
        cr_assert_str_eq(text(each, "text"), "decline");
    }
    cr_assert_eq(found, 1);
    json_decref(file);
}
