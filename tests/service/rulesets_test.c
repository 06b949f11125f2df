/* SPDX-License-Identifier: Apache-2.0
 * rulesets_test.c - the life of rule sets and lists: PostgreSQL, real rules services and ingestion, and small
 * stand-ins for features and scoring.
 *
 * ASSAY_TEST_SWAPS=100 has the test that publishes and rolls back under load do so a hundred times. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/parts.h"
#include "pg/session.h"
#include "policystore/lists.h"
#include "policystore/publish.h"
#include "proto/assay.pb-c.h"

enum { PATIENCE_US = 30 * 1000000, SENDERS = 4 };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process ingestion, features, scoring, rules[2];
    char key[64];
    struct arena arena;
} w;

/* ---- the database ---- */

/* The first column of the first row, the arena's. */
static const char *sql_text(const char *text)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };
    const char *value;

    cr_assert_eq(pg_exec(w.pg, text, NULL, &r, &why), ERR_OK, "%s: %s", text, why.text);
    cr_assert_eq(pg_rows(r), 1, "%s", text);
    value = arena_slice(&w.arena, pg_get_text(r, 0, 0)).ptr;
    pg_result_free(r);
    return value;
}

static void open_database(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
}

static void close_database(void)
{
    pg_session_close(w.pg);
    arena_release(&w.arena);
}

/* ---- changes ---- */

static struct why why;

static struct ruleset_change by(const char *actor)
{
    return (struct ruleset_change){ .actor = slice_str(actor), .expected = RULESET_ANY };
}

static const char decline_large[] =
    "{\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 5000\", \"action\": \"decline\"}]}";
static const char review_large[] =
    "{\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 5000\", \"action\": \"review\"},"
    " {\"id\": \"odd\", \"when\": \"int(tx.amount) % 2 == 1\", \"action\": \"tag\"}]}";

