/* SPDX-License-Identifier: Apache-2.0
 * backtest_test.c - what was really decided against what a backtest says of it: PostgreSQL and the services that decide. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/decider.h"
#include "harness/http.h"
#include "harness/process.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "unit/bundle/samples.h"

enum { PATIENCE_US = 30 * 1000000, EACH = 60 };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct decider decider;
    char key[64], pg_url[512], directory[64];
    int64_t champion;
    int sent;
    struct arena arena;
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

/* ---- everything that decides ---- */

static void promote_a_model(void)
{
    struct bundle_sample sample;
    struct buf bytes;

    bundle_sample_init(&sample, 5);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.champion, NULL, &w.why));
    MUST(model_promote(w.pg, w.champion, MODEL_NONE, &(struct model_change){ .actor = SLICE("test") },
                       &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    strcpy(w.directory, "/tmp/assay-backtest-XXXXXX");
    cr_assert_not_null(mkdtemp(w.directory));
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "decide,label", w.key);
    promote_a_model();
    decider_start_parts(&w.decider, w.pg_url);
    decider_start_ingestion(&w.decider, w.pg_url);
}

static void teardown(void)
{
    char command[128];

    decider_stop(&w.decider);
    pg_session_close(w.pg);
    arena_release(&w.arena);
    snprintf(command, sizeof command, "rm -rf '%s'", w.directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(backtest_live, .init = setup, .fini = teardown, .timeout = 300);

static void send_some(int count)
{
    for (int i = 0; i < count; i++, w.sent++) {
        char body[512], at[RFC3339_SIZE];
        struct http_said said;

        rfc3339_format(clock_wall_us(), at);
        snprintf(body, sizeof body,
                 "{\"transaction_id\":\"t-%d\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
                 "\"customer_id\":\"c-%d\",\"card_id\":\"card-%d\",\"channel\":\"%s\","
                 "\"attributes\":{\"basket\":%d}}",
                 w.sent, at, 100 + w.sent * 7919 % 6000, w.sent % 37, w.sent % 11, w.sent % 2 ? "pos" : "atm",
                 w.sent % 5);
        said =
            http_ask(w.decider.ingestion.port, "POST", "/v1/transactions", w.key, NULL, body, strlen(body));
        cr_assert_eq(said.status, 200, "%s", said.body);
        http_said_free(&said);
    }
}

/* ---- changes, each in force before anything more is decided ---- */

static void await_serving(int64_t version)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    struct ruleset_served served = { 0 };

    while ((served.processes < 2 || served.serving < served.processes) && clock_mono_us() < until) {
        usleep(5000);
        MUST(ruleset_served(w.pg, 0, version, &w.arena, &served, &w.why));
    }
    cr_assert_eq(served.serving, 2, "the rules service and ingestion");
}

static int64_t publish(const char *document)
{
    struct ruleset_change ann = { .actor = SLICE("ann"), .expected = RULESET_ANY }, bob = ann;
    int64_t version = 0;
    struct draft d;

    bob.actor = SLICE("bob");
    MUST(draft_open(&d, slice_str(document), &w.why));
    MUST(ruleset_draft(w.pg, &d, 0, SLICE(""), &ann, &version, &w.why));
    MUST(ruleset_publish(w.pg, version, &bob, &w.why));
    draft_release(&d);
    await_serving(version);
    return version;
}

static double figure(int admin_port, const char *series)
{
    struct http_said said = http_ask(admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    const char *at = strstr(said.body, series);
    double value = at ? strtod(at + strlen(series), NULL) : 0;

    http_said_free(&said);
    return value;
}

static double changes_read(int admin_port)
{
    return figure(admin_port, "assay_policy_list_changes_total{how=\"change\"} ");
}

/* Until both that decide hold no entry of any list. */
static void await_empty_lists(void)
{
    static const char entries[] = "\nassay_policy_list_entries ";
    int64_t until = clock_mono_us() + PATIENCE_US;

    while ((figure(w.decider.rules.admin_port, entries) > 0 ||
            figure(w.decider.ingestion.admin_port, entries) > 0) &&
           clock_mono_us() < until)
        usleep(5000);
}

static void change_list(const char *text)
{
    double rules = changes_read(w.decider.rules.admin_port),
           ingestion = changes_read(w.decider.ingestion.admin_port);
    int64_t until = clock_mono_us() + PATIENCE_US;

    database_run(w.pg, text);
    while ((changes_read(w.decider.rules.admin_port) == rules ||
            changes_read(w.decider.ingestion.admin_port) == ingestion) &&
           clock_mono_us() < until)
        usleep(5000);
    cr_assert_neq(changes_read(w.decider.rules.admin_port), rules, "%s", text);
}

/* ---- asking ---- */

/* The answer's JSON, for json_decref(). */
static json_t *backtest(const char *words)
{
    struct buf said = { 0 };
    char all[512];
    json_t *json;

    snprintf(all, sizeof all, "rules backtest --json --settle 0 --cache %s/history %s", w.directory, words);
    cr_assert_eq(command_run(&said, w.conninfo, "", all), 0, "%s", buf_str(&said));
    json = json_loads(buf_str(&said), 0, NULL);
    cr_assert_not_null(json, "%s", buf_str(&said));
    buf_release(&said);
    return json;
}

static int64_t number(const json_t *json, const char *a, const char *b, const char *c)
{
    json = json_object_get(json, a);
    json = b ? json_object_get(json, b) : json;
    return json_integer_value(c ? json_object_get(json, c) : json);
}

/* The same once nothing runs that could still add decisions, so that all of them are kept. */
static json_t *backtest_settled(const char *words)
{
    json_t *json = backtest(words);

    for (int i = 0; i < 100 && number(json, "history", "tail", NULL) > 0; i++) {
        json_decref(json);
        usleep(20000);
        json = backtest(words);
    }
    return json;
}

/* Decisions that come out otherwise than they were. */
static int64_t changed(const json_t *json, const char **id)
{
    const json_t *changes = json_object_get(json_object_get(json, "report"), "changes"), *change;
    int64_t count = 0;
    size_t i;

    json_array_foreach((json_t *)changes, i, change)
    {
        if (strcmp(json_string_value(json_object_get(change, "from")),
                   json_string_value(json_object_get(change, "to"))) == 0)
            continue;
        count += json_integer_value(json_object_get(change, "count"));
        if (id)
            *id = json_string_value(
                json_object_get(json_array_get(json_object_get(change, "examples"), 0), "transaction_id"));
    }
    return count;
}

static const char first_set[] =
    "{\"missing\": {\"features\": \"challenge\", \"score\": \"review\"},"
    " \"lists\": [{\"name\": \"blocked\", \"field\": \"card_id\", \"purpose\": \"deny\"},"
    "            {\"name\": \"watched\", \"field\": \"customer_id\"}],"
    " \"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 5000\", \"action\": \"decline\"},"
    "           {\"id\": \"seen\", \"when\": \"in_list(tx.customer_id, \\\"watched\\\")\", \"action\": "
    "\"challenge\", \"priority\": 9}]}";
static const char second_set[] =
    "{\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 4000 && tx.channel == \\\"pos\\\"\","
    "             \"action\": \"review\"},"
    "            {\"id\": \"basket\", \"when\": \"tx.attributes.basket > 3.0 && score > 0.0\", \"action\": "
    "\"decline\"}]}";

/* ---- tests ---- */

Test(backtest_live, the_policy_of_each_time_gives_the_decisions_that_were_made)
{
    const char *id = NULL;
    int64_t shown;
    json_t *json;

    send_some(EACH); /* no rule set yet */
    publish(first_set);
    send_some(EACH);
    change_list("INSERT INTO list_entries (list, value) SELECT list, 'card-3' FROM lists WHERE name = "
                "'blocked'");
    send_some(EACH);
    change_list("INSERT INTO list_entries (list, value, expires_at) SELECT list, v, clock_timestamp() + "
                "interval '1 second' FROM lists, unnest(ARRAY['c-1', 'c-2', 'c-3', 'c-4', 'c-5']) v WHERE "
                "name = 'watched'");
    send_some(EACH);
    usleep(1100000); /* the entries expire */
    send_some(EACH);
    change_list("DELETE FROM list_entries WHERE value = 'card-3'");
    send_some(EACH);
    publish(second_set);
    send_some(EACH);
    process_kill(&w.decider.rules); /* ingestion decides by its own copy */
    w.decider.rules.pid = 0;
    send_some(EACH);
    process_kill(&w.decider.scoring);
    w.decider.scoring.pid = 0;
    send_some(EACH);

    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), w.sent);
    cr_assert_gt(database_int(w.pg, "SELECT count(DISTINCT action) FROM decisions"), 2,
                 "nothing would be tested");
    cr_assert_eq(database_int(w.pg, "SELECT count(DISTINCT ruleset_version) FROM decisions"), 3);
    json = backtest_settled("--as-it-was --examples 100");
    shown = changed(json, &id);
    cr_assert_eq(number(json, "report", "span", "decisions"), w.sent);
    cr_assert_eq(shown, 0, "%s", id);
    cr_assert_eq(number(json, "history", "built", NULL), w.sent);
    json_decref(json);

    /* The second time, nothing is read again; and what does not fit is named. */
    json = backtest("--as-it-was --examples 100");
    cr_assert_eq(number(json, "history", "kept", NULL), w.sent);
    cr_assert_eq(number(json, "history", "built", NULL), 0);
    cr_assert_eq(changed(json, NULL), 0);
    json_decref(json);
    database_run(w.pg, "UPDATE decisions SET action = 3 - action WHERE transaction_id = 't-17'");
    json = backtest("--as-it-was --examples 100 --no-cache");
    cr_assert_eq(changed(json, &id), 1);
    cr_assert_str_eq(id, "t-17");
    json_decref(json);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", w.directory, name);
    f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    cr_assert_eq(fclose(f), 0);
}

