/* SPDX-License-Identifier: Apache-2.0
 * retrainer_test.c - the retrainer as its operators see it: the real program, real PostgreSQL, a made-up past. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/history.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "pg/session.h"

#define CATALOGUE                                                                                            \
    "entities: {customer: customer_id, terminal: terminal_id}\n"                                             \
    "features:\n"                                                                                            \
    "  - {name: amount, expr: tx.amount}\n"                                                                  \
    "  - {name: hour, expr: tx.hour}\n"                                                                      \
    "  - {name: customer_count_24h, count: customer, window: 24h}\n"                                         \
    "  - {name: customer_mean_30d, mean: amount, by: customer, window: 30d}\n"                               \
    "  - {name: terminal_frauds_7d, fraud_count: terminal, window: 7d}\n"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct history past;
    struct process retrainer, other;
    char key[64], pg_url[512];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

#define sql(text)      database_run(w.pg, text)
#define sql_int(text)  database_int(w.pg, text)
#define sql_text(text) database_text(w.pg, text)

static void wait_until(const char *question, int64_t wanted)
{
    database_wait(w.pg, question, wanted,
                  "SELECT string_agg(concat_ws(' ', run, state, stage, attempts, message), '; ') FROM "
                  "training_runs");
}

static void start(struct process *p, const char *more)
{
    process_start(p, "retrainer",
                  (const char *const[]){ w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                                         "ASSAY_RETRAINER_THREADS=1", more, NULL });
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    history_open(&w.past, w.pg, CATALOGUE, 60);
    database_key(w.pg, 1, "admin", w.key);
}

static void teardown(void)
{
    if (w.other.pid)
        cr_expect_eq(process_stop(&w.other), 0, "it ends gracefully");
    if (w.retrainer.pid)
        cr_expect_eq(process_stop(&w.retrainer), 0, "it ends gracefully");
    history_close(&w.past);
    pg_session_close(w.pg);
}

TestSuite(retrainer, .init = setup, .fini = teardown, .timeout = 300);

/* ---- asking ---- */

static struct http_said ask(const char *method, const char *path, const char *key, const char *body)
{
    return http_ask(w.retrainer.port, method, path, key, NULL, body, body ? strlen(body) : 0);
}

static int status_of(const char *method, const char *path, const char *key, const char *body)
{
    struct http_said said = ask(method, path, key, body);
    int status = said.status;

    http_said_free(&said);
    return status;
}

#define SETTINGS                                                                                             \
    "\"warm_up_days\":1,\"label_delay_days\":3,\"tune\":0.2,\"judge\":0.25,\"trees\":120,\"depth\":4"

static int64_t request_run(const char *name, int trials, const char *as_of)
{
    char body[512];
    struct http_said said;
    int64_t run;

    snprintf(body, sizeof body,
             "{\"name\":\"%s\",\"as_of\":\"%s\",\"settings\":{" SETTINGS ",\"trials\":%d}}", name, as_of,
             trials);
    said = ask("POST", "/v1/retraining-runs", w.key, body);
    cr_assert_eq(said.status, 202, "%d %s", said.status, said.body);
    run = json_integer_value(json_object_get(said.json, "run"));
    http_said_free(&said);
    return run;
}

#define LIVED_UNTIL (HISTORY_START + 40 * DAY_US)
#define AS_OF       "2020-02-09T00:00:00Z"

static void wait_for_state(int64_t run, const char *state)
{
    char question[256];

    snprintf(question, sizeof question,
             "SELECT count(*) FROM training_runs WHERE run = %lld AND state = '%s'", (long long)run, state);
    wait_until(question, 1);
}

/* ---- runs ---- */

