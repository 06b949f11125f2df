/* SPDX-License-Identifier: Apache-2.0
 * dashboard_flip_test.c - what would have flipped a case's decision, by the real services: also after model and lists
 * have changed, and when parts were away. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/decider.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "unit/bundle/samples.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct decider decider;
    struct process dashboard;
    struct visit ann, author;
    char key[64], pg_url[512], directory[64];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void promote(uint32_t seed)
{
    struct bundle_sample sample;
    struct buf bytes;
    int64_t version;

    bundle_sample_init(&sample, seed);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &version, NULL, &w.why));
    MUST(model_promote(w.pg, version, MODEL_ANY, &(struct model_change){ .actor = SLICE("test") }, &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

static const char rule_set[] = "lists:\n"
                               "  - {name: blocked, field: card_id, purpose: deny}\n"
                               "  - {name: odd, type: number}\n"
                               "rules:\n"
                               "  - {id: large, when: tx.amount > 500, action: review, priority: 9}\n"
                               "  - {id: basket, when: 'tx.attributes.basket * 2 > 21 && customer_count_24h "
                               "< 900', action: challenge}\n";

static void publish(void)
{
    char path[96], words[200];
    struct buf said = { 0 };
    FILE *f;

    snprintf(path, sizeof path, "%s/set.yaml", w.directory);
    f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(rule_set, f);
    cr_assert_eq(fclose(f), 0);
    snprintf(words, sizeof words, "rules publish %s --author ann --wait --allow-unknown", path);
    cr_assert_eq(command_run(&said, w.conninfo, "", words), 0, "%s", buf_str(&said));
    buf_release(&said);
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    strcpy(w.directory, "/tmp/assay-flip-XXXXXX");
    cr_assert_not_null(mkdtemp(w.directory));
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "decide,read", w.key);
    visit_add_user(w.pg, "ann", "analyst");
    visit_add_user(w.pg, "rue", "rule_author");
    w.ann = visit_of(w.pg, "ann", "now()");
    w.author = visit_of(w.pg, "rue", "now()");
    promote(5);
    decider_start_parts(&w.decider, w.pg_url);
    publish();
    decider_start_ingestion(&w.decider, w.pg_url);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, "ASSAY_DASHBOARD_CASES=approve,challenge,review,decline",
                                         "ASSAY_DASHBOARD_TURN=20ms", "ASSAY_DASHBOARD_KEEP=0",
                                         "ASSAY_DASHBOARD_KEEP_MINUTES=0", NULL });
}

static void teardown(void)
{
    char command[128];

    if (w.dashboard.pid)
        cr_expect_eq(process_stop(&w.dashboard), 0, "it ends gracefully");
    w.dashboard.pid = 0;
    decider_stop(&w.decider);
    pg_session_close(w.pg);
    snprintf(command, sizeof command, "rm -rf '%s'", w.directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(dashboard_flip, .init = setup, .fini = teardown, .timeout = 300);

static void send(const char *id, int amount, int basket, const char *card)
{
    char body[400], at[RFC3339_SIZE];
    struct http_said said;

    rfc3339_format(clock_wall_us(), at);
    snprintf(body, sizeof body,
             "{\"transaction_id\":\"%s\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
             "\"customer_id\":\"c-1\",\"card_id\":\"%s\",\"attributes\":{\"basket\":%d}}",
             id, at, amount, card, basket);
    said = http_ask(w.decider.ingestion.port, "POST", "/v1/transactions", w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 200, "%s", said.body);
    http_said_free(&said);
}

static int64_t case_of(const char *id)
{
    char question[200];

    snprintf(question, sizeof question, "SELECT count(*) FROM review_cases WHERE transaction_id = '%s'", id);
    for (int i = 0; i < 3000 && database_int(w.pg, question) == 0; i++)
        usleep(10000);
    snprintf(question, sizeof question, "SELECT \"case\" FROM review_cases WHERE transaction_id = '%s'", id);
    return database_int(w.pg, question);
}

static int64_t decide(const char *id, int amount, int basket, const char *card)
{
    send(id, amount, basket, card);
    return case_of(id);
}

/* The answer, for json_decref(). */
static json_t *flip(int64_t number)
{
    char path[64];
    struct http_said said;
    json_t *json;

    snprintf(path, sizeof path, "/v1/cases/%lld/flip", (long long)number);
    said = visit_ask(w.dashboard.port, "GET", path, &w.ann, NULL);
    cr_assert_eq(said.status, 200, "%s", said.body);
    json = json_incref(said.json);
    http_said_free(&said);
    return json;
}

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static double figure(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* The change of that number and way on one side; NULL: it is not shown. */
static const json_t *change(const json_t *answer, const char *side, const char *name, const char *way)
{
    const json_t *all = json_object_get(json_object_get(answer, side), "changes"), *each;
    size_t i;

    json_array_foreach(all, i, each)
    {
        if (strcmp(text(each, "name"), name) == 0 && strcmp(text(each, "way"), way) == 0)
            return each;
    }
    return NULL;
}

static bool is_noted(const json_t *answer, const char *words)
{
    const json_t *notes = json_object_get(answer, "notes"), *each;
    size_t i;

    json_array_foreach(notes, i, each)
    {
        if (strstr(json_string_value(each), words))
            return true;
    }
    return false;
}

Test(dashboard_flip, the_smallest_change_is_told_by_what_the_decision_was_made_with)
{
    int64_t large = decide("large", 600, 3, "card-1"), small = decide("small", 400, 3, "card-1"),
            basket = decide("basket", 400, 11, "card-1");
    const json_t *c;
    json_t *answer;

    promote(6); /* none of what comes later counts */
    database_run(w.pg, "INSERT INTO list_entries (list, value) SELECT list, 'card-1' FROM lists WHERE name = "
                       "'blocked'");

    answer = flip(large);
    cr_assert(json_is_true(json_object_get(answer, "is_known")), "%s", json_dumps(answer, 0));
    cr_assert_str_eq(text(answer, "action"), "review");
    cr_assert_str_eq(text(answer, "decided_by"), "rule");
    c = change(answer, "milder", "tx.amount", "down");
    cr_assert_not_null(c, "%s", json_dumps(answer, 0));
    cr_assert_str_eq(text(c, "kind"), "field");
    cr_assert_eq(figure(c, "before"), 600);
    cr_assert_eq(figure(c, "after"), 500);
    cr_assert_str_eq(text(c, "action"), "approve");
    cr_assert(json_is_true(json_object_get(c, "is_smallest")));
    cr_assert(json_is_true(json_object_get(c, "is_read_by_features")),
              "the feature `amount` is a copy of it");
    cr_assert_lt(figure(c, "place_after"), figure(c, "place_before"));
    json_decref(answer);

    answer = flip(small);
    cr_assert_str_eq(text(answer, "action"), "approve");
    c = change(answer, "harder", "tx.amount", "up");
    cr_assert_not_null(c);
    cr_assert_eq(figure(c, "after"), 501);
    cr_assert_str_eq(text(c, "action"), "review");
    c = change(answer, "harder", "amount", "up");
    cr_assert_not_null(c, "%s", json_dumps(answer, 0));
    cr_assert_str_eq(text(c, "kind"), "feature");
    cr_assert_gt(figure(c, "after"), 1500, "frauds of the sample begin at 3000");
    cr_assert_gt(figure(c, "score"), figure(answer, "score"));
    c = change(answer, "harder", "tx.attributes.basket", "up");
    cr_assert_not_null(c);
    cr_assert_eq(figure(c, "after"), 11, "whole numbers stay whole");
    cr_assert_str_eq(text(c, "action"), "challenge");
    cr_assert_eq(json_array_size(json_object_get(json_object_get(answer, "milder"), "changes")), 0);
    json_decref(answer);

    answer = flip(basket);
    cr_assert_str_eq(text(answer, "action"), "challenge");
    cr_assert_eq(figure(change(answer, "milder", "tx.attributes.basket", "down"), "after"), 10);
    cr_assert_not_null(change(answer, "milder", "tx.attributes.basket", "missing"));
    cr_assert_eq(figure(change(answer, "harder", "tx.amount", "up"), "after"), 501);
    json_decref(answer);

    answer = flip(decide("blocked", 400, 3, "card-1"));
    cr_assert_str_eq(text(answer, "action"), "decline");
    cr_assert_str_eq(text(answer, "decided_by"), "list");
    cr_assert(is_noted(answer, "list decided"));
    json_decref(answer);
}

Test(dashboard_flip, what_was_away_is_said_and_no_change_of_it_is_made_up)
{
    int64_t number;
    json_t *answer;

    process_kill(&w.decider.scoring);
    w.decider.scoring.pid = 0;
    answer = flip(decide("unscored", 600, 3, "card-1"));
    cr_assert(json_is_true(json_object_get(answer, "is_known")), "%s", json_dumps(answer, 0));
    cr_assert(is_noted(answer, "No model scored"));
    cr_assert_null(change(answer, "milder", "amount", "down"));
    cr_assert_eq(figure(change(answer, "milder", "tx.amount", "down"), "after"), 500);
    json_decref(answer);

    number = decide("gone", 600, 3, "card-1");
    database_run(w.pg, "UPDATE decisions SET ruleset_version = '4711' WHERE transaction_id = 'gone'");
    answer = flip(number);
    cr_assert(json_is_false(json_object_get(answer, "is_known")));
    cr_assert(is_noted(answer, "4711"));
    json_decref(answer);

    process_kill(&w.decider.features);
    w.decider.features.pid = 0;
    send("bare", 600, 3, "card-1");
    process_start(&w.decider.features, "features",
                  (const char *const[]){ w.pg_url, NULL }); /* it takes it from the outbox */
    number = case_of("bare");
    answer = flip(number);
    cr_assert(json_is_true(json_object_get(answer, "is_known")), "%s", json_dumps(answer, 0));
    cr_assert(is_noted(answer, "Features were away"));
    json_decref(answer);
    database_run(w.pg, "UPDATE decisions SET action = 0 WHERE transaction_id = 'bare'");
    answer = flip(number);
    cr_assert(json_is_false(json_object_get(answer, "is_known")));
    cr_assert(is_noted(answer, "does not come out again"));
    json_decref(answer);
}

Test(dashboard_flip, only_those_who_see_cases_may_ask)
{
    int64_t number = decide("one", 600, 3, "card-1");
    char path[64];

    snprintf(path, sizeof path, "/v1/cases/%lld/flip", (long long)number);
    cr_assert_eq(visit_status(w.dashboard.port, "GET", path, &w.author, NULL), 403);
    cr_assert_eq(visit_status(w.dashboard.port, "GET", path, NULL, NULL), 401);
    cr_assert_eq(visit_status(w.dashboard.port, "GET", "/v1/cases/999999/flip", &w.ann, NULL), 404);
    cr_assert_eq(visit_status(w.dashboard.port, "GET", "/v1/cases/none/flip", &w.ann, NULL), 404);
}
