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
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
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

static void sql(const char *text)
{
    MUST(pg_exec_script(w.pg, text, &w.why));
}

static int64_t sql_int(const char *text)
{
    struct pg_result *r = NULL;
    int64_t value;

    MUST(pg_exec(w.pg, text, NULL, &r, &w.why));
    value = pg_rows(r) ? pg_get_int(r, 0, 0) : -1;
    pg_result_free(r);
    return value;
}

static void wait_until(const char *question, int64_t wanted)
{
    for (int i = 0; i < 3000 && sql_int(question) != wanted; i++)
        usleep(10000);
    cr_assert_eq(sql_int(question), wanted, "%s: %lld", question, (long long)sql_int(question));
}

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
    sql(text);
    snprintf(w.cookie, sizeof w.cookie, "Cookie: assay_session=%s", token);
    snprintf(text, sizeof text, "csrf:%s", token);
    sha256_hex(slice_str(text), hex);
    snprintf(w.csrf, sizeof w.csrf, "X-CSRF-Token: %s", hex);
}

static void start_dashboard(void)
{
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_CASES=approve",
                                         "ASSAY_DASHBOARD_TURN=20ms", NULL });
    wait_until("SELECT count(*) FROM review_cases", (int64_t)w.past.transactions);
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
    int64_t labelled = sql_int("SELECT count(DISTINCT transaction_id) FROM labels");
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
        cr_assert_str_eq(text(each, "outcome"),
                         ((const char *const[]){ "legit", "fraud", "unknown" })[sql_int(question)]);
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

    sql("INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) SELECT "
        "account, transaction_id, 1, known_at, false, known_at, 1000000 + n FROM decisions d WHERE n % 3 = 0 "
        "AND NOT EXISTS (SELECT FROM labels l WHERE l.transaction_id = d.transaction_id)");
    start_dashboard();
    number_of_case = sql_int("SELECT \"case\" FROM review_cases ORDER BY n OFFSET 20 LIMIT 1");
    n = sql_int("SELECT n FROM review_cases ORDER BY n OFFSET 20 LIMIT 1");
    snprintf(path, sizeof path, "/v1/cases/%lld/similar", (long long)number_of_case);
    first = promote(5);
    check_similar(first, path, n, true);
    second = promote(77);
    check_similar(second, path, n, true);
    sql("INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) SELECT "
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
    sql("UPDATE decisions SET plan = '', vector = '' WHERE n = (SELECT n FROM review_cases WHERE \"case\" = "
        "1)");
    found = get("/v1/cases/1/similar", 200);
    cr_assert_str_eq(text(found, "trouble"), "it was decided without features");
    json_decref(found);
}
