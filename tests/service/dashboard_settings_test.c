/* SPDX-License-Identifier: Apache-2.0
 * dashboard_settings_test.c - settings and thresholds over the dashboard: the real program, real PostgreSQL. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process dashboard;
    struct visit lead;
    char pg_url[512];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void start(void)
{
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    visit_add_user(w.pg, "lea", "lead");
    w.lead = visit_of(w.pg, "lea", "now()");
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_BASE_CURRENCY=EUR",
                                         "ASSAY_DASHBOARD_REVIEW_COST=250", NULL });
}

static void stop(void)
{
    cr_assert_eq(process_stop(&w.dashboard), 0);
    pg_session_close(w.pg);
}

TestSuite(dashboard_settings, .init = start, .fini = stop, .timeout = 120);

static json_t *get(const char *path)
{
    struct http_said said = visit_ask(w.dashboard.port, "GET", path, &w.lead, NULL);
    json_t *json = json_incref(said.json);

    cr_assert_eq(said.status, 200, "%s: %d %s", path, said.status, said.body);
    http_said_free(&said);
    return json;
}

/* 4,000 payments of 40 days, every twentieth without a score: scores on and between edges, labels of several sources that
 * contradict one another. */
static void live(void)
{
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop'), ('other')");
    database_run(
        w.pg,
        "INSERT INTO payments (account, transaction_id, known_at, n, occurred_at, decided_at, amount_minor, "
        "currency, "
        "amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, ip, country, "
        "channel) SELECT 1 + g % "
        "2, 't' || g, now() - g * interval '14 min', g, now(), now(), g, 'EUR', 100 + g % 977, 0, CASE WHEN "
        "g % 20 > 0 THEN "
        "CASE WHEN g % 2 = 0 THEN (g % 201) / 200.0 ELSE (g * 7919 % 100000) / 100000.0 END END, '', '', '', "
        "'', '', '', '' "
        "FROM generate_series(1, 4000) g");
    database_run(
        w.pg,
        "INSERT INTO labels SELECT account, transaction_id, s, known_at + interval '1 day', (n + s) % 3 = 0, "
        "known_at, n "
        "FROM payments, (VALUES (0), (1), (3)) v (s) WHERE n % (s + 2) = 0");
}

/* What holds of a payment: counted another way, by the strongest source of each. */
#define TRUTH                                                                                                \
    "(SELECT l.is_fraud FROM labels l WHERE l.account = p.account AND l.transaction_id = p.transaction_id "  \
    "AND l.source = (SELECT max(source) FROM labels m WHERE m.account = p.account AND m.transaction_id = "   \
    "p.transaction_id))"

Test(dashboard_settings, thresholds_have_the_sums_of_every_payment_from_each_edge_on)
{
    static const double places[] = { 0, 0.05, 0.1, 0.5, 0.995 };
    json_t *said, *bucket;
    size_t i;

    live();
    said = get("/v1/thresholds?account=shop");
    cr_assert_eq(json_integer_value(json_object_get(said, "review_cost_base_minor")), 250);
    cr_assert(json_is_null(json_object_get(said, "present")), "nothing was decided");
    cr_assert_gt(json_array_size(json_object_get(said, "buckets")), 100);
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        int64_t sums[6] = { 0 };

        json_array_foreach(json_object_get(said, "buckets"), i, bucket)
        {
            for (size_t kind = 0; kind < 3 && json_number_value(json_object_get(bucket, "from")) >= places[k];
                 kind++) {
                sums[kind] += json_integer_value(json_array_get(json_object_get(bucket, "counts"), kind));
                sums[3 + kind] +=
                    json_integer_value(json_array_get(json_object_get(bucket, "amounts_base_minor"), kind));
            }
        }
        for (size_t j = 0; j < 6; j++) {
            static const char *const kinds[] = {
                "t", "t IS FALSE OR (t IS NULL AND known_at < now() - interval '7 days')",
                "t IS NULL AND known_at >= now() - interval '7 days'"
            };
            char question[1024];

            snprintf(question, sizeof question,
                     "SELECT coalesce(sum(%s), 0)::int8 FROM (SELECT p.*, " TRUTH
                     " AS t FROM payments p WHERE p.account = 1 "
                     "AND score >= %.6f AND known_at > now() - interval '30 days') x WHERE %s",
                     j < 3 ? "1" : "amount_base_minor", places[k], kinds[j % 3]);
            cr_expect_eq(sums[j], database_int(w.pg, question), "from %g, %zu: %lld, not %lld", places[k], j,
                         (long long)sums[j], (long long)database_int(w.pg, question));
        }
    }
    json_decref(said);
}

/* The newest payment's decision; its record, packed. */
static void decide(const Assay__V1__DecisionRecord *record)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    uint8_t bytes[256];
    size_t len = assay__v1__decision_record__pack(record, bytes);

    cr_assert_leq(len, sizeof bytes);
    pg_add_bytes(&p, slice_of(bytes, len));
    MUST(pg_exec(w.pg,
                 "INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, action, p_allow, "
                 "model_version, "
                 "ruleset_version, arm, plan, vector, amount_base_minor, record) SELECT account, "
                 "transaction_id, known_at, "
                 "known_at, n, 0, 1, '17', '4', 'champion', '', '', amount_base_minor, $1::bytea FROM "
                 "payments WHERE score "
                 "IS NOT NULL ORDER BY n DESC LIMIT 1",
                 &p, &r, &w.why));
    pg_result_free(r);
    pg_params_release(&p);
}