/* The one child of a process, by /proc; 0 when it has none. */
static pid_t child_of(pid_t parent)
{
    char path[64];
    int pid = 0;
    FILE *f;

    /* The thread that keeps watch has made it: children stand under the thread that did. */
    snprintf(path, sizeof path, "cat /proc/%d/task/*/children 2>/dev/null", (int)parent);
    f = popen(path, "r");
    if (!f || fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        pclose(f);
    return pid;
}

Test(retrainer, makes_the_same_bytes_however_often_its_trainer_is_killed)
{
    int64_t undisturbed, killed;
    int kills = 0;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, "ASSAY_RETRAINER_ATTEMPTS=50");
    undisturbed = request_run("model", 6, AS_OF);
    wait_for_state(undisturbed, "succeeded");
    cr_assert_eq(sql_int("SELECT count(*) FROM models"), 1);

    killed = request_run("model", 6, AS_OF);
    for (int wanted = 1; wanted <= 3; wanted++) {
        char question[256];

        snprintf(question, sizeof question,
                 "SELECT (ended_at IS NOT NULL OR jsonb_array_length(checkpoint->'trials') >= %d)::int FROM "
                 "training_runs WHERE run = %lld",
                 wanted, (long long)killed);
        wait_until(question, 1);
        if (child_of(w.retrainer.pid) && kill(child_of(w.retrainer.pid), SIGKILL) == 0)
            kills++;
    }
    cr_assert_geq(kills, 2, "it was at work");
    wait_for_state(killed, "succeeded");
    cr_assert_geq(sql_int("SELECT max(attempts) FROM training_runs"), 2);
    cr_assert_eq(sql_int("SELECT count(*) FROM models"), 1, "the very same bundle");
    cr_assert_eq(sql_int("SELECT count(DISTINCT version) FROM training_runs"), 1);
}

Test(retrainer, goes_on_where_it_was_after_its_own_death)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, NULL);
    run = request_run("model", 6, AS_OF);
    wait_until("SELECT (coalesce(jsonb_array_length(checkpoint->'trials'), 0) >= 1)::int FROM training_runs",
               1);
    process_kill(&w.retrainer);
    start(&w.retrainer, NULL);
    wait_for_state(run, "succeeded");
    process_stop(&w.retrainer);
    start(&w.retrainer, NULL);
    cr_assert_eq(sql_int("SELECT count(*) FROM models"), 1);
}

Test(retrainer, stops_gracefully_and_does_not_count_it_as_an_attempt)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    for (int i = 0; i < 2; i++) {
        start(&w.retrainer, "ASSAY_RETRAINER_ATTEMPTS=1");
        if (i == 0)
            run = request_run("model", 500, AS_OF);
        wait_until(
            "SELECT (coalesce(jsonb_array_length(checkpoint->'trials'), 0) >= 1)::int FROM training_runs", 1);
        cr_assert_eq(process_stop(&w.retrainer), 0);
        wait_until("SELECT attempts FROM training_runs", 0);
    }
    start(&w.retrainer, NULL);
    wait_for_state(run, "running");
}

Test(retrainer, cancels_a_run_that_is_under_way)
{
    char path[64];
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, NULL);
    run = request_run("model", 900, AS_OF);
    wait_until("SELECT (progress > 0.2)::int FROM training_runs", 1);
    snprintf(path, sizeof path, "/v1/retraining-runs/%lld:cancel", (long long)run);
    cr_assert_eq(status_of("POST", path, w.key, NULL), 200);
    wait_for_state(run, "cancelled");
    cr_assert_eq(sql_int("SELECT count(*) FROM models"), 0);
}

Test(retrainer, says_why_a_run_failed)
{
    int64_t run;

    history_live_until(&w.past, HISTORY_START + 2 * DAY_US);
    start(&w.retrainer, NULL);
    run = request_run("model", 1, "2020-01-03T00:00:00Z");
    wait_for_state(run, "failed");
    cr_assert_not_null(strstr(sql_text("SELECT message FROM training_runs"), "history"), "%s",
                       sql_text("SELECT message FROM training_runs"));
}

