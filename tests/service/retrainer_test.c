/* SPDX-License-Identifier: Apache-2.0
 * retrainer_test.c - the retrainer as its operators see it: the real program, real PostgreSQL, a made-up past. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "fraud/api_key.h"
#include "harness/cluster.h"
#include "harness/history.h"
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

/* Valid until the next call. */
static const char *sql_text(const char *text)
{
    static char value[1024];
    struct pg_result *r = NULL;

    MUST(pg_exec(w.pg, text, NULL, &r, &w.why));
    snprintf(value, sizeof value, "%.*s", pg_rows(r) ? (int)pg_get_text(r, 0, 0).len : 0,
             pg_rows(r) ? pg_get_text(r, 0, 0).ptr : "");
    pg_result_free(r);
    return value;
}

static void wait_until(const char *question, int64_t wanted)
{
    for (int i = 0; i < 12000 && sql_int(question) != wanted; i++)
        usleep(10000);
    cr_assert_eq(
        sql_int(question), wanted, "%s: %lld (%s)", question, (long long)sql_int(question),
        sql_text("SELECT string_agg(concat_ws(' ', run, state, stage, attempts, message), '; ') FROM "
                 "training_runs"));
}

static void start(struct process *p, const char *more)
{
    process_start(p, "retrainer",
                  (const char *const[]){ w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                                         "ASSAY_RETRAINER_THREADS=1", more, NULL });
}

static void make_key(const char *scopes, char key[64])
{
    char text[512], hex[65];
    struct api_key made;

    api_key_make(&made);
    hex_encode(made.secret_sha256, SHA256_BYTES, hex);
    snprintf(
        text, sizeof text,
        "INSERT INTO api_keys (prefix, account, secret_sha256, scopes) VALUES ('%s', 1, '\\x%s', '{%s}')",
        made.prefix, hex, scopes);
    sql(text);
    strcpy(key, made.text);
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    history_open(&w.past, w.pg, CATALOGUE, 60);
    make_key("admin", w.key);
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

#define ALL_LEARNED                                                                                          \
    "SELECT coalesce((SELECT ((position->>'n')::int8 = (SELECT max(n) FROM labels))::int FROM followers "    \
    "WHERE "                                                                                                 \
    "follower = 'online:model'), 0)"

Test(retrainer, teaches_the_online_model_each_label_once_however_often_it_is_killed)
{
    char disturbed[128], settings[256];
    int64_t labels, changes;

    snprintf(settings, sizeof settings, "ASSAY_RETRAINER_STAGES={%s}", EASY_GATES);
    history_live_until(&w.past, LIVED_UNTIL);
    start(&w.retrainer, settings);
    wait_for_state(request_run("model", 1, AS_OF), "succeeded");
    wait_until("SELECT count(*) FROM aliases WHERE alias = 'champion'", 1);
    for (int i = 1; i <= 6; i++) {
        history_live_until(&w.past, LIVED_UNTIL + i * 4 * DAY_US);
        usleep(20000 * (unsigned)i);
        process_kill(&w.retrainer);
        start(&w.retrainer, settings);
    }
    wait_until(ALL_LEARNED, 1);
    process_stop(&w.retrainer);
    labels = sql_int("SELECT labels FROM online_models");
    changes = sql_int("SELECT count(DISTINCT transaction_id) FROM labels");
    cr_assert_eq(labels, changes, "%lld of %lld: each payment was labelled once", (long long)labels,
                 (long long)changes);
    snprintf(disturbed, sizeof disturbed, "%s", sql_text("SELECT md5(state) FROM online_models"));

    sql("DELETE FROM online_models; DELETE FROM followers");
    start(&w.retrainer, settings);
    wait_until(ALL_LEARNED, 1);
    process_stop(&w.retrainer);
    cr_assert_str_eq(sql_text("SELECT md5(state) FROM online_models"), disturbed);
    start(&w.retrainer, settings);
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

/* ---- REST ---- */

Test(retrainer, answers_only_who_shows_a_key_with_the_scope_admin)
{
    char weak[64];

    make_key("decide,read", weak);
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