static const json_t *rule_at(const json_t *json, size_t i)
{
    return json_array_get(json_object_get(json_object_get(json, "report"), "rules"), i);
}

static int64_t hits_of_first(const json_t *json)
{
    return json_integer_value(json_object_get(rule_at(json, 0), "hits"));
}

/* A rule errs from then on where it asks for the list: `in_list` of what is not there is neither true nor false. */
Test(backtest_live, a_list_that_was_thrown_away_is_there_until_it_was)
{
    static const char set[] =
        "{\"lists\": [{\"name\": \"known\", \"field\": \"customer_id\"}],"
        " \"rules\": [{\"id\": \"stranger\", \"when\": \"!in_list(tx.customer_id, \\\"known\\\")\","
        "            \"action\": \"review\"}]}";
    const char *id = "";
    char words[160];
    int64_t hits;
    json_t *json;

    publish(set);
    change_list(
        "INSERT INTO list_entries (list, value) SELECT list, v FROM lists, unnest(ARRAY['c-1', 'c-2']) v "
        "WHERE name = 'known'");
    send_some(EACH);
    database_run(w.pg, "DELETE FROM lists WHERE name = 'known'");
    await_empty_lists();
    send_some(EACH);
    json = backtest_settled("--as-it-was --examples 100");
    hits = hits_of_first(json);
    cr_assert_eq(changed(json, &id), 0, "%s", id);
    cr_assert(hits > 0 && hits < EACH, "nothing would be tested");
    json_decref(json);

    /* A draft that declares it would have made it again, empty. */
    write_file("known.json", set);
    snprintf(words, sizeof words, "%s/known.json", w.directory);
    json = backtest_settled(words);
    cr_assert_eq(hits_of_first(json), hits + EACH);
    json_decref(json);
}