static int64_t draft_by(const char *actor, const char *body)
{
    struct ruleset_change change = by(actor);
    struct draft d;
    int64_t version = 0;

    cr_assert_eq(draft_open(&d, slice_str(body), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_draft(w.pg, &d, 0, SLICE(""), &change, &version, &why), ERR_OK, "%s", why.text);
    draft_release(&d);
    return version;
}

static enum err publish_by(const char *actor, int64_t version, int64_t expected)
{
    struct ruleset_change change = by(actor);

    change.expected = expected;
    return ruleset_publish(w.pg, version, &change, &why);
}

static int64_t publish(const char *body)
{
    int64_t version = draft_by("ann", body);

    cr_assert_eq(publish_by("bob", version, RULESET_ANY), ERR_OK, "%s", why.text);
    return version;
}

static enum err roll_back(int64_t *version)
{
    struct ruleset_change change = by("ann");

    return ruleset_roll_back(w.pg, 0, &change, version, &why);
}

static const char *state_of(int64_t version)
{
    char text[96];

    snprintf(text, sizeof text, "SELECT state FROM rulesets WHERE version = %lld", (long long)version);
    return sql_text(text);
}

TestSuite(rulesets, .init = open_database, .fini = close_database, .timeout = 120);

Test(rulesets, a_set_goes_from_draft_over_shadow_into_force_and_into_retirement)
{
    int64_t one = draft_by("ann", decline_large), two = draft_by("ann", review_large), three;
    struct ruleset_change ann = by("ann"), bob = by("bob");

    cr_assert_str_eq(state_of(one), "draft");
    cr_assert_eq(ruleset_shadow(w.pg, one, &ann, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_shadow(w.pg, one, &ann, &why), ERR_CONFLICT);
    cr_assert_eq(ruleset_shadow(w.pg, two, &ann, &why), ERR_OK, "%s", why.text);
    cr_assert_str_eq(state_of(one), "retired", "one at a time is in shadow");
    cr_assert_eq(ruleset_publish(w.pg, one, &bob, &why), ERR_CONFLICT, "it was never in force");
    cr_assert_eq(ruleset_publish(w.pg, two, &bob, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_publish(w.pg, two, &bob, &why), ERR_CONFLICT);
    cr_assert_eq(ruleset_retire(w.pg, two, &bob, &why), ERR_CONFLICT,
                 "the common set is replaced, not ended");
    three = publish(decline_large);
    cr_assert_str_eq(state_of(two), "retired");
    cr_assert_str_eq(state_of(three), "published");
    cr_assert_str_eq(
        sql_text("SELECT string_agg(actor || ' ' || action, ', ' ORDER BY id) FROM audit"),
        "ann rules.draft, ann rules.draft, ann rules.shadow, ann rules.shadow, bob rules.publish, ann "
        "rules.draft, bob rules.publish");
}

Test(rulesets, what_left_its_draft_never_changes)
{
    int64_t version = publish(decline_large), revision = 1;
    struct ruleset_change ann = by("ann");
    struct draft d;

    cr_assert_eq(draft_open(&d, SLICE("{\"rules\": []}"), &why), ERR_OK);
    cr_assert_eq(ruleset_edit(w.pg, version, &revision, &d, SLICE(""), &ann, &why), ERR_CONFLICT);
    cr_assert_eq(ruleset_discard(w.pg, version, 1, &ann, &why), ERR_CONFLICT);
    draft_release(&d);
    cr_assert_eq(pg_exec_script(w.pg, "UPDATE rulesets SET body = '{\"rules\": []}'", &why), ERR_INVALID);
    cr_assert_eq(pg_exec_script(w.pg, "UPDATE rulesets SET state = 'draft'", &why), ERR_INVALID);
    cr_assert_eq(pg_exec_script(w.pg, "DELETE FROM rulesets", &why), ERR_INVALID);
}

Test(rulesets, of_two_who_change_a_draft_the_second_is_told)
{
    int64_t version = draft_by("ann", decline_large), ann_saw = 1, bob_saw = 1;
    struct ruleset_change ann = by("ann"), bob = by("bob");
    struct draft d;

    cr_assert_eq(draft_open(&d, slice_str(review_large), &why), ERR_OK);
    cr_assert_eq(ruleset_edit(w.pg, version, &ann_saw, &d, SLICE(""), &ann, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ann_saw, 2);
    cr_assert_eq(ruleset_edit(w.pg, version, &bob_saw, &d, SLICE(""), &bob, &why), ERR_CONFLICT);
    cr_assert_eq(bob_saw, 1);
    cr_assert_eq(ruleset_discard(w.pg, version, 1, &bob, &why), ERR_CONFLICT);
    cr_assert_eq(ruleset_discard(w.pg, version, 2, &bob, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_edit(w.pg, version, &ann_saw, &d, SLICE(""), &ann, &why), ERR_NOT_FOUND);
    draft_release(&d);
}

Test(rulesets, a_draft_that_was_changed_after_it_was_read_is_not_published)
{
    int64_t version = draft_by("ann", decline_large), revision = 1;
    struct ruleset_change ann = by("ann"), bob = by("bob");
    struct draft d;

    bob.revision = 1; /* the one that bob has read */
    cr_assert_eq(draft_open(&d, slice_str(review_large), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_edit(w.pg, version, &revision, &d, SLICE(""), &ann, &why), ERR_OK, "%s", why.text);
    draft_release(&d);
    cr_assert_eq(ruleset_prepare(w.pg, version, &bob, &why), ERR_CONFLICT);
    cr_assert_eq(ruleset_shadow(w.pg, version, &bob, &why), ERR_CONFLICT);
    cr_assert_eq(ruleset_publish(w.pg, version, &bob, &why), ERR_CONFLICT);
    cr_assert_str_eq(state_of(version), "draft");
    bob.revision = revision;
    cr_assert_eq(ruleset_prepare(w.pg, version, &bob, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_publish(w.pg, version, &bob, &why), ERR_OK, "%s", why.text);
    cr_assert_str_eq(state_of(version), "published");
}

Test(rulesets, nobody_who_wrote_in_a_draft_publishes_it)
{
    int64_t version = draft_by("ann", decline_large), revision = 1;
    struct ruleset_change bob = by("bob"), alone = by("bob"), ann = by("ann");
    struct draft d;

    cr_assert_eq(draft_open(&d, slice_str(review_large), &why), ERR_OK);
    cr_assert_eq(ruleset_edit(w.pg, version, &revision, &d, SLICE(""), &bob, &why), ERR_OK);
    draft_release(&d);
    cr_assert_eq(publish_by("ann", version, RULESET_ANY), ERR_FORBIDDEN);
    cr_assert_eq(publish_by("bob", version, RULESET_ANY), ERR_FORBIDDEN);
    cr_assert_eq(publish_by("cy", version, RULESET_ANY), ERR_OK, "%s", why.text);

    version = draft_by("bob", decline_large);
    alone.approval = APPROVAL_UNLESS_FIRST;
    cr_assert_eq(ruleset_publish(w.pg, version, &alone, &why), ERR_FORBIDDEN, "it is not the first");
    alone.approval = APPROVAL_ALONE;
    cr_assert_eq(ruleset_publish(w.pg, version, &alone, &why), ERR_OK, "%s", why.text);
    cr_assert_str_eq(sql_text("SELECT detail->>'alone' FROM audit ORDER BY id DESC LIMIT 1"), "true");
    cr_assert_eq(ruleset_shadow(w.pg, draft_by("ann", decline_large), &ann, &why), ERR_OK,
                 "what decides nothing needs nobody else");
}

Test(rulesets, the_first_set_of_all_needs_no_second_person)
{
    struct ruleset_change ann = by("ann");

    ann.approval = APPROVAL_UNLESS_FIRST;
    cr_assert_eq(ruleset_publish(w.pg, draft_by("ann", decline_large), &ann, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(ruleset_publish(w.pg, draft_by("ann", decline_large), &ann, &why), ERR_FORBIDDEN);
}

Test(rulesets, is_published_only_over_what_was_expected)
{
    int64_t one = draft_by("ann", decline_large), two = draft_by("ann", review_large);

    cr_assert_eq(publish_by("bob", one, 7), ERR_CONFLICT);
    cr_assert_eq(publish_by("bob", one, RULESET_NONE), ERR_OK, "%s", why.text);
    cr_assert_eq(publish_by("bob", two, RULESET_NONE), ERR_CONFLICT);
    cr_assert_str_eq(state_of(one), "published");
    cr_assert_str_eq(state_of(two), "draft");
    cr_assert_eq(publish_by("bob", two, one), ERR_OK, "%s", why.text);
}

Test(rulesets, rolls_back_to_what_was_replaced_and_does_not_swing)
{
    int64_t one = publish(decline_large), unused = draft_by("ann", decline_large),
            two = publish(review_large), three = publish(decline_large), to = 0;

    cr_assert_eq(roll_back(&to), ERR_OK, "%s", why.text);
    cr_assert_eq(to, two);
    to = 0;
    cr_assert_eq(roll_back(&to), ERR_OK, "%s", why.text);
    cr_assert_eq(to, one);
    to = 0;
    cr_assert_eq(roll_back(&to), ERR_NOT_FOUND);
    to = unused;
    cr_assert_eq(roll_back(&to), ERR_NOT_FOUND, "a draft was never in force");
    to = three;
    cr_assert_eq(roll_back(&to), ERR_OK, "%s", why.text);
    cr_assert_str_eq(state_of(three), "published");
    cr_assert_str_eq(sql_text("SELECT author || ' ' || approver FROM rulesets WHERE state = 'published'"),
                     "ann bob");
}

Test(rulesets, every_change_of_a_list_is_kept_with_who_and_when)
{
    database_run(w.pg, "INSERT INTO lists (name, field) VALUES ('nets', 'ip')");
    database_run(w.pg,
                 "INSERT INTO list_entries (list, value, note) SELECT list, '10.0.0.0/8', 'lab' FROM lists");
    database_run(w.pg, "BEGIN; SELECT set_config('assay.actor', 'ann', true);"
                       "UPDATE list_entries SET expires_at = '2030-01-01Z'; COMMIT");
    database_run(w.pg, "DELETE FROM lists");
    cr_assert_str_eq(
        sql_text("SELECT string_agg(value || ' ' || is_there || ' ' || (expires_at IS NOT NULL) || ' ' "
                 "|| (actor = 'ann'), ', ' ORDER BY seq) FROM list_changes"),
        "10.0.0.0/8 true false false, 10.0.0.0/8 true true true, 10.0.0.0/8 false true false");
    cr_assert_eq(pg_exec_script(w.pg, "TRUNCATE list_entries", &why), ERR_INVALID);
}

/* Whoever decides takes no more: the rest would be in the table and stop nobody. */
Test(rulesets, a_list_takes_no_more_entries_than_are_decided_by)
{
    struct list_entry entries[] = { { .value = SLICE("a"), .expires_at_us = LIST_NO_EXPIRY },
                                    { .value = SLICE("b"), .expires_at_us = LIST_NO_EXPIRY } };
    struct list_row row;
    struct slice gone = SLICE("a");
    size_t changed;
    char text[256];

    database_run(w.pg, "INSERT INTO lists (name) VALUES ('many')");
    snprintf(text, sizeof text,
             "SET session_replication_role = replica; INSERT INTO list_entries (list, value) SELECT list, n "
             "FROM lists, generate_series(2, %d) n; RESET session_replication_role",
             LIST_ENTRIES_MAX);
    database_run(w.pg, text);
    cr_assert_eq(lists_find(w.pg, 0, SLICE("many"), &w.arena, &row, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(row.entries, LIST_ENTRIES_MAX - 1);
    cr_assert_eq(lists_put(w.pg, &row, entries, 2, SLICE("ann"), &changed, &why), ERR_TOO_LARGE);
    cr_assert_eq(lists_put(w.pg, &row, entries, 1, SLICE("ann"), &changed, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(lists_put(w.pg, &row, entries + 1, 1, SLICE("ann"), &changed, &why), ERR_TOO_LARGE);
    cr_assert_eq(lists_remove(w.pg, &row, &gone, 1, SLICE("ann"), &changed, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(lists_put(w.pg, &row, entries + 1, 1, SLICE("ann"), &changed, &why), ERR_OK, "%s", why.text);
}

/* ---- with everything that decides ---- */

static void start_rules(struct process *p)
{
    char pg[512];
    const char *const settings[] = { pg, NULL };

    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    process_start(p, "rules", settings);
}

static void make_key(char key[64], const char *owner, const char *scopes)
{
    database_key(w.pg, 1, scopes, key);
    database_key_owner(w.pg, key, owner);
}

static void start(void)
{
    char pg[512], features[64], scoring[64], rules[96];
    const char *const settings[] = {
        pg, features, scoring, rules, "ASSAY_DEADLINE=5s", "ASSAY_FX_RATES=USD=1", NULL
    };
    int features_port = free_port(), scoring_port = free_port();

    open_database();
    database_run(w.pg, "INSERT INTO accounts (name, clock) VALUES ('shop', 'live')");
    make_key(w.key, "", "decide,read,explain");
    fake_start(&w.features, FAKE_FEATURES, features_port, w.conninfo);
    fake_start(&w.scoring, FAKE_SCORING, scoring_port, NULL);
    start_rules(&w.rules[0]);
    start_rules(&w.rules[1]);
    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", features_port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", scoring_port);
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d,127.0.0.1:%d", w.rules[0].port,
             w.rules[1].port);
    process_start(&w.ingestion, "ingestion", settings);
}

static void stop(void)
{
    cr_expect_eq(process_stop(&w.ingestion), 0);
    cr_expect_eq(process_stop(&w.rules[0]), 0);
    cr_expect_eq(process_stop(&w.rules[1]), 0);
    process_kill(&w.features);
    process_kill(&w.scoring);
    close_database();
}

TestSuite(rulesets_live, .init = start, .fini = stop, .timeout = 900);

static struct ruleset_served served(int64_t version)
{
    struct ruleset_served out;

    cr_assert_eq(ruleset_served(w.pg, 0, version, &w.arena, &out, &why), ERR_OK, "%s", why.text);
    return out;
}

static void await_served(int64_t version)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    struct ruleset_served is = served(version);

    while ((is.processes < 3 || is.serving != is.processes) && clock_mono_us() < until) {
        usleep(5000);
        is = served(version);
    }
    cr_assert_eq(is.serving, 3, "two rules services and ingestion; of %d are not there: %.*s",
                 (int)is.processes, SLICE_ARG(is.lagging));
}

static struct http_said post(const char *id, int amount)
{
    char text[512], at[RFC3339_SIZE];

    rfc3339_format(clock_wall_us(), at);
    snprintf(text, sizeof text,
             "{\"transaction_id\":\"%s\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
             "\"customer_id\":\"c-1\",\"card_id\":\"tok_17\"}",
             id, at, amount);
    return http_ask(w.ingestion.port, "POST", "/v1/transactions", w.key, NULL, text, strlen(text));
}

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? text : "";
}

Test(rulesets_live, every_process_says_by_which_version_it_decides)
{
    int64_t one = publish(decline_large);

    await_served(one);
    cr_assert_eq(served(one + 1).serving, 0);
    cr_assert_not_null(strstr(served(one + 1).lagging.ptr, "ingestion "));
    cr_assert_not_null(strstr(served(one + 1).lagging.ptr, "rules "));
    await_served(publish(review_large));
}

Test(rulesets_live, a_set_in_shadow_is_recorded_beside_the_one_in_force)
{
    struct ruleset_change ann = by("ann");
    int64_t live = publish(decline_large), shadow = draft_by("ann", review_large);
    struct http_said said;
    const json_t *beside;

    cr_assert_eq(ruleset_shadow(w.pg, shadow, &ann, &why), ERR_OK, "%s", why.text);
    await_served(live);
    await_served(shadow);
    said = post("s-1", 7001);
    cr_assert_eq(said.status, 200, "%s", said.body);
    beside = json_object_get(said.json, "shadow");
    cr_assert_str_eq(text_at(said.json, "action"), "decline");
    cr_assert_eq(strtoll(text_at(said.json, "ruleset_version"), NULL, 10), live);
    cr_assert_eq(json_array_size(json_object_get(said.json, "noted_rules")), 0);
    cr_assert_eq(strtoll(text_at(beside, "ruleset_version"), NULL, 10), shadow, "%s", said.body);
    cr_assert_str_eq(text_at(beside, "action"), "review");
    cr_assert_str_eq(text_at(beside, "decided_by"), "rule");
    cr_assert_str_eq(text_at(json_array_get(json_object_get(beside, "noted_rules"), 0), "tag"), "odd");
    http_said_free(&said);
    cr_assert_eq(ruleset_retire(w.pg, shadow, &ann, &why), ERR_OK, "%s", why.text);
}

/* The value of a counter of the first rules service. */
static double metric(const char *series)
{
    struct http_said said = http_ask(w.rules[0].admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    const char *at;
    double value;

    cr_assert_eq(said.status, 200);
    at = strstr(said.body, series);
    value = at ? strtod(at + strlen(series), NULL) : 0;
    http_said_free(&said);
    return value;
}

static void await_action(const char *action)
{
    int64_t until = clock_mono_us() + PATIENCE_US;
    static int n;
    char id[32], got[32] = "";

    do {
        struct http_said said;

        usleep(5000);
        snprintf(id, sizeof id, "a-%d", n++);
        said = post(id, 100);
        snprintf(got, sizeof got, "%s", text_at(said.json, "action"));
        http_said_free(&said);
    } while (strcmp(got, action) != 0 && clock_mono_us() < until);
    cr_assert_str_eq(got, action);
}

Test(rulesets_live, one_changed_entry_is_read_alone)
{
    double pages;
    struct pg_session *other;

    database_run(w.pg, "INSERT INTO lists (name, purpose, field) VALUES ('blocked', 'deny', 'card_id')");
    database_run(
        w.pg,
        "INSERT INTO list_entries (list, value) SELECT list, 'x' || n FROM lists, generate_series(1, 20000) "
        "n");
    database_run(w.pg, "INSERT INTO list_entries (list, value) SELECT list, 'tok_17' FROM lists");
    await_action("decline");
    pages = metric("assay_policy_list_changes_total{how=\"page\"} ");
    cr_assert_geq(pages, 20001);

    /* A transaction that began before, and commits after others: what it changed is not lost. */
    cr_assert_eq(pg_session_open(&other, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    cr_assert_eq(pg_exec_script(other, "BEGIN; SELECT pg_current_xact_id()", &why), ERR_OK);
    database_run(w.pg, "DELETE FROM list_entries WHERE value = 'tok_17'");
    await_action("approve");
    cr_assert_eq(
        pg_exec_script(
            other, "INSERT INTO list_entries (list, value) SELECT list, 'tok_17' FROM lists; COMMIT", &why),
        ERR_OK, "%s", why.text);
    pg_session_close(other);
    await_action("decline");
    database_run(w.pg, "UPDATE list_entries SET expires_at = '2020-01-01Z' WHERE value = 'tok_17'");
    await_action("approve");
    cr_assert_eq(metric("assay_policy_list_changes_total{how=\"page\"} "), pages,
                 "the others were not read again");
    cr_assert_geq(metric("assay_policy_list_changes_total{how=\"change\"} "), 3);
    cr_assert_eq(metric("\nassay_policy_list_entries "), 20001);
}

/* ---- over REST ---- */

/* The status; `has` (may be NULL) stands in the answer. */
static int rest(const char *key, const char *method, const char *path, const char *body, const char *has)
{
    struct http_said said = http_ask(w.rules[0].port, method, path, key, NULL, body, body ? strlen(body) : 0);
    int status = said.status;

    cr_expect(!has || (said.body && strstr(said.body, has)), "%s %s: %d %s", method, path, status,
              said.body ? said.body : "");
    http_said_free(&said);
    return status;
}

Test(rulesets_live, a_key_writes_and_another_persons_key_publishes)
{
    char ann[64], bob[64], also_ann[64];
    static const char document[] =
        "{\"document\": {\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 5000\", \"action\": "
        "\"decline\"}]}, \"note\": \"first\"}";
    static const char changed[] =
        "{\"revision\": 1, \"document\": {\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 6000\", "
        "\"action\": \"decline\"}]}}";

    make_key(ann, "ann", "rules:write");
    make_key(also_ann, "ann", "rules:write,rules:approve");
    make_key(bob, "bob", "admin");
    cr_assert_eq(rest(NULL, "GET", "/v1/rulesets", NULL, NULL), 401);
    cr_assert_eq(rest(w.key, "GET", "/v1/rulesets", NULL, "rules:write"), 401);
    cr_assert_eq(rest(ann, "POST", "/v1/rulesets", document, "\"version\":1"), 201);
    cr_assert_eq(rest(ann, "POST", "/v1/rulesets", "{\"document\": {\"rules\": [1]}}", "rule 1"), 422);
    cr_assert_eq(rest(ann, "PUT", "/v1/rulesets/1", changed, "\"revision\":2"), 200);
    cr_assert_eq(rest(ann, "PUT", "/v1/rulesets/1", changed, "revision 2 by now"), 409);
    cr_assert_eq(rest(ann, "POST", "/v1/rulesets/1:shadow", "", "\"state\":\"shadow\""), 200);
    cr_assert_eq(rest(ann, "POST", "/v1/rulesets/1:publish", "", NULL), 401, "the key may not");
    cr_assert_eq(rest(also_ann, "POST", "/v1/rulesets/1:publish", "", "another person"), 403,
                 "ann's other key");
    cr_assert_eq(rest(bob, "POST", "/v1/rulesets/1:publish", "{\"expected\": 3}", NULL), 409);
    cr_assert_eq(rest(bob, "POST", "/v1/rulesets/1:publish", "{\"expected\": 0}", "\"approver\":\"bob\""),
                 200);
    await_served(1);
    cr_assert_eq(rest(ann, "GET", "/v1/rulesets/1:serving", NULL, "\"serving\":3"), 200);
    cr_assert_eq(rest(ann, "POST", "/v1/rulesets", document, "\"version\":2"), 201);
    cr_assert_eq(
        rest(ann, "GET", "/v1/rulesets/1:diff?with=2", NULL,
             "\"changed\":[{\"id\":\"large\",\"from\":{\"when\":\"tx.amount > 6000\"},\"to\":{\"when\":"
             "\"tx.amount > 5000\"}}]"),
        200);
    cr_assert_eq(rest(ann, "DELETE", "/v1/rulesets/2?revision=1", NULL, NULL), 204);
    cr_assert_eq(rest(ann, "GET", "/v1/rulesets/2", NULL, NULL), 404);
    cr_assert_eq(rest(bob, "POST", "/v1/rulesets:rollback", "{}", NULL), 404);
    cr_assert_eq(rest(ann, "GET", "/v1/rulesets", NULL, "\"state\":\"published\""), 200);
    cr_assert_eq(
        rest(
            ann, "POST", "/v1/rulesets:check",
            "{\"document\": {\"rules\": [{\"id\": \"a\", \"when\": \"tx.amout > 1\", \"action\": \"review\"},"
            "{\"id\": \"a\", \"when\": \"true\", \"action\": \"reviw\"}]}}",
            "#/rules/1"),
        200);
}

Test(rulesets_live, a_list_is_filled_and_read_over_rest)
{
    char ann[64];

    make_key(ann, "ann", "rules:write");
    cr_assert_eq(rest(ann, "POST", "/v1/lists", "{\"list\": \"nets\", \"type\": \"ip\", \"note\": \"n\"}",
                      "\"type\":\"ip\""),
                 201);
    cr_assert_eq(rest(ann, "POST", "/v1/lists", "{\"list\": \"nets\"}", NULL), 409);
    cr_assert_eq(rest(ann, "POST", "/v1/lists/nets/entries:add",
                      "{\"values\": [\"10.0.0.1/8\", \"::FFFF:192.0.2.7\"], \"note\": \"a, b\"}",
                      "\"changed\":2"),
                 200);
    cr_assert_eq(
        rest(ann, "POST", "/v1/lists/nets/entries:add", "{\"values\": [\"x\"]}", "neither an address"), 422);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/nets/csv", NULL,
                      "value,note,expires_at\n10.0.0.0/8,\"a, b\",\n192.0.2.7,\"a, b\",\n"),
                 200);
    cr_assert_eq(
        rest(ann, "POST", "/v1/lists/nets/csv",
             "value,note,expires_at\n2001:db8::/32,,2030-01-01T00:00:00Z\nx\n",
             "\"taken\":1,\"refused\":1,\"faults\":[{\"line\":3,\"what\":\"'x' is neither an address"),
        200);
    cr_assert_eq(
        rest(ann, "GET", "/v1/lists/nets/entries?after=192.0.2.7&limit=1", NULL,
             "{\"entries\":[{\"value\":\"2001:db8::/32\",\"note\":\"\",\"expires_at\":\"2030-01-01T00:00:00"),
        200);
    cr_assert_eq(
        rest(ann, "POST", "/v1/lists/nets/entries:remove", "{\"values\": [\"10.1.2.3/8\"]}", "\"changed\":1"),
        200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/nets", NULL, "\"values\":2"), 200);
    cr_assert_eq(rest(ann, "DELETE", "/v1/lists/nets", NULL, NULL), 204);
    cr_assert_eq(rest(ann, "GET", "/v1/lists", NULL, "{\"lists\":[]}"), 200);
    cr_assert_str_eq(sql_text("SELECT string_agg(DISTINCT actor, ',') FROM list_changes"), "ann");
}

Test(rulesets_live, a_list_tells_what_a_change_would_meet_what_fits_a_search_and_who_changed_it)
{
    char ann[64], bob[64];

    make_key(ann, "ann", "rules:write");
    make_key(bob, "bob", "rules:write");
    cr_assert_eq(rest(ann, "POST", "/v1/lists", "{\"list\": \"nets\", \"type\": \"ip\"}", NULL), 201);
    cr_assert_eq(rest(ann, "POST", "/v1/lists/nets/entries:add",
                      "{\"values\": [\"192.0.2.7\", \"192.0.2.8\"], \"note\": \"Lab\"}", NULL),
                 200);
    cr_assert_eq(rest(bob, "POST", "/v1/lists/nets/entries:preview",
                      "{\"values\": [\"192.0.2.7\", \"::ffff:192.0.2.7\", \"192.0.2.9\", \"x\"]}",
                      "{\"fresh\":1,\"known\":1,\"repeated\":1,\"refused\":1,\"faults\":[{\"line\":4,"),
                 200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/nets", NULL, "\"values\":2,\"expired\":0,\"next_expiry\":null"),
                 200, "a preview changes nothing");
    cr_assert_eq(rest(bob, "POST", "/v1/lists/nets/entries:add",
                      "{\"values\": [\"192.0.2.8\"], \"expires_at\": \"2020-01-01T00:00:00Z\"}", NULL),
                 200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists", NULL, "\"values\":2,\"expired\":1"), 200);
    cr_assert_eq(
        rest(ann, "GET", "/v1/lists/nets/entries?find=LAB", NULL, "{\"entries\":[{\"value\":\"192.0.2.7\""),
        200);
    cr_assert_eq(
        rest(ann, "GET", "/v1/lists/nets/entries?find=2.8", NULL, "{\"entries\":[{\"value\":\"192.0.2.8\""),
        200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/nets/entries?find=nothing", NULL, "{\"entries\":[]}"), 200);
    cr_assert_eq(rest(bob, "POST", "/v1/lists/nets/entries:remove", "{\"values\": [\"192.0.2.7\"]}", NULL),
                 200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/nets/changes?limit=1", NULL,
                      "\"actor\":\"bob\",\"value\":\"192.0.2.7\",\"is_there\":false"),
                 200);
    cr_assert_eq(
        rest(ann, "GET", "/v1/lists/nets/changes?before=2&limit=5", NULL, "{\"changes\":[{\"seq\":1,"), 200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/nothing/changes", NULL, NULL), 404);
}

Test(rulesets_live, what_a_spreadsheet_would_run_goes_out_as_text_and_comes_back_as_it_was)
{
    char ann[64];

    make_key(ann, "ann", "rules:write");
    cr_assert_eq(rest(ann, "POST", "/v1/lists", "{\"list\": \"odd\"}", NULL), 201);
    cr_assert_eq(rest(ann, "POST", "/v1/lists/odd/entries:add",
                      "{\"values\": [\"=1+1\", \"'=1\", \"'plain\", \"@x,y\"], \"note\": \"-2\"}",
                      "\"changed\":4"),
                 200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/odd/csv", NULL,
                      "value,note,expires_at\n''=1,'-2,\n'plain,'-2,\n'=1+1,'-2,\n\"'@x,y\",'-2,\n"),
                 200);
    cr_assert_eq(rest(ann, "POST", "/v1/lists/odd/csv", "''=1,'-2\n'plain,'-2\n'=1+1,'-2\n\"'@x,y\",'-2\n",
                      "\"taken\":4"),
                 200);
    cr_assert_eq(rest(ann, "GET", "/v1/lists/odd", NULL, "\"values\":4"), 200, "the same four");
    cr_assert_str_eq(sql_text("SELECT string_agg(DISTINCT note, ',') FROM list_entries"), "-2");
}

Test(rulesets_live, a_list_that_is_too_long_for_an_answer_is_not_cut_off)
{
    char ann[64];

    make_key(ann, "ann", "rules:write");
    database_run(w.pg, "INSERT INTO lists (name) VALUES ('long')");
    database_run(
        w.pg,
        "SET session_replication_role = replica; INSERT INTO list_entries (list, value, note) SELECT list, "
        "n, "
        "repeat('x', 1 << 20) FROM lists, generate_series(1, 65) n; RESET session_replication_role");
    cr_assert_eq(rest(ann, "GET", "/v1/lists/long/csv", NULL, "assay lists export"), 413);
    database_run(w.pg, "DELETE FROM list_entries WHERE value <> '1'");
    cr_assert_eq(rest(ann, "GET", "/v1/lists/long/csv", NULL, "\n1,xxxx"), 200);
}

/* ---- publishing under load ---- */

static atomic_bool is_over;
static atomic_int sent, refused;

static void *send_all(void *arg)
{
    int sender = (int)(intptr_t)arg;
    char id[32];

    for (int i = 0; !is_over; i++) {
        struct http_said said;

        snprintf(id, sizeof id, "p-%d-%d", sender, i);
        said = post(id, 1 + i * 37 % 9000);
        sent++;
        if (said.status != 200 || !said.json) {
            if (refused++ == 0)
                fprintf(stderr, "%d %s\n", said.status, said.body ? said.body : "");
        }
        http_said_free(&said);
    }
    return NULL;
}

static struct policy *policy_of(int64_t version)
{
    struct policy *policy = policy_new();
    struct document d = { 0 };
    char text[96];

    snprintf(text, sizeof text, "SELECT body::text FROM rulesets WHERE version = %lld", (long long)version);
    cr_assert_eq(document_read(&d, slice_str(sql_text(text)), &w.arena, &why), ERR_OK, "%s", why.text);
    d.set.version = arena_printf(&w.arena, "%lld", (long long)version);
    cr_assert_eq(policy_add_ruleset(policy, &d.set, &why), ERR_OK, "%s", why.text);
    return policy;
}

/* Decides once more what was decided, under the version that it names, and compares all that was recorded. */
static void check_row(const struct pg_result *r, size_t row, struct policy *const *policies, int64_t first,
                      size_t count)
{
    struct slice bytes = pg_get_bytes(r, row, 3), id = pg_get_text(r, row, 0);
    Assay__V1__DecisionRecord *record =
        assay__v1__decision_record__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    int64_t version = strtoll(pg_get_text(r, row, 1).ptr, NULL, 10), amount = pg_get_int(r, row, 4);
    struct txn txn = { .account = 1,
                       .currency = SLICE("USD"),
                       .amount_minor = amount,
                       .amount_base_minor = amount,
                       .known_at_us = pg_get_time_us(r, row, 6) };
    struct policy_verdict verdict;
    struct arena arena = { 0 };

    cr_assert_not_null(record);
    cr_assert(version >= first && version < first + (int64_t)count, "%s names version %d", id.ptr,
              (int)version);
    cr_assert_eq(record->n_degraded, 0, "%s lost a part", id.ptr);
    policy_decide(
        policies[version - first],
        &(struct policy_input){ .txn = &txn,
                                .now_us = txn.known_at_us,
                                .has_score = true,
                                .score = pg_get_float(r, row, 5),
                                .thresholds = { record->thresholds->challenge, record->thresholds->review,
                                                record->thresholds->decline } },
        &arena, &verdict);
    cr_assert_eq(pg_get_int(r, row, 2), verdict.action, "%s", id.ptr);
    cr_assert_eq((int)record->decided_by, (int)verdict.decider);
    cr_assert_eq(record->n_rules, verdict.fired_count, "%s", id.ptr);
    for (size_t i = 0; i < record->n_rules; i++) {
        cr_assert(slice_eq_str(verdict.fired[i].rule->id, record->rules[i]->id));
        cr_assert(slice_eq_str(verdict.fired[i].values, record->rules[i]->values));
    }
    cr_assert_eq(record->n_noted, verdict.noted_count, "%s", id.ptr);
    cr_assert_eq(record->n_reasons, verdict.reason_count, "%s", id.ptr);
    for (size_t i = 0; i < record->n_reasons; i++)
        cr_assert(slice_eq_str(verdict.reasons[i].text, record->reasons[i]->text));
    assay__v1__decision_record__free_unpacked(record, NULL);
    arena_release(&arena);
}

static void check_all(int64_t first, size_t count)
{
    struct policy **policies = mem_new_n(struct policy *, count);
    struct pg_result *r = NULL;
    bool *seen = mem_new_n(bool, count);
    size_t versions = 0;

    for (size_t i = 0; i < count; i++)
        policies[i] = policy_of(first + (int64_t)i);
    cr_assert_eq(
        pg_exec(w.pg,
                "SELECT transaction_id, ruleset_version, action::int4, record, amount_base_minor, score, "
                "known_at FROM decisions",
                NULL, &r, &why),
        ERR_OK, "%s", why.text);
    cr_assert_eq(pg_rows(r), (size_t)sent, "each answer was stored once");
    for (size_t i = 0; i < pg_rows(r); i++) {
        check_row(r, i, policies, first, count);
        seen[strtoll(pg_get_text(r, i, 1).ptr, NULL, 10) - first] = true;
    }
    for (size_t i = 0; i < count; i++) {
        versions += seen[i];
        policy_free(policies[i]);
    }
    cr_assert_geq(versions, count / 2, "%zu versions decided something", versions);
    pg_result_free(r);
    mem_free(policies);
    mem_free(seen);
}

/* Two kinds of set in turn, and after each publication the way back: whatever was answered was decided by one of them
 * whole, and says by which. */
Test(rulesets_live, publishes_and_rolls_back_under_load_and_every_decision_is_of_one_version)
{
    const char *wanted = getenv("ASSAY_TEST_SWAPS");
    size_t swaps = wanted ? (size_t)strtoul(wanted, NULL, 10) : 10;
    pthread_t senders[SENDERS];
    int64_t first = publish(decline_large), version;

    await_served(first);
    is_over = false;
    for (int i = 0; i < SENDERS; i++)
        cr_assert_eq(pthread_create(&senders[i], NULL, send_all, (void *)(intptr_t)i), 0);
    for (size_t i = 0; i < swaps; i++) {
        version = publish(i % 2 ? decline_large : review_large);
        await_served(version);
        version = 0;
        if (i % 2)
            continue;
        cr_assert_eq(roll_back(&version), ERR_OK, "%s", why.text);
        await_served(version);
    }
    is_over = true;
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    cr_assert_eq(refused, 0, "%d of %d", (int)refused, (int)sent);
    cr_assert_gt(sent, 0);
    check_all(first, swaps + 1);
    fprintf(stderr, "%d decisions under %zu versions, none refused, all the same when decided again\n",
            (int)sent, swaps + 1);
}
