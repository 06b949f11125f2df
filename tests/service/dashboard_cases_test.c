/* SPDX-License-Identifier: Apache-2.0
 * dashboard_cases_test.c - the review queue: the real program, real PostgreSQL, a made-up past whose payments all become
 * cases. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"
#include "proto/txn_proto.h"

#define CATALOGUE                                                                                            \
    "entities: {customer: customer_id}\n"                                                                    \
    "features:\n"                                                                                            \
    "  - {name: amount, expr: tx.amount}\n"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct history past;
    struct process dashboard;
    struct visit ann, bob, lead;
    char pg_url[512];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

/* With a session. */
static struct visit add_user(const char *name, const char *roles)
{
    visit_add_user(w.pg, name, roles);
    return visit_of(w.pg, name, "now()");
}

static void start(void)
{
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    history_open(&w.past, w.pg, CATALOGUE, 30);
    history_live_until(&w.past, HISTORY_START + 4 * DAY_US);
    w.ann = add_user("ann", "analyst");
    w.bob = add_user("bob", "analyst");
    w.lead = add_user("lea", "lead");
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_CASES=approve",
                                         "ASSAY_DASHBOARD_TURN=20ms", "ASSAY_DASHBOARD_KEEP=0",
                                         "ASSAY_DASHBOARD_KEEP_MINUTES=0", "ASSAY_DASHBOARD_UNDO=2s", NULL });
    database_wait(w.pg, "SELECT count(*) FROM review_cases", (int64_t)w.past.transactions, NULL);
}

static void stop(void)
{
    cr_assert_eq(process_stop(&w.dashboard), 0);
    history_close(&w.past);
    pg_session_close(w.pg);
}

TestSuite(dashboard_cases, .init = start, .fini = stop, .timeout = 300);

static struct http_said ask(const char *method, const char *path, const struct visit *v, const char *body)
{
    return visit_ask(w.dashboard.port, method, path, v, body);
}

/* The answer, the caller's; it must have that status. */
static json_t *get(const char *method, const char *path, const struct visit *v, const char *body, int status)
{
    struct http_said said = ask(method, path, v, body);
    json_t *json = json_incref(said.json);

    cr_assert_eq(said.status, status, "%s %s %s: %d %s", method, path, body ? body : "", said.status,
                 said.body);
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

/* ---- the follower ---- */

Test(dashboard_cases, every_decision_is_counted_once_and_found_by_what_it_shares)
{
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM payments"), (int64_t)w.past.transactions);
    cr_assert_eq(database_int(w.pg, "SELECT sum(count)::int8 FROM decision_minutes"),
                 (int64_t)w.past.transactions);
    cr_assert_eq(database_int(w.pg, "SELECT sum(count)::int8 FROM decision_latency WHERE stage = 'total'"),
                 (int64_t)w.past.transactions);
    cr_assert_eq(
        database_int(
            w.pg,
            "SELECT count(*) FROM payments p JOIN decisions d USING (account, transaction_id, known_at) "
            "WHERE p.amount_base_minor = d.amount_base_minor AND p.customer_id <> ''"),
        (int64_t)w.past.transactions);
    cr_assert_eq(process_stop(&w.dashboard), 0);
    history_live_until(&w.past, HISTORY_START + 5 * DAY_US);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_CASES=decline",
                                         "ASSAY_DASHBOARD_TURN=20ms", "ASSAY_DASHBOARD_KEEP=0",
                                         "ASSAY_DASHBOARD_KEEP_MINUTES=0", NULL });
    database_wait(w.pg, "SELECT count(*) FROM payments", (int64_t)w.past.transactions, NULL);
    cr_assert_lt(database_int(w.pg, "SELECT count(*) FROM review_cases"), (int64_t)w.past.transactions,
                 "none were declined");
}

/* ---- next for me ---- */

