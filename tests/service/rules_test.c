/* SPDX-License-Identifier: Apache-2.0
 * rules_test.c - the rules service as ingestion sees it: the real program, PostgreSQL, and gRPC calls. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/plan.h"
#include "fraud/txn.h"
#include "grpc/client.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/process.h"
#include "loop/loop.h"
#include "pg/cluster.h"
#include "pg/session.h"
#include "proto/assay.pb-c.h"

enum { PATIENCE_US = 20 * 1000000 };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process rules;
    struct loop *loop;
    struct grpc_channel *channel;
    struct arena arena;
} w;

/* ---- the database ---- */

static int64_t publish(const char *body)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct why why = { 0 };
    int64_t version;

    database_run(w.pg, "BEGIN; UPDATE rulesets SET state = 'retired' WHERE state = 'published'");
    pg_add_text(&p, slice_str(body));
    cr_assert_eq(
        pg_exec(
            w.pg,
            "INSERT INTO rulesets (state, body, published_at) VALUES ('published', $1::text::jsonb, now()) "
            "RETURNING version",
            &p, &r, &why),
        ERR_OK, "%s", why.text);
    version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    database_run(w.pg, "COMMIT");
    return version;
}

/* ---- calls ---- */

struct answer {
    bool is_done;
    enum err err;
    const Assay__V1__DecideResponse *response;
};

static void on_answer(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct answer *answer = arg;

    (void)why;
    *answer = (struct answer){ true, err, (const Assay__V1__DecideResponse *)reply };
}

static void ask(struct answer *answer, Assay__V1__DecideRequest *request)
{
    *answer = (struct answer){ 0 };
    grpc_call(w.channel, &assay__v1__rules__descriptor, "Decide", &request->base,
              clock_mono_us() + PATIENCE_US, &w.arena, on_answer, answer);
}

static void await(struct answer *answer)
{
    while (!answer->is_done)
        loop_turn(w.loop, true);
}

static Assay__V1__Transaction transaction;
static Assay__V1__Thresholds thresholds;
static Assay__V1__DecideRequest__Item item;
static Assay__V1__DecideRequest request;

/* The decision on `item` now. */
static const Assay__V1__DecideResponse__Item *decide(void)
{
    static struct answer answer;

    arena_reset(&w.arena);
    ask(&answer, &request);
    await(&answer);
    cr_assert_eq(answer.err, ERR_OK);
    cr_assert_eq(answer.response->n_items, 1);
    return answer.response->items[0];
}

/* What is published takes a moment; how long is nobody's promise here. */
static const Assay__V1__DecideResponse__Item *decide_under(int64_t version)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    const Assay__V1__DecideResponse__Item *decided;
    char wanted[24];

    snprintf(wanted, sizeof wanted, "%lld", (long long)version);
    while (strcmp((decided = decide())->ruleset_version, wanted) != 0 && clock_mono_us() < until)
        usleep(5000);
    cr_assert_str_eq(decided->ruleset_version, wanted);
    return decided;
}

static enum action decide_until(enum action action)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    enum action decided;

    while ((decided = (enum action)decide()->action) != action && clock_mono_us() < until)
        usleep(5000);
    return decided;
}

static void reset_request(void)
{
    static Assay__V1__DecideRequest__Item *items[] = { &item };

    assay__v1__transaction__init(&transaction);
    transaction.account = 1;
    transaction.id = "t1";
    transaction.known_at_us = transaction.occurred_at_us = 12 * HOUR_US;
    transaction.amount_minor = transaction.amount_base_minor = 120000;
    transaction.currency = "EUR";
    transaction.customer_id = "c7";
    transaction.card_id = "tok_17";
    assay__v1__thresholds__init(&thresholds);
    thresholds.challenge = 0.3;
    thresholds.review = 0.6;
    thresholds.decline = 0.9;
    assay__v1__decide_request__item__init(&item);
    item.transaction = &transaction;
    item.thresholds = &thresholds;
    item.has_score = true;
    item.score = 0.1;
    assay__v1__decide_request__init(&request);
    request.items = items;
    request.n_items = 1;
}

/* ---- the world of a test ---- */

