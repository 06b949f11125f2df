/* SPDX-License-Identifier: Apache-2.0
 * ingestion_test.c - the public API as its callers see it: the real program and PostgreSQL, the other parts
 * as small as they can be, so that each can answer as it should or be taken away. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/faulty.h"
#include "harness/http.h"
#include "harness/parts.h"
#include "pg/cluster.h"
#include "pg/session.h"

/* ---- the world of a test ---- */

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process ingestion, features, scoring, rules;
    int features_port, scoring_port, rules_port;
    char key[64]; /* every scope */
} w;

static void make_key(char key[64], int account, const char *scopes, int rate, int burst)
{
    char text[256];

    database_run(w.pg, "BEGIN"); /* it is read as soon as it is there */
    database_key(w.pg, account, scopes, key);
    snprintf(text, sizeof text, "UPDATE api_keys SET rate_per_s = %d, burst = %d WHERE prefix = '%.8s'", rate,
             burst, key + strlen("ak_"));
    database_run(w.pg, text);
    database_run(w.pg, "COMMIT");
}

static void start_ingestion(const char *const *more)
{
    char pg[512], features[64], scoring[64], rules[64];
    const char *settings[16] = { pg, features, scoring, rules };
    size_t n = 4;

    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", w.features_port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", w.scoring_port);
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d", w.rules_port);
    settings[n++] = "ASSAY_DEADLINE=5s"; /* a busy machine is no failure */
    settings[n++] = "ASSAY_FX_RATES=USD=1,EUR=1.08";
    for (; more && *more; more++)
        settings[n++] = *more;
    settings[n] = NULL;
    process_start(&w.ingestion, "ingestion", settings);
}

static void open_world(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    database_run(w.pg,
                 "INSERT INTO accounts (name, clock) VALUES ('shop', 'live'), ('other', 'live'), ('past', "
                 "'simulated')");
    make_key(w.key, 1, "decide,read,explain,label:customer,label:analyst,label:issuer,label:chargeback", 0,
             0);
    w.features_port = free_port();
    w.scoring_port = free_port();
    w.rules_port = free_port();
    fake_start(&w.features, FAKE_FEATURES, w.features_port, w.conninfo);
    fake_start(&w.scoring, FAKE_SCORING, w.scoring_port, NULL);
    fake_start(&w.rules, FAKE_RULES, w.rules_port, NULL);
}

static void setup(void)
{
    open_world();
    start_ingestion(NULL);
}

static void teardown(void)
{
    process_kill(&w.features);
    process_kill(&w.scoring);
    process_kill(&w.rules);
    if (w.ingestion.pid)
        cr_expect_eq(process_stop(&w.ingestion), 0, "ingestion ends gracefully");
    pg_session_close(w.pg);
}

TestSuite(ingestion, .init = setup, .fini = teardown, .timeout = 120);

/* ---- asking ---- */

static struct http_said ask(const char *method, const char *path, const char *key, const char *body)
{
    return http_ask(w.ingestion.port, method, path, key, NULL, body, body ? strlen(body) : 0);
}

static const char *now_text(void)
{
    static _Thread_local char text[RFC3339_SIZE];

    rfc3339_format(clock_wall_us(), text);
    return text;
}

static const char *txn(const char *id, int amount)
{
    static _Thread_local char text[512];
    static _Thread_local char at[RFC3339_SIZE];

    if (!at[0])
        rfc3339_format(clock_wall_us(), at);
    snprintf(text, sizeof text,
             "{\"transaction_id\":\"%s\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
             "\"customer_id\":\"c-1\"}",
             id, at, amount);
    return text;
}

static struct http_said post(const char *body)
{
    return ask("POST", "/v1/transactions", w.key, body);
}

static int post_status(const char *body)
{
    struct http_said said = post(body);
    int status = said.status;

    http_said_free(&said);
    return status;
}

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? text : "";
}

static bool is_degraded(const json_t *decision, const char *part)
{
    const json_t *list = json_object_get(decision, "degraded");

    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(json_string_value(json_array_get(list, i)), part) == 0)
            return true;
    }
    return false;
}

/* ---- deciding ---- */

Test(ingestion, decides_and_stores_what_it_answers)
{
    struct http_said said = post(txn("t-1", 20000)), again;

    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "transaction_id"), "t-1");
    cr_assert_str_eq(text_at(said.json, "action"), "decline");
    cr_assert_str_eq(text_at(said.json, "model_version"), "7");
    cr_assert_str_eq(text_at(said.json, "ruleset_version"), "3");
    cr_assert_str_eq(text_at(said.json, "arm"), "champion");
    cr_assert_eq(json_real_value(json_object_get(said.json, "score")), 0.9);
    cr_assert_eq(json_number_value(json_object_get(said.json, "p_allow")), 0);
    cr_assert_eq(json_array_size(json_object_get(said.json, "degraded")), 0);
    cr_assert_eq(json_array_size(json_object_get(said.json, "reasons")), 2);
    cr_assert_eq(json_array_size(json_object_get(said.json, "contributions")), 1);
    cr_assert_str_eq(http_said_header(&said, "content-type"), "application/json");
    cr_assert_eq(
        database_int(
            w.pg,
            "SELECT count(*) FROM decisions WHERE account = 1 AND transaction_id = 't-1' AND action = 3 "
            "AND score = 0.9 AND length(vector) = 8 AND n = 1"),
        1);
    again = ask("GET", "/v1/transactions/t-1", w.key, NULL);
    cr_assert_eq(again.status, 200);
    cr_assert_str_eq(again.body, said.body);
    http_said_free(&again);
    http_said_free(&said);
}