Test(dashboard_cases, a_decision_that_comes_late_is_found_all_the_same)
{
    int64_t before = (int64_t)w.past.transactions;

    cr_assert_eq(process_stop(&w.dashboard), 0);
    history_live_until(&w.past, w.past.now_us + DAY_US);
    database_run(
        w.pg,
        "CREATE TABLE late AS SELECT * FROM decisions ORDER BY known_at DESC LIMIT 20; DELETE FROM decisions "
        "d "
        "USING late l WHERE d.account = l.account AND d.transaction_id = l.transaction_id");
    cr_assert_gt((int64_t)w.past.transactions, before + 20);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_CASES=approve",
                                         "ASSAY_DASHBOARD_TURN=20ms", "ASSAY_DASHBOARD_KEEP=0",
                                         "ASSAY_DASHBOARD_KEEP_MINUTES=0", NULL });
    database_wait(w.pg, "SELECT count(*) FROM payments", (int64_t)w.past.transactions - 20, NULL);
    sleep(7); /* so that they are looked for less often */
    database_run(w.pg, "INSERT INTO decisions SELECT * FROM late");
    database_wait(w.pg, "SELECT count(*) FROM payments", (int64_t)w.past.transactions, NULL);
}

struct taker {
    const struct visit *visit;
    int64_t taken[200];
    size_t count;
};

static void *take_all(void *arg)
{
    struct taker *t = arg;

    for (size_t i = 0; i < ARRAY_LEN(t->taken); i++) {
        struct http_said said = ask("POST", "/v1/cases:next", t->visit, "{}");

        if (said.status == 200)
            t->taken[t->count++] = number(said.json, "case");
        http_said_free(&said);
    }
    return NULL;
}

Test(dashboard_cases, a_decision_that_never_comes_is_not_looked_for_for_ever)
{
    database_run(w.pg, "UPDATE followers SET position = jsonb_set(position, '{pending}', '[[1, 1, 0, \"x\", "
                       "1]]') WHERE follower = 'dashboard'");
    database_wait(w.pg,
                  "SELECT jsonb_array_length(position->'pending')::int8 FROM followers WHERE follower = "
                  "'dashboard'",
                  0, "its patience is over, and nothing else has come");
}

Test(dashboard_cases, two_analysts_who_press_next_at_once_200_times_never_get_the_same_case)
{
    struct taker takers[2] = { { .visit = &w.ann }, { .visit = &w.bob } };
    pthread_t threads[2];

    cr_assert_gt(w.past.transactions, 60);
    database_run(
        w.pg,
        "INSERT INTO review_cases (account, transaction_id, known_at, n, due_at, action, expected_loss, "
        "amount_minor, "
        "currency, amount_base_minor, occurred_at, customer_id, card_id, merchant_id, device_id, ip, "
        "country, channel, "
        "rules) SELECT account, 'more-' || g, now(), 1, now(), 2, g % 7, g, 'EUR', g, now(), '', '', '', '', "
        "'', '', "
        "'', '{}' FROM generate_series(1, 500) g, (SELECT account FROM accounts LIMIT 1) a");
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_all, &takers[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(takers[0].count + takers[1].count, 400);
    for (size_t i = 0; i < takers[0].count; i++)
        for (size_t k = 0; k < takers[1].count; k++)
            cr_assert_neq(takers[0].taken[i], takers[1].taken[k]);
    cr_assert_eq(database_int(w.pg, "SELECT count(DISTINCT subject) FROM audit WHERE action = 'case.take'"),
                 400);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action = 'case.take'"), 400);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE state = 'assigned'"), 400);
    cr_assert_eq(
        database_int(
            w.pg,
            "SELECT count(*) FROM review_cases o, (SELECT min(expected_loss) AS least FROM review_cases "
            "WHERE state = 'assigned') a WHERE o.state = 'open' AND o.expected_loss > a.least"),
        0, "the largest expected loss came first");
}