Test(retrainer, gives_up_a_run_whose_process_always_dies)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, "ASSAY_RETRAINER_ATTEMPTS=2");
    run = request_run("model", 900, AS_OF);
    for (int i = 1; i <= 2; i++) {
        char question[128];

        snprintf(question, sizeof question,
                 "SELECT (attempts = %d AND progress > 0.2)::int FROM training_runs", i);
        wait_until(question, 1);
        kill(child_of(w.retrainer.pid), SIGKILL);
        sql("UPDATE training_runs SET progress = 0");
    }
    wait_for_state(run, "failed");
    cr_assert_not_null(strstr(sql_text("SELECT message FROM training_runs"), "begun 2 times"));
}

/* ---- candidates ---- */

#define EASY_GATES                                                                                           \
    "\"gate_rows\":100,\"gate_frauds\":2,\"gate_psi\":100,\"gate_calibration_margin\":10,\"gate_row_ns\":0"

Test(retrainer, holds_a_model_to_its_gates_and_makes_the_first_that_passes_champion)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, "ASSAY_RETRAINER_STAGES={" EASY_GATES "}");
    run = request_run("model", 1, AS_OF);
    wait_for_state(run, "succeeded");
    cr_assert_gt(sql_int("SELECT count(DISTINCT gate) FROM verdicts WHERE stage = 'validation'"), 6);
    cr_assert_eq(
        sql_int("SELECT count(*) FROM verdicts WHERE outcome <> 'pass'"), 0, "%s",
        sql_text("SELECT string_agg(gate || ': ' || reason, '; ') FROM verdicts WHERE outcome <> 'pass'"));
    wait_until("SELECT count(*) FROM aliases WHERE alias = 'champion'", 1);
    cr_assert_str_eq(sql_text("SELECT state FROM models"), "champion");
}

/* One payment in twenty was served with another value than the log gives: too few to give themselves away by what
 * they say of frauds. */
Test(retrainer, stops_a_model_whose_vectors_are_not_those_of_the_log)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    sql("UPDATE decisions SET vector = overlay(vector PLACING '\\x0000803f' FROM 1) WHERE abs(hashtext("
        "transaction_id)) % 20 = 0");
    start(&w.retrainer, "ASSAY_RETRAINER_STAGES={" EASY_GATES "}");
    run = request_run("model", 1, AS_OF);
    wait_for_state(run, "succeeded");
    cr_assert_str_eq(sql_text("SELECT outcome FROM verdicts WHERE gate = 'leak'"), "fail");
    cr_assert_not_null(strstr(sql_text("SELECT reason FROM verdicts WHERE gate = 'leak'"), "another value"),
                       "%s", sql_text("SELECT reason FROM verdicts WHERE gate = 'leak'"));
    cr_assert_eq(sql_int("SELECT count(*) FROM verdicts WHERE outcome <> 'pass'"), 1,
                 "nothing else speaks against it");
    wait_until("SELECT count(*) FROM models WHERE state = 'rejected'", 1);
    cr_assert_eq(sql_int("SELECT count(*) FROM aliases"), 0);
}

Test(retrainer, leaves_a_model_that_the_gates_say_nothing_about_to_a_person)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, "ASSAY_RETRAINER_STAGES={\"gate_rows\":100000000}");
    run = request_run("model", 1, AS_OF);
    wait_for_state(run, "succeeded");
    usleep(200000);
    cr_assert_str_eq(sql_text("SELECT state FROM models"), "registered");
    cr_assert_gt(sql_int("SELECT count(*) FROM verdicts WHERE outcome = 'inconclusive'"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM aliases"), 0);
}

Test(retrainer, lets_alone_what_a_person_has_registered)
{
    int64_t run;

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, "ASSAY_RETRAINER_STAGES={" EASY_GATES ",\"promotes_first\":false}");
    run = request_run("model", 1, AS_OF);
    wait_for_state(run, "succeeded");
    wait_until("SELECT count(*) FROM models WHERE state = 'validated'", 1);
    sql("UPDATE training_runs SET version = NULL; UPDATE models SET state = 'registered'");
    usleep(200000);
    cr_assert_str_eq(sql_text("SELECT state FROM models"), "registered");
}

