/* SPDX-License-Identifier: Apache-2.0
 * control_test.c - the control slice: which of the declines by score are let through, how many of them, and
 * what is kept of it. The real ingestion and PostgreSQL, the other parts as small as they can be. */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/parts.h"
#include "pg/session.h"
#include "policy/control.h"
#include "stats/interval.h"
#include "stats/weighting.h"

#define KEY_HEX "000102030405060708090a0b0c0d0e0f"
#define DAY_ONE "2018-04-01"
#define DAY_TWO "2018-04-02"

/* As set_slice() sets it. */
static const struct control_slice half = { .account = 0,
                                           .share = 0.5,
                                           .amount_most = 50000,
                                           .key = {
                                               { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } } };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process ingestion, features, scoring, rules;
    char key[64], bare_key[64]; /* of account 1, on a simulated clock: all scopes; decide and read */
} w;

#define sql(text)     database_run(w.pg, text)
#define sql_int(text) database_int(w.pg, text)

static void start_ingestion(struct process *p)
{
    char pg[512], features[64], scoring[64], rules[64];

    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", w.features.port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", w.scoring.port);
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d", w.rules.port);
    process_start(p, "ingestion",
                  (const char *const[]){ pg, features, scoring, rules, "ASSAY_DEADLINE=60s", NULL });
}

static void setup(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    sql("INSERT INTO accounts (name, clock, deadline_cap_ms) VALUES ('past', 'simulated', 60000)");
    database_key(w.pg, 1, "decide,read,explain", w.key);
    database_key(w.pg, 1, "decide,read", w.bare_key);
    w.features.port = free_port();
    w.scoring.port = free_port();
    w.rules.port = free_port();
    fake_start(&w.features, FAKE_FEATURES, w.features.port, w.conninfo);
    fake_start(&w.scoring, FAKE_SCORING, w.scoring.port, NULL);
    fake_start(&w.rules, FAKE_RULES, w.rules.port, NULL);
    start_ingestion(&w.ingestion);
}

static void teardown(void)
{
    process_kill(&w.features);
    process_kill(&w.scoring);
    process_kill(&w.rules);
    if (w.ingestion.pid)
        cr_expect_eq(process_stop(&w.ingestion), 0, "ingestion ends gracefully");
    pg_session_close(w.pg);
}

TestSuite(slice, .init = setup, .fini = teardown, .timeout = 120);

/* ---- settings ---- */

static bool measures(const struct process *p, const char *line)
{
    struct http_said said = http_ask(p->admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    bool is = said.body && strstr(said.body, line);

    http_said_free(&said);
    return is;
}

static void wait_for(const struct process *p, const char *line)
{
    for (int i = 0; i < 1000 && !measures(p, line); i++)
        usleep(10000);
    cr_assert(measures(p, line), "%s", line);
}

/* The slice `half` with the caps of `caps`: "count_per_day = 5, ...". */
static void set_slice(const char *caps)
{
    char text[512];

    snprintf(text, sizeof text,
             "INSERT INTO control_slices (account, share, amount_most, card_per_day, merchant_per_day, "
             "count_per_day, amount_per_day, key) "
             "VALUES (0, 0.5, 50000, 1000, 1000, 1000, 1000000000, '\\x" KEY_HEX "'); "
             "%s%s",
             *caps ? "UPDATE control_slices SET " : "", caps);
    sql(text);
    wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"0\"} 0.5\n");
}

/* ---- asking ---- */

struct payment {
    const char *id, *day, *customer, *card, *merchant;
    int amount;
};

static void write_payment(struct buf *out, const struct payment *p)
{
    buf_printf(out,
               "{\"transaction_id\":\"%s\",\"occurred_at\":\"%sT10:00:00Z\",\"known_at\":\"%sT10:00:00Z\","
               "\"amount\":%d,\"currency\":\"USD\",\"customer_id\":\"%s\"",
               p->id, p->day, p->day, p->amount, p->customer);
    if (p->card)
        buf_printf(out, ",\"card_id\":\"%s\"", p->card);
    if (p->merchant)
        buf_printf(out, ",\"merchant_id\":\"%s\"", p->merchant);
    buf_add_str(out, "}");
}

static struct http_said post_to(const struct process *to, const char *key, const struct payment *p)
{
    struct http_said said;
    struct buf body;