/* The challenger answers for this amount. */
Test(ingestion, says_and_keeps_which_arm_and_version_scored)
{
    struct http_said said = post(txn("t", 4500)), again;

    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "arm"), "challenger");
    cr_assert_str_eq(text_at(said.json, "model_version"), "8");
    again = ask("GET", "/v1/transactions/t", w.key, NULL);
    cr_assert_str_eq(again.body, said.body);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM decisions WHERE arm = 'challenger' AND model_version = '8'"),
        1);
    http_said_free(&said);
    http_said_free(&again);
    said = post(txn("u", 45));
    cr_assert_str_eq(text_at(said.json, "arm"), "champion");
    cr_assert_str_eq(text_at(said.json, "model_version"), "7");
    http_said_free(&said);
}

Test(ingestion, answers_a_repeated_request_with_the_stored_decision)
{
    struct http_said first = post(txn("t", 20000)), second = post(txn("t", 20000)), other;

    cr_assert_eq(second.status, 200);
    cr_assert_str_eq(first.body, second.body);
    other = post(txn("t", 20001));
    cr_assert_eq(other.status, 409);
    cr_assert_str_eq(http_said_header(&other, "content-type"), "application/problem+json");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 1);
    http_said_free(&first);
    http_said_free(&second);
    http_said_free(&other);
}

struct racer {
    pthread_t thread;
    int port;
    char body[512];
    struct http_said said;
};

static void *race(void *arg)
{
    struct racer *r = arg;

    r->said = http_ask(r->port, "POST", "/v1/transactions", w.key, NULL, r->body, strlen(r->body));
    return NULL;
}

/* 32 requests for one id, half of each of two bodies, to these two ports in turn. */
static void check_race(const int ports[2])
{
    struct racer racers[32];
    const char *decision = NULL;
    int decided = 0;

    for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
        racers[i].port = ports[i / 2 % 2];
        strcpy(racers[i].body, txn("same", i % 2 ? 100 : 200));
        cr_assert_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(racers); i++)
        pthread_join(racers[i].thread, NULL);
    for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
        struct racer *r = &racers[i];

        if (r->said.status == 200) {
            decided++;
            cr_assert(!decision || strcmp(decision, r->said.body) == 0, "%s\n%s", decision, r->said.body);
            decision = r->said.body;
        } else {
            cr_assert_eq(r->said.status, 409, "%d %s", r->said.status, r->said.body);
        }
    }
    cr_assert_eq(decided, 16);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 1);
    for (size_t i = 0; i < ARRAY_LEN(racers); i++)
        http_said_free(&racers[i].said);
}

Test(ingestion, makes_one_decision_of_many_requests_at_once)
{
    check_race((int[]){ w.ingestion.port, w.ingestion.port });
}

Test(ingestion, makes_one_decision_whichever_process_is_asked)
{
    struct process first = w.ingestion;

    start_ingestion(NULL);
    check_race((int[]){ first.port, w.ingestion.port });
    cr_assert_eq(process_stop(&first), 0);
}

Test(ingestion, finishes_what_is_under_way_before_it_ends)
{
    struct racer r = { .port = w.ingestion.port };

    kill(w.features.pid, SIGSTOP);
    strcpy(r.body, txn("last", 20000));
    cr_assert_eq(pthread_create(&r.thread, NULL, race, &r), 0);
    usleep(200000);
    kill(w.ingestion.pid, SIGTERM);
    usleep(100000);
    kill(w.features.pid, SIGCONT);
    cr_assert_eq(process_wait(&w.ingestion), 0);
    pthread_join(r.thread, NULL);
    cr_assert_eq(r.said.status, 200, "%d %s", r.said.status, r.said.body);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 1);
    http_said_free(&r.said);
}

/* Whether a line of /metrics is that one. */
static bool measures(const char *line)
{
    struct http_said said = http_ask(w.ingestion.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    bool is = said.body && strstr(said.body, line);

    http_said_free(&said);
    return is;
}

static bool is_under_way(const char *work)
{
    char line[128];

    snprintf(line, sizeof line, "assay_ingestion_admission_under_way{work=\"%s\"} 1\n", work);
    return measures(line);
}

Test(ingestion, refuses_at_once_what_it_has_no_room_for)
{
    struct racer r = { 0 };
    struct http_said said;

    process_stop(&w.ingestion);
    start_ingestion((const char *const[]){ "ASSAY_INGESTION_QUEUE=1", NULL });
    r.port = w.ingestion.port;
    database_run(w.pg, "BEGIN; LOCK TABLE decisions IN EXCLUSIVE MODE");
    strcpy(r.body, txn("first", 100));
    cr_assert_eq(pthread_create(&r.thread, NULL, race, &r), 0);
    while (!is_under_way("decide"))
        usleep(10000);
    said = ask("POST", "/v1/transactions", w.key, txn("second", 100));
    cr_expect_eq(said.status, 503, "%d %s", said.status, said.body);
    cr_expect(strstr(said.body, "overloaded"), "%s", said.body);
    cr_expect(http_said_header(&said, "retry-after") && atoi(http_said_header(&said, "retry-after")) >= 1);
    cr_expect(strstr(http_said_header(&said, "content-type"), "application/problem+json"));
    http_said_free(&said);
    cr_expect_eq(post_status("no JSON at all"), 503, "its body is not looked at");
    said = ask("GET", "/v1/transactions/nobody", w.key, NULL);
    cr_expect_eq(said.status, 404, "reads have room of their own: %d %s", said.status, said.body);
    http_said_free(&said);
    database_run(w.pg, "COMMIT");
    pthread_join(r.thread, NULL);
    cr_expect_eq(r.said.status, 200, "%d %s", r.said.status, r.said.body);
    http_said_free(&r.said);
    cr_expect_eq(post_status(txn("second", 100)), 200);
    cr_expect_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 2);
}

