/* SPDX-License-Identifier: Apache-2.0
 * dashboard_scale_test.c - what grows with every decision and what holds PostgreSQL for long: the real program, real
 * PostgreSQL. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/cluster.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process dashboard;
    struct visit lead;
    char pg_url[512];
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

/* 6,000 payments: of 60 days, 100 a day, t0 the newest; every tenth has a case, in turn open, snoozed, decided with its
 * effect still to come, and decided for good. Minutes of the same days. */
static void fill(void)
{
    sql("INSERT INTO accounts (name) VALUES ('shop');"
        "INSERT INTO payments (account, transaction_id, known_at, n, occurred_at, decided_at, amount_minor, "
        "currency, amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, ip, "
        "country, channel) SELECT 1, 't' || g, now() - g * interval '14.4 min', 6000 - g, now(), now() - g * "
        "interval '14.4 min', g, 'EUR', g, 2, 0.5, '', '', '', '', '', '', '' FROM generate_series(0, 5999) "
        "g;"
        "INSERT INTO review_cases (account, transaction_id, known_at, n, state, due_at, snoozed_until, "
        "action, "
        "expected_loss, amount_minor, currency, amount_base_minor, occurred_at, customer_id, card_id, "
        "merchant_id, device_id, ip, country, channel, rules, outcome, effective_at, is_applied) SELECT 1, "
        "transaction_id, known_at, n, (ARRAY['open', 'snoozed', 'decided', 'decided'])[1 + k % 4], now(), "
        "CASE "
        "k % 4 WHEN 1 THEN now() + interval '1 day' END, 2, 1, 1, 'EUR', 1, now(), '', '', '', '', '', '', "
        "'', "
        "'{}', CASE WHEN k % 4 > 1 THEN 'legit' END, CASE WHEN k % 4 > 1 THEN now() + interval '1 day' END, "
        "k % "
        "4 = 3 FROM payments, LATERAL (SELECT n / 10 AS k) x WHERE n % 10 = 0;"
        "INSERT INTO decision_minutes SELECT date_trunc('minute', decided_at), 2, 1, 1 FROM payments;"
        "INSERT INTO decision_latency SELECT date_trunc('minute', decided_at), 'total', 5, 1 FROM payments");
}

static void start_with(const char *keep, const char *keep_minutes, const char *statement)
{
    process_start(
        &w.dashboard, "dashboard",
        (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_TURN=20ms", keep, keep_minutes, statement, NULL });
}

static void start(void)
{
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    visit_add_user(w.pg, "lea", "lead");
    w.lead = visit_of(w.pg, "lea", "now()");
}

static void stop(void)
{
    cr_assert_eq(process_stop(&w.dashboard), 0);
    pg_session_close(w.pg);
}

TestSuite(dashboard_scale, .init = start, .fini = stop, .timeout = 120);

#define DONE "(c.state = 'decided' AND c.is_applied)"

Test(dashboard_scale, old_payments_and_minutes_go_and_nothing_that_people_have_still_to_do_with)
{
    int64_t kept;

    fill();
    kept = sql_int(
        "SELECT count(*) FROM payments p WHERE decided_at > now() - interval '10 days' OR EXISTS (SELECT "
        "FROM review_cases c WHERE c.transaction_id = p.transaction_id AND NOT " DONE ")");
    cr_assert_gt(kept, 1300);
    cr_assert_lt(kept, 1500);
    start_with("ASSAY_DASHBOARD_KEEP=10d", "ASSAY_DASHBOARD_KEEP_MINUTES=20d",
               "ASSAY_DASHBOARD_STATEMENT=10s");
    wait_until("SELECT count(*) FROM payments", kept);
    wait_until("SELECT count(*) FROM decision_minutes WHERE minute < now() - interval '20 days'", 0);
    wait_until("SELECT count(*) FROM decision_latency WHERE minute < now() - interval '20 days'", 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM review_cases"), 600, "every case stays");
    cr_assert_eq(sql_int("SELECT count(*) FROM review_cases c WHERE NOT " DONE
                         " AND NOT EXISTS (SELECT FROM payments p "
                         "WHERE p.transaction_id = c.transaction_id)"),
                 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM payments p WHERE decided_at > now() - interval '9.9 days'"),
                 990);
    cr_assert_eq(sql_int("SELECT count(*) FROM decision_minutes WHERE minute > now() - interval '19.9 days'"),
                 1990);
    cr_assert_eq(sql_int("SELECT count(*) FROM decision_latency WHERE minute > now() - interval '19.9 days'"),
                 1990);
}

Test(dashboard_scale, nothing_goes_where_all_is_kept)
{
    fill();
    start_with("ASSAY_DASHBOARD_KEEP=0s", "ASSAY_DASHBOARD_KEEP_MINUTES=0s", "ASSAY_DASHBOARD_STATEMENT=10s");
    sql("UPDATE review_cases SET snoozed_until = now() WHERE state = 'snoozed'");
    wait_until("SELECT count(*) FROM review_cases WHERE state = 'snoozed'", 0); /* so it has had its turn */
    usleep(200000);
    cr_assert_eq(sql_int("SELECT count(*) FROM payments"), 6000);
    cr_assert_eq(sql_int("SELECT count(*) FROM decision_minutes"), 6000);
    cr_assert_eq(sql_int("SELECT count(*) FROM decision_latency"), 6000);
}

Test(dashboard_scale, a_statement_that_takes_too_long_is_stopped_and_the_next_is_answered)
{
    struct http_said said;

    fill();
    start_with("ASSAY_DASHBOARD_KEEP=0s", "ASSAY_DASHBOARD_KEEP_MINUTES=0s",
               "ASSAY_DASHBOARD_STATEMENT=200ms");
    sql("BEGIN; LOCK TABLE review_cases IN ACCESS EXCLUSIVE MODE");
    said = visit_ask(w.dashboard.port, "GET", "/v1/cases", &w.lead, NULL);
    cr_assert_eq(said.status, 504, "%d %s", said.status, said.body);
    cr_assert(strstr(said.body, "took too long and was stopped"), "%s", said.body);
    http_said_free(&said);
    sql("ROLLBACK");
    for (int i = 0; i < 8; i++) /* whichever of its sessions */
        cr_assert_eq(visit_status(w.dashboard.port, "GET", "/v1/cases", &w.lead, NULL), 200);
}