    buf_init(&body, 0);
    write_payment(&body, p);
    said = http_ask(to->port, "POST", "/v1/transactions", key, NULL, buf_str(&body), body.len);
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    buf_release(&body);
    return said;
}

static struct http_said post(const struct payment *p)
{
    return post_to(&w.ingestion, w.key, p);
}

static const char *text_at(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? text : "";
}

static double number_at(const json_t *json, const char *name)
{
    return json_number_value(json_object_get(json, name));
}

static bool has_reason(const json_t *decision, const char *code)
{
    const json_t *list = json_object_get(decision, "reasons");

    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(text_at(json_array_get(list, i), "code"), code) == 0)
            return true;
    }
    return false;
}

static bool is_drawn(const char *customer, const char *day)
{
    int64_t at_us;
    char text[32];

    snprintf(text, sizeof text, "%sT00:00:00Z", day);
    cr_assert(rfc3339_parse(slice_str(text), &at_us));
    return control_is_drawn(&half, 1, slice_str(customer), control_day(at_us));
}

/* The first customer from *next on whose draw is that. */
static const char *customer_that_is(bool drawn, const char *day, int *next)
{
    static char names[64][16];
    static int at;
    char *name = names[at++ % 64];

    do {
        snprintf(name, 16, "c-%d", (*next)++);
    } while (is_drawn(name, day) != drawn);
    return name;
}

static void expect(const struct payment *p, const char *action, double p_allow)
{
    struct http_said said = post(p);

    cr_expect_str_eq(text_at(said.json, "action"), action, "%s: %s", p->id, said.body);
    cr_expect_eq(number_at(said.json, "p_allow"), p_allow, "%s: %s", p->id, said.body);
    http_said_free(&said);
}

/* ---- tests ---- */

Test(slice, is_off_until_somebody_turns_it_on)
{
    expect(&(struct payment){ "t", DAY_ONE, "c", NULL, NULL, 20000 }, "decline", 0);
    expect(&(struct payment){ "u", DAY_ONE, "c", NULL, NULL, 20 }, "approve", 1);
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slice_frame"), 0);
    cr_assert(!measures(&w.ingestion, "assay_ingestion_control_total{"));
}

Test(slice, lets_through_whom_the_hash_draws_and_logs_the_probability_of_all)
{
    enum { COUNT = 60 };
    int drawn = 0;

    set_slice("");
    for (int i = 0; i < COUNT; i++) {
        char id[16], customer[16];

        snprintf(id, sizeof id, "t-%d", i);
        snprintf(customer, sizeof customer, "c-%d", i);
        drawn += is_drawn(customer, DAY_ONE);
        expect(&(struct payment){ id, DAY_ONE, customer, NULL, NULL, 20000 },
               is_drawn(customer, DAY_ONE) ? "approve" : "decline", 0.5);
    }
    cr_assert(drawn > 10 && drawn < 50);
    cr_assert_eq(sql_int("SELECT count(*) FROM decisions WHERE action = 0 AND p_allow = 0.5"), drawn);
    cr_assert_eq(sql_int("SELECT count(*) FROM decisions WHERE action = 3 AND p_allow = 0.5"), COUNT - drawn);
    cr_assert_eq(sql_int("SELECT count FROM control_slice_used WHERE kind = 'all'"), drawn);
    cr_assert_eq(sql_int("SELECT amount FROM control_slice_used WHERE kind = 'all'"), drawn * 20000);
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slice_frame WHERE day = '" DAY_ONE "'"), COUNT);
}

Test(slice, keeps_what_the_score_wanted_for_those_who_may_see_it)
{
    struct payment p = { "t", DAY_ONE, NULL, NULL, NULL, 20000 };
    struct http_said said, bare, again;
    int next = 0;

    set_slice("");
    p.customer = customer_that_is(true, DAY_ONE, &next);
    said = post(&p);
    cr_assert_str_eq(text_at(said.json, "action"), "approve", "%s", said.body);
    cr_assert(has_reason(said.json, "control_slice"), "%s", said.body);
    cr_assert_str_eq(text_at(said.json, "score_action"), "decline");
    cr_assert_str_eq(text_at(said.json, "decided_by"), "threshold");
    cr_assert(json_is_true(json_object_get(said.json, "control_slice")));
    bare = http_ask(w.ingestion.port, "GET", "/v1/transactions/t", w.bare_key, NULL, NULL, 0);
    cr_assert_eq(bare.status, 200);
    cr_assert(!has_reason(bare.json, "control_slice"), "%s", bare.body);
    cr_assert_null(json_object_get(bare.json, "control_slice"));
    again = post(&p);
    cr_assert_str_eq(again.body, said.body);
    http_said_free(&said);
    http_said_free(&bare);
    http_said_free(&again);
}