Test(ingestion, decides_what_is_known_but_was_never_decided)
{
    struct http_said said;

    cr_assert_eq(post_status(txn("t", 5)), 200);
    database_run(w.pg, "DELETE FROM decisions");
    said = ask("GET", "/v1/transactions/t", w.key, NULL);
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
    said = post(txn("t", 5));
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_eq(database_int(w.pg, "SELECT n FROM decisions"), 1);
    http_said_free(&said);
}

Test(ingestion, shows_reasons_and_rules_by_scope)
{
    struct http_said said;
    char key[64];

    make_key(key, 1, "decide,read", 0, 0);
    said = ask("POST", "/v1/transactions", key,
               "{\"transaction_id\":\"d\",\"occurred_at\":\"2020-01-01T00:00:00Z\",\"amount\":1,\"currency\":"
               "\"USD\","
               "\"customer_id\":\"deny-me\"}");
    cr_assert_eq(said.status, 422);
    http_said_free(&said);
    {
        char body[512];

        snprintf(body, sizeof body,
                 "{\"transaction_id\":\"d\",\"occurred_at\":\"%s\",\"amount\":1,\"currency\":\"USD\","
                 "\"customer_id\":\"deny-me\"}",
                 now_text());
        said = ask("POST", "/v1/transactions", key, body);
    }
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_eq(json_array_size(json_object_get(said.json, "reasons")), 1);
    cr_assert_null(json_object_get(json_array_get(json_object_get(said.json, "reasons"), 0), "detail"));
    cr_assert_null(strstr(said.body, "secret"));
    cr_assert_null(json_object_get(said.json, "contributions"));
    http_said_free(&said);
    said = ask("GET", "/v1/transactions/d", w.key, NULL);
    cr_assert_not_null(strstr(said.body, "the secret rule"));
    cr_assert_eq(json_array_size(json_object_get(said.json, "reasons")), 2);
    http_said_free(&said);
}

Test(ingestion, runs_an_account_on_a_simulated_clock)
{
    static const char in_2018[] =
        "{\"transaction_id\":\"h\",\"occurred_at\":\"2018-04-01T00:00:31Z\",\"known_at\":"
        "\"2018-04-01T00:00:31Z\",\"amount\":5716,\"currency\":\"USD\",\"customer_id\":\"596\"}";
    struct http_said said;
    char key[64];

    make_key(key, 3, "decide", 0, 0);
    said = ask("POST", "/v1/transactions", key, in_2018);
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "known_at"), "2018-04-01T00:00:31Z");
    cr_assert_eq(database_int(w.pg, "SELECT extract(year FROM known_at)::int FROM decisions"), 2018);
    http_said_free(&said);
}

/* ---- batches ---- */

Test(ingestion, decides_a_batch_in_order_with_a_status_each)
{
    struct http_said said;
    json_t *results;
    char body[4096];
    size_t len = 0;

    len += (size_t)snprintf(body + len, sizeof body - len, "{\"transactions\":[%s,", txn("b-1", 1));
    len += (size_t)snprintf(body + len, sizeof body - len, "%s,", txn("b-2", 20000));
    len += (size_t)snprintf(body + len, sizeof body - len, "{\"transaction_id\":\"bad\",\"amount\":-1},17,");
    len += (size_t)snprintf(body + len, sizeof body - len, "%s,", txn("b-1", 1));
    len += (size_t)snprintf(body + len, sizeof body - len, "%s,", txn("b-1", 2));
    snprintf(body + len, sizeof body - len, "%s]}", txn("b-3", 3));
    said = ask("POST", "/v1/transactions:batch", w.key, body);
    cr_assert_eq(said.status, 200, "%s", said.body);
    results = json_object_get(said.json, "results");
    cr_assert_eq(json_array_size(results), 7);
    {
        static const int statuses[] = { 200, 200, 422, 422, 200, 409, 200 };

        for (size_t i = 0; i < 7; i++)
            cr_assert_eq(json_integer_value(json_object_get(json_array_get(results, i), "status")),
                         statuses[i], "item %zu: %s", i, said.body);
    }
    cr_assert_str_eq(text_at(json_object_get(json_array_get(results, 1), "decision"), "action"), "decline");
    cr_assert_str_eq(text_at(json_array_get(results, 2), "transaction_id"), "bad");
    cr_assert_not_null(strstr(said.body, "#/transactions/2/amount"));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 3);
    http_said_free(&said);
}

Test(ingestion, takes_a_thousand_in_a_batch_and_no_more)
{
    struct http_said said;
    struct buf body;

    buf_init(&body, 0);
    buf_add_str(&body, "{\"transactions\":[");
    for (int i = 0; i < 1000; i++) {
        char id[16];

        snprintf(id, sizeof id, "k-%d", i);
        buf_add_str(&body, i ? "," : "");
        buf_add_str(&body, txn(id, i));
    }
    said = ask("POST", "/v1/transactions:batch", w.key, ""); /* warm */
    http_said_free(&said);
    buf_add_str(&body, "]}");
    said = ask("POST", "/v1/transactions:batch", w.key, buf_str(&body));
    cr_assert_eq(said.status, 200);
    cr_assert_eq(json_array_size(json_object_get(said.json, "results")), 1000);
    http_said_free(&said);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 1000);
    /* decided in order: the log has them in the order of the list */
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM decisions WHERE n <> substr(transaction_id, 3)::int + 1"),
        0);
    body.len -= 2;
    buf_add_str(&body, ",{}]}");
    said = ask("POST", "/v1/transactions:batch", w.key, buf_str(&body));
    cr_assert_eq(said.status, 422);
    cr_assert_not_null(strstr(said.body, "\"#/transactions\""));
    http_said_free(&said);
    buf_release(&body);
}