Test(dashboard_cases, a_lock_that_has_run_out_lets_another_take_the_case)
{
    json_t *first = get("POST", "/v1/cases:next", &w.ann, "{}", 200), *again;
    char path[64], body[96];

    snprintf(path, sizeof path, "/v1/cases/%lld:decide", (long long)number(first, "case"));
    snprintf(body, sizeof body, "{\"version\": %lld, \"outcome\": \"legit\", \"reason\": \"known\"}",
             (long long)number(first, "version"));
    json_decref(get("POST", path, &w.bob, body, 409));
    database_run(w.pg, "UPDATE review_cases SET locked_until = now() WHERE state = 'assigned'");
    again = get("POST", "/v1/cases:next", &w.bob, "{}", 200);
    cr_assert_eq(number(again, "case"), number(first, "case"));
    json_decref(get("POST", path, &w.ann, body, 409));
    json_decref(first);
    json_decref(again);
}

Test(dashboard_cases, without_a_score_a_case_ranks_by_its_amount_and_by_what_became_of_those_before)
{
    size_t decided = w.past.transactions;
    char question[256];

    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE score IS NULL"),
                 (int64_t)decided);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE abs(expected_loss - (0.1 * "
                                    "amount_base_minor - 300)) > 1"),
                 0, "before anything was decided: the prior");
    database_run(w.pg, "UPDATE review_cases SET state = 'decided', outcome = 'fraud', is_applied = true");
    history_live_until(&w.past, HISTORY_START + 5 * DAY_US);
    database_wait(w.pg, "SELECT count(*) FROM review_cases", (int64_t)w.past.transactions, NULL);
    snprintf(question, sizeof question,
             "SELECT count(*) FROM review_cases WHERE state = 'open' AND abs(expected_loss - (%zu + 2.0) / "
             "(%zu + 20.0) * amount_base_minor + 300) > 1",
             decided, decided);
    cr_assert_eq(database_int(w.pg, question), 0);
    cr_assert_gt(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE state = 'open'"), 0);
}

/* ---- whose it is ---- */

static json_t *give(int64_t number, const char *assignee, int64_t version, int status)
{
    char path[64], body[128];

    snprintf(path, sizeof path, "/v1/cases/%lld:assign", (long long)number);
    snprintf(body, sizeof body, "{\"version\": %lld, \"assignee\": \"%s\"}", (long long)version, assignee);
    return get("POST", path, &w.lead, body, status);
}

Test(dashboard_cases, a_case_is_given_to_nobody_who_could_not_decide_it)
{
    json_t *said;

    add_user("roy", "rule_author");
    said = give(1, "roy", 1, 422);
    cr_assert(strstr(text(said, "detail"), "neither analyst nor lead") != NULL, "%s", text(said, "detail"));
    json_decref(said);
    said = give(1, "zoe", 1, 422);
    cr_assert(strstr(text(said, "detail"), "no user") != NULL, "%s", text(said, "detail"));
    json_decref(said);
    database_run(w.pg, "UPDATE users SET is_disabled = true WHERE name = 'bob'");
    said = give(1, "bob", 1, 422);
    cr_assert(strstr(text(said, "detail"), "bob is disabled") != NULL, "%s", text(said, "detail"));
    json_decref(said);
    json_decref(give(1, "ann", 1, 200));
}

Test(dashboard_cases, who_is_disabled_or_is_no_analyst_any_more_leaves_his_cases_to_others)
{
    struct visit root = add_user("root", "admin");

    json_decref(give(1, "bob", 1, 200));
    json_decref(give(2, "bob", 1, 200));
    json_decref(give(3, "ann", 1, 200));
    json_decref(get("POST", "/v1/users/bob:roles", &root, "{\"roles\": [\"lead\"]}", 204));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE assignee = 'bob'"), 2);
    json_decref(get("POST", "/v1/users/bob:disable", &root, NULL, 204));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE assignee = 'bob'"), 0);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action = 'case.release' AND actor = "
                                    "'root' AND detail->>'assignee' = 'bob' AND subject IN ('1', '2')"),
                 2);
    cr_assert_eq(database_int(w.pg, "SELECT version FROM review_cases WHERE \"case\" = 1"), 3);
    json_decref(get("POST", "/v1/users/ann:roles", &root, "{\"roles\": [\"auditor\"]}", 204));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE state = 'assigned'"), 0);
}