Test(slice, leaves_alone_what_a_rule_declined_what_is_too_large_and_what_comes_second)
{
    int next = 0;
    char day[16] = DAY_ONE;
    const char *in;

    set_slice("");
    for (int i = 1; !is_drawn("deny-me", day); i++) {
        cr_assert_leq(i, 30);
        snprintf(day, sizeof day, "2018-04-%02d", i);
    }
    expect(&(struct payment){ "rule", day, "deny-me", NULL, NULL, 20000 }, "decline", 0);
    in = customer_that_is(true, DAY_ONE, &next);
    expect(&(struct payment){ "large", DAY_ONE, in, NULL, NULL, 50001 }, "decline", 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slice_frame"), 0);
    expect(&(struct payment){ "first", DAY_ONE, in, NULL, NULL, 20000 }, "approve", 0.5);
    expect(&(struct payment){ "second", DAY_ONE, in, NULL, NULL, 20000 }, "decline", 0);
    in = customer_that_is(false, DAY_ONE, &next);
    expect(&(struct payment){ "out", DAY_ONE, in, NULL, NULL, 20000 }, "decline", 0.5);
    expect(&(struct payment){ "out again", DAY_ONE, in, NULL, NULL, 20000 }, "decline", 0);
    expect(&(struct payment){ "next day", DAY_TWO, in, NULL, NULL, 20000 },
           is_drawn(in, DAY_TWO) ? "approve" : "decline", 0.5);
}

/* Those who are not drawn use nothing up, and have the same probability as the others. */
Test(slice, closes_when_a_cap_is_reached_whoever_asks)
{
    static const struct {
        const char *caps;
        struct payment in[2]; /* what two drawn customers pay; the second finds no room, */
        struct payment more;  /* and this one does */
    } cases[] = {
        { "count_per_day = 1",
          { { "a", DAY_ONE, 0, 0, 0, 20000 }, { "b", DAY_ONE, 0, 0, 0, 20000 } },
          { "c", DAY_TWO, 0, 0, 0, 20000 } },
        { "amount_per_day = 39999",
          { { "a", DAY_ONE, 0, 0, 0, 20000 }, { "b", DAY_ONE, 0, 0, 0, 20000 } },
          { "c", DAY_ONE, 0, 0, 0, 19999 } },
        { "card_per_day = 1",
          { { "a", DAY_ONE, 0, "k", 0, 20000 }, { "b", DAY_ONE, 0, "k", 0, 20000 } },
          { "c", DAY_ONE, 0, "l", 0, 20000 } },
        { "merchant_per_day = 1",
          { { "a", DAY_ONE, 0, 0, "m", 20000 }, { "b", DAY_ONE, 0, 0, "m", 20000 } },
          { "c", DAY_ONE, 0, 0, 0, 20000 } },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct payment out = cases[i].in[0], a = cases[i].in[0], b = cases[i].in[1], c = cases[i].more;
        int next = 0;

        set_slice(cases[i].caps);
        out.id = "out";
        out.customer = customer_that_is(false, out.day, &next);
        a.customer = customer_that_is(true, a.day, &next);
        b.customer = customer_that_is(true, b.day, &next);
        c.customer = customer_that_is(true, c.day, &next);
        expect(&out, "decline", 0.5);
        expect(&a, "approve", 0.5);
        expect(&b, "decline", 0);
        out.id = "out late";
        out.customer = customer_that_is(false, out.day, &next);
        expect(&out, "decline", 0);
        expect(&c, "approve", 0.5);
        sql("TRUNCATE control_slices, control_slice_used, control_slice_frame, decisions, transaction_ids, "
            "log");
        wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"0\"} 0\n");
    }
}