Test(ingestion, points_at_every_fault_of_a_batch_as_a_whole)
{
    struct http_said said = ask("POST", "/v1/transactions:batch", w.key, "{\"transactions\":[],\"more\":1}");

    cr_assert_eq(said.status, 422);
    cr_assert_not_null(strstr(said.body, "\"#/transactions\""), "%s", said.body);
    cr_assert_not_null(strstr(said.body, "\"#/more\""), "%s", said.body);
    http_said_free(&said);
    said = ask("POST", "/v1/transactions:batch", w.key, "[]");
    cr_assert_eq(said.status, 422);
    cr_assert_not_null(strstr(said.body, "\"#\""), "%s", said.body);
    http_said_free(&said);
}

/* A hundred thousand faults would keep every other request waiting while they are written down. */
Test(ingestion, tells_no_more_faults_of_a_batch_than_it_has_time_for)
{
    struct http_said said;
    const json_t *results, *last;
    struct buf body;

    buf_init(&body, 0);
    buf_add_str(&body, "{\"transactions\":[");
    for (int i = 0; i < 1000; i++) {
        buf_add_str(&body, i ? ",{" : "{");
        for (int j = 0; j < 50; j++)
            buf_printf(&body, "%s\"customer_%d\":1", j ? "," : "", j);
        buf_add_str(&body, "}");
    }
    buf_add_str(&body, "]}");
    said = ask("POST", "/v1/transactions:batch", w.key, buf_str(&body));
    cr_assert_eq(said.status, 200, "%d", said.status);
    results = json_object_get(said.json, "results");
    cr_assert_eq(json_array_size(results), 1000);
    last = json_object_get(json_array_get(results, 999), "problem");
    cr_assert_eq(json_array_size(json_object_get(last, "errors")), 10);
    cr_assert_eq(json_integer_value(json_object_get(last, "errors_untold")), 45);
    http_said_free(&said);
    buf_release(&body);
}

/* ---- bad input ---- */

Test(ingestion, answers_every_faulty_request_as_documented_and_stores_none)
{
    struct faulty f;
    int cases = 0;

    cr_assert(faulty_open(&f));
    while (faulty_next(&f, clock_wall_us())) {
        struct http_said said =
            http_ask(w.ingestion.port, "POST", "/v1/transactions", w.key, NULL, f.body, f.body_len);
        char pointers[1024] = "";
        json_t *each;
        size_t i;

        cases++;
        cr_expect_eq(said.status, f.status, "line %d: %d %s", f.line, said.status, said.body);
        json_array_foreach(json_object_get(said.json, "errors"), i, each)
        {
            strcat(pointers, i ? "," : "");
            strcat(pointers, text_at(each, "pointer"));
        }
        cr_expect_str_eq(pointers, f.pointers, "line %d: %s", f.line, pointers);
        cr_expect_eq(json_integer_value(json_object_get(said.json, "status")), f.status, "line %d", f.line);
        http_said_free(&said);
    }
    cr_assert_geq(cases, 80);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM transaction_ids"), 0);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 0);
    cr_assert_eq(post_status(txn("alive", 1)), 200);
}

Test(ingestion, refuses_what_is_no_json_too_large_or_has_no_route)
{
    static const char *const as_text[] = { "Content-Type: text/plain", NULL };
    static const char *const bad_deadline[] = { "Assay-Deadline-Ms: soon", NULL };
    struct http_said said =
        http_ask(w.ingestion.port, "POST", "/v1/transactions", w.key, bad_deadline, "{}", 2);
    char *large = mem_new_n(char, 100001);

    cr_assert_eq(said.status, 400);
    http_said_free(&said);
    (void)as_text;
    memset(large, ' ', 100000);
    said = ask("POST", "/v1/transactions", w.key, large);
    cr_assert_eq(said.status, 413);
    http_said_free(&said);
    mem_free(large);
    said = ask("GET", "/v1/nothing", w.key, NULL);
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
    said = ask("DELETE", "/v1/transactions", w.key, NULL);
    cr_assert_eq(said.status, 405);
    http_said_free(&said);
}

/* ---- who may what ---- */

static const struct {
    const char *method, *path, *scope;
} routes[] = {
    { "POST", "/v1/transactions", "decide" },       { "POST", "/v1/transactions:batch", "decide" },
    { "GET", "/v1/transactions/t", "read" },        { "POST", "/v1/labels", "label:issuer" },
    { "POST", "/v1/labels:batch", "label:issuer" },
};

Test(ingestion, refuses_every_route_without_a_good_key)
{
    static const char *const keys[] = {
        NULL, "", "x", "ak_00000000_00000000000000000000000000000000", "ak_", "Bearer",
    };

    for (size_t r = 0; r < ARRAY_LEN(routes); r++) {
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
            struct http_said said =
                ask(routes[r].method, routes[r].path, keys[k], routes[r].method[0] == 'P' ? "{}" : NULL);

            cr_assert_eq(said.status, 401, "%s %s with %s: %d", routes[r].method, routes[r].path, keys[k],
                         said.status);
            cr_assert_str_eq(http_said_header(&said, "www-authenticate"), "Bearer");
            http_said_free(&said);
        }
    }
}