Test(dashboard_cases, what_a_lead_gave_stays_given_when_its_lock_is_asked_for_again)
{
    json_decref(give(1, "ann", 1, 200));
    json_decref(get("POST", "/v1/cases/1:extend", &w.ann, "{}", 200));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE \"case\" = 1 AND state = "
                                    "'assigned' AND locked_until IS NULL"),
                 1);
}

Test(dashboard_cases, a_list_of_another_account_is_none)
{
    static const char body[] = "{\"version\": 1, \"outcome\": \"fraud\", \"reason\": \"stolen_card\", "
                               "\"lists\": [{\"list\": \"theirs\", \"field\": \"customer_id\"}]}";

    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('another'); INSERT INTO lists (account, name, "
                       "purpose, field) SELECT account, 'theirs', 'deny', 'customer_id' FROM accounts WHERE "
                       "name = 'another'");
    json_decref(get("POST", "/v1/cases/1:decide", &w.ann, body, 422));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE state = 'decided'"), 0);
}

Test(dashboard_cases, what_is_being_undone_when_its_time_is_over_takes_no_effect)
{
    static const char body[] = "{\"version\": 1, \"outcome\": \"fraud\", \"reason\": \"stolen_card\", "
                               "\"lists\": [{\"list\": \"blocked\", \"field\": \"customer_id\"}]}";

    database_run(w.pg, "INSERT INTO lists (name, purpose, field) VALUES ('blocked', 'deny', 'customer_id')");
    json_decref(get("POST", "/v1/cases/1:decide", &w.ann, body, 200));
    database_run(w.pg, "BEGIN; UPDATE review_cases SET state = 'open', outcome = NULL, effects = '[]' WHERE "
                       "\"case\" = 1");
    json_decref(get("POST", "/v1/cases/2:decide", &w.ann,
                    "{\"version\": 1, \"outcome\": \"legit\", \"reason\": \"known\"}", 200));
    database_wait(w.pg, "SELECT count(*) FROM review_cases WHERE \"case\" = 2 AND is_applied", 1, NULL);
    database_run(w.pg, "COMMIT");
    sleep(1);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM list_entries"), 0, "neither label nor entry");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM outbox WHERE kind = 2"), 1);
}

/* ---- deciding ---- */