Test(slice, says_the_same_of_a_payment_whose_decision_was_lost)
{
    struct payment in = { "in", DAY_ONE, NULL, NULL, NULL, 20000 }, out = in;
    int next = 0;

    set_slice("count_per_day = 1");
    in.customer = customer_that_is(true, DAY_ONE, &next);
    out.id = "out";
    out.customer = customer_that_is(false, DAY_ONE, &next);
    expect(&out, "decline", 0.5);
    expect(&in, "approve", 0.5);
    sql("DELETE FROM decisions");
    expect(&out, "decline", 0.5);
    expect(&in, "approve", 0.5);
    cr_assert_eq(sql_int("SELECT count FROM control_slice_used WHERE kind = 'all'"), 1);
}

struct crowd {
    pthread_t thread;
    const struct process *to;
    int number, allowed;
    size_t degraded;
};

static void *pay_as_a_crowd(void *arg)
{
    struct crowd *c = arg;
    struct http_said said;
    struct buf body;

    buf_init(&body, 0);
    buf_add_str(&body, "{\"transactions\":[");
    for (int i = 0; i < 100; i++) {
        char id[32], customer[32], card[32];

        snprintf(id, sizeof id, "t-%d-%d", c->number, i);
        snprintf(customer, sizeof customer, "c-%d-%d", c->number, i);
        snprintf(card, sizeof card, "k-%d", i % 50);
        buf_add_str(&body, i ? "," : "");
        write_payment(&body, &(struct payment){ id, i % 2 ? DAY_ONE : DAY_TWO, customer, card, "m", 20000 });
    }
    buf_add_str(&body, "]}");
    said = http_ask(c->to->port, "POST", "/v1/transactions:batch", w.key, NULL, buf_str(&body), body.len);
    for (size_t i = 0; i < 100; i++) {
        json_t *decision =
            json_object_get(json_array_get(json_object_get(said.json, "results"), i), "decision");

        c->allowed += strcmp(text_at(decision, "action"), "approve") == 0;
        c->degraded += json_array_size(json_object_get(decision, "degraded"));
    }
    http_said_free(&said);
    buf_release(&body);
    return NULL;
}