Test(ingestion, refuses_every_route_to_a_key_without_its_scope)
{
    char key[64];

    for (size_t r = 0; r < ARRAY_LEN(routes); r++) {
        const char *others = strcmp(routes[r].scope, "decide") == 0 ? "read,explain,label:issuer,import,admin"
                             : strcmp(routes[r].scope, "read") == 0 ? "decide,label:issuer,import,admin"
                                                                    : "decide,read,explain,import,admin";
        struct http_said said;

        make_key(key, 1, others, 0, 0);
        said = ask(routes[r].method, routes[r].path, key, routes[r].method[0] == 'P' ? "{}" : NULL);
        cr_assert_eq(said.status, 403, "%s %s: %d", routes[r].method, routes[r].path, said.status);
        http_said_free(&said);
    }
}

Test(ingestion, keeps_accounts_apart)
{
    struct http_said said;
    char other[64];

    make_key(other, 2, "decide,read,explain,label:issuer", 0, 0);
    cr_assert_eq(post_status(txn("mine", 1)), 200);
    said = ask("GET", "/v1/transactions/mine", other, NULL);
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
    said = ask("POST", "/v1/transactions", other, txn("mine", 20000)); /* the same id is another's */
    cr_assert_eq(said.status, 200);
    cr_assert_str_eq(text_at(said.json, "action"), "decline");
    http_said_free(&said);
    said = ask("GET", "/v1/transactions/mine", w.key, NULL);
    cr_assert_str_eq(text_at(said.json, "action"), "approve");
    http_said_free(&said);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 2);
}

Test(ingestion, obeys_a_revocation_within_seconds)
{
    struct http_said said;
    int status = 200;
    char key[64];

    make_key(key, 1, "decide", 0, 0);
    said = ask("POST", "/v1/transactions", key, txn("a", 1));
    cr_assert_eq(said.status, 200, "a new key works at once: %s", said.body);
    http_said_free(&said);
    database_run(w.pg, "UPDATE api_keys SET revoked_at = now() WHERE scopes = '{decide}'");
    for (int i = 0; i < 500 && status == 200; i++) {
        said = ask("POST", "/v1/transactions", key, txn("a", 1));
        status = said.status;
        http_said_free(&said);
        usleep(10000);
    }
    cr_assert_eq(status, 401);
}

Test(ingestion, limits_the_rate_of_a_key)
{
    struct http_said said;
    int limited = 0;
    char key[64];

    make_key(key, 1, "decide", 1, 3);
    for (int i = 0; i < 6; i++) {
        said = ask("POST", "/v1/transactions", key, txn("same", 1));
        cr_assert_str_eq(http_said_header(&said, "ratelimit-policy"), "\"default\";q=3;w=3");
        cr_assert_not_null(http_said_header(&said, "ratelimit"));
        if (said.status == 429) {
            cr_assert_str_eq(http_said_header(&said, "retry-after"), "1");
            cr_assert_not_null(strstr(said.body, "quota-exceeded"));
            limited++;
        }
        http_said_free(&said);
    }
    cr_assert_geq(limited, 1);
    cr_assert_leq(limited, 3);
}

Test(ingestion, says_when_a_batch_that_was_too_much_will_pass)
{
    struct http_said said;
    char key[64], body[2048];

    make_key(key, 1, "decide", 1, 4);
    snprintf(body, sizeof body, "{\"transactions\":[%s,{},{}]}", txn("r-1", 1));
    said = ask("POST", "/v1/transactions:batch", key, body);
    cr_assert_eq(said.status, 200);
    http_said_free(&said);
    said = ask("POST", "/v1/transactions:batch", key, body);
    if (said.status == 429) /* not so on a machine that took seconds for the first */
        cr_assert_neq(strcmp(http_said_header(&said, "retry-after"), "0"), 0);
    http_said_free(&said);
}

/* ---- Idempotency-Key ---- */

static struct http_said ask_with(const char *path, const char *key, const char *header, const char *body)
{
    const char *extra[] = { header, NULL };

    return http_ask(w.ingestion.port, "POST", path, key, extra, body, strlen(body));
}

static struct http_said post_with(const char *header, const char *body)
{
    return ask_with("/v1/transactions", w.key, header, body);
}

Test(ingestion, replays_only_to_keys_that_may_do_and_see_as_much)
{
    static const char header[] = "Idempotency-Key: shared";
    char narrow[64], customer[64], label[256];
    struct http_said said;

    make_key(narrow, 1, "decide", 0, 0);
    make_key(customer, 1, "label:customer", 0, 0);
    said = post_with(header, txn("s-1", 20000));
    cr_assert_not_null(strstr(said.body, "contributions"));
    http_said_free(&said);
    said = ask_with("/v1/transactions", narrow, header, txn("s-1", 20000));
    cr_assert_eq(said.status, 200);
    cr_assert_null(strstr(said.body, "contributions"), "%s", said.body);
    http_said_free(&said);

    snprintf(label, sizeof label,
             "{\"transaction_id\":\"s-1\",\"is_fraud\":true,\"source\":\"issuer\",\"labelled_at\":\"%s\"}",
             now_text());
    said = ask_with("/v1/labels", customer, header, label);
    cr_assert_eq(said.status, 403);
    http_said_free(&said);
    said = ask_with("/v1/labels", w.key, header, label);
    cr_assert_eq(said.status, 200, "%s", said.body);
    http_said_free(&said);
    said = ask_with("/v1/labels", customer, header, label);
    cr_assert_eq(said.status, 403);
    http_said_free(&said);
}

Test(ingestion, keeps_no_card_number_in_a_kept_refusal)
{
    struct http_said said = post_with("Idempotency-Key: k", "{\"4111 1111 1111 1111\":1}");

    cr_assert_eq(said.status, 422);
    cr_assert_null(strstr(said.body, "1111"), "%s", said.body);
    http_said_free(&said);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM idempotency_keys WHERE convert_from(response, 'UTF8') LIKE "
                           "'%1111%'"),
        0);
}

