/* SPDX-License-Identifier: Apache-2.0
 * registry_test.c - what the retrainer tells of its models: the registry, the card of a version, two versions on the
 * same decisions, the control slice. The real program, real PostgreSQL, a made-up past. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "featurestore/catalogue.h"
#include "featurestore/plan.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "lifestore/run.h"
#include "pg/session.h"

#define CATALOGUE                                                                                            \
    "entities: {customer: customer_id, terminal: terminal_id}\n"                                             \
    "features:\n"                                                                                            \
    "  - {name: amount, expr: tx.amount}\n"                                                                  \
    "  - {name: hour, expr: tx.hour}\n"                                                                      \
    "  - {name: customer_count_24h, count: customer, window: 24h}\n"                                         \
    "  - {name: terminal_frauds_7d, fraud_count: terminal, window: 7d}\n"

#define LIVED_UNTIL (HISTORY_START + 40 * DAY_US)

static struct {
    struct pg_session *pg;
    const char *conninfo;
    struct history past;
    struct process retrainer;
    char key[64], pg_url[512];
    struct why why;
} w;

#define sql(text)      database_run(w.pg, text)
#define sql_int(text)  database_int(w.pg, text)
#define sql_text(text) database_text(w.pg, text)

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &w.why), ERR_OK, "%s", w.why.text);
    history_open(&w.past, w.pg, CATALOGUE, 60);
    database_key(w.pg, 1, "admin", w.key);
    history_live_until(&w.past, LIVED_UNTIL);
    process_start(&w.retrainer, "retrainer",
                  (const char *const[]){
                      w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                      "ASSAY_RETRAINER_THREADS=1",
                      "ASSAY_RETRAINER_STAGES={\"gate_rows\":100,\"gate_frauds\":2,\"gate_psi\":100,"
                      "\"gate_calibration_margin\":10,\"gate_row_ns\":0,\"gate_average_precision_margin\":1,"
                      "\"gate_card_precision_margin\":1,\"label_delay_days\":3}",
                      NULL });
}

static void teardown(void)
{
    if (w.retrainer.pid)
        cr_expect_eq(process_stop(&w.retrainer), 0, "it ends gracefully");
    history_close(&w.past);
    pg_session_close(w.pg);
}

TestSuite(registry, .init = setup, .fini = teardown, .timeout = 300);

static struct http_said ask(const char *path)
{
    return http_ask(w.retrainer.port, "GET", path, w.key, NULL, NULL, 0);
}

static int status_of(const char *path)
{
    struct http_said said = ask(path);
    int status = said.status;

    http_said_free(&said);
    return status;
}

static void train(const char *as_of, int version)
{
    char body[512], question[128];
    struct http_said said;

    snprintf(body, sizeof body,
             "{\"name\":\"model\",\"reason\":\"test\",\"as_of\":\"%s\",\"settings\":{\"warm_up_days\":1,"
             "\"label_delay_days\":3,\"tune\":0.2,\"judge\":0.25,\"trees\":60,\"depth\":4,\"trials\":1}}",
             as_of);
    said = http_ask(w.retrainer.port, "POST", "/v1/retraining-runs", w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 202, "%d %s", said.status, said.body);
    http_said_free(&said);
    snprintf(question, sizeof question,
             "SELECT count(*) FROM training_runs WHERE state = 'succeeded' AND version = %d", version);
    database_wait(w.pg, question, 1,
                  "SELECT string_agg(concat_ws(' ', state, message), ';') FROM training_runs");
}

static const json_t *at(const json_t *from, const char *one, const char *two)
{
    const json_t *found = json_object_get(from, one);

    return two ? json_object_get(found, two) : found;
}

static double number(const json_t *from, const char *one, const char *two)
{
    const json_t *found = at(from, one, two);

    cr_assert(json_is_number(found), "no number %s %s", one, two ? two : "");
    return json_number_value(found);
}

static const char *text(const json_t *from, const char *one, const char *two)
{
    const json_t *found = at(from, one, two);

    cr_assert(json_is_string(found), "no text %s %s", one, two ? two : "");
    return json_string_value(found);
}

Test(registry, lists_versions_with_their_state_and_who_made_and_moved_them)
{
    struct http_said said;
    const json_t *newest, *oldest;

    said = ask("/v1/models");
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_eq(json_array_size(at(said.json, "models", NULL)), 0, "an empty registry is no fault");
    http_said_free(&said);
    train("2020-02-09T00:00:00Z", 1);
    database_wait(w.pg, "SELECT count(*) FROM aliases WHERE alias = 'champion'", 1, "SELECT ''");
    train("2020-02-08T00:00:00Z", 2);
    database_wait(w.pg, "SELECT count(*) FROM aliases WHERE alias = 'shadow'", 1, "SELECT ''");

    said = ask("/v1/models?name=model");
    cr_assert_eq(json_array_size(at(said.json, "models", NULL)), 2);
    newest = json_array_get(at(said.json, "models", NULL), 0);
    oldest = json_array_get(at(said.json, "models", NULL), 1);
    cr_assert_eq(number(newest, "version", NULL), 2);
    cr_assert_str_eq(text(newest, "state", NULL), "shadow");
    cr_assert_str_eq(json_string_value(json_array_get(at(newest, "aliases", NULL), 0)), "shadow");
    cr_assert_str_eq(text(oldest, "state", NULL), "champion");
    cr_assert_str_eq(text(oldest, "registered_by", NULL), "retrainer");
    cr_assert_str_eq(text(oldest, "change", "action"), "model.promote");
    cr_assert_str_eq(text(oldest, "change", "by"), "retrainer");
    cr_assert_str_eq(text(oldest, "run", "cause"), "request");
    cr_assert(number(oldest, "figures", "average_precision") > 0);
    cr_assert_null(at(oldest, "figures", "curves"), "curves are the card's");
    http_said_free(&said);

    said = ask("/v1/models?before=2&limit=5");
    cr_assert_eq(json_array_size(at(said.json, "models", NULL)), 1);
    http_said_free(&said);
    said = ask("/v1/models?name=other");
    cr_assert_eq(json_array_size(at(said.json, "models", NULL)), 0);
    http_said_free(&said);
}

Test(registry, shows_the_card_of_a_version_with_its_gates_curves_and_history)
{
    struct http_said said;

    train("2020-02-09T00:00:00Z", 1);
    database_wait(w.pg, "SELECT count(*) FROM aliases WHERE alias = 'champion'", 1, "SELECT ''");
    said = ask("/v1/models/model/versions/1");
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    cr_assert_str_eq(text(said.json, "model", "state"), "champion");
    cr_assert_str_eq(text(said.json, "model", "sha256"),
                     sql_text("SELECT encode(sha256, 'hex') FROM models"));
    cr_assert_eq(json_array_size(at(said.json, "features", NULL)), 4);
    cr_assert_gt(json_array_size(at(at(said.json, "metrics", "curves"), "precision_recall", NULL)), 2);
    cr_assert_gt(json_array_size(at(at(said.json, "metrics", "curves"), "money", NULL)), 2);
    cr_assert_eq((int64_t)json_array_size(at(said.json, "verdicts", NULL)),
                 sql_int("SELECT count(*) FROM verdicts WHERE version = 1"));
    cr_assert_eq((int64_t)json_array_size(at(said.json, "history", NULL)),
                 sql_int("SELECT count(*) FROM audit WHERE action LIKE 'model.%' AND subject = '1'"));
    cr_assert_str_eq(text(said.json, "run", "reason"), "test");
    cr_assert(number(said.json, "training", "rows") > 100);
    cr_assert_not_null(strstr(text(said.json, "card", NULL), "#"), "the card is there");
    http_said_free(&said);
    cr_assert_eq(status_of("/v1/models/other/versions/1"), 404);
    cr_assert_eq(status_of("/v1/models/model/versions/2"), 404);
    cr_assert_eq(status_of("/v1/models/model/versions/x"), 404);
}

/* Fraud as it is known, of the decisions of the last ten days but three. */
#define SEEN                                                                                                 \
    "FROM decisions d LEFT JOIN LATERAL (SELECT is_fraud FROM labels l WHERE l.account = d.account AND "     \
    "l.transaction_id = d.transaction_id ORDER BY source DESC, labelled_at DESC, n DESC LIMIT 1) l ON true " \
    "WHERE d.known_at <= (SELECT max(known_at) FROM log) - interval '3 days' AND d.known_at > (SELECT "      \
    "max(known_at) FROM log) - interval '13 days'"