Test(slice, keeps_its_caps_whichever_process_is_asked)
{
    struct process second = { 0 };
    struct crowd crowds[8];
    int64_t allowed = 0;

    set_slice("count_per_day = 41, card_per_day = 2");
    start_ingestion(&second);
    wait_for(&second, "assay_ingestion_control_share{account=\"0\"} 0.5\n");
    for (size_t i = 0; i < ARRAY_LEN(crowds); i++) {
        crowds[i] = (struct crowd){ .to = i % 2 ? &second : &w.ingestion, .number = (int)i };
        cr_assert_eq(pthread_create(&crowds[i].thread, NULL, pay_as_a_crowd, &crowds[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(crowds); i++) {
        pthread_join(crowds[i].thread, NULL);
        allowed += crowds[i].allowed;
        cr_assert_eq(crowds[i].degraded, 0, "without its amount a payment is not declined");
    }
    cr_assert_eq(sql_int("SELECT count(*) FROM decisions"), 800);
    cr_assert_eq(allowed, sql_int("SELECT sum(count) FROM control_slice_used WHERE kind = 'all'"));
    cr_assert_eq(sql_int("SELECT max(count) FROM control_slice_used WHERE kind = 'all'"), 41);
    cr_assert_eq(sql_int("SELECT max(count) FROM control_slice_used WHERE kind = 'card'"), 2);
    cr_assert_eq(sql_int("SELECT count(*) FROM decisions WHERE action = 0 AND p_allow <> 0.5"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM decisions JOIN control_slice_frame f USING (transaction_id) "
                         "WHERE decisions.p_allow <> f.p_allow OR (action = 0) <> is_allowed"),
                 0);
    cr_assert_eq(process_stop(&second), 0);
}

Test(slice, declines_with_no_chance_when_room_cannot_be_asked_for)
{
    struct payment p = { "t", DAY_ONE, NULL, NULL, NULL, 20000 };
    int next = 0;

    set_slice("");
    p.customer = customer_that_is(true, DAY_ONE, &next);
    sql("BEGIN; LOCK TABLE control_slice_used IN EXCLUSIVE MODE");
    expect(&p, "decline", 0);
    sql("COMMIT");
    expect(&p, "decline", 0);
    p.id = "u";
    p.customer = customer_that_is(true, DAY_ONE, &next);
    expect(&p, "approve", 0.5);
}

Test(slice, follows_its_settings_and_an_account_may_have_its_own)
{
    struct payment p = { "t", DAY_ONE, NULL, NULL, NULL, 20000 };
    int next = 0;

    set_slice("");
    sql("INSERT INTO control_slices (account, share, amount_most, amount_per_day, key) "
        "VALUES (1, 0, 1, 1, '\\x" KEY_HEX "')");
    wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"1\"} 0\n");
    p.customer = customer_that_is(true, DAY_ONE, &next);
    expect(&p, "decline", 0);
    sql("DELETE FROM control_slices WHERE account = 1");
    for (int i = 0; i < 1000 && sql_int("SELECT count(*) FROM control_slice_frame") == 0; i++) {
        struct http_said said;
        char id[16];

        snprintf(id, sizeof id, "t-%d", i);
        p.id = id;
        said = post(&p);
        http_said_free(&said);
        usleep(10000);
    }
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slice_frame WHERE is_allowed AND p_allow = 0.5"), 1);
    sql("DELETE FROM control_slices");
    /* Also for a process that has not heard of it yet. */
    p.id = "off";
    p.customer = customer_that_is(true, DAY_ONE, &next);
    expect(&p, "decline", 0);
}

Test(slice, goes_on_without_the_rules_service)
{
    struct payment p = { "t", DAY_ONE, NULL, NULL, NULL, 20000 };
    struct http_said said;
    int next = 0;

    set_slice("");
    process_kill(&w.rules);
    p.customer = customer_that_is(true, DAY_ONE, &next);
    said = post(&p);
    cr_assert_str_eq(text_at(said.json, "action"), "approve", "%s", said.body);
    cr_assert(has_reason(said.json, "control_slice") && has_reason(said.json, "threshold:decline"), "%s",
              said.body);
    http_said_free(&said);
    said = http_ask(w.ingestion.port, "GET", "/v1/transactions/t", w.bare_key, NULL, NULL, 0);
    cr_assert(!has_reason(said.json, "threshold:decline"), "an approval is not explained by a decline: %s",
              said.body);
    http_said_free(&said);
}

/* ---- the commands ---- */

Test(slice, is_set_shown_and_turned_off_by_command)
{
    struct buf said;
    json_t *shown;

    buf_init(&said, 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice set --share 0.02"), 2, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice set --share 0 --amount-most 1 --amount-per-day 1"),
                 2);
    cr_assert_eq(
        command_run(&said, w.conninfo, "", "slice set --share 0.51 --amount-most 1 --amount-per-day 1"), 2);
    cr_assert_eq(
        command_run(&said, w.conninfo, "", "slice set --share 0.5 --amount-most 0 --amount-per-day 1"), 2);
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM audit"), 0);

    cr_assert_eq(command_run(&said, w.conninfo, "",
                             "slice set --share 0.25 --amount-most 50000 --amount-per-day 100000"),
                 0, "%s", buf_str(&said));
    wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"0\"} 0.25\n");
    sql("CREATE TABLE was AS SELECT key FROM control_slices");
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice set --count-per-day 7"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices JOIN was USING (key) WHERE share = 0.25 AND "
                         "amount_most = 50000 AND count_per_day = 7 AND card_per_day = 1"),
                 1, "what is not given stays, the key too");
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice set --new-key"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices JOIN was USING (key)"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM audit WHERE action = 'slice.set' AND NOT detail ? 'key' AND "
                         "(detail->>'share')::float = 0.25"),
                 3);

    cr_assert_eq(command_run(&said, w.conninfo, "", "slice show --json"), 0);
    shown = json_loads(buf_str(&said), 0, NULL);
    cr_assert_eq(json_array_size(shown), 1, "%s", buf_str(&said));
    cr_assert_eq(number_at(json_array_get(shown, 0), "count_per_day"), 7);
    cr_assert_null(strstr(buf_str(&said), "key"));
    json_decref(shown);

    cr_assert_eq(command_run(&said, w.conninfo, "", "slice off --account nobody"), 4, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice off --account past"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices WHERE account = 1 AND share = 0"), 1);
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice off --account past --inherit"), 0, "%s",
                 buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices WHERE account = 1"), 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice off"), 0, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice off"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM audit WHERE action = 'slice.off'"), 3);
    wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"0\"} 0\n");
    buf_release(&said);
}