Test(ingestion, replays_the_response_of_an_idempotency_key)
{
    static const char quoted[] = "Idempotency-Key: \"k-1\"", bare[] = "Idempotency-Key: k-1";
    struct http_said first = post_with(quoted, txn("i-1", 1)), second = post_with(bare, txn("i-1", 1)), other;

    cr_assert_eq(first.status, 200, "%s", first.body);
    cr_assert_eq(second.status, 200);
    cr_assert_str_eq(first.body, second.body);
    cr_assert_str_eq(http_said_header(&second, "idempotency-replayed"), "true");
    other = post_with(quoted, txn("i-2", 1));
    cr_assert_eq(other.status, 422);
    http_said_free(&first);
    http_said_free(&second);
    http_said_free(&other);

    /* a refusal is replayed too */
    first = post_with("Idempotency-Key: k-2", "{\"amount\":-1}");
    second = post_with("Idempotency-Key: k-2", "{ \"amount\": -1 }");
    cr_assert_eq(first.status, 422);
    cr_assert_eq(second.status, 422);
    cr_assert_str_eq(first.body, second.body);
    cr_assert_not_null(http_said_header(&second, "idempotency-replayed"));
    http_said_free(&first);
    http_said_free(&second);

    database_run(
        w.pg,
        "INSERT INTO idempotency_keys (account, route, key, payload_hash, expires_at) SELECT account, route, "
        "'k-3', "
        "payload_hash, expires_at FROM idempotency_keys WHERE key = 'k-1'");
    other = post_with("Idempotency-Key: k-3", txn("i-1", 1));
    cr_assert_eq(other.status, 409, "%s", other.body);
    http_said_free(&other);
    other = post_with("Idempotency-Key: 4111111111111111", txn("i-9", 1));
    cr_assert_eq(other.status, 422);
    http_said_free(&other);
}

/* ---- labels ---- */

static struct http_said label(const char *id, const char *source)
{
    char body[512];

    snprintf(body, sizeof body,
             "{\"transaction_id\":\"%s\",\"is_fraud\":true,\"source\":\"%s\",\"labelled_at\":\"%s\"}", id,
             source, now_text());
    return ask("POST", "/v1/labels", w.key, body);
}

Test(ingestion, takes_labels_for_known_and_for_unknown_transactions)
{
    struct http_said said;

    cr_assert_eq(post_status(txn("l-1", 1)), 200);
    said = label("l-1", "issuer");
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "label"), "accepted");
    http_said_free(&said);
    said = label("l-2", "chargeback");
    cr_assert_eq(said.status, 202);
    cr_assert_str_eq(text_at(said.json, "label"), "pending");
    http_said_free(&said);
    said = label("l-1", "nobody");
    cr_assert_eq(said.status, 422);
    http_said_free(&said);
}

Test(ingestion, takes_a_batch_of_labels_by_the_sources_of_the_key)
{
    struct http_said said;
    json_t *results;
    char key[64], body[1024];

    make_key(key, 1, "label:customer", 0, 0);
    snprintf(body, sizeof body,
             "{\"labels\":[{\"transaction_id\":\"a\",\"is_fraud\":true,\"source\":\"customer\",\"labelled_"
             "at\":\"%s\"},"
             "{\"transaction_id\":\"a\",\"is_fraud\":true,\"source\":\"issuer\",\"labelled_at\":\"%s\"},{}]}",
             now_text(), now_text());
    said = ask("POST", "/v1/labels:batch", key, body);
    cr_assert_eq(said.status, 200, "%s", said.body);
    results = json_object_get(said.json, "results");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(results, 0), "status")), 202);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(results, 1), "status")), 403);
    cr_assert_str_eq(text_at(json_array_get(results, 1), "transaction_id"), "a");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(results, 2), "status")), 422);
    http_said_free(&said);
}

/* ---- without a part ---- */

/* Sends new transactions until one is decided with (or without) the part, and gives that decision's id. */
static void until(bool is_missing, const char *part, char id[32])
{
    static int serial;

    for (int i = 0; i < 500; i++) {
        struct http_said said;
        bool is;

        snprintf(id, 32, "u-%d", ++serial);
        said = post(txn(id, 20000));
        cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
        is = is_degraded(said.json, part);
        http_said_free(&said);
        if (is == is_missing)
            return;
        usleep(10000);
    }
    cr_assert_fail("%s is not seen to be %s", part, is_missing ? "missing" : "back");
}

Test(ingestion, decides_without_scoring_and_uses_it_again)
{
    struct http_said said;
    char id[32];

    process_kill(&w.scoring);
    said = post(txn("s-1", 20000));
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert(is_degraded(said.json, "scoring"));
    cr_assert(json_is_null(json_object_get(said.json, "score")));
    cr_assert_str_eq(text_at(said.json, "action"), "approve");
    http_said_free(&said);
    fake_start(&w.scoring, FAKE_SCORING, w.scoring_port, NULL);
    until(false, "scoring", id);
}

Test(ingestion, decides_without_rules_by_the_same_thresholds)
{
    struct http_said said;
    char id[32];

    process_kill(&w.rules);
    said = post(txn("r-1", 20000));
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert(is_degraded(said.json, "rules"));
    cr_assert_str_eq(text_at(said.json, "action"), "decline");
    cr_assert_eq(json_real_value(json_object_get(said.json, "score")), 0.9);
    http_said_free(&said);
    fake_start(&w.rules, FAKE_RULES, w.rules_port, NULL);
    until(false, "rules", id);
}

