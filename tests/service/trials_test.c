/* SPDX-License-Identifier: Apache-2.0
 * trials_test.c - backtests over REST: a real rules service over a made-up past in PostgreSQL. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "pg/session.h"

enum { PATIENCE_US = 30 * 1000000, DAYS = 20 };

#define CATALOGUE                                                                                            \
    "entities: {customer: customer_id}\n"                                                                    \
    "features:\n"                                                                                            \
    "  - {name: amount, expr: tx.amount}\n"                                                                  \
    "  - {name: customer_count_24h, count: customer, window: 24h}\n"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct history past;
    struct process rules;
    char key[64], directory[64];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void start(void)
{
    char pg_url[512], directory[128];

    snprintf(pg_url, sizeof pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(directory, sizeof directory, "ASSAY_RULES_BACKTESTS=%s/history", w.directory);
    process_start(&w.rules, "rules", (const char *const[]){ pg_url, directory, NULL });
}

static void setup(void)
{
    w.conninfo = test_database();
    strcpy(w.directory, "/tmp/assay-trials-XXXXXX");
    cr_assert_not_null(mkdtemp(w.directory));
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    history_open(&w.past, w.pg, CATALOGUE, 60);
    history_live_until(&w.past, HISTORY_START + DAYS * DAY_US);
    database_key(w.pg, (int)database_int(w.pg, "SELECT min(account) FROM accounts"), "rules:write", w.key);
    database_key_owner(w.pg, w.key, "ann");
    start();
}

static void teardown(void)
{
    char command[128];

    if (w.rules.pid)
        cr_expect_eq(process_stop(&w.rules), 0, "it ends gracefully");
    history_close(&w.past);
    pg_session_close(w.pg);
    snprintf(command, sizeof command, "rm -rf '%s'", w.directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(trials, .init = setup, .fini = teardown, .timeout = 180);

/* ---- asking ---- */

/* The answer, for json_decref(). */
static json_t *ask(const char *method, const char *path, const char *body, int status)
{
    struct http_said said = http_ask(w.rules.port, method, path, w.key, NULL, body, body ? strlen(body) : 0);
    json_t *json = json_incref(said.json);

    cr_assert_eq(said.status, status, "%s %s %s: %d %s", method, path, body ? body : "", said.status,
                 said.body ? said.body : "");
    http_said_free(&said);
    return json;
}

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? text : "";
}

static json_int_t post(const char *body)
{
    json_t *json = ask("POST", "/v1/backtests", body, 202);
    json_int_t id = json_integer_value(json_object_get(json, "backtest"));

    cr_assert_gt(id, 0);
    json_decref(json);
    return id;
}

static json_t *look(json_int_t id)
{
    char path[64];

    snprintf(path, sizeof path, "/v1/backtests/%d", (int)id);
    return ask("GET", path, NULL, 200);
}

static json_t *await(json_int_t id, const char *state)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    json_t *json = look(id);

    while (strcmp(text_at(json, "state"), state) != 0 && clock_mono_us() < until) {
        json_decref(json);
        usleep(20000);
        json = look(id);
    }
    cr_assert_str_eq(text_at(json, "state"), state, "%s", text_at(json, "trouble"));
    return json;
}

static json_t *cancel(json_int_t id, int status)
{
    char path[64];

    snprintf(path, sizeof path, "/v1/backtests/%d:cancel", (int)id);
    return ask("POST", path, "", status);
}

static json_int_t number(const json_t *json, const char *const *path)
{
    for (; *path; path++)
        json = json_object_get(json, *path);
    return json_integer_value(json);
}
#define NUMBER(json, ...) number(json, (const char *const[]){ __VA_ARGS__, NULL })

#define LARGE                                                                                                \
    "{\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 8000\", \"action\": \"decline\"},"             \
    "{\"id\": \"often\", \"when\": \"customer_count_24h > 1.0\", \"action\": \"review\"}]}"

/* ---- as a job ---- */