static void check_side(const json_t *side)
{
    const json_t *money = at(side, "money", NULL), *bins = at(side, "reliability", NULL), *last;
    double weight = 0, happened = 0;

    last = json_array_get(money, json_array_size(money) - 1);
    cr_assert_float_eq(json_number_value(json_array_get(last, 2)),
                       (double)sql_int("SELECT sum(amount_base_minor)::int8 " SEEN " AND l.is_fraud"), 0.5,
                       "below the lowest score all frauds are caught");
    cr_assert_float_eq(
        json_number_value(json_array_get(last, 3)),
        (double)sql_int("SELECT sum(amount_base_minor)::int8 " SEEN " AND NOT coalesce(l.is_fraud, false)"),
        0.5);
    for (size_t i = 0; i < json_array_size(bins); i++) {
        const json_t *bin = json_array_get(bins, i);

        weight += json_number_value(json_array_get(bin, 2));
        happened += json_number_value(json_array_get(bin, 1)) * json_number_value(json_array_get(bin, 2));
    }
    cr_assert_float_eq(weight, (double)sql_int("SELECT count(*) " SEEN), 1e-6);
    cr_assert_float_eq(happened, (double)sql_int("SELECT count(*) " SEEN " AND l.is_fraud"), 1e-6);
}

Test(registry, compares_two_versions_on_the_same_decisions_whose_outcome_is_known)
{
    struct http_said said;

    train("2020-02-09T00:00:00Z", 1);
    database_wait(w.pg, "SELECT count(*) FROM aliases WHERE alias = 'champion'", 1, "SELECT ''");
    cr_assert_eq(status_of("/v1/models/model:compare"), 404, "there is nothing to compare with");
    train("2020-02-08T00:00:00Z", 2);
    said = ask("/v1/models/model:compare?champion=1&challenger=2&days=10");
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    cr_assert_eq(number(said.json, "rows", NULL), (double)sql_int("SELECT count(*) " SEEN));
    cr_assert_eq(number(said.json, "frauds", NULL),
                 (double)sql_int("SELECT count(*) " SEEN " AND l.is_fraud"));
    cr_assert_gt(number(said.json, "frauds", NULL), 5);
    cr_assert_eq(number(said.json, "declined", NULL), 0);
    check_side(at(said.json, "champion", NULL));
    check_side(at(said.json, "challenger", NULL));
    cr_assert_eq(number(said.json, "champion", "version"), 1);
    cr_assert_eq(number(said.json, "challenger", "version"), 2);
    cr_assert(number(said.json, "champion", "average_precision") > 0);
    http_said_free(&said);

    /* What was declined has no outcome, and what was let through by chance stands for more than itself. */
    sql("UPDATE decisions SET action = 3, p_allow = 0 WHERE abs(hashtext(transaction_id)) % 2 = 0");
    sql("UPDATE decisions SET p_allow = 0.25 WHERE action <> 3");
    said = ask("/v1/models/model:compare?champion=1&challenger=1&days=10");
    cr_assert_eq(number(said.json, "declined", NULL),
                 (double)sql_int("SELECT count(*) " SEEN " AND action = 3"));
    cr_assert_eq(number(said.json, "rows", NULL),
                 (double)sql_int("SELECT count(*) " SEEN " AND action <> 3"));
    cr_assert(
        json_equal((json_t *)at(said.json, "champion", NULL), (json_t *)at(said.json, "challenger", NULL)),
        "a version is no better than itself");
    http_said_free(&said);

    cr_assert_eq(status_of("/v1/models/model:compare?champion=1&challenger=9"), 404);
    cr_assert_eq(status_of("/v1/models/other:compare?champion=1&challenger=2"), 404);
    cr_assert_eq(status_of("/v1/models/model:compare?champion=x"), 400);
    cr_assert_eq(status_of("/v1/models/model:compare?days=-1"), 400);
}