Test(dashboard_settings, the_thresholds_that_hold_are_edges_and_those_of_the_rule_set_go_first)
{
    Assay__V1__DecisionRecord record = ASSAY__V1__DECISION_RECORD__INIT;
    Assay__V1__Thresholds of_model = ASSAY__V1__THRESHOLDS__INIT, of_rules = ASSAY__V1__THRESHOLDS__INIT;
    json_t *said, *present;
    size_t i, found = 0;
    json_t *bucket;

    live();
    of_model.challenge = of_model.review = of_model.decline = 2;
    of_rules.challenge = 0.123456;
    of_rules.review = 0.5;
    of_rules.decline = 0.876543;
    record.thresholds = &of_model;
    record.own_thresholds = &of_rules;
    decide(&record);
    said = get("/v1/thresholds");
    present = json_object_get(said, "present");
    cr_assert(json_is_true(json_object_get(present, "is_of_rules")));
    cr_assert_float_eq(json_number_value(json_object_get(present, "decline")), 0.876543, 1e-12);
    cr_assert_str_eq(json_string_value(json_object_get(present, "model_version")), "17");
    json_array_foreach(json_object_get(said, "buckets"), i, bucket)
    {
        double from = json_number_value(json_object_get(bucket, "from"));

        found += (from > 0.1234 && from < 0.1235) || (from > 0.8765 && from < 0.8766);
    }
    cr_assert_eq(found, 2);
    json_decref(said);
}

/* What is said of the scores from `low` to below `high`, counted payment by payment. */
static void expect_counted(const json_t *bucket, double low, double high)
{
    static const char *const kinds[] = { "t",
                                         "t IS FALSE OR (t IS NULL AND known_at < now() - interval '7 days')",
                                         "t IS NULL AND known_at >= now() - interval '7 days'" };

    for (size_t kind = 0; kind < 3; kind++) {
        char question[1024];
        struct pg_result *r = NULL;

        snprintf(question, sizeof question,
                 "SELECT count(*), coalesce(sum(amount_base_minor), 0)::int8 FROM (SELECT p.*, " TRUTH
                 " AS t FROM payments p WHERE account = 1 AND score >= %.17g AND score < %.17g AND known_at "
                 "> now() - "
                 "interval '30 days') x WHERE %s",
                 low, high, kinds[kind]);
        MUST(pg_exec(w.pg, question, NULL, &r, &w.why));
        cr_expect_eq(json_integer_value(json_array_get(json_object_get(bucket, "counts"), kind)),
                     pg_get_int(r, 0, 0), "counts of kind %zu from %g", kind, low);
        cr_expect_eq(json_integer_value(json_array_get(json_object_get(bucket, "amounts_base_minor"), kind)),
                     pg_get_int(r, 0, 1), "amounts of kind %zu from %g", kind, low);
        pg_result_free(r);
    }
}

Test(dashboard_settings,
     what_is_counted_by_the_hour_is_what_the_payments_come_to_whatever_is_added_and_removed)
{
    Assay__V1__DecisionRecord record = ASSAY__V1__DECISION_RECORD__INIT;
    Assay__V1__Thresholds held = ASSAY__V1__THRESHOLDS__INIT;
    json_t *said, *buckets;
    size_t count;

    live();
    held.challenge = 0.0123; /* two between the same edges, one at an edge */
    held.review = 0.0126;
    held.decline = 0.5;
    record.thresholds = &held;
    decide(&record);
    database_run(w.pg, "DELETE FROM payments WHERE n % 7 = 0 AND n > 100");
    database_run(
        w.pg,
        "INSERT INTO payments SELECT account, transaction_id || 'x', known_at, n + 10000, occurred_at, "
        "decided_at, 1, currency, 5, action, 0.012 + (n % 10) / 10000.0, '', '', '', '', '', '', '' FROM "
        "payments WHERE n % 3 = 0");
    database_run(
        w.pg,
        "INSERT INTO labels SELECT account, transaction_id, 2, known_at + interval '3 days', n % 4 = 0, "
        "known_at + interval '3 days', n FROM payments WHERE n % 11 = 0");
    database_run(w.pg, "DELETE FROM payments WHERE account = 1 AND score BETWEEN 0.7 AND 0.71");
    said = get("/v1/thresholds?account=shop");
    buckets = json_object_get(said, "buckets");
    count = json_array_size(buckets);
    cr_assert_gt(count, 100);
    for (size_t i = 0; i < count; i++)
        expect_counted(
            json_array_get(buckets, i),
            json_number_value(json_object_get(json_array_get(buckets, i), "from")),
            i + 1 < count ? json_number_value(json_object_get(json_array_get(buckets, i + 1), "from")) : 2);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT (SELECT sum(count) FROM score_hours)::int8 - (SELECT count(*) FROM payments "
                     "WHERE score IS NOT NULL)"),
        0);
    database_run(w.pg, "DELETE FROM payments");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM score_hours"), 0);
    json_decref(said);
}

Test(dashboard_settings, settings_and_the_session_tell_the_base_currency)
{
    json_t *settings = get("/v1/settings"), *session = get("/v1/session");

    cr_assert_str_eq(json_string_value(json_object_get(settings, "base_currency")), "EUR");
    cr_assert_str_eq(json_string_value(json_object_get(session, "base_currency")), "EUR");
    cr_assert_eq(json_integer_value(json_object_get(settings, "sla_s")), 4 * 3600);
    cr_assert_eq(json_integer_value(json_object_get(settings, "review_cost_base_minor")), 250);
    cr_assert_str_eq(json_string_value(json_object_get(settings, "case_actions")), "review");
    json_decref(settings);
    json_decref(session);
}