Test(backtest_live, a_draft_is_shown_beside_what_is_in_force_and_only_what_changed_is_asked_again)
{
    char words[160];
    json_t *json;

    publish(first_set);
    send_some(2 * EACH);
    write_file("draft.yaml", "rules:\n"
                             "  - {id: large, when: tx.amount > 5000, action: decline}\n"
                             "  - {id: middle, when: tx.amount > 3000, action: review}\n");
    snprintf(words, sizeof words, "%s/draft.yaml --label-delay 0", w.directory);
    json = backtest_settled(words);
    cr_assert_eq(number(json, "report", "span", "decisions"), 2 * EACH);
    cr_assert_str_eq(json_string_value(json_object_get(rule_at(json, 1), "id")), "middle");
    cr_assert_eq(json_integer_value(json_object_get(rule_at(json, 1), "hits")),
                 database_int(w.pg, "SELECT count(*) FROM decisions WHERE amount_base_minor > 3000"));
    cr_assert_eq(
        changed(json, NULL),
        database_int(
            w.pg, "SELECT count(*) FROM decisions WHERE action <> CASE WHEN amount_base_minor > 5000 THEN 3 "
                  "WHEN amount_base_minor > 3000 THEN 2 ELSE action END"));
    cr_assert_eq(number(json, "report", "rules_recalled", NULL), 0);
    json_decref(json);

    write_file("draft.yaml", "rules:\n"
                             "  - {id: large, when: tx.amount > 5000, action: decline}\n"
                             "  - {id: middle, when: tx.amount > 2000, action: review}\n");
    json = backtest(words);
    /* Over each chunk, `large` says what it said, and `middle` is asked. */
    cr_assert_gt(number(json, "report", "rules_recalled", NULL), 0);
    cr_assert_eq(number(json, "report", "rules_recalled", NULL),
                 number(json, "report", "rules_evaluated", NULL));
    cr_assert_eq(json_integer_value(json_object_get(rule_at(json, 1), "hits")),
                 database_int(w.pg, "SELECT count(*) FROM decisions WHERE amount_base_minor > 2000"));
    json_decref(json);

    /* What came since is there too; a directory that was thrown away is made again. */
    send_some(1);
    json = backtest(words);
    cr_assert_eq(number(json, "report", "span", "decisions"), 2 * EACH + 1);
    cr_assert_eq(number(json, "history", "tail", NULL), 1);
    json_decref(json);
    snprintf(words, sizeof words, "rm -rf '%s/history'", w.directory);
    cr_assert_eq(system(words), 0);
    snprintf(words, sizeof words, "%s/draft.yaml --model %lld", w.directory, (long long)w.champion);
    json = backtest_settled(words);
    cr_assert_eq(number(json, "history", "built", NULL), 2 * EACH + 1);
    json_decref(json);
}