/* ---- what the slice tells ---- */

enum { DAYS = 250, CUSTOMERS = 400, PAYMENTS = 1500, ROUNDS = 200 };

/* A day's payments with all their labels, which only a simulation knows. */
struct day {
    double scores[PAYMENTS], chances[PAYMENTS], money[PAYMENTS];
    uint8_t seen[PAYMENTS], labels[PAYMENTS];
    int64_t customers[PAYMENTS];
};

/* About one customer in ten is a fraudster that day; the score is better than chance and no more. */
static void draw_day(struct day *d, struct random *r)
{
    bool is_fraudster[CUSTOMERS];

    for (size_t i = 0; i < CUSTOMERS; i++)
        is_fraudster[i] = random_unit(r) < 0.1;
    for (size_t i = 0; i < PAYMENTS; i++) {
        int64_t customer = (int64_t)random_below(r, CUSTOMERS);
        bool is_fraud = is_fraudster[customer] && random_unit(r) < 0.7;

        d->customers[i] = customer;
        d->labels[i] = is_fraud;
        d->scores[i] = is_fraud ? sqrt(random_unit(r)) : random_unit(r) * random_unit(r);
        d->money[i] = (double)(1 + random_below(r, 60000)); /* some above amount_most */
        d->chances[i] = d->seen[i] = 1;
    }
}

static bool is_candidate(const struct day *d, size_t i)
{
    return control_is_candidate(&half, POLICY_BY_THRESHOLD,
                                d->scores[i] >= 0.6 ? ACTION_DECLINE : ACTION_APPROVE, (int64_t)d->money[i]);
}

/* What ingestion does with the declines of a day, in groups of `most`. Cards are shared by three customers. */
static void claim_day(struct day *d, int32_t day, size_t most)
{
    size_t next = 0;

    while (next < PAYMENTS) {
        struct pg_params p = { 0 };
        struct pg_result *r = NULL;
        struct why why = { 0 };
        struct pg_array *account = pg_add_array(&p, PG_INT4), *id = pg_add_array(&p, PG_TEXT),
                        *on = pg_add_array(&p, PG_INT4), *customer = pg_add_array(&p, PG_TEXT),
                        *card = pg_add_array(&p, PG_TEXT), *merchant = pg_add_array(&p, PG_TEXT),
                        *amount = pg_add_array(&p, PG_INT8), *share = pg_add_array(&p, PG_FLOAT8),
                        *draw = pg_add_array(&p, PG_BOOL);
        size_t asked[PAYMENTS], count = 0;

        for (; next < PAYMENTS && count < most; next++) {
            char text[32];
            int len = snprintf(text, sizeof text, "c-%d", (int)d->customers[next]);

            if (d->scores[next] >= 0.6)
                d->chances[next] = d->seen[next] = 0;
            if (!is_candidate(d, next))
                continue;
            asked[count++] = next;
            pg_array_i32(account, 1);
            pg_array_text(customer, slice_of(text, (size_t)len));
            pg_array_bool(draw, control_is_drawn(&half, 1, slice_of(text, (size_t)len), day));
            len = snprintf(text, sizeof text, "k-%d", (int)d->customers[next] / 3);
            pg_array_text(card, slice_of(text, (size_t)len));
            pg_array_text(merchant, SLICE("m"));
            len = snprintf(text, sizeof text, "t-%d-%zu", day, next);
            pg_array_text(id, slice_of(text, (size_t)len));
            pg_array_i32(on, day);
            pg_array_i64(amount, (int64_t)d->money[next]);
            pg_array_f64(share, half.share);
        }
        cr_assert_eq(
            pg_exec(w.pg,
                    "SELECT ord, p_allow, is_allowed FROM claim_control_slice($1::int4[], $2::text[], "
                    "$3::int4[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::float8[], $9::bool[])",
                    &p, &r, &why),
            ERR_OK, "%s", why.text);
        cr_assert_eq(pg_rows(r), count);
        for (size_t i = 0; i < count; i++) {
            d->chances[asked[pg_get_int(r, i, 0) - 1]] = pg_get_float(r, i, 1);
            d->seen[asked[pg_get_int(r, i, 0) - 1]] = pg_get_bool(r, i, 2);
        }
        pg_result_free(r);
        pg_params_release(&p);
    }
}