static void start(const char *conninfo)
{
    char pg[512], address[32];
    const char *const settings[] = { pg, NULL };
    struct why why = { 0 };

    w.conninfo = conninfo;
    cr_assert_eq(pg_session_open(&w.pg, conninfo, "test", &why), ERR_OK, "%s", why.text);
    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", conninfo);
    process_start(&w.rules, "rules", settings);
    snprintf(address, sizeof address, "127.0.0.1:%d", w.rules.port);
    cr_assert_eq(loop_open(&w.loop, &why), ERR_OK);
    cr_assert_eq(
        grpc_channel_open(&w.channel, w.loop, &(struct http_client_conf){ .address = address }, &why),
        ERR_OK);
    reset_request();
}

static void stop(void)
{
    grpc_channel_close(w.channel);
    loop_close(w.loop);
    pg_session_close(w.pg);
    arena_release(&w.arena);
    cr_assert_eq(process_stop(&w.rules), 0);
}

static void setup(void)
{
    start(test_database());
}

TestSuite(rules_service, .init = setup, .fini = stop);

static const char decline_large[] =
    "{\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 50000\", \"action\": \"decline\","
    " \"reason\": \"{tx.amount} is much\", \"public_reason\": \"Too much\"}]}";

/* ---- tests ---- */

Test(rules_service, decides_by_thresholds_while_nothing_is_published)
{
    item.score = 0.95;
    cr_assert_eq((int)decide()->action, ACTION_DECLINE);
    cr_assert_str_eq(decide()->ruleset_version, "none");
    item.thresholds = NULL;
    cr_assert_eq((int)decide()->action, ACTION_APPROVE, "without thresholds a score says nothing");
}

Test(rules_service, takes_over_what_is_published_and_says_why)
{
    int64_t version = publish(decline_large);
    const Assay__V1__DecideResponse__Item *decided = decide_under(version);

    cr_assert_eq((int)decided->action, ACTION_DECLINE);
    cr_assert_eq(decided->n_rules, 1);
    cr_assert_str_eq(decided->rules[0]->id, "large");
    cr_assert_str_eq(decided->rules[0]->expression, "tx.amount > 50000");
    cr_assert_str_eq(decided->rules[0]->values, "tx.amount=120000");
    cr_assert_str_eq(decided->reasons[0]->code, "rule:large");
    cr_assert_str_eq(decided->reasons[0]->text, "Too much");
    cr_assert_str_eq(decided->reasons[0]->detail, "1200.00 EUR is much (tx.amount=120000)");
    cr_assert(decided->reasons[0]->is_public);

    decided = decide_under(publish("{\"rules\": []}"));
    cr_assert_eq((int)decided->action, ACTION_APPROVE);
}

Test(rules_service, a_list_acts_as_soon_as_a_value_is_in_it)
{
    database_run(
        w.pg,
        "INSERT INTO lists (name, purpose, field) VALUES ('blocked', 'deny', 'card_id'), ('exits', 'deny', "
        "'ip')");
    cr_assert_eq((int)decide()->action, ACTION_APPROVE);
    database_run(
        w.pg,
        "INSERT INTO list_entries (list, value) SELECT list, 'tok_17' FROM lists WHERE name = 'blocked'");
    cr_assert_eq(decide_until(ACTION_DECLINE), ACTION_DECLINE);
    cr_assert_str_eq(decide()->reasons[0]->code, "list:blocked");
    database_run(w.pg, "DELETE FROM list_entries");
    cr_assert_eq(decide_until(ACTION_APPROVE), ACTION_APPROVE);

    /* More than one page of entries; the address lies in the network that comes last. */
    database_run(w.pg,
                 "INSERT INTO list_entries (list, value) SELECT list, '10.' || a || '.' || b || '.1' "
                 "FROM lists, generate_series(0, 99) a, generate_series(0, 119) b WHERE name = 'exits'");
    database_run(
        w.pg, "INSERT INTO list_entries (list, value) SELECT list, '2001:db8::/32' FROM lists WHERE name = "
              "'exits'");
    transaction.ip = "2001:db8::17";
    cr_assert_eq(decide_until(ACTION_DECLINE), ACTION_DECLINE);
    transaction.ip = "10.99.119.1";
    cr_assert_eq((int)decide()->action, ACTION_DECLINE);
    transaction.ip = "10.99.120.1";
    cr_assert_eq((int)decide()->action, ACTION_APPROVE);
}

Test(rules_service, keeps_the_last_good_rule_set_when_a_faulty_one_is_published)
{
    int64_t version = publish(decline_large);

    decide_under(version);
    publish("{\"rules\": [{\"id\": \"broken\", \"when\": \"tx.amount >\", \"action\": \"decline\"}]}");
    database_run(
        w.pg, "INSERT INTO lists (name, purpose, field) VALUES ('blocked', 'deny', 'card_id')"); /* heard, and
                                                                                              refused too */
    usleep(300000);
    cr_assert_eq((int)decide()->action, ACTION_DECLINE);
    decide_under(version);
    decide_under(publish("{\"rules\": []}"));
}