Test(ingestion, keeps_to_the_lists_last_seen_when_rules_is_missing)
{
    struct http_said said;
    bool is_declined = false;

    database_run(
        w.pg,
        "INSERT INTO lists (account, name, purpose, field) VALUES (1, 'stolen', 'deny', 'customer_id')");
    database_run(w.pg, "INSERT INTO list_entries (list, value) SELECT list, 'c-1' FROM lists");
    process_kill(&w.rules);
    for (int i = 0; i < 500 && !is_declined; i++) {
        char id[32];

        snprintf(id, sizeof id, "x-%d", i);
        said = post(txn(id, 1));
        cr_assert_eq(said.status, 200);
        is_declined = strcmp(text_at(said.json, "action"), "decline") == 0;
        cr_assert(!is_declined || strstr(said.body, "list:stolen"), "%s", said.body);
        http_said_free(&said);
        usleep(10000);
    }
    cr_assert(is_declined);
}

Test(ingestion, decides_without_features_and_keeps_the_transaction_for_the_log)
{
    struct http_said said, again;
    char id[32];

    cr_assert_eq(post_status(txn("before", 1)), 200);
    process_kill(&w.features);
    said = post(txn("f-1", 20000));
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert(is_degraded(said.json, "features"));
    cr_assert_eq(json_real_value(json_object_get(said.json, "score")), 0.5, "the forest gets a row of NaN");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM transaction_ids WHERE id = 'f-1' AND n IS NULL"),
                 1);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM outbox WHERE id = 'f-1' AND kind = 1"), 1);
    cr_assert_eq(
        database_int(
            w.pg,
            "SELECT count(*) FROM decisions WHERE transaction_id = 'f-1' AND n IS NULL AND vector = ''"),
        1);
    again = post(txn("f-1", 20000));
    cr_assert_str_eq(again.body, said.body);
    http_said_free(&again);
    again = post(txn("f-1", 1));
    cr_assert_eq(again.status, 409);
    http_said_free(&again);
    again = post(txn("before", 1));
    cr_assert_eq(again.status, 200);
    cr_assert_not(is_degraded(again.json, "features"));
    http_said_free(&again);
    again = label("f-1", "issuer");
    cr_assert_eq(again.status, 202);
    cr_assert_str_eq(text_at(again.json, "label"), "queued");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM outbox WHERE id = 'f-1' AND kind = 2"), 1);
    http_said_free(&again);
    http_said_free(&said);
    fake_start(&w.features, FAKE_FEATURES, w.features_port, w.conninfo);
    until(false, "features", id);
}

Test(ingestion, finds_out_that_a_part_hangs_when_one_call_was_not_answered)
{
    struct http_said said;
    char id[32];

    cr_assert_eq(post_status(txn("before", 1)), 200);
    kill(w.features.pid, SIGSTOP);
    said = post(txn("hangs", 1));
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert(is_degraded(said.json, "features"));
    http_said_free(&said);
    for (int i = 0; i < 500 && !measures("assay_ingestion_part_up{part=\"features\"} 0\n"); i++)
        usleep(10000);
    cr_assert(measures("assay_ingestion_part_up{part=\"features\"} 0\n"));
    kill(w.features.pid, SIGCONT);
    until(false, "features", id);
}

Test(ingestion, costs_no_waiting_once_a_part_is_known_to_hang)
{
    char id[32];
    int64_t began;

    process_stop(&w.ingestion);
    start_ingestion((const char *const[]){ "ASSAY_DEADLINE=400ms", NULL });
    kill(w.scoring.pid, SIGSTOP);
    until(true, "scoring", id);
    for (int i = 0; i < 5; i++)
        until(true, "scoring", id);
    began = clock_mono_us();
    for (int i = 0; i < 20; i++)
        until(true, "scoring", id);
    /* 20 waits of a quarter of the deadline would be two seconds */
    cr_log_info("20 decisions without scoring in %lld ms", (long long)((clock_mono_us() - began) / 1000));
    kill(w.scoring.pid, SIGCONT);
    until(false, "scoring", id);
}

/* Whoever sends again what was too late gets the decision, also under the same Idempotency-Key. */
Test(ingestion, keeps_no_batch_of_which_something_was_too_late)
{
    static const char *const soon[] = { "Assay-Deadline-Ms: 60", "Idempotency-Key: batch", NULL };
    static const char *const again[] = { "Idempotency-Key: batch", NULL };
    struct http_said said;
    char body[1024];
    int status = 0;

    cr_assert_eq(post_status(txn("first", 1)), 200);
    snprintf(body, sizeof body, "{\"transactions\":[%s]}", txn("late", 1));
    kill(w.features.pid, SIGSTOP);
    kill(w.scoring.pid, SIGSTOP);
    kill(w.rules.pid, SIGSTOP);
    said = http_ask(w.ingestion.port, "POST", "/v1/transactions:batch", w.key, soon, body, strlen(body));
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    cr_assert_not_null(strstr(said.body, "\"status\":504"), "%s", said.body);
    http_said_free(&said);
    kill(w.features.pid, SIGCONT);
    kill(w.scoring.pid, SIGCONT);
    kill(w.rules.pid, SIGCONT);
    for (int i = 0; i < 500 && status != 200; i++) {
        const json_t *results;

        said = http_ask(w.ingestion.port, "POST", "/v1/transactions:batch", w.key, again, body, strlen(body));
        results = json_object_get(said.json, "results");
        status = (int)json_integer_value(json_object_get(json_array_get(results, 0), "status"));
        http_said_free(&said);
        usleep(10000);
    }
    cr_assert_eq(status, 200);
}