/* ---- thresholds of a set's own ---- */

static double sql_number(const char *text)
{
    struct pg_result *r = NULL;
    double value;

    MUST(pg_exec(w.pg, text, NULL, &r, &w.why));
    value = pg_get_float(r, 0, 0);
    pg_result_free(r);
    return value;
}

Test(backtest_live, a_payment_is_decided_by_the_thresholds_of_the_set_and_a_backtest_decides_it_so_again)
{
    char document[256], words[256], question[256];
    double middle, high;
    int64_t version;
    json_t *json;

    send_some(EACH); /* by the model's thresholds */
    middle = sql_number("SELECT percentile_disc(0.4) WITHIN GROUP (ORDER BY score) FROM decisions");
    high = sql_number("SELECT percentile_disc(0.8) WITHIN GROUP (ORDER BY score) FROM decisions");
    cr_assert_lt(middle, high, "nothing would be tested");
    snprintf(document, sizeof document,
             "{\"thresholds\": {\"challenge\": %.17g, \"decline\": %.17g}, \"rules\": []}", middle, high);
    version = publish(document);
    send_some(2 * EACH);
    snprintf(question, sizeof question, "SELECT count(*) FROM decisions WHERE ruleset_version = '%d'",
             (int)version);
    cr_assert_eq(database_int(w.pg, question), 2 * EACH);
    snprintf(
        question, sizeof question,
        "SELECT count(*) FROM decisions WHERE ruleset_version = '%d' AND action <> CASE WHEN score >= %.17g "
        "THEN 3 WHEN score >= %.17g THEN 1 ELSE 0 END",
        (int)version, high, middle);
    cr_assert_eq(database_int(w.pg, question), 0, "nothing is reviewed: the set has no such threshold");
    snprintf(question, sizeof question,
             "SELECT count(DISTINCT action) FROM decisions WHERE ruleset_version = '%d'", (int)version);
    cr_assert_gt(database_int(w.pg, question), 1, "nothing would be tested");

    json = backtest_settled("--as-it-was");
    cr_assert_eq(changed(json, NULL), 0);
    json_decref(json);
    snprintf(document, sizeof document, "{\"thresholds\": {\"review\": %.17g}, \"rules\": []}", high);
    write_file("draft.yaml", document);
    snprintf(words, sizeof words, "%s/draft.yaml --against decided", w.directory);
    json = backtest(words);
    snprintf(question, sizeof question,
             "SELECT count(*) FROM decisions WHERE action <> CASE WHEN score >= %.17g THEN 2 ELSE 0 END",
             high);
    cr_assert_eq(changed(json, NULL), database_int(w.pg, question));
    cr_assert_gt(changed(json, NULL), 0);
    json_decref(json);
}

/* ---- velocities before a set is in force ---- */

#define BUSY                                                                                                 \
    "\"rules\": [{\"id\": \"busy\", \"when\": \"count(card, \\\"17m\\\") > 3.0\", \"action\": \"decline\"}]"

static void make_rules_key(char key[64], const char *owner, const char *scopes)
{
    database_key(w.pg, 1, scopes, key);
    database_key_owner(w.pg, key, owner);
}