Test(trials, a_backtest_over_rest_says_what_the_command_line_says_and_its_report_stays)
{
    json_t *job = await(post("{\"document\": " LARGE "}"), "done"), *own, *report, *rules;
    char command[256], path[128];
    struct buf said = { 0 };
    FILE *f;

    snprintf(path, sizeof path, "%s/set.json", w.directory);
    f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(LARGE, f);
    fclose(f);
    snprintf(command, sizeof command, "rules backtest --json --no-cache %s", path);
    cr_assert_eq(command_run(&said, w.conninfo, "", command), 0, "%s", buf_str(&said));
    own = json_loads(buf_str(&said), 0, NULL);
    report = json_object_get(json_object_get(job, "answer"), "report");
    rules = json_object_get(report, "rules");
    cr_assert_eq(NUMBER(report, "span", "decisions"), database_int(w.pg, "SELECT count(*) FROM decisions"));
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(rules, 0), "hits")),
                 database_int(w.pg, "SELECT count(*) FROM decisions WHERE amount_base_minor > 8000"));
    for (size_t i = 0; i < 2; i++)
        json_object_del(json_array_get(rules, i), "matches"); /* the command line does not ask for them */
    for (size_t i = 0; i < 2; i++)
        json_object_del(json_array_get(json_object_get(json_object_get(own, "report"), "rules"), i),
                        "matches");
    cr_assert(json_equal(rules, json_object_get(json_object_get(own, "report"), "rules")));
    cr_assert(
        json_equal(json_object_get(report, "days"), json_object_get(json_object_get(own, "report"), "days")));
    cr_assert_eq(strlen(text_at(job, "report_sha256")), 64);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM backtests WHERE report_sha256 = sha256(report::bytea) AND "
                           "asked_by = 'ann'"),
        1);
    cr_assert_neq(pg_exec_script(w.pg, "UPDATE backtests SET report = '{}'", &w.why), ERR_OK);
    json_decref(cancel(1, 409));
    json_decref(job);
    json_decref(own);
    buf_release(&said);
}

Test(trials, matches_are_told_with_what_became_of_them)
{
    json_t *job = await(post("{\"document\": " LARGE "}"), "done");
    const json_t *rule = json_array_get(
        json_object_get(json_object_get(json_object_get(job, "answer"), "report"), "rules"), 0);
    const json_t *matches = json_object_get(rule, "matches"), *match;
    const char *const outcomes[] = { "fraud", "good", "unknown" };
    size_t seen = 0, k;

    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
        const json_t *list = json_object_get(matches, outcomes[i]);

        json_array_foreach((json_t *)list, k, match)
        {
            cr_assert_str_eq(text_at(match, "outcome"), outcomes[i]);
            cr_assert_gt(json_integer_value(json_object_get(match, "amount")), 8000);
            cr_assert_str_eq(text_at(match, "from"), "approve");
            cr_assert_str_eq(text_at(match, "to"), "decline");
            seen++;
        }
    }
    cr_assert_gt(seen, 0);
    json_decref(job);
}

Test(trials, one_runs_while_another_waits_both_can_be_cancelled_and_nobody_else_waits)
{
    json_int_t one, two;

    database_run(w.pg, "BEGIN; LOCK labels IN ACCESS EXCLUSIVE MODE");
    one = post("{\"document\": " LARGE "}");
    json_decref(await(one, "running"));
    two = post("{\"document\": " LARGE "}");
    json_decref(ask("GET", "/v1/rulesets", NULL, 200));
    json_decref(await(two, "waiting"));
    json_decref(cancel(two, 200));
    json_decref(await(two, "cancelled"));
    usleep(300000); /* longer than it is silent about how far it is */
    json_decref(cancel(one, 200));
    json_decref(cancel(one, 200)); /* once more: nothing new */
    database_run(w.pg, "COMMIT");
    json_decref(await(one, "cancelled"));
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM audit WHERE actor = 'ann' AND action = 'rules.backtest' AND "
                           "detail->'question'->>'against' = 'live'"),
        2);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM audit WHERE actor = 'ann' AND action = 'rules.backtest_cancel'"),
        2, "once each");
    json_decref(await(post("{\"document\": " LARGE "}"), "done"));
}

Test(trials, what_a_killed_service_leaves_behind_is_begun_again)
{
    json_int_t one;
    json_t *job;

    database_run(w.pg, "BEGIN; LOCK labels IN ACCESS EXCLUSIVE MODE");
    one = post("{\"document\": " LARGE "}");
    json_decref(await(one, "running"));
    process_kill(&w.rules);
    database_run(w.pg, "COMMIT");
    start();
    job = await(one, "done");
    cr_assert_eq(database_int(w.pg, "SELECT attempts FROM backtests"), 2);
    json_decref(job);
}