Test(dashboard_cases, a_decision_takes_effect_after_the_time_to_undo_as_a_label_and_an_entry)
{
    json_t *taken = get("POST", "/v1/cases:next", &w.ann, "{}", 200), *decided;
    struct pg_result *r = NULL;
    struct arena arena = { 0 };
    struct label label;
    char path[64], body[256];

    database_run(w.pg, "INSERT INTO lists (name, purpose, field) VALUES ('blocked', 'deny', 'customer_id')");
    snprintf(path, sizeof path, "/v1/cases/%lld:decide", (long long)number(taken, "case"));
    snprintf(body, sizeof body,
             "{\"version\": %lld, \"outcome\": \"fraud\", \"reason\": \"stolen_card\", \"note\": "
             "\"<script>alert(1)"
             "</script>\", \"lists\": [{\"list\": \"blocked\", \"field\": \"customer_id\"}]}",
             (long long)number(taken, "version"));
    decided = get("POST", path, &w.ann, body, 200);
    cr_assert_str_eq(text(decided, "state"), "decided");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM outbox"), 0, "not yet");
    json_decref(get("POST", path, &w.ann, body, 409));
    database_wait(w.pg, "SELECT count(*) FROM review_cases WHERE is_applied", 1, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM list_entries"), 1);
    MUST(pg_exec(w.pg, "SELECT body, id FROM outbox WHERE kind = 2", NULL, &r, &w.why));
    cr_assert_eq(pg_rows(r), 1);
    MUST(label_unpack(&label, pg_get_bytes(r, 0, 0), &arena, &w.why));
    cr_assert(label.is_fraud && label.source == LABEL_ANALYST);
    cr_assert(slice_eq_str(label.transaction_id, text(taken, "transaction_id")));
    cr_assert_leq(label.known_at_us, w.past.now_us, "an account on a simulated clock lives in its own time");
    snprintf(path, sizeof path, "/v1/cases/%lld:undo", (long long)number(taken, "case"));
    json_decref(get("POST", path, &w.ann, "{}", 409));
    pg_result_free(r);
    arena_release(&arena);
    json_decref(taken);
    json_decref(decided);
}

Test(dashboard_cases, a_list_that_is_full_holds_up_neither_the_label_nor_other_cases)
{
    static const char body[] = "{\"version\": 1, \"outcome\": \"fraud\", \"reason\": \"stolen_card\", "
                               "\"lists\": [{\"list\": \"full\", \"field\": \"customer_id\"}]}";

    database_run(
        w.pg,
        "INSERT INTO lists (name, purpose, field) VALUES ('full', 'deny', 'customer_id');"
        "ALTER TABLE list_entries DISABLE TRIGGER USER;"
        "INSERT INTO list_entries (list, value, added_by) SELECT list, 'x' || g, 'test' FROM lists, "
        "generate_series(1, 1 << 20) g WHERE name = 'full'; ALTER TABLE list_entries ENABLE TRIGGER USER");
    json_decref(get("POST", "/v1/cases/1:decide", &w.ann, body, 200));
    json_decref(get("POST", "/v1/cases/2:decide", &w.bob,
                    "{\"version\": 1, \"outcome\": \"legit\", \"reason\": \"known\"}", 200));
    database_wait(w.pg, "SELECT count(*) FROM review_cases WHERE is_applied", 2, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM outbox WHERE kind = 2"), 2);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM audit WHERE action = 'case.effect' AND detail->>'trouble' LIKE "
                     "'a list has at most%'"),
        1);
}

Test(dashboard_cases, a_decision_that_is_undone_leaves_nothing_but_its_audit)
{
    json_t *taken = get("POST", "/v1/cases:next", &w.ann, "{}", 200), *undone;
    char path[64], body[128];

    snprintf(path, sizeof path, "/v1/cases/%lld:decide", (long long)number(taken, "case"));
    snprintf(body, sizeof body, "{\"version\": %lld, \"outcome\": \"fraud\", \"reason\": \"stolen_card\"}",
             (long long)number(taken, "version"));
    json_decref(get("POST", path, &w.ann, body, 200));
    snprintf(path, sizeof path, "/v1/cases/%lld:undo", (long long)number(taken, "case"));
    json_decref(get("POST", path, &w.bob, "{}", 409));
    undone = get("POST", path, &w.ann, "{}", 200);
    cr_assert_str_eq(text(undone, "state"), "assigned");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM outbox"), 0);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM audit WHERE action IN ('case.decide', 'case.undo')"), 2);
    json_decref(taken);
    json_decref(undone);
}

Test(dashboard_cases, a_value_is_for_a_list_of_the_case_s_own_account_or_of_all)
{
    static const char body[] = "{\"version\": 1, \"outcome\": \"fraud\", \"reason\": \"stolen_card\", "
                               "\"lists\": [{\"list\": \"theirs\", \"field\": \"customer_id\"}]}";

    database_run(w.pg, "INSERT INTO accounts (account, name) OVERRIDING SYSTEM VALUE VALUES (77, 'another'); "
                       "INSERT INTO lists "
                       "(account, name, purpose, field) VALUES (77, 'theirs', 'deny', 'customer_id')");
    json_decref(get("POST", "/v1/cases/1:decide", &w.ann, body, 422));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE state = 'decided'"), 0);
    database_run(w.pg, "UPDATE lists SET account = 0 WHERE name = 'theirs'");
    json_decref(get("POST", "/v1/cases/1:decide", &w.ann, body, 200));
}