/* The status; `has` stands in the answer. */
static int rest(const char *key, const char *path, const char *body, const char *has)
{
    struct http_said said = http_ask(w.decider.rules.port, "POST", path, key, NULL, body, strlen(body));
    int status = said.status;

    cr_expect(!has || (said.body && strstr(said.body, has)), "%s: %d %s", path, status,
              said.body ? said.body : "");
    http_said_free(&said);
    return status;
}

/* Each of the cards was seen more than three times before there was a rule that counts. */
static void check_that_nothing_began_from_zero(int64_t version)
{
    char question[128];

    send_some(EACH);
    snprintf(question, sizeof question,
             "SELECT count(*) FROM decisions WHERE ruleset_version = '%d' AND action = 3", (int)version);
    cr_assert_eq(database_int(w.pg, question), EACH);
}

Test(backtest_live, a_velocity_is_prepared_over_rest_before_its_rule_is_published)
{
    int64_t until;
    char ann[64], bob[64];
    int status;

    make_rules_key(ann, "ann", "rules:write");
    make_rules_key(bob, "bob", "rules:write,rules:approve");
    send_some(EACH);
    cr_assert_eq(rest(ann, "/v1/rulesets", "{\"document\": {" BUSY "}}", "\"prepared_at\":null"), 201);
    cr_assert_eq(rest(bob, "/v1/rulesets/1:publish", "", "prepare version 1"), 409);
    cr_assert_eq(rest(w.key, "/v1/rulesets/1:prepare", "", NULL), 401);
    cr_assert_eq(rest(ann, "/v1/rulesets/2:prepare", "", NULL), 404);
    cr_assert_eq(rest(ann, "/v1/rulesets/1:prepare", "{\"revision\": 2}", "at revision 1"), 409);
    cr_assert_eq(rest(ann, "/v1/rulesets/1:prepare", "{\"expected\": 1}", "known are: reason, revision"),
                 422);
    cr_assert_eq(rest(ann, "/v1/rulesets/1:prepare", "{\"reason\": \"soon\", \"revision\": 1}",
                      "\"prepared_at\":\"20"),
                 200);
    cr_assert_eq(
        database_int(
            w.pg, "SELECT count(*) FROM audit WHERE action = 'rules.prepare' AND actor = 'ann' AND subject = "
                  "'1' AND detail->>'reason' = 'soon'"),
        1);
    until = clock_mono_us() + PATIENCE_US;
    while ((status = rest(bob, "/v1/rulesets/1:publish", "", NULL)) == 409 && clock_mono_us() < until)
        usleep(50000);
    cr_assert_eq(status, 200, "its velocity was computed");
    cr_assert_eq(rest(ann, "/v1/rulesets/1:prepare", "", "is no draft"), 409);
    await_serving(1);
    check_that_nothing_began_from_zero(1);
}

Test(backtest_live, the_command_line_publishes_with_a_new_velocity_once_that_is_computed)
{
    struct buf said = { 0 };
    char words[256];

    send_some(EACH);
    write_file("set.yaml", "rules:\n  - {id: busy, when: 'count(card, \"17m\") > 3.0', action: decline}\n");
    snprintf(words, sizeof words, "rules publish %s/set.yaml --author ann", w.directory);
    cr_assert_neq(command_run(&said, w.conninfo, "", words), 0, "without --wait it is refused");
    cr_assert_not_null(strstr(buf_str(&said), "count(card, \"17m\") is not computed yet"), "%s",
                       buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "rules publish 1 --wait --author bob"), 0, "%s",
                 buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "1 velocities are being computed from the log"), "%s",
                       buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "published version 1"), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "in all 2 processes"), "%s", buf_str(&said));
    check_that_nothing_began_from_zero(1);
    cr_assert_eq(command_run(&said, w.conninfo, "", "rules publish 1 --wait --author bob"), 1,
                 "it is in force");

    /* At once, with what nobody computes yet: it is said what rests. */
    cr_assert_eq(process_stop(&w.decider.features), 0);
    write_file("set.yaml", "rules:\n  - {id: calm, when: 'count(card, \"19m\") > 3.0', action: decline}\n");
    snprintf(words, sizeof words, "rules draft %s/set.yaml --author ann", w.directory);
    cr_assert_eq(command_run(&said, w.conninfo, "", words), 0, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "rules publish 2 --author bob --allow-unknown"), 0, "%s",
                 buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said),
                              "published version 2\n1 of its velocities are not computed yet "
                              "(count(card, \"19m\")): until they are, rules that ask for them "
                              "do not fire"),
                       "%s", buf_str(&said));
    buf_release(&said);
}