Test(rules_service, finds_features_by_the_plan_of_the_vector)
{
    static const char yaml[] = "entities: {customer: customer_id}\n"
                               "features:\n"
                               "  - {name: unused, expr: tx.amount}\n"
                               "  - {name: customer_count_24h, count: customer, window: 24h}\n";
    const float vector[] = { 1, 37 };
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan;
    struct pg_params p = { 0 };
    struct why why = { 0 };
    unsigned char unknown[SHA256_BYTES] = { 1 };

    cr_assert_eq(catalogue_parse(&catalogue, slice_str(yaml), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(plan_build(&plan, &catalogue, &why), ERR_OK, "%s", why.text);
    pg_add_bytes(&p, slice_of(plan_hash(plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(plan));
    cr_assert_eq(
        pg_exec(w.pg, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p, NULL, &why),
        ERR_OK, "%s", why.text);
    decide_under(publish(
        "{\"rules\": [{\"id\": \"busy\", \"when\": \"customer_count_24h > 30\", \"action\": \"review\"}]}"));

    item.vector = (ProtobufCBinaryData){ sizeof vector, (uint8_t *)(uintptr_t)vector };
    request.plan = (ProtobufCBinaryData){ SHA256_BYTES, (uint8_t *)(uintptr_t)plan_hash(plan) };
    cr_assert_eq((int)decide()->action, ACTION_REVIEW, "the first call waits for the plan");
    cr_assert_str_eq(decide()->rules[0]->values, "customer_count_24h=37");
    request.plan.data = unknown;
    cr_assert_eq((int)decide()->action, ACTION_APPROVE, "a plan that nobody knows has no features");

    plan_free(plan);
    arena_release(&arena);
    pg_params_release(&p);
}

/* Under calls without a pause, rule sets of one and of two rules are published in turn: no call fails, and
 * each is decided by one of them whole. */
Test(rules_service, swaps_rule_sets_without_losing_a_call)
{
    static const char one[] = "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"review\"}]}";
    static const char two[] = "{\"rules\": [{\"id\": \"a\", \"when\": \"true\", \"action\": \"review\"},"
                              " {\"id\": \"b\", \"when\": \"true\", \"action\": \"decline\"}]}";
    enum { ROUNDS = 12, CALLS = 8 };
    struct answer answers[CALLS];
    size_t decided = 0;

    decide_under(publish(one));
    for (int round = 0; round < ROUNDS; round++) {
        int64_t version = publish(round % 2 ? one : two);
        bool is_seen = false;
        int64_t until = clock_mono_us() + PATIENCE_US;

        while (!is_seen && clock_mono_us() < until) {
            arena_reset(&w.arena);
            for (int i = 0; i < CALLS; i++)
                ask(&answers[i], &request);
            for (int i = 0; i < CALLS; i++) {
                await(&answers[i]);
                cr_assert_eq(answers[i].err, ERR_OK);
                const Assay__V1__DecideResponse__Item *got = answers[i].response->items[0];
                int64_t got_version = strtol(got->ruleset_version, NULL, 10);
                bool is_two = (version - got_version) % 2 == 0 ? round % 2 == 0 : round % 2 == 1;

                cr_assert_eq(got->n_rules, is_two ? 2 : 1);
                cr_assert_eq((int)got->action, is_two ? ACTION_DECLINE : ACTION_REVIEW);
                is_seen |= got_version == version;
                decided++;
            }
        }
        cr_assert(is_seen);
    }
    cr_assert_geq(decided, ROUNDS * CALLS);
}

Test(rules_outage, goes_on_deciding_while_postgresql_is_away)
{
    struct test_cluster own;
    struct why why = { 0 };

    test_cluster_start(&own);
    start(cluster_conninfo(own.cluster));
    decide_under(publish(decline_large));

    cluster_kill(own.cluster);
    pg_session_close(w.pg);
    w.pg = NULL;
    for (int i = 0; i < 50; i++) {
        cr_assert_eq((int)decide()->action, ACTION_DECLINE);
        usleep(10000);
    }

    cr_assert_eq(cluster_start(own.cluster, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    cr_assert_eq((int)decide_under(publish("{\"rules\": []}"))->action, ACTION_APPROVE);
    stop();
    test_cluster_end(&own);
}