Test(dashboard_cases, many_are_decided_all_or_none)
{
    json_t *preview = get("POST", "/v1/cases:preview", &w.lead, "{\"sort\": \"loss\"}", 200), *done, *cases;
    json_t *body = json_pack("{s:O,s:s,s:s}", "cases", json_object_get(preview, "cases"), "outcome", "legit",
                             "reason", "known_merchant");
    char *sent = json_dumps(body, 0);
    size_t count = json_array_size(json_object_get(preview, "cases"));

    cr_assert_eq(number(preview, "count"), (int64_t)w.past.transactions);
    cr_assert_eq(number(preview, "amount_base_minor"),
                 database_int(w.pg, "SELECT sum(amount_base_minor)::int8 FROM review_cases"));
    database_run(
        w.pg,
        "UPDATE review_cases SET version = version + 1 WHERE \"case\" = (SELECT \"case\" FROM review_cases "
        "ORDER BY "
        "expected_loss DESC, \"case\" LIMIT 1)");
    json_decref(get("POST", "/v1/cases:preview", &w.lead, "[]", 400));
    json_decref(get("POST", "/v1/cases:decide", &w.lead, sent, 409));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM review_cases WHERE state = 'decided'"), 0);
    cases = json_object_get(body, "cases");
    json_array_remove(cases, 0);
    free(sent);
    sent = json_dumps(body, 0);
    done = get("POST", "/v1/cases:decide", &w.lead, sent, 200);
    cr_assert_eq(number(done, "decided"), (int64_t)count - 1);
    free(sent);
    json_decref(done);
    json_decref(body);
    json_decref(preview);
}

/* ---- the list ---- */

Test(dashboard_cases, the_list_pages_through_all_cases_in_each_order_once)
{
    static const char *const sorts[] = { "loss", "due", "newest" };

    for (size_t i = 0; i < ARRAY_LEN(sorts); i++) {
        char path[160], cursor[64] = "";
        int64_t seen = 0, last = INT64_MAX;
        json_t *page, *each;
        size_t k;

        do {
            snprintf(path, sizeof path, "/v1/cases?sort=%s&limit=37%s%s", sorts[i], *cursor ? "&cursor=" : "",
                     cursor);
            page = get("GET", path, &w.ann, NULL, 200);
            json_array_foreach(json_object_get(page, "cases"), k, each)
            {
                int64_t loss = number(each, "expected_loss_base_minor");

                cr_assert(i > 0 || loss <= last, "the largest loss first");
                last = loss;
                seen++;
            }
            snprintf(cursor, sizeof cursor, "%s", text(page, "next") ? text(page, "next") : "");
            json_decref(page);
        } while (*cursor);
        cr_assert_eq(seen, (int64_t)w.past.transactions, "%s: %lld", sorts[i], (long long)seen);
    }
}