Test(trials, a_version_is_tried_as_it_was_when_that_was_asked)
{
    json_t *job, *made = ask("POST", "/v1/rulesets", "{\"document\": " LARGE "}", 201);
    char body[64];

    snprintf(body, sizeof body, "{\"version\": %d, \"from\": \"2020-01-10T00:00:00Z\"}",
             (int)json_integer_value(json_object_get(made, "version")));
    job = await(post(body), "done");
    cr_assert_eq(json_integer_value(json_object_get(job, "revision")), 1);
    cr_assert_eq(
        NUMBER(job, "answer", "report", "span", "decisions"),
        database_int(w.pg, "SELECT count(*) FROM decisions WHERE known_at >= '2020-01-10T00:00:00Z'"));
    json_decref(job);
    job = ask("GET", "/v1/backtests?version=1", NULL, 200);
    cr_assert_eq(json_array_size(json_object_get(job, "backtests")), 1);
    json_decref(job);
    job = ask("GET", "/v1/rulesets/1:history", NULL, 200);
    cr_assert_str_eq(text_at(json_array_get(json_object_get(job, "history"), 0), "action"), "rules.backtest");
    cr_assert_str_eq(text_at(json_array_get(json_object_get(job, "history"), 1), "action"), "rules.draft");
    json_decref(job);
    json_decref(made);
}

Test(trials, a_question_that_cannot_be_answered_is_refused_when_it_is_asked)
{
    static const struct {
        const char *body;
        int status;
    } bad[] = {
        { "{", 400 },
        { "{}", 422 },
        { "{\"document\": " LARGE ", \"version\": 1}", 422 },
        { "{\"document\": {\"rules\": [{\"id\": \"a\", \"when\": \"tx.amount >\", \"action\": \"review\"}]}}",
          422 },
        { "{\"document\": {\"rules\": 7}}", 422 },
        { "{\"document\": " LARGE ", \"from\": \"yesterday\"}", 422 },
        { "{\"document\": " LARGE ", \"from\": \"2020-01-03T00:00:00Z\", \"to\": \"2020-01-02T00:00:00Z\"}",
          422 },
        { "{\"document\": " LARGE ", \"against\": \"none\"}", 422 },
        { "{\"document\": " LARGE ", \"model\": -1}", 422 },
        { "{\"document\": " LARGE ", \"label_delay_days\": 9999}", 422 },
        { "{\"document\": " LARGE ", \"threads\": 9}", 422 },
        { "{\"version\": 77}", 404 },
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        json_decref(ask("POST", "/v1/backtests", bad[i].body, bad[i].status));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM backtests"), 0);
    json_decref(ask("GET", "/v1/backtests/1", NULL, 404));
    json_decref(cancel(1, 404));
    json_decref(ask("POST", "/v1/backtests:try", "{\"days\": 3}", 422));
    json_decref(ask("POST", "/v1/backtests:try", "{\"days\": 0, \"as_it_was\": true}", 422));
    /* What can only be seen when it runs is told with it. */
    json_decref(await(post("{\"document\": " LARGE ", \"against\": \"88\"}"), "failed"));
}

/* ---- while it is written ---- */

static json_t *try(const char *body)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    json_t *json = ask("POST", "/v1/backtests:try", body, 200);

    while (strcmp(text_at(json, "state"), "ready") != 0 && clock_mono_us() < until) {
        json_decref(json);
        usleep(20000);
        json = ask("POST", "/v1/backtests:try", body, 200);
    }
    cr_assert_str_eq(text_at(json, "state"), "ready");
    return json;
}