Test(retrainer, tries_the_next_model_in_shadow_until_a_person_stops_it)
{
    char path[64];

    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, "ASSAY_RETRAINER_STAGES={" EASY_GATES
                        ",\"gate_average_precision_margin\":1,\"gate_card_precision_margin\":1}");
    wait_for_state(request_run("model", 1, AS_OF), "succeeded");
    wait_until("SELECT count(*) FROM aliases WHERE alias = 'champion'", 1);
    wait_for_state(request_run("model", 1, "2020-02-08T00:00:00Z"), "succeeded");
    cr_assert_eq(
        sql_int("SELECT count(*) FROM verdicts WHERE version = 2 AND outcome <> 'pass'"), 0, "%s",
        sql_text("SELECT string_agg(gate || ': ' || reason, '; ') FROM verdicts WHERE outcome <> 'pass'"));
    wait_until("SELECT count(*) FROM aliases WHERE alias = 'shadow'", 1);
    cr_assert_eq(
        sql_int("SELECT count(*) FROM experiments WHERE stage = 'shadow' AND state = 'running' AND champion "
                "= 1 AND candidate = 2"),
        1);
    snprintf(path, sizeof path, "/v1/experiments/%lld:stop",
             (long long)sql_int("SELECT experiment FROM experiments"));
    cr_assert_eq(status_of("POST", path, w.key, NULL), 200);
    cr_assert_eq(status_of("POST", path, w.key, NULL), 409);
    usleep(200000);
    cr_assert_eq(sql_int("SELECT count(*) FROM aliases WHERE alias = 'shadow'"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM experiments"), 1, "it is not tried again by itself");
    cr_assert_str_eq(sql_text("SELECT state FROM models WHERE version = 2"), "validated");
}

/* ---- the online model ---- */

/* It has come to the end of the log, and nothing is awaited. */
#define ALL_LEARNED                                                                                          \
    "SELECT count(*) FROM followers WHERE follower = 'online:model' AND (position->>'n')::int8 = (SELECT "   \
    "max(n) FROM log) AND position->'awaited' = '[]'"

static const char easy_stages[] = "ASSAY_RETRAINER_STAGES={" EASY_GATES "}";

static void start_learning(const char *others)
{
    process_start(&w.retrainer, "retrainer",
                  (const char *const[]){ w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                                         "ASSAY_RETRAINER_THREADS=1", easy_stages, others, NULL });
}

/* A champion, trained with a label delay of three days. */
static void make_champion(void)
{
    wait_for_state(request_run("model", 1, AS_OF), "succeeded");
    wait_until("SELECT count(*) FROM aliases WHERE alias = 'champion'", 1);
}

static void learn_anew(const char *others)
{
    process_stop(&w.retrainer);
    sql("DELETE FROM online_models; DELETE FROM followers; DELETE FROM online_pending");
    start_learning(others);
    wait_until(ALL_LEARNED, 1);
}

static double measure(const char *name)
{
    struct http_said said = http_ask(w.retrainer.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    const char *at = said.body;
    double value = -1;

    while (at && (at = strstr(at, name)) != NULL) {
        if (at[-1] == '\n' && at[strlen(name)] == ' ')
            value = strtod(at + strlen(name), NULL);
        at += strlen(name);
    }
    http_said_free(&said);
    return value;
}

/* Of payments that came of age without a label, by the log alone: at the first entry of their account that is known
 * three days later. */
#define CAME_OF_AGE                                                                                          \
    "FROM decisions d CROSS JOIN LATERAL (SELECT min(e.n) AS n FROM log e WHERE e.account = d.account AND "  \
    "e.kind IN (1, 2) AND e.n >= d.n AND e.known_at >= d.known_at + interval '3 days') due WHERE due.n IS "  \
    "NOT NULL AND NOT EXISTS (SELECT FROM labels l WHERE l.account = d.account AND l.transaction_id = "      \
    "d.transaction_id AND l.n < due.n)"

Test(retrainer, teaches_the_online_model_each_label_once_however_often_it_is_killed)
{
    static const char others[] = "ASSAY_RETRAINER_ONLINE_OTHERS=3";
    char disturbed[256];
    int64_t labels, changes;

    history_live_until(&w.past, LIVED_UNTIL);
    start_learning(others);
    make_champion();
    for (int i = 1; i <= 8; i++) {
        history_live_until(&w.past, LIVED_UNTIL + i * 3 * DAY_US);
        usleep(7000 * (unsigned)i);
        process_kill(&w.retrainer);
        start_learning(others);
    }
    wait_until(ALL_LEARNED, 1);
    labels = sql_int("SELECT labels FROM online_models");
    changes = sql_int("SELECT count(DISTINCT transaction_id) FROM labels");
    cr_assert_gt(changes, 50);
    cr_assert_eq(labels, changes, "%lld of %lld: each payment was labelled once", (long long)labels,
                 (long long)changes);
    snprintf(
        disturbed, sizeof disturbed, "%s",
        sql_text("SELECT md5(state) || concat_ws(' ', n, challenge, review, decline) FROM online_models"));
    learn_anew(others);
    cr_assert_str_eq(
        sql_text("SELECT md5(state) || concat_ws(' ', n, challenge, review, decline) FROM online_models"),
        disturbed);
    learn_anew("ASSAY_RETRAINER_ONLINE_OTHERS=2");
    cr_assert_str_neq(
        sql_text("SELECT md5(state) || concat_ws(' ', n, challenge, review, decline) FROM online_models"),
        disturbed, "the comparison sees a difference");
}

Test(retrainer, teaches_the_online_model_payments_that_nobody_called_fraud)
{
    double examples, share;
    int64_t labels, silent;

    history_live_until(&w.past, LIVED_UNTIL);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=1");
    make_champion();
    history_live_until(&w.past, LIVED_UNTIL + 12 * DAY_US);
    wait_until(ALL_LEARNED, 1);
    labels = sql_int("SELECT labels FROM online_models");
    silent = sql_int("SELECT count(*) " CAME_OF_AGE);
    cr_assert_gt(silent, 1000);
    cr_assert_eq(measure("assay_online_examples"), (double)(labels + silent), "%f, not %lld + %lld",
                 measure("assay_online_examples"), (long long)labels, (long long)silent);
    cr_assert_float_eq(measure("assay_online_fraud_share"), (double)labels / (double)(labels + silent), 1e-9);
    cr_assert_eq(sql_int("SELECT count(*) FROM online_pending"),
                 sql_int("SELECT count(*) FROM decisions d WHERE NOT EXISTS (SELECT FROM log e WHERE e.n >= "
                         "d.n AND e.known_at >= d.known_at + interval '3 days')"),
                 "those that are too young wait");

    /* A part of them stands for all. */
    share = measure("assay_online_fraud_share");
    learn_anew("ASSAY_RETRAINER_ONLINE_OTHERS=4");
    examples = measure("assay_online_examples") - (double)labels;
    cr_assert(examples > 0.2 * (double)silent && examples < 0.3 * (double)silent, "%f of %lld", examples,
              (long long)silent);
    cr_assert_float_eq(measure("assay_online_fraud_share"), (double)labels / ((double)labels + 4 * examples),
                       1e-9);
    cr_assert_float_eq(measure("assay_online_fraud_share"), share, 0.15 * share);
}

static void start_learning_in(const char *room)
{
    process_start(&w.retrainer, "retrainer",
                  (const char *const[]){ w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                                         "ASSAY_RETRAINER_THREADS=1", easy_stages,
                                         "ASSAY_RETRAINER_ONLINE_OTHERS=1", room, NULL });
}

Test(retrainer, keeps_the_payments_that_wait_within_their_room)
{
    double share, examples, silent;
    int64_t labels;

    history_live_until(&w.past, LIVED_UNTIL);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=1");
    make_champion();
    history_live_until(&w.past, LIVED_UNTIL + 12 * DAY_US);
    wait_until(ALL_LEARNED, 1);
    cr_assert_gt(sql_int("SELECT count(*) FROM online_pending"), 150);
    cr_assert_eq(measure("assay_online_waiting"), (double)sql_int("SELECT count(*) FROM online_pending"));
    cr_assert_eq(measure("assay_online_drawn_share"), 1);
    share = measure("assay_online_fraud_share");
    labels = sql_int("SELECT labels FROM online_models");
    silent = measure("assay_online_examples") - (double)labels;

    process_stop(&w.retrainer);
    sql("DELETE FROM online_models; DELETE FROM followers; DELETE FROM online_pending; CREATE TABLE most AS "
        "SELECT 0 "
        "AS waiting; GRANT ALL ON most TO PUBLIC; CREATE FUNCTION note_most() RETURNS trigger LANGUAGE "
        "plpgsql AS $$ "
        "BEGIN UPDATE most SET waiting = greatest(waiting, (SELECT count(*) FROM online_pending)); RETURN "
        "NULL; END "
        "$$; CREATE TRIGGER note_most AFTER INSERT ON online_pending FOR EACH STATEMENT EXECUTE FUNCTION "
        "note_most()");
    start_learning_in("ASSAY_RETRAINER_ONLINE_WAITING=100");
    wait_until(ALL_LEARNED, 1);
    cr_assert_leq(sql_int("SELECT waiting FROM most"), 100);
    cr_assert_gt(sql_int("SELECT waiting FROM most"), 50);
    cr_assert_eq(measure("assay_online_waiting"), (double)sql_int("SELECT count(*) FROM online_pending"));
    cr_assert_gt(sql_int("SELECT count(*) FROM online_pending WHERE times > 1"), 0);
    /* Fewer taught, and stood for all. */
    cr_assert_eq(sql_int("SELECT labels FROM online_models"), labels);
    examples = measure("assay_online_examples") - (double)labels;
    cr_assert_lt(examples, 0.8 * silent);
    cr_assert_float_eq(measure("assay_online_fraud_share"), share, 0.15 * share, "%f, not %f",
                       measure("assay_online_fraud_share"), share);
}

Test(retrainer, lets_the_online_model_decide_once_it_has_seen_enough)
{
    history_live_until(&w.past, LIVED_UNTIL);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=1");
    make_champion();
    wait_until(ALL_LEARNED, 1);
    /* Only the last days are left to it: few frauds. */
    process_stop(&w.retrainer);
    sql("DELETE FROM online_models; DELETE FROM online_pending; UPDATE followers SET position = "
        "jsonb_build_object('n', (SELECT min(n) FROM (SELECT n FROM labels ORDER BY n DESC LIMIT 20) l) - "
        "1)");
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=1");
    wait_until(ALL_LEARNED, 1);
    cr_assert_eq(sql_int("SELECT labels FROM online_models"), 20);
    cr_assert_eq(
        sql_int("SELECT count(*) FROM online_models WHERE challenge = 2 AND review = 2 AND decline = 2"), 1);
    cr_assert_eq(measure("assay_online_may_decide"), 0);
    history_live_until(&w.past, LIVED_UNTIL + 20 * DAY_US);
    wait_until(ALL_LEARNED, 1);
    cr_assert_gt(sql_int("SELECT labels FROM online_models"), 50);
    wait_until("SELECT count(*) FROM online_models WHERE decline < 1 AND review <= decline AND challenge <= "
               "review AND challenge > 0",
               1);
    cr_assert_eq(measure("assay_online_may_decide"), 1);
}

Test(retrainer, comes_back_to_a_label_whose_decision_is_stored_later)
{
    int64_t labels;

    history_live_until(&w.past, LIVED_UNTIL);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=10");
    make_champion();
    wait_until(ALL_LEARNED, 1);
    process_stop(&w.retrainer);
    history_live_until(&w.past, LIVED_UNTIL + 6 * DAY_US);
    sql("CREATE TABLE on_its_way AS SELECT * FROM decisions d WHERE transaction_id = (SELECT transaction_id "
        "FROM labels ORDER BY n DESC OFFSET 2 LIMIT 1); DELETE FROM decisions WHERE transaction_id IN "
        "(SELECT "
        "transaction_id FROM on_its_way)");
    cr_assert_eq(sql_int("SELECT count(*) FROM on_its_way"), 1);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=10");
    wait_until("SELECT count(*) FROM followers WHERE (position->>'n')::int8 = (SELECT max(n) FROM log) AND "
               "jsonb_array_length(position->'awaited') = 1",
               1);
    labels = sql_int("SELECT labels FROM online_models");
    process_kill(&w.retrainer);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=10");
    usleep(100000);
    cr_assert_eq(sql_int("SELECT labels FROM online_models"), labels);
    sql("INSERT INTO decisions SELECT * FROM on_its_way");
    wait_until(ALL_LEARNED, 1);
    cr_assert_eq(sql_int("SELECT labels FROM online_models"), labels + 1);
    cr_assert_eq(labels + 1, sql_int("SELECT count(DISTINCT transaction_id) FROM labels"));
}

Test(retrainer, weighs_payments_of_the_control_slice_by_their_chance)
{
    double frauds, others;

    history_live_until(&w.past, LIVED_UNTIL);
    start_learning("ASSAY_RETRAINER_ONLINE_OTHERS=1");
    make_champion();
    wait_until(ALL_LEARNED, 1);
    frauds = (double)sql_int("SELECT labels FROM online_models");
    /* Each labelled payment was let through with one chance in eight; all others were declined for good. */
    sql("UPDATE decisions d SET p_allow = 0.125 WHERE EXISTS (SELECT FROM labels l WHERE l.transaction_id = "
        "d.transaction_id); UPDATE decisions SET action = 3, p_allow = 0 WHERE p_allow = 1 AND abs(hashtext("
        "transaction_id)) % 2 = 0");
    learn_anew("ASSAY_RETRAINER_ONLINE_OTHERS=1");
    cr_assert_eq((double)sql_int("SELECT labels FROM online_models"), frauds);
    others = (double)sql_int("SELECT sum(CASE WHEN d.p_allow = 0.125 THEN 8 ELSE 1 END)::int8 " CAME_OF_AGE
                             " AND d.action <> 3");
    cr_assert_float_eq(measure("assay_online_fraud_share"), 8 * frauds / (8 * frauds + others), 1e-9);
    cr_assert_eq(measure("assay_online_examples") - frauds,
                 (double)sql_int("SELECT count(*) " CAME_OF_AGE " AND d.action <> 3"));
}

/* ---- schedules ---- */

Test(retrainer, fires_a_schedule_once_for_each_due_time_across_two_replicas)
{
    static const char due_runs[] = "SELECT count(*) FROM training_runs WHERE cause = 'schedule'";

    history_live_until(&w.past, HISTORY_START + 12 * HOUR_US);
    start(&w.retrainer, NULL);
    start(&w.other, NULL);
    cr_assert_eq(
        status_of("PUT", "/v1/retraining-schedules/model", w.key,
                  "{\"cron\":\"30 3 * * *\",\"zone\":\"Europe/Berlin\",\"settings\":{\"trials\":1}}"),
        200);
    wait_until("SELECT (fired_at IS NOT NULL)::int FROM retrain_schedules", 1);
    cr_assert_eq(sql_int(due_runs), 0);
    for (int day = 1; day <= 6; day++) {
        history_live_until(&w.past, HISTORY_START + day * DAY_US + 12 * HOUR_US);
        wait_until(due_runs, day);
        wait_until("SELECT count(*) FROM training_runs WHERE state IN ('queued', 'running')", 0);
    }
    usleep(200000);
    cr_assert_eq(sql_int(due_runs), 6);
    cr_assert_eq(sql_int("SELECT count(DISTINCT as_of) FROM training_runs"), 6);
    cr_assert_eq(
        sql_int("SELECT count(*) FROM training_runs WHERE to_char(as_of AT TIME ZONE 'UTC', 'HH24:MI') = "
                "'02:30'"),
        6, "half past three in Berlin's winter");
}

Test(retrainer, tells_which_time_zone_cannot_be_read)
{
    static const struct {
        const char *settings, *zone, *says;
    } cases[] = {
        { "", "Mars/North", "no time zone is named \"Mars/North\": there is no " },
        { "", "../../etc/passwd", "\"../../etc/passwd\" is no name of a time zone" },
        { "", "Europe", "time zone Europe: " },
        { "TZDIR=/nowhere", "Europe/Berlin",
          "time zone Europe/Berlin: there is no /nowhere; is the package tzdata installed?" },
    };
    char words[128];
    struct buf said;

    buf_init(&said, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(words, sizeof words, "schedule set m '30 3 * * mon' --zone %s", cases[i].zone);
        cr_expect_neq(command_run(&said, w.conninfo, cases[i].settings, words), 0);
        cr_expect_not_null(strstr(buf_str(&said), cases[i].says), "%s", buf_str(&said));
    }
    cr_assert_eq(sql_int("SELECT count(*) FROM retrain_schedules"), 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "schedule set m '30 3 * * mon' --zone Europe/Berlin"), 0,
                 "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "TZDIR=/nowhere", "schedule set n '30 3 * * mon'"), 0,
                 "UTC needs no file: %s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM retrain_schedules"), 2);
    buf_release(&said);
}

