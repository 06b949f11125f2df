/* SPDX-License-Identifier: Apache-2.0
 * replay_test.c - decisions of the past, made again: PostgreSQL and the services that decide, while models, rule sets and
 * lists change under them and parts go away.
 *
 * ASSAY_TEST_DECISIONS=10000 decides and replays so many instead of 600. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
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
#include "unit/bundle/samples.h"

enum { DECISIONS = 600 };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct decider decider;
    char key[64], pg_url[512], directory[64];
    int64_t champion;
    struct why why;

    pthread_t sender;
    int wanted;
    atomic_int sent, refused, allowed;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

/* Runs the command; it must end well. */
static void assay(const char *settings, const char *words)
{
    struct buf said = { 0 };

    cr_assert_eq(command_run(&said, w.conninfo, settings, words), 0, "%s: %s", words, buf_str(&said));
    buf_release(&said);
}

static void promote(uint32_t seed)
{
    struct bundle_sample sample;
    char question[128];
    struct buf bytes;

    bundle_sample_init(&sample, seed);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.champion, NULL, &w.why));
    MUST(
        model_promote(w.pg, w.champion, MODEL_ANY, &(struct model_change){ .actor = SLICE("test") }, &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
    if (!w.decider.scoring.pid)
        return;
    snprintf(question, sizeof question,
             "SELECT count(*) FROM serving WHERE alias = 'champion' AND version = %lld",
             (long long)w.champion);
    database_wait(w.pg, question, 1, NULL);
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    strcpy(w.directory, "/tmp/assay-replay-XXXXXX");
    cr_assert_not_null(mkdtemp(w.directory));
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "decide,read", w.key);
    promote(5);
    decider_start_parts(&w.decider, w.pg_url);
    decider_start_ingestion(&w.decider, w.pg_url);
}

static void teardown(void)
{
    char command[128];

    decider_stop(&w.decider);
    pg_session_close(w.pg);
    snprintf(command, sizeof command, "rm -rf '%s'", w.directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(replay, .init = setup, .fini = teardown, .timeout = 1200);

/* ---- payments that do not stop ---- */

static bool send_one(int i)
{
    char body[600], at[RFC3339_SIZE];
    struct http_said said;
    bool is_taken;

    rfc3339_format(clock_wall_us(), at);
    snprintf(body, sizeof body,
             "{\"transaction_id\":\"t-%d\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
             "\"customer_id\":\"c-%d\",\"card_id\":\"card-%d\",\"channel\":\"%s\",\"ip\":\"10.0.%d.%d\","
             "\"attributes\":{\"basket\":%d}}",
             i, at, 100 + i * 7919 % 6000, i % 37, i % 11, i % 2 ? "pos" : "atm", i % 5, i % 250, i % 5);
    said = http_ask(w.decider.ingestion.port, "POST", "/v1/transactions", w.key, NULL, body, strlen(body));
    is_taken = said.status == 200;
    http_said_free(&said);
    return is_taken;
}

static void *send_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < w.wanted; i++) {
        while (i >= w.allowed)
            usleep(500);
        if (!send_one(i))
            w.refused++;
        w.sent++;
    }
    return NULL;
}

/* Until a share of the payments, in hundredths, is decided; some more may be while something changes. */
static void wait_for(int percent)
{
    w.allowed = w.wanted * percent / 100;
    while (w.sent < w.allowed)
        usleep(1000);
    w.allowed = w.wanted * (percent + 5) / 100;
}

/* ---- what changes meanwhile ---- */

static const char first_set[] =
    "missing: {features: challenge, score: review}\n"
    "lists:\n"
    "  - {name: blocked, field: card_id, purpose: deny}\n"
    "  - {name: watched, field: customer_id}\n"
    "  - {name: nets, field: ip}\n"
    "rules:\n"
    "  - {id: large, when: tx.amount > 5000, action: decline, reason: '{tx.amount} is much'}\n"
    "  - {id: often, when: 'count(card, \"10m\") > 5 && tx.channel == \"pos\"', action: challenge, priority: "
    "3}\n"
    "  - {id: seen, when: 'in_list(tx.customer_id, \"watched\")', action: challenge, priority: 9,\n"
    "     reason: 'customer {tx.customer_id}', public_reason: 'You were asked to identify yourself'}\n"
    "  - {id: net, when: 'in_list(tx.ip, \"nets\") && has_value(customer_count_24h)', action: review}\n"
    "  - {id: busy, when: customer_count_24h > 3, action: tag, tag: busy}\n"
    "  - {id: odd, when: 'int(tx.amount) / (int(tx.attributes.basket) - 2) > 1000', action: review, "
    "priority: -1}\n";