Test(ingestion, says_504_and_decides_all_the_same)
{
    static const char *const soon[] = { "Assay-Deadline-Ms: 60", NULL };
    const char *body;
    struct http_said said;
    int status = 0;

    cr_assert_eq(post_status(txn("first", 1)), 200);
    body = txn("late", 20000);
    kill(w.features.pid, SIGSTOP);
    kill(w.scoring.pid, SIGSTOP);
    kill(w.rules.pid, SIGSTOP);
    said = http_ask(w.ingestion.port, "POST", "/v1/transactions", w.key, soon, body, strlen(body));
    cr_assert_eq(said.status, 504, "%d %s", said.status, said.body);
    http_said_free(&said);
    for (int i = 0; i < 500 && status != 200; i++) {
        said = ask("GET", "/v1/transactions/late", w.key, NULL);
        status = said.status;
        http_said_free(&said);
        usleep(10000);
    }
    cr_assert_eq(status, 200);
    kill(w.features.pid, SIGCONT);
    kill(w.scoring.pid, SIGCONT);
    kill(w.rules.pid, SIGCONT);
}

Test(ingestion, lets_a_poisoned_row_stand_alone)
{
    struct http_said said;
    json_t *results;
    char body[8192], id[16];
    size_t len = 0;

    database_run(w.pg, "ALTER TABLE decisions ADD CONSTRAINT poison CHECK (transaction_id <> 'p-13')");
    len += (size_t)snprintf(body, sizeof body, "{\"transactions\":[");
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "p-%d", i);
        len += (size_t)snprintf(body + len, sizeof body - len, "%s%s", i ? "," : "", txn(id, 1));
    }
    snprintf(body + len, sizeof body - len, "]}");
    said = ask("POST", "/v1/transactions:batch", w.key, body);
    cr_assert_eq(said.status, 200, "%s", said.body);
    results = json_object_get(said.json, "results");
    for (size_t i = 0; i < 20; i++)
        cr_assert_eq(json_integer_value(json_object_get(json_array_get(results, i), "status")),
                     i == 13 ? 500 : 200);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 19);
    http_said_free(&said);
}

Test(ingestion, takes_the_next_address_of_features)
{
    char both[128];
    int spare = free_port();
    struct process standby;

    process_stop(&w.ingestion);
    snprintf(both, sizeof both, "ASSAY_FEATURES_ADDR=127.0.0.1:%d,127.0.0.1:%d", w.features_port, spare);
    start_ingestion((const char *const[]){ both, NULL });
    fake_start(&standby, FAKE_FEATURES, spare, w.conninfo);
    cr_assert_eq(post_status(txn("n-1", 1)), 200);
    process_kill(&w.features);
    {
        struct http_said said = post(txn("n-2", 1));

        cr_assert_eq(said.status, 200);
        cr_assert_not(is_degraded(said.json, "features"), "%s", said.body);
        http_said_free(&said);
    }
    process_kill(&standby);
}

/* A cluster of its own, to be killed or stopped. */
static struct test_cluster own;

static void open_alone(const char *const *more)
{
    struct why why = { 0 };

    test_cluster_start(&own);
    w.conninfo = cluster_conninfo(own.cluster);
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK);
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    make_key(w.key, 1, "decide,read,label:issuer", 0, 0);
    w.features_port = free_port();
    w.scoring_port = free_port();
    w.rules_port = free_port();
    fake_start(&w.features, FAKE_FEATURES, w.features_port, w.conninfo);
    fake_start(&w.scoring, FAKE_SCORING, w.scoring_port, NULL);
    fake_start(&w.rules, FAKE_RULES, w.rules_port, NULL);
    start_ingestion(more);
}

static void until_status(int wanted, const char *body)
{
    int status = 0;

    for (int i = 0; i < 1000 && status != wanted; i++) {
        status = post_status(body);
        usleep(10000);
    }
    cr_assert_eq(status, wanted);
}

Test(ingestion_alone, accepts_nothing_without_postgresql_and_goes_on_when_it_is_back, .timeout = 120)
{
    struct why why = { 0 };

    open_alone(NULL);
    cr_assert_eq(post_status(txn("a", 1)), 200);
    pg_session_close(w.pg);
    cluster_kill(own.cluster);
    for (int i = 0; i < 20; i++) {
        struct http_said said = post(txn("b", 1));

        cr_assert_eq(said.status, 503, "%d %s", said.status, said.body);
        cr_assert_str_eq(http_said_header(&said, "retry-after"), "1");
        http_said_free(&said);
    }
    cr_assert_eq(cluster_start(own.cluster, &why), ERR_OK, "%s", why.text);
    process_kill(&w.features); /* it has lost its connection */
    fake_start(&w.features, FAKE_FEATURES, w.features_port, w.conninfo);
    until_status(200, txn("b", 1));
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 2);
    teardown();
    test_cluster_end(&own);
}

/* The postmaster and every process of its. */
static void signal_cluster(int number)
{
    char path[64], line[16384] = "";
    pid_t pid = cluster_pid(own.cluster);
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    f = fopen(path, "r");
    cr_assert_not_null(f);
    kill(pid, number);
    if (fgets(line, sizeof line, f)) {
        for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
            kill((pid_t)strtol(word, NULL, 10), number);
    }
    fclose(f);
}

Test(ingestion_alone, says_503_at_once_while_postgresql_hangs, .timeout = 120)
{
    open_alone((const char *const[]){ "ASSAY_DEADLINE=300ms", NULL });
    cr_assert_eq(post_status(txn("a", 1)), 200);
    signal_cluster(SIGSTOP);
    cr_assert_eq(post_status(txn("b", 1)), 504);
    until_status(503, txn("c", 1));
    signal_cluster(SIGCONT);
    until_status(200, txn("b", 1));
    until_status(200, txn("c", 1));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), 3);
    teardown();
    test_cluster_end(&own);
}