Test(dashboard_cases, filters_say_the_same_as_the_table)
{
    static const struct {
        const char *query, *where;
    } cases[] = {
        { "amount=5000..", "amount_base_minor >= 5000" },
        { "amount=1000..5000", "amount_base_minor BETWEEN 1000 AND 5000" },
        { "score=..0.5", "coalesce(score, 0) <= 0.5" },
        { "state=assigned", "state = 'assigned'" },
        { "state=open", "state = 'open'" },
        { "assignee=me", "assignee = 'ann'" },
        { "assignee=none", "assignee IS NULL" },
        { "country=ZZ", "country = 'ZZ'" },
        { "rule=nothing", "'nothing' = ANY (rules)" },
        { "entity=%27%3B--", "false" },
        { "age=..3600", "true" },
        { "account=nobody", "false" },
    };

    json_decref(get("POST", "/v1/cases:next", &w.ann, "{}", 200));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[128], question[160];
        json_t *page;

        snprintf(path, sizeof path, "/v1/cases?limit=1000&%s", cases[i].query);
        snprintf(question, sizeof question, "SELECT count(*) FROM review_cases WHERE %s", cases[i].where);
        page = get("GET", path, &w.ann, NULL, 200);
        cr_assert_eq((int64_t)json_array_size(json_object_get(page, "cases")), database_int(w.pg, question),
                     "%s", cases[i].query);
        json_decref(page);
    }
    json_decref(get("GET", "/v1/cases?amount=x", &w.ann, NULL, 422));
    json_decref(get("GET", "/v1/cases?state=x", &w.ann, NULL, 422));
    json_decref(get("GET", "/v1/cases?cursor=x", &w.ann, NULL, 422));
}

Test(dashboard_cases, a_view_is_no_place_to_store_much)
{
    static char body[9000];
    size_t at = (size_t)sprintf(body, "{\"is_shared\": true, \"filter\": {\"state\": \"");

    memset(body + at, 'x', 5000);
    strcpy(body + at + 5000, "\"}}");
    json_decref(get("PUT", "/v1/views/large", &w.ann, body, 422));
    json_decref(get("PUT", "/v1/views/%00", &w.ann, "{\"filter\": {}}", 422));
}

Test(dashboard_cases, notes_views_snoozes_and_assignments_are_kept_as_they_were_said)
{
    json_t *taken = get("POST", "/v1/cases:next", &w.ann, "{}", 200), *views;
    char path[64], body[160], until[RFC3339_SIZE];

    snprintf(path, sizeof path, "/v1/cases/%lld/notes", (long long)number(taken, "case"));
    json_decref(get("POST", path, &w.ann, "{\"text\": \"<img src=x onerror=alert(1)>\"}", 200));
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM review_notes WHERE text = '<img src=x onerror=alert(1)>'"),
        1);
    json_decref(get("POST", path, &w.ann, "{\"text\": \"\"}", 422));
    json_decref(get("PUT", "/v1/views/%3Cscript%3E", &w.ann,
                    "{\"filter\": {\"country\": \"DE\"}, \"is_shared\": true}", 204));
    views = get("GET", "/v1/views", &w.bob, NULL, 200);
    cr_assert_str_eq(text(json_array_get(json_object_get(views, "views"), 0), "name"), "<script>");
    json_decref(views);
    json_decref(get("DELETE", "/v1/views/%3Cscript%3E", &w.bob, NULL, 404));
    json_decref(get("DELETE", "/v1/views/%3Cscript%3E", &w.ann, NULL, 204));

    snprintf(path, sizeof path, "/v1/cases/%lld:assign", (long long)number(taken, "case"));
    snprintf(body, sizeof body, "{\"version\": %lld, \"assignee\": \"bob\"}",
             (long long)number(taken, "version"));
    json_decref(get("POST", path, &w.ann, body, 403));
    json_decref(get("POST", path, &w.lead, body, 200));
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM review_cases WHERE assignee = 'bob' AND locked_until IS NULL"),
        1);
    snprintf(path, sizeof path, "/v1/cases/%lld:snooze", (long long)number(taken, "case"));
    rfc3339_format(clock_wall_us() + 2 * SECOND_US, until);
    snprintf(body, sizeof body, "{\"version\": %lld, \"until\": \"%s\"}",
             (long long)number(taken, "version") + 1, until);
    json_decref(get("POST", path, &w.ann, body, 409));
    json_decref(get("POST", path, &w.bob, body, 200));
    database_wait(w.pg, "SELECT count(*) FROM review_cases WHERE state <> 'open'", 0, NULL);
    json_decref(taken);
}

/* ---- one case, and all of them ---- */