static const char second_set[] =
    "thresholds: {challenge: 0.02, review: 0.2, decline: 0.7}\n"
    "rules:\n"
    "  - {id: large, when: 'tx.amount > 4000 && tx.channel == \"pos\"', action: review}\n"
    "  - {id: mean, when: 'tx.amount > 1.5 * mean(amount, card, \"1h\")', action: review, shadow: true}\n"
    "  - {id: basket, when: 'tx.attributes.basket > 3.0 && score > 0.4', action: decline}\n"
    "  - {id: gone, when: 'in_list(tx.card_id, \"watched\")', action: decline}\n";
static const char third_set[] =
    "missing: {features: review, score: closed}\n"
    "rules:\n"
    "  - {id: score, when: 'score > 0.99 && sum(amount, customer, \"1d\") > 20000', action: challenge}\n"
    "  - {id: fresh, when: 'is_fresh(count(card, \"10m\")) ? count(card, \"10m\") > 20 : tx.amount > 2000',\n"
    "     action: review}\n";

/* Drafts the set, and puts it in force or in shadow while payments go on. */
static void take_set(const char *text, const char *how)
{
    char path[96], words[200];
    int64_t version;
    FILE *f;

    snprintf(path, sizeof path, "%s/set.yaml", w.directory);
    f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    cr_assert_eq(fclose(f), 0);
    snprintf(words, sizeof words, "rules draft %s --author ann --prepare", path);
    assay("", words);
    version = database_int(w.pg, "SELECT max(version) FROM rulesets");
    snprintf(words, sizeof words, "rules %s %lld --author bob --wait", how, (long long)version);
    assay("", words);
}

static void live_through_changes(void)
{
    wait_for(5);
    take_set(first_set, "publish");
    wait_for(15);
    database_run(w.pg, "INSERT INTO list_entries (list, value) SELECT list, 'card-3' FROM lists WHERE name = "
                       "'blocked'");
    database_run(w.pg,
                 "INSERT INTO list_entries (list, value, expires_at) SELECT list, v, clock_timestamp() + "
                 "interval '2 seconds' FROM lists, unnest(ARRAY['c-1', 'c-2', 'c-3']) v WHERE name = "
                 "'watched'");
    wait_for(22);
    promote(6);
    database_run(w.pg, "INSERT INTO list_entries (list, value) SELECT list, v FROM lists, "
                       "unnest(ARRAY['10.0.1.0/24', '10.0.2.0/25', '10.0.3.7']) v WHERE name = 'nets'");
    wait_for(30);
    take_set(second_set, "shadow");
    database_run(w.pg, "DELETE FROM list_entries WHERE value IN ('card-3', '10.0.2.0/25')");
    wait_for(40);
    promote(7);
    database_run(w.pg,
                 "INSERT INTO control_slices (account, share, amount_most, card_per_day, merchant_per_day, "
                 "count_per_day, amount_per_day, key) VALUES (0, 0.5, 50000, 1000, 1000, 1000, 1000000000, "
                 "'\\x000102030405060708090a0b0c0d0e0f')");
    wait_for(48);
    take_set(second_set, "publish");
    wait_for(58);
    database_run(w.pg, "DELETE FROM lists WHERE name = 'watched'"); /* a rule asks for it still */
    wait_for(66);
    take_set(third_set, "publish");
    promote(8);
    wait_for(74);
    assay("", "rules rollback --wait");
    wait_for(82);
    process_kill(&w.decider.rules); /* ingestion decides by its own copy */
    w.decider.rules.pid = 0;
    wait_for(88);
    process_kill(&w.decider.scoring);
    w.decider.scoring.pid = 0;
    wait_for(94);
    process_kill(&w.decider.features);
    w.decider.features.pid = 0;
    w.allowed = w.wanted;
}

static void decide_all(void)
{
    const char *wanted = getenv("ASSAY_TEST_DECISIONS");

    w.wanted = wanted && atoi(wanted) > 0 ? atoi(wanted) : DECISIONS;
    cr_assert_eq(pthread_create(&w.sender, NULL, send_all, NULL), 0);
    live_through_changes();
    cr_assert_eq(pthread_join(w.sender, NULL), 0);
    cr_assert_eq(w.refused, 0);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM decisions"), w.wanted);
}

/* ---- asking ---- */

/* What was told beside the answer, until the next is asked. */
static char told[16384];

