/* SPDX-License-Identifier: Apache-2.0
 * control_test.c - the control slice: which of the declines by score are let through, how many of them, and
 * what is kept of it. The real ingestion and PostgreSQL, the other parts as small as they can be. */
#include <criterion/criterion.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "fraud/api_key.h"
#include "harness/cluster.h"
#include "harness/http.h"
#include "harness/parts.h"
#include "pg/session.h"
#include "policy/control.h"

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

static void sql(const char *text)
{
    struct why why = { 0 };

    cr_assert_eq(pg_exec_script(w.pg, text, &why), ERR_OK, "%s: %s", text, why.text);
}

static int64_t sql_int(const char *text)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };
    int64_t value;

    cr_assert_eq(pg_exec(w.pg, text, NULL, &r, &why), ERR_OK, "%s: %s", text, why.text);
    value = pg_get_int(r, 0, 0);
    pg_result_free(r);
    return value;
}

static void make_key(char key[64], const char *scopes)
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

static void start_ingestion(struct process *p)
{
    char pg[512], features[64], scoring[64], rules[64];

    snprintf(pg, sizeof pg, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", w.features.port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", w.scoring.port);
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d", w.rules.port);
    process_start(p, "ingestion",
                  (const char *const[]){ pg, features, scoring, rules, "ASSAY_DEADLINE=5s", NULL });
}

static void setup(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    sql("INSERT INTO accounts (name, clock) VALUES ('past', 'simulated')");
    make_key(w.key, "decide,read,explain");
    make_key(w.bare_key, "decide,read");
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

/* `assay` with these words; its exit status, and what it said in `said`, which may be NULL. */
static int assay(struct buf *said, const char *words)
{
    char program[PATH_MAX] = "", command[2 * PATH_MAX];
    char bytes[4096];
    FILE *f;
    size_t n;
    int status;

    cr_assert_gt(readlink("/proc/self/exe", program, sizeof program - 1), 0);
    *strrchr(program, '/') = '\0';
    setenv("ASSAY_PG_URL", w.conninfo, 1);
    snprintf(command, sizeof command, "%s/bin/assay %s 2>&1", program, words);
    f = popen(command, "r");
    cr_assert_not_null(f);
    if (said)
        buf_clear(said);
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0) {
        if (said)
            buf_add(said, bytes, n);
    }
    status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(slice, is_set_shown_and_turned_off_by_command)
{
    struct buf said;
    json_t *shown;

    buf_init(&said, 0);
    cr_assert_eq(assay(&said, "slice set --share 0.02"), 2, "%s", buf_str(&said));
    cr_assert_eq(assay(&said, "slice set --share 0 --amount-most 1 --amount-per-day 1"), 2);
    cr_assert_eq(assay(&said, "slice set --share 0.51 --amount-most 1 --amount-per-day 1"), 2);
    cr_assert_eq(assay(&said, "slice set --share 0.5 --amount-most 0 --amount-per-day 1"), 2);
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM audit"), 0);

    cr_assert_eq(assay(&said, "slice set --share 0.25 --amount-most 50000 --amount-per-day 100000"), 0, "%s",
                 buf_str(&said));
    wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"0\"} 0.25\n");
    sql("CREATE TABLE was AS SELECT key FROM control_slices");
    cr_assert_eq(assay(&said, "slice set --count-per-day 7"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices JOIN was USING (key) WHERE share = 0.25 AND "
                         "amount_most = 50000 AND count_per_day = 7 AND card_per_day = 1"),
                 1, "what is not given stays, the key too");
    cr_assert_eq(assay(&said, "slice set --new-key"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices JOIN was USING (key)"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM audit WHERE action = 'slice.set' AND NOT detail ? 'key' AND "
                         "(detail->>'share')::float = 0.25"),
                 3);

    cr_assert_eq(assay(&said, "slice show --json"), 0);
    shown = json_loads(buf_str(&said), 0, NULL);
    cr_assert_eq(json_array_size(shown), 1, "%s", buf_str(&said));
    cr_assert_eq(number_at(json_array_get(shown, 0), "count_per_day"), 7);
    cr_assert_null(strstr(buf_str(&said), "key"));
    json_decref(shown);

    cr_assert_eq(assay(&said, "slice off --account nobody"), 4, "%s", buf_str(&said));
    cr_assert_eq(assay(&said, "slice off --account past"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices WHERE account = 1 AND share = 0"), 1);
    cr_assert_eq(assay(&said, "slice off --account past --inherit"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM control_slices WHERE account = 1"), 0);
    cr_assert_eq(assay(&said, "slice off"), 0, "%s", buf_str(&said));
    cr_assert_eq(assay(&said, "slice off"), 0, "%s", buf_str(&said));
    cr_assert_eq(sql_int("SELECT count(*) FROM audit WHERE action = 'slice.off'"), 3);
    wait_for(&w.ingestion, "assay_ingestion_control_share{account=\"0\"} 0\n");
    buf_release(&said);
}