Test(registry, tells_of_the_control_slice_also_when_there_is_none)
{
    struct http_said said = ask("/v1/control-slice");

    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    cr_assert_eq(json_array_size(at(said.json, "slices", NULL)), 0);
    cr_assert(json_is_null(at(said.json, "report", NULL)), "%s", said.body);
    http_said_free(&said);
    sql("INSERT INTO control_slices (account, share, amount_most, amount_per_day, key) VALUES (0, 0.1, "
        "50000, "
        "1000000, decode('000102030405060708090a0b0c0d0e0f', 'hex'))");
    said = ask("/v1/control-slice?days=20&mature_days=1");
    cr_assert_eq(json_array_size(at(said.json, "slices", NULL)), 1);
    cr_assert_eq(number(json_array_get(at(said.json, "slices", NULL), 0), "share", NULL), 0.1);
    http_said_free(&said);
}

/* ---- what is learned from ---- */

/* Served for rules, after all others. */
static void serve_a_velocity(void)
{
    static const char definitions[] = CATALOGUE "  - {name: velocity_0123, count: customer, window: 1h}\n";
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;

    cr_assert_eq(catalogue_parse(&catalogue, slice_str(definitions), &arena, &w.why), ERR_OK, "%s",
                 w.why.text);
    cr_assert_eq(plan_build(&plan, &catalogue, &w.why), ERR_OK, "%s", w.why.text);
    cr_assert_eq(plan_columns(plan), 5);
    pg_add_bytes(&p, slice_of((const char *)plan_hash(plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(plan));
    cr_assert_eq(pg_exec(w.pg,
                         "INSERT INTO plans (plan, definition, created_at) VALUES ($1::bytea, $2::text, "
                         "now() + interval '1 hour')",
                         &p, &r, &w.why),
                 ERR_OK, "%s", w.why.text);
    pg_result_free(r);
    pg_params_release(&p);
    plan_free(plan);
    arena_release(&arena);
}

Test(registry, learns_from_what_is_served_but_not_from_what_is_served_for_rules)
{
    struct http_said said;
    const json_t *features;

    serve_a_velocity();
    train("2020-02-09T00:00:00Z", 1);
    said = ask("/v1/models/model/versions/1");
    features = at(said.json, "features", NULL);
    cr_assert_eq(json_array_size(features), 4, "%s", said.body);
    for (size_t i = 0; i < json_array_size(features); i++)
        cr_assert_null(strstr(text(json_array_get(features, i), "name", NULL), "velocity"));
    http_said_free(&said);
}

/* ---- two who ask at once ---- */

struct asker {
    pthread_barrier_t *together;
    int64_t run;
    bool is_new;
};

static void *ask_for_a_run(void *ctx)
{
    struct asker *a = ctx;
    struct pg_session *pg = NULL;
    struct why why = { 0 };
    struct run_wish wish = {
        .name = SLICE("model"), .cause = "request", .requested_by = SLICE("test"), .as_of_us = RUN_NO_TIME
    };

    if (pg_session_open(&pg, w.conninfo, "test", &why) == ERR_OK) {
        pthread_barrier_wait(a->together);
        if (run_request(pg, &wish, &a->run, &a->is_new, &why))
            a->run = -1;
    }
    pg_session_close(pg);
    return NULL;
}

Test(registry, queues_one_run_of_a_name_however_many_ask_in_the_same_moment)
{
    enum { ASKERS = 6, ROUNDS = 40 };
    pthread_barrier_t together;

    cr_assert_eq(process_stop(&w.retrainer), 0);
    w.retrainer.pid = 0;
    pthread_barrier_init(&together, NULL, ASKERS);
    for (int round = 0; round < ROUNDS; round++) {
        struct asker askers[ASKERS] = { 0 };
        pthread_t threads[ASKERS];
        int fresh = 0;

        sql("DELETE FROM training_runs");
        for (int i = 0; i < ASKERS; i++) {
            askers[i].together = &together;
            pthread_create(&threads[i], NULL, ask_for_a_run, &askers[i]);
        }
        for (int i = 0; i < ASKERS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < ASKERS; i++) {
            fresh += askers[i].is_new;
            cr_assert_eq(askers[i].run, askers[0].run, "all are told of the same run");
        }
        cr_assert_eq(fresh, 1, "one of them made it");
        cr_assert_eq(sql_int("SELECT count(*) FROM training_runs"), 1);
    }
    pthread_barrier_destroy(&together);
}