Test(trials, a_draft_is_tried_on_the_newest_days_and_keeps_nothing)
{
    json_t *json = try("{\"document\": " LARGE ", \"days\": 7, \"rule\": \"often\"}");
    const json_t *report = json_object_get(json_object_get(json, "answer"), "report");
    const json_t *rules = json_object_get(report, "rules");
    const char *last_week = "SELECT count(*) FROM decisions WHERE amount_base_minor > 8000 AND known_at >= "
                            "(SELECT max(known_at) FROM decisions) - interval '7 days'";

    cr_assert_eq(json_integer_value(json_object_get(report, "sample")), 1);
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(rules, 0), "hits")),
                 database_int(w.pg, last_week));
    cr_assert_eq(
        json_array_size(json_object_get(json_object_get(json_array_get(rules, 0), "matches"), "good")), 0);
    rules = json_object_get(json_array_get(rules, 1), "matches");
    cr_assert_gt(json_array_size(json_object_get(rules, "good")) +
                     json_array_size(json_object_get(rules, "unknown")),
                 0);
    json_decref(json);
    json = try("{\"as_it_was\": true, \"days\": 90}");
    cr_assert_eq(NUMBER(json, "answer", "report", "span", "decisions"),
                 database_int(w.pg, "SELECT count(*) FROM decisions"));
    json_decref(json);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM backtests"), 0);
}

/* Nothing failed: it takes as long as it takes. */
Test(trials, who_asks_while_the_history_is_opened_hears_how_far_it_is)
{
    cr_assert_eq(process_stop(&w.rules), 0);
    database_run(w.pg, "BEGIN; LOCK labels IN ACCESS EXCLUSIVE MODE");
    start();
    for (int i = 0; i < 20; i++) {
        json_t *json = ask("POST", "/v1/backtests:try", "{\"document\": " LARGE "}", 200);

        cr_assert_str_eq(text_at(json, "state"), "opening");
        json_decref(json);
        usleep(20000);
    }
    database_run(w.pg, "COMMIT");
    json_decref(try("{\"document\": " LARGE "}"));
}

Test(trials, a_velocity_that_was_never_served_is_told_as_it_was_written)
{
    static const char document[] = "{\"rules\": [{\"id\": \"busy\", \"when\": \"count(card,\\\"10m\\\") > "
                                   "5.0 && customer_count_24h > 1.0\", "
                                   "\"action\": \"review\"}]}";
    char body[320], command[256];
    const json_t *absent;
    struct buf said = { 0 };
    json_t *json;
    FILE *f;

    snprintf(body, sizeof body, "{\"document\": %s, \"days\": 30}", document);
    json = try(body);
    absent = json_object_get(json_object_get(json, "answer"), "absent_features");
    cr_assert_eq(json_array_size(absent), 1);
    cr_assert_str_eq(json_string_value(json_array_get(absent, 0)), "count(card, \"10m\")");
    json_decref(json);
    snprintf(command, sizeof command, "%s/busy.json", w.directory);
    f = fopen(command, "w");
    cr_assert_not_null(f);
    fputs(document, f);
    fclose(f);
    snprintf(command, sizeof command, "rules backtest --no-cache %s/busy.json", w.directory);
    cr_assert_eq(command_run(&said, w.conninfo, "", command), 0, "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "served without count(card, \"10m\")"), "%s", buf_str(&said));
    cr_assert_null(strstr(buf_str(&said), "velocity_"), "%s", buf_str(&said));
    buf_release(&said);
}

/* ---- what may be written ---- */

Test(trials, every_name_that_is_offered_has_an_example_without_a_fault)
{
    static const char *const kinds[] = { "fields", "functions", "velocities" };
    json_t *names = ask("GET", "/v1/rulesets:names", NULL, 200), *name;
    size_t seen = 0, i;

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        json_array_foreach(json_object_get(names, kinds[k]), i, name)
        {
            json_t *body =
                json_pack("{s:{s:[{s:s,s:s,s:s}],s:[{s:s}]}}", "document", "rules", "id", "a", "when",
                          text_at(name, "example"), "action", "review", "lists", "name", "trusted_customers");
            char *text = json_dumps(body, 0);
            json_t *said = ask("POST", "/v1/rulesets:check", text, 200);

            cr_assert_eq(json_array_size(json_object_get(said, "faults")), 0, "%s: %s",
                         text_at(name, "example"),
                         text_at(json_array_get(json_object_get(said, "faults"), 0), "detail"));
            json_decref(said);
            json_decref(body);
            free(text);
            seen++;
        }
    }
    cr_assert_gt(seen, 40);
    cr_assert_eq(json_array_size(json_object_get(names, "features")), 2);
    json_decref(names);
}