static void open_database(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    sql("INSERT INTO control_slices (account, share, amount_most, card_per_day, merchant_per_day, "
        "count_per_day, "
        "amount_per_day, key) VALUES (0, 0.5, 50000, 1, 1000, 30, 900000, '\\x" KEY_HEX "')");
}

static void close_database(void)
{
    pg_session_close(w.pg);
}

TestSuite(slice_tells, .init = open_database, .fini = close_database, .timeout = 240);

/* All caps close at some time of nearly every day. Over what was in the frame: sums by inverse probability are
 * right on average, against the sums that all labels give; and intervals hold the long-run precision and recall
 * about as often as they say. */
Test(slice_tells, of_the_declines_what_only_their_labels_would)
{
    static const enum weighted_figure sums[] = { WEIGHTED_flagged, WEIGHTED_frauds, WEIGHTED_money_caught,
                                                 WEIGHTED_money_turned_away };
    static const enum weighted_figure rates[] = { WEIGHTED_precision, WEIGHTED_recall };
    struct day *d = mem_new(struct day);
    struct weighted *told = mem_new_n(struct weighted, DAYS);
    struct random r = { 5 };
    double off[4] = { 0 }, squares[4] = { 0 }, flagged = 0, caught = 0, frauds = 0, long_run[2];
    size_t closed = 0, held[2] = { 0 };

    for (int day = 0; day < DAYS; day++) {
        struct weighted_rows rows = { PAYMENTS,  d->scores, d->chances,  d->seen,
                                      d->labels, d->money,  d->customers };
        struct weighted truth;
        double frame[PAYMENTS];
        uint8_t all[PAYMENTS];

        draw_day(d, &r);
        claim_day(d, day, 7);
        cr_assert(!weighted_estimate(&told[day], &rows, 0.6, WEIGHTED_HORVITZ_THOMPSON, ROUNDS, 0.95,
                                     (uint64_t)day, NULL));
        closed += told[day].excluded_flagged;
        for (size_t i = 0; i < PAYMENTS; i++) {
            frame[i] = all[i] = d->chances[i] > 0;
            flagged += frame[i] * (d->scores[i] >= 0.6);
            caught += frame[i] * (d->scores[i] >= 0.6 && d->labels[i]);
            frauds += frame[i] * d->labels[i];
        }
        rows.chances = frame;
        rows.seen = all;
        cr_assert(!weighted_estimate(&truth, &rows, 0.6, WEIGHTED_HORVITZ_THOMPSON, 0, 0.95, 1, NULL));
        for (size_t f = 0; f < ARRAY_LEN(sums); f++) {
            double is_off = told[day].figures[sums[f]].value - truth.figures[sums[f]].value;

            off[f] += is_off;
            squares[f] += is_off * is_off;
        }
    }
    for (size_t f = 0; f < ARRAY_LEN(sums); f++)
        cr_expect_lt(fabs(off[f] / DAYS), 3 * sqrt(squares[f]) / DAYS, "%s: off by %g of %g",
                     weighted_figure_name(sums[f]), off[f] / DAYS, sqrt(squares[f] / DAYS));
    long_run[0] = caught / flagged;
    long_run[1] = caught / frauds;
    for (int day = 0; day < DAYS; day++) {
        for (size_t f = 0; f < ARRAY_LEN(rates); f++) {
            struct interval i = told[day].figures[rates[f]].interval;

            held[f] += i.low <= long_run[f] && long_run[f] <= i.high;
        }
    }
    for (size_t f = 0; f < ARRAY_LEN(rates); f++)
        cr_expect(held[f] >= 0.91 * DAYS && held[f] <= 0.99 * DAYS, "%s: %zu of %d intervals hold it",
                  weighted_figure_name(rates[f]), held[f], DAYS);
    cr_expect_gt(closed, 0.2 * flagged, "caps do close");
    mem_free(told);
    mem_free(d);
}