Test(dashboard_cases, a_case_shows_its_payment_its_decision_and_what_its_entities_did_before)
{
    json_t *taken = get("POST", "/v1/cases:next", &w.ann, "{}", 200), *file, *velocity, *replay, *each;
    char path[64], question[256];
    size_t i;

    snprintf(path, sizeof path, "/v1/cases/%lld/notes", (long long)number(taken, "case"));
    json_decref(get("POST", path, &w.ann, "{\"text\": \"<b>bold</b>\"}", 200));
    snprintf(path, sizeof path, "/v1/cases/%lld", (long long)number(taken, "case"));
    file = get("GET", path, &w.ann, NULL, 200);
    cr_assert_str_eq(text(json_object_get(file, "payment"), "transaction_id"), text(taken, "transaction_id"));
    cr_assert_str_eq(text(json_object_get(file, "decision"), "action"), "approve");
    cr_assert_geq(json_array_size(json_object_get(file, "timeline")), 3, "decision, taken, note");
    snprintf(path, sizeof path, "/v1/cases/%lld/velocity", (long long)number(taken, "case"));
    velocity = get("GET", path, &w.ann, NULL, 200);
    json_array_foreach(json_object_get(velocity, "series"), i, each)
    {
        int64_t sum = 0;

        for (size_t k = 0; k < json_array_size(json_object_get(each, "counts")); k++)
            sum += json_integer_value(json_array_get(json_object_get(each, "counts"), k));
        if (strcmp(text(each, "entity"), "customer") != 0)
            continue;
        snprintf(question, sizeof question,
                 "SELECT count(*) FROM payments p JOIN review_cases c USING (customer_id) WHERE c.\"case\" = "
                 "%lld AND "
                 "p.occurred_at <= c.occurred_at AND p.occurred_at > c.occurred_at - interval '%lld s'",
                 (long long)number(taken, "case"), (long long)number(each, "window_s"));
        cr_assert_eq(sum, database_int(w.pg, question), "%lld s: %lld", (long long)number(each, "window_s"),
                     (long long)sum);
    }
    snprintf(path, sizeof path, "/v1/cases/%lld/replay", (long long)number(taken, "case"));
    replay = get("GET", path, &w.ann, NULL, 200);
    cr_assert_str_eq(text(json_object_get(replay, "replay"), "transaction_id"),
                     text(taken, "transaction_id"));
    cr_assert_eq(json_array_size(json_object_get(json_object_get(replay, "replay"), "steps")), 4);
    json_decref(get("GET", "/v1/cases/999999/replay", &w.ann, NULL, 404));
    json_decref(replay);
    json_decref(velocity);
    json_decref(file);
    json_decref(taken);
}

Test(dashboard_cases, the_overview_adds_up)
{
    json_t *overview;

    database_run(
        w.pg,
        "UPDATE decision_minutes SET minute = now() WHERE minute = (SELECT min(minute) FROM "
        "decision_minutes); UPDATE "
        "decision_latency SET minute = now() WHERE minute = (SELECT min(minute) FROM decision_latency)");
    overview = get("GET", "/v1/overview?minutes=10", &w.ann, NULL, 200);
    cr_assert_eq(
        number(overview, "decisions"),
        database_int(
            w.pg,
            "SELECT coalesce(sum(count), 0)::int8 FROM decision_minutes WHERE minute > now() - interval "
            "'10 min'"));
    cr_assert_eq(number(json_object_get(overview, "queue"), "open"), (int64_t)w.past.transactions);
    json_decref(overview);
    json_decref(get("GET", "/v1/overview?minutes=0", &w.ann, NULL, 422));

    database_run(w.pg, "DELETE FROM decision_minutes; DELETE FROM decision_latency");
    overview = get("GET", "/v1/overview?minutes=10", &w.ann, NULL, 200);
    cr_assert(json_is_object(json_object_get(overview, "latency_us")),
              "nothing decided: an object of no stage");
    cr_assert(json_is_object(json_object_get(overview, "actions")));
    json_decref(overview);
}