/* The member "replayed" of what `assay verify` says, for json_decref() of *all. */
static const json_t *verify(const char *words, int status, json_t **all)
{
    struct buf said = { 0 };
    char line[200];
    const char *answer;

    snprintf(line, sizeof line, "verify --json --decisions %d %s", w.wanted, words);
    cr_assert_eq(command_run(&said, w.conninfo, "", line), status, "%s", buf_str(&said));
    answer = strstr(buf_str(&said), "{\n");
    cr_assert_not_null(answer, "%s", buf_str(&said));
    snprintf(told, sizeof told, "%.*s", (int)(answer - buf_str(&said)), buf_str(&said));
    *all = json_loads(answer, 0, NULL);
    cr_assert_not_null(*all, "%s", answer);
    buf_release(&said);
    return json_object_get(*all, "replayed");
}

static int64_t number(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

/* ---- tests ---- */

static void is_told(const char *change, const char *field)
{
    const json_t *replayed;
    json_t *all;

    database_run(w.pg, change);
    replayed = verify("--no-log", 1, &all);
    cr_expect_eq(number(replayed, "differs"), 1, "%s: %s", change, told);
    cr_expect_not_null(strstr(told, field), "%s: %s", change, told);
    json_decref(all);
}

Test(replay, what_was_decided_under_changing_models_and_rule_sets_comes_out_bit_for_bit)
{
    const json_t *replayed;
    json_t *all;

    decide_all();
    cr_assert_gt(
        database_int(w.pg, "SELECT count(DISTINCT model_version) FROM decisions WHERE score IS NOT NULL"), 3);
    cr_assert_gt(database_int(w.pg, "SELECT count(DISTINCT ruleset_version) FROM decisions"), 3);
    cr_assert_gt(database_int(w.pg, "SELECT count(DISTINCT action) FROM decisions"), 3, "all of them");
    cr_assert_gt(database_int(w.pg, "SELECT count(DISTINCT plan) FROM decisions"), 2);
    replayed = verify("", 0, &all);
    cr_assert_eq(number(replayed, "drawn"), w.wanted);
    cr_assert_eq(number(replayed, "differs"), 0, "%s", told);
    cr_assert_eq(number(replayed, "lost"), 0, "%s", told);
    cr_assert_eq(number(replayed, "unreadable"), 0, "%s", told);
    cr_assert_eq(
        number(replayed, "as_stored"),
        database_int(w.pg, "SELECT count(*) FROM decisions WHERE p_allow > 0 AND p_allow < 1 AND action <> "
                           "3"),
        "the control slice's draw");
    cr_assert_gt(number(replayed, "degraded"), w.wanted / 20);
    cr_assert_eq(number(replayed, "matches") + number(replayed, "as_stored"), w.wanted);
    if (getenv("ASSAY_TEST_DECISIONS"))
        json_dumpf(replayed, stderr, JSON_COMPACT);
    json_decref(all);
}

Test(replay, what_was_changed_afterwards_is_found_and_named)
{
    w.wanted = 40;
    for (int i = 0; i < 10; i++)
        cr_assert(send_one(i));
    take_set(first_set, "publish");
    for (int i = 10; i < w.wanted; i++)
        cr_assert(send_one(i));

    is_told("UPDATE decisions SET score = score * (1 + 2.3e-16) WHERE transaction_id = 't-11'",
            "score score:");
    database_run(w.pg, "DELETE FROM decisions WHERE transaction_id = 't-11'");
    w.wanted--;
    is_told("UPDATE decisions SET action = 3 - action WHERE transaction_id = 't-3'", "rules action:");
    database_run(w.pg, "UPDATE decisions SET action = 3 - action WHERE transaction_id = 't-3'");
    is_told("UPDATE decisions SET p_allow = 0.25 WHERE transaction_id = 't-4'", "rules p_allow:");
    database_run(w.pg, "DELETE FROM decisions WHERE transaction_id = 't-4'");
    w.wanted--;
    is_told("UPDATE decisions SET vector = set_byte(vector, 2, get_byte(vector, 2) # 1) WHERE transaction_id "
            "= 't-5'",
            "contributions[");
    database_run(
        w.pg,
        "UPDATE decisions SET vector = set_byte(vector, 2, get_byte(vector, 2) # 1) WHERE transaction_id = "
        "'t-5'");
    is_told(
        "UPDATE decisions SET record = decode(replace(encode(record, 'hex'), encode('threshold', 'hex'), "
        "encode('thresHold', 'hex')), 'hex') WHERE transaction_id = (SELECT transaction_id FROM decisions "
        "WHERE position('threshold'::bytea IN record) > 0 ORDER BY 1 LIMIT 1)",
        "reasons[0].code");
    database_run(w.pg, "DELETE FROM decisions WHERE position('thresHold'::bytea IN record) > 0");
    w.wanted--;
    is_told(
        "UPDATE log SET body = decode(replace(encode(body, 'hex'), encode('card-2', 'hex'), encode('card-9', "
        "'hex')), 'hex') WHERE n = (SELECT n FROM transaction_ids WHERE id = 't-13')",
        "payment body_hash:");
}

/* What `assay` says as JSON, for json_decref(). */
static json_t *ask(const char *words, int status)
{
    struct buf said = { 0 };
    json_t *json;

    cr_assert_eq(command_run(&said, w.conninfo, "", words), status, "%s: %s", words, buf_str(&said));
    json = json_loads(buf_str(&said), 0, NULL);
    cr_assert_not_null(json, "%s", buf_str(&said));
    buf_release(&said);
    return json;
}

static const json_t *step(const json_t *explanation, const char *text)
{
    const json_t *rule = json_array_get(json_object_get(explanation, "rules"), 0), *each;
    size_t i;

    json_array_foreach(json_object_get(rule, "steps"), i, each)
    {
        if (strcmp(json_string_value(json_object_get(each, "text")), text) == 0)
            return each;
    }
    cr_assert_fail("no part %s", text);
    return NULL;
}

static const char *value(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "(none)";
}

Test(replay, a_rule_is_explained_by_the_values_that_it_had)
{
    char body[512];
    struct http_said said;
    json_t *json;
    const json_t *part;

    take_set(first_set, "publish");
    for (int i = 0; i < 8; i++)
        cr_assert(send_one(11 * i + 22 * (i % 2)));        /* one card after another, "pos" and "atm" */
    json = ask("explain t-77 --from-log --all --json", 0); /* 7919 * 77 % 6000 + 100 */
    cr_assert_str_eq(value(json_object_get(json, "replay"), "outcome"), "matches");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "vector"), "differing_bytes")), 0);
    cr_assert_eq(
        json_integer_value(json_object_get(json_object_get(json, "vector"), "entries")),
        database_int(w.pg, "SELECT count(*) FROM log l JOIN transaction_ids i ON i.id = 't-77' WHERE l.n <= "
                           "i.n AND l.kind = 1"));
    cr_assert_eq(json_array_size(json_object_get(json_object_get(json, "explanation"), "rules")), 6);
    json_decref(json);

    json = ask("rules explain 1 --transaction t-77 --rule large --json", 0);
    cr_assert_str_eq(value(step(json, "tx.amount"), "value"), "3863");
    cr_assert_str_eq(value(step(json, "tx.amount > 5000"), "value"), "false");
    json_decref(json);
    json = ask("rules explain 1 --transaction t-44 --rule often --json", 0);
    cr_assert_str_eq(value(step(json, "count(card, \"10m\") > 5"), "kind"), "bool");
    part = step(json, "tx.channel == \"pos\"");
    cr_assert_str_eq(value(part, "value"), "(none)", "passed over, as the count is small");
    cr_assert_eq(json_integer_value(json_object_get(part, "times")), 0);
    json_decref(json);
    json = ask("rules explain 1 --transaction t-77 --json", 0);
    cr_assert_eq(json_array_size(json_object_get(json, "rules")), 6);
    json_decref(json);

    /* The same over REST, of a draft. */
    database_key(w.pg, 1, "rules:write", w.key);
    snprintf(body, sizeof body,
             "{\"transaction_id\": \"t-77\", \"document\": {\"rules\": [{\"id\": \"twice\", \"when\": "
             "\"tx.amount * 2.0 > "
             "7000.0\", \"action\": \"review\"}]}}");
    said = http_ask(w.decider.rules.port, "POST", "/v1/rulesets:explain", w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 200, "%s", said.body);
    json = json_loads(said.body, 0, NULL);
    cr_assert_str_eq(value(json, "ruleset_version"), "draft");
    cr_assert_str_eq(value(step(json, "tx.amount * 2.0"), "value"), "7726");
    cr_assert(json_is_true(json_object_get(json_array_get(json_object_get(json, "rules"), 0), "fires")));
    json_decref(json);
    http_said_free(&said);
    snprintf(body, sizeof body, "{\"transaction_id\": \"nobody\", \"version\": 1}");
    said = http_ask(w.decider.rules.port, "POST", "/v1/rulesets:explain", w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 404, "%s", said.body);
    http_said_free(&said);
}