static double figure_of(const json_t *report, size_t line, const char *name)
{
    return number_at(json_object_get(json_array_get(json_object_get(report, "lines"), line), name), "value");
}

/* Every third payment is a fraud and known to be one; of the declines only those let through. */
Test(slice, is_reported_by_what_was_let_through)
{
    enum { COUNT = 60 };
    int let_through = 0, caught = 0, missed = 0;
    struct buf said;
    json_t *report;

    set_slice("");
    buf_init(&said, 0);
    for (int i = 0; i < COUNT; i++) {
        struct payment p = { .day = DAY_ONE, .amount = i % 2 ? 20000 : 100 };
        char id[16], customer[16], label[256];
        struct http_said http;

        snprintf(id, sizeof id, "t-%d", i);
        snprintf(customer, sizeof customer, "c-%d", i);
        p.id = id;
        p.customer = customer;
        http = post(&p);
        http_said_free(&http);
        if (i % 2 && is_drawn(customer, DAY_ONE)) {
            let_through++;
            caught += i % 3 == 0;
        }
        missed += i % 2 == 0 && i % 3 == 0;
        snprintf(label, sizeof label,
                 "INSERT INTO labels VALUES (1, '%s', 0, '" DAY_ONE "', %s, '" DAY_TWO "', %d), "
                 "(1, '%s', 3, '" DAY_ONE "', %s, '" DAY_TWO "', %d)",
                 id, i % 3 ? "true" : "false", 2 * i, id, i % 3 ? "false" : "true", 2 * i + 1);
        sql(label); /* the chargeback holds, not what the customer said */
    }
    expect(&(struct payment){ "rule", DAY_ONE, "deny-me", NULL, NULL, 100 }, "decline", 0);
    expect(&(struct payment){ "large", DAY_ONE, "c-large", NULL, NULL, 60000 }, "decline", 0);
    expect(&(struct payment){ "late", DAY_TWO, "c-late", NULL, NULL, 100 }, "approve", 1);

    cr_assert_eq(command_run(&said, w.conninfo, "",
                             "slice report --to " DAY_TWO " --thresholds 0.05,0.5 --rounds 100 --json"),
                 0, "%s", buf_str(&said));
    report = json_loads(buf_str(&said), 0, NULL);
    cr_assert_not_null(report, "%s", buf_str(&said));
    cr_expect_eq(number_at(report, "decisions"), COUNT + 1, "%s", buf_str(&said));
    cr_expect_eq(number_at(report, "let_through"), let_through);
    cr_expect_eq(number_at(report, "decided_otherwise"), 1);
    cr_expect_eq(number_at(report, "decline_threshold"), 0.8);
    for (size_t line = 0; line <= 2; line += 2) { /* the policy in force, and the same by its threshold */
        cr_expect_float_eq(figure_of(report, line, "precision"), (double)caught / let_through, 1e-12);
        cr_expect_float_eq(figure_of(report, line, "recall"), 2.0 * caught / (2.0 * caught + missed), 1e-12);
        cr_expect_float_eq(figure_of(report, line, "flagged"), 2.0 * let_through, 1e-9);
        cr_expect_float_eq(figure_of(report, line, "money_caught"), 40000.0 * caught, 1e-6);
        cr_expect_float_eq(figure_of(report, line, "money_lost"), 100.0 * missed, 1e-6);
    }
    cr_expect_float_eq(figure_of(report, 1, "recall"), 1, 1e-12, "at 0.05 all is declined");
    cr_expect_eq(number_at(json_array_get(json_object_get(report, "lines"), 0), "not_covered"), 1);
    json_decref(report);
    cr_assert_eq(command_run(&said, w.conninfo, "",
                             "slice report --to " DAY_TWO " --as-of " DAY_ONE " --rounds 0 --json"),
                 0);
    report = json_loads(buf_str(&said), 0, NULL);
    cr_expect_eq(number_at(json_object_get(report, "frauds"), "value"), 0, "no label was known: %s",
                 buf_str(&said));
    json_decref(report);
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice report --to " DAY_TWO), 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice report --model 8 --to " DAY_TWO), 4, "%s",
                 buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice report"), 4, "too young: %s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "slice report --thresholds 0.5,x"), 2);
    buf_release(&said);
}