/* ---- REST ---- */

Test(retrainer, answers_only_who_shows_a_key_with_the_scope_admin)
{
    char weak[64];

    database_key(w.pg, 1, "decide,read", weak);
    start(&w.retrainer, NULL);
    cr_assert_eq(status_of("GET", "/v1/retraining-runs", NULL, NULL), 401);
    cr_assert_eq(status_of("GET", "/v1/retraining-runs", weak, NULL), 401);
    cr_assert_eq(status_of("GET", "/v1/retraining-runs", w.key, NULL), 200);
}

Test(retrainer, refuses_what_it_cannot_do_with_a_problem)
{
    static const struct {
        const char *method, *path, *body;
        int status;
    } cases[] = {
        { "POST", "/v1/retraining-runs", "{", 400 },
        { "POST", "/v1/retraining-runs", "{}", 422 },
        { "POST", "/v1/retraining-runs", "{\"name\":\"No Name\"}", 422 },
        { "POST", "/v1/retraining-runs", "{\"name\":\"m\",\"nonsense\":1}", 422 },
        { "POST", "/v1/retraining-runs", "{\"name\":\"m\",\"settings\":{\"nonsense\":1}}", 422 },
        { "POST", "/v1/retraining-runs", "{\"name\":\"m\",\"settings\":{\"trials\":0}}", 422 },
        { "GET", "/v1/retraining-runs/77", NULL, 404 },
        { "POST", "/v1/retraining-runs/77:cancel", NULL, 404 },
        { "GET", "/v1/retraining-runs?limit=0", NULL, 400 },
        { "PUT", "/v1/retraining-schedules/m", "{\"cron\":\"61 * * * *\"}", 422 },
        { "PUT", "/v1/retraining-schedules/m", "{\"cron\":\"0 * * * *\",\"zone\":\"Mars/North\"}", 422 },
        { "DELETE", "/v1/retraining-schedules/m", NULL, 404 },
        { "GET", "/v1/experiments/1", NULL, 404 },
        { "POST", "/v1/experiments/1:stop", NULL, 404 },
        { "POST", "/v1/models/m:promote", "{\"version\":9}", 404 },
        { "POST", "/v1/models/m:rollback", NULL, 404 },
        { "GET", "/v1/experiments", NULL, 200 },
        { "GET", "/v1/retraining-schedules", NULL, 200 },
    };

    start(&w.retrainer, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_said said = ask(cases[i].method, cases[i].path, w.key, cases[i].body);

        cr_expect_eq(said.status, cases[i].status, "%s %s: %d %s", cases[i].method, cases[i].path,
                     said.status, said.body);
        cr_expect_not_null(said.json, "%s", cases[i].path);
        http_said_free(&said);
    }
}
