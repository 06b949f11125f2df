/* SPDX-License-Identifier: Apache-2.0
 * velocities_test.c - velocities of rules, computed by the real features service from the log on, while it goes on
 * appending; held against what PostgreSQL says of the rows.
 *
 * ASSAY_TEST_CARDS=10000 has so many entities compared (300). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/plan.h"
#include "grpc/client.h"
#include "harness/cluster.h"
#include "harness/process.h"
#include "loop/loop.h"
#include "pg/session.h"
#include "policystore/publish.h"
#include "proto/assay.pb-c.h"
#include "proto/txn_proto.h"
#include "velocity/velocity.h"

TestSuite(velocities, .timeout = 900);

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

enum { BATCH = 64, COLUMNS_MAX = 64 };
static const int64_t patience_us = 60 * SECOND_US;

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process features;
    struct loop *loop;
    struct grpc_channel *channel;
    struct arena scratch;
    char address[64], catalogue[64];

    uint64_t random;
    int64_t at_us; /* of the newest payment */
    unsigned sent, card_count, recent[3];
    unsigned char plan[SHA256_BYTES]; /* of the newest answer */
} w;

static struct why why;

/* ---- the service ---- */

static void start_features(const char *kept)
{
    char url[512], catalogue[128];
    struct http_client_conf conf = { .address = w.address };

    snprintf(url, sizeof url, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(catalogue, sizeof catalogue, "ASSAY_CATALOGUE=%s", w.catalogue);
    process_start(
        &w.features, "features",
        (const char *const[]){ url, catalogue, kept, "ASSAY_FEATURES_SNAPSHOT_ENTRIES=2000", NULL });
    snprintf(w.address, sizeof w.address, "127.0.0.1:%d", w.features.port);
    MUST(grpc_channel_open(&w.channel, w.loop, &conf, &why));
}

static void stop_features(void)
{
    grpc_channel_close(w.channel);
    w.channel = NULL;
    cr_assert_eq(process_stop(&w.features), 0);
}

static void open_world(const char *kept)
{
    const char *cards = getenv("ASSAY_TEST_CARDS");
    FILE *file;

    w.card_count = cards ? (unsigned)atoi(cards) : 300;
    w.random = 17;
    w.at_us = INT64_C(1700000000000001);
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &why));
    MUST(loop_open(&w.loop, &why));
    snprintf(w.catalogue, sizeof w.catalogue, "/tmp/assay-velocities-%d.yaml", (int)getpid());
    file = fopen(w.catalogue, "w");
    cr_assert(file &&
              fputs("entities: {card: card_id}\nfeatures:\n"
                    "- {name: card_count_24h, count: card, window: 24h}\n",
                    file) >= 0 &&
              fclose(file) == 0);
    start_features(kept);
}

static void close_world(void)
{
    stop_features();
    loop_close(w.loop);
    pg_session_close(w.pg);
    arena_release(&w.scratch);
    unlink(w.catalogue);
}

static int64_t number(const char *sql)
{
    struct pg_result *r = NULL;
    int64_t value;

    MUST(pg_exec(w.pg, sql, NULL, &r, &why));
    value = pg_get_int(r, 0, 0);
    pg_result_free(r);
    return value;
}

/* ---- payments ---- */

static unsigned below(unsigned n)
{
    w.random = w.random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)((w.random >> 33) % n);
}

static char *text(const char *prefix, unsigned n)
{
    return (char *)(uintptr_t)arena_printf(&w.scratch, "%s%u", prefix, n).ptr;
}

/* Mostly soon after the one before, and mostly with a card of late, so that short windows have something in them; now
 * and then some hours later. Some come out of order. */
static Assay__V1__Transaction *next_payment(void)
{
    Assay__V1__Transaction *t = arena_new(&w.scratch, Assay__V1__Transaction, 1);
    unsigned card = below(2) ? w.recent[below(ARRAY_LEN(w.recent))] : below(w.card_count);

    w.recent[w.sent % ARRAY_LEN(w.recent)] = card;
    w.at_us += below(200) ? below(40 * 1000000) : below(16) * HOUR_US + below(1000000);
    assay__v1__transaction__init(t);
    t->account = 1;
    t->id = text("t", w.sent++);
    t->occurred_at_us = w.at_us - (below(20) ? 0 : (int64_t)below(90 * 1000000));
    t->known_at_us = w.at_us + SECOND_US;
    t->amount_minor = t->amount_base_minor = 100 + below(10000);
    t->currency = (char *)(uintptr_t) "EUR";
    t->card_id = text("card", card);
    if (below(30))
        t->merchant_id = text("m", below(40));
    if (below(30))
        t->channel = (char *)(uintptr_t)(below(3) ? "pos" : "web");
    return t;
}

static Assay__V1__Transaction *payment_of(unsigned card)
{
    int64_t at_us = w.at_us + SECOND_US + below(2000000);
    Assay__V1__Transaction *t = next_payment();

    t->occurred_at_us = w.at_us = at_us;
    t->known_at_us = at_us + SECOND_US;
    t->card_id = text("card", card);
    return t;
}

struct waiting {
    bool is_done;
    enum err err;
    const Assay__V1__ComputeResponse *reply;
};

static void on_reply(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *said)
{
    struct waiting *waiting = arg;

    if (said)
        why = *said;
    *waiting = (struct waiting){ true, err, (const Assay__V1__ComputeResponse *)reply };
}

/* One call; the answer is the scratch's. */
static const Assay__V1__ComputeResponse *compute(Assay__V1__Transaction *const *payments, size_t count)
{
    Assay__V1__ComputeRequest request = ASSAY__V1__COMPUTE_REQUEST__INIT;
    Assay__V1__ComputeRequest__Item items[BATCH], *pointers[BATCH];
    unsigned char hashes[BATCH][SHA256_BYTES];
    struct waiting waiting = { 0 };

    for (size_t i = 0; i < count; i++) {
        assay__v1__compute_request__item__init(&items[i]);
        sha256(slice_str(payments[i]->id), hashes[i]);
        items[i].transaction = payments[i];
        items[i].body_hash = (ProtobufCBinaryData){ SHA256_BYTES, hashes[i] };
        pointers[i] = &items[i];
    }
    request.items = pointers;
    request.n_items = count;
    grpc_call(w.channel, &assay__v1__features__descriptor, "Compute", &request.base,
              clock_mono_us() + 20 * SECOND_US, &w.scratch, on_reply, &waiting);
    while (!waiting.is_done)
        loop_turn(w.loop, true);
    cr_assert_eq(waiting.err, ERR_OK, "no payment waits for a new plan: %s", why.text);
    cr_assert_eq(waiting.reply->plan.len, SHA256_BYTES);
    memcpy(w.plan, waiting.reply->plan.data, SHA256_BYTES);
    return waiting.reply;
}

static void pay(size_t count)
{
    Assay__V1__Transaction *payments[BATCH];

    for (size_t sent = 0; sent < count; sent += BATCH) {
        for (size_t i = 0; i < BATCH; i++)
            payments[i] = next_payment();
        compute(payments, BATCH);
        arena_reset(&w.scratch);
    }
}

/* ---- rule sets ---- */

static struct ruleset_change by(const char *actor)
{
    return (struct ruleset_change){ .actor = slice_str(actor), .expected = RULESET_ANY };
}

static int64_t draft(const char *const *calls, size_t count, bool prepares)
{
    struct ruleset_change change = by("ann");
    int64_t version = 0;
    struct draft d;
    struct buf json;

    buf_init(&json, 0);
    buf_add_str(&json, "{\"rules\": [");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&json, "%s{\"id\": \"r%zu\", \"action\": \"review\", \"when\": \"", i ? ", " : "", i);
        for (const char *c = calls[i]; *c; c++)
            buf_printf(&json, *c == '"' ? "\\%c" : "%c", *c);
        buf_add_str(&json, " > 3\"}");
    }
    buf_add_str(&json, "]}");
    change.prepares = prepares;
    MUST(draft_open(&d, buf_slice(&json), &why));
    MUST(ruleset_draft(w.pg, &d, 0, SLICE(""), &change, &version, &why));
    draft_release(&d);
    buf_release(&json);
    return version;
}

static size_t lacking(int64_t version)
{
    struct ruleset_lacking lacks;
    struct arena arena = { 0 };

    MUST(ruleset_lacks(w.pg, version, &arena, &lacks, &why));
    arena_release(&arena);
    return lacks.count;
}

/* Payments go on until the served plan has it all. */
static void send_until_served(int64_t version)
{
    int64_t began_us = clock_mono_us();

    while (lacking(version)) {
        cr_assert_lt(clock_mono_us() - began_us, patience_us, "the velocities were never served");
        pay(BATCH);
    }
}

static struct plan *served_plan(void)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct plan *plan;

    pg_add_bytes(&p, slice_of(w.plan, SHA256_BYTES));
    MUST(pg_exec(w.pg, "SELECT definition FROM plans WHERE plan = $1::bytea", &p, &r, &why));
    cr_assert_eq(pg_rows(r), 1);
    MUST(plan_parse(&plan, pg_get_text(r, 0, 0), &why));
    pg_result_free(r);
    pg_params_release(&p);
    return plan;
}

/* ---- brute force ---- */

/* The log's payments as rows, as they were sent and in its order. */
static void unpack_log(void)
{
    struct pg_params p = { 0 };
    struct pg_array *n = pg_add_array(&p, PG_INT8), *at = pg_add_array(&p, PG_INT8),
                    *amount = pg_add_array(&p, PG_INT8), *card = pg_add_array(&p, PG_TEXT),
                    *merchant = pg_add_array(&p, PG_TEXT), *channel = pg_add_array(&p, PG_TEXT);
    struct arena arena = { 0 };
    struct pg_result *r = NULL;

    MUST(pg_exec(w.pg, "SELECT n, body FROM log WHERE kind = 1 ORDER BY n", NULL, &r, &why));
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct slice body = pg_get_bytes(r, i, 1);
        Assay__V1__Transaction *t = assay__v1__transaction__unpack(NULL, body.len, (const uint8_t *)body.ptr);

        cr_assert_not_null(t);
        pg_array_i64(n, pg_get_int(r, i, 0));
        pg_array_i64(at, t->occurred_at_us);
        pg_array_i64(amount, t->amount_base_minor);
        pg_array_text(card, slice_str(t->card_id));
        pg_array_text(merchant, slice_str(t->merchant_id));
        pg_array_text(channel, slice_str(t->channel));
        assay__v1__transaction__free_unpacked(t, NULL);
    }
    pg_result_free(r);
    MUST(pg_exec(w.pg,
                 "CREATE TEMP TABLE paid AS SELECT n, at, amount, card, nullif(merchant, '') AS merchant, "
                 "nullif(channel, '') AS channel FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], "
                 "$5::text[], $6::text[]) AS u (n, at, amount, card, merchant, channel)",
                 &p, NULL, &why));
    MUST(pg_exec_script(w.pg, "CREATE INDEX ON paid (card); CREATE UNIQUE INDEX ON paid (n); ANALYZE paid",
                        &why));
    pg_params_release(&p);
    arena_release(&arena);
}

#define MINUTES "60000000"
#define HOURS   "3600000000"
#define DAYS    "86400000000"
/* Both ends to the microsecond. */
#define EXACTLY(window) " AND o.at > p.at - " window " AND o.at <= p.at"
/* By the tiles that the ends lie in: never too short, and too long by less than a hop. */
#define TILES(window, hop)                                                                                   \
    " AND o.at / " hop " >= (p.at - " window ") / " hop " AND o.at / " hop " <= p.at / " hop
#define OF(what, rest) "(SELECT " what " FROM paid o WHERE o.card = p.card AND o.n < p.n" rest ")::float8"

/* What a rule says, and what it means by the documentation, of payment p. */
static const struct {
    const char *call, *sql;
} velocities[] = {
    { "count(card, \"10m\")", OF("count(*)", EXACTLY("10 * " MINUTES)) },
    { "count(card, \"24h\")", OF("count(*)", TILES("24 * " HOURS, HOURS)) },
    { "count(card, \"24h\", \"exact\")", OF("count(*)", EXACTLY("24 * " HOURS)) },
    { "count(card, \"2h\", tx.channel == 'web')",
      OF("count(*)", TILES("2 * " HOURS, "(5 * " MINUTES ")") " AND o.channel = 'web'") },
    { "count(card, \"1h\", \"including\")", "1 + " OF("count(*)", EXACTLY(HOURS)) },
    { "count(card, \"30d\", tx.amount > 5000)",
      OF("count(*)", TILES("30 * " DAYS, DAYS) " AND o.amount > 5000") },
    { "sum(amount, card, \"24h\")", OF("coalesce(sum(o.amount), 0)", TILES("24 * " HOURS, HOURS)) },
    { "mean(amount, card, \"30d\")",
      OF("sum(o.amount)::float8 / count(*)", TILES("30 * " DAYS, DAYS) " HAVING count(*) > 0") },
    { "min(amount, card, \"7d\", \"exact\")", OF("min(o.amount)", EXACTLY("7 * " DAYS)) },
    { "max(amount, card, \"2h\")", OF("max(o.amount)", TILES("2 * " HOURS, "(5 * " MINUTES ")")) },
    { "distinct(merchant, card, \"7d\")", OF("count(DISTINCT o.merchant)", TILES("7 * " DAYS, HOURS)) },
    { "since_last(card)", OF("(p.at - max(o.at)) / 1e6", "") },
    { "first_seen(card)", OF("(p.at - min(o.at)) / 1e6", "") },
    { "count([card, merchant], \"30d\")",
      "CASE WHEN p.merchant IS NOT NULL THEN " OF(
          "count(*)", TILES("30 * " DAYS, DAYS) " AND o.merchant = p.merchant") " END" },
};

static const char *calls[ARRAY_LEN(velocities)];

/* Where each velocity lies in the vectors. */
static void find_columns(const struct plan *plan, int64_t version, size_t column[ARRAY_LEN(velocities)])
{
    struct pg_result *r = NULL;
    char sql[96];
    struct draft d;

    snprintf(sql, sizeof sql, "SELECT body::text FROM rulesets WHERE version = %lld", (long long)version);
    MUST(pg_exec(w.pg, sql, NULL, &r, &why));
    MUST(draft_open(&d, pg_get_text(r, 0, 0), &why));
    cr_assert_eq(velocities_count(policy_velocities(d.policy)), ARRAY_LEN(velocities));
    for (size_t i = 0; i < ARRAY_LEN(velocities); i++) {
        column[i] = plan_find(plan, velocities_at(policy_velocities(d.policy), i)->hash);
        cr_assert_neq(column[i], PLAN_NO_COLUMN, "%s", velocities[i].call);
    }
    draft_release(&d);
    pg_result_free(r);
}

/* The second of two payments of each card, with the vector that features gave for it. */
struct probe {
    uint64_t n;
    float vector[COLUMNS_MAX];
};

static void probe_all(struct probe *probes, size_t columns)
{
    for (unsigned card = 0; card < w.card_count; card += BATCH) {
        Assay__V1__Transaction *payments[BATCH];
        const Assay__V1__ComputeResponse *reply;
        size_t count = w.card_count - card < BATCH ? w.card_count - card : BATCH;

        for (size_t i = 0; i < count; i++)
            payments[i] = payment_of(card + (unsigned)i);
        compute(payments, count); /* so that the shortest window has something too */
        for (size_t i = 0; i < count; i++)
            payments[i] = payment_of(card + (unsigned)i);
        reply = compute(payments, count);
        for (size_t i = 0; i < count; i++) {
            cr_assert_eq(reply->items[i]->vector.len, columns * sizeof(float));
            probes[card + i].n = reply->items[i]->n;
            memcpy(probes[card + i].vector, reply->items[i]->vector.data, columns * sizeof(float));
        }
        arena_reset(&w.scratch);
    }
}

/* Every value, of every card, to the bit. Returns how many were not empty. */
static size_t compare(const struct probe *probes, size_t velocity, size_t column)
{
    struct pg_params p = { 0 };
    struct pg_array *n = pg_add_array(&p, PG_INT8);
    struct pg_result *r = NULL;
    size_t filled = 0;
    struct buf sql;

    for (unsigned i = 0; i < w.card_count; i++)
        pg_array_i64(n, (int64_t)probes[i].n);
    buf_init(&sql, 0);
    buf_printf(
        &sql,
        "SELECT (%s)::float8 FROM unnest($1::int8[]) WITH ORDINALITY AS i (n, place) JOIN paid p USING "
        "(n) ORDER BY place",
        velocities[velocity].sql);
    MUST(pg_exec(w.pg, buf_str(&sql), &p, &r, &why));
    cr_assert_eq(pg_rows(r), w.card_count);
    for (unsigned i = 0; i < w.card_count; i++) {
        float wanted = pg_is_null(r, i, 0) ? NAN : (float)pg_get_float(r, i, 0),
              got = probes[i].vector[column];

        cr_assert((isnan(wanted) && isnan(got)) || wanted == got, "%s of card %u: %g, and by brute force %g",
                  velocities[velocity].call, i, (double)got, (double)wanted);
        filled += !isnan(wanted) && wanted != 0;
    }
    buf_release(&sql);
    pg_result_free(r);
    pg_params_release(&p);
    return filled;
}

static void store_decisions(const struct probe *probes, size_t columns)
{
    struct pg_params p = { 0 };
    struct pg_array *ns = pg_add_array(&p, PG_INT8), *vectors = pg_add_array(&p, PG_BYTEA);

    for (unsigned i = 0; i < w.card_count; i++) {
        pg_array_i64(ns, (int64_t)probes[i].n);
        pg_array_bytes(vectors, slice_of((const char *)probes[i].vector, columns * sizeof(float)));
    }
    pg_add_bytes(&p, slice_of(w.plan, SHA256_BYTES));
    MUST(
        pg_exec(w.pg,
                "INSERT INTO decisions SELECT account, id, known_at, now(), n, 0, NULL, NULL, 1, '', '', '', "
                "$3::bytea, v.vector, 0, '' FROM unnest($1::int8[], $2::bytea[]) AS v (n, vector) "
                "JOIN transaction_ids USING (n)",
                &p, NULL, &why));
    pg_params_release(&p);
}

static int run_verify(void)
{
    char command[1024], self[512] = "";

    cr_assert_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(command, sizeof command, "ASSAY_PG_URL=\"%s\" %.*s/bin/assay verify >/dev/null 2>&1", w.conninfo,
             (int)(strrchr(self, '/') - self), self);
    return WEXITSTATUS(system(command));
}

Test(velocities, of_a_rule_that_was_saved_while_payments_came_are_those_of_the_whole_history)
{
    size_t column[ARRAY_LEN(velocities)], columns, filled = 0;
    struct ruleset_change bob = by("bob");
    struct probe *probes;
    struct plan *plan;
    int64_t version;

    open_world("ASSAY_FEATURES_RULES_KEPT=7d");
    for (size_t i = 0; i < ARRAY_LEN(velocities); i++)
        calls[i] = velocities[i].call;
    pay(8 * w.card_count);
    version = draft(calls, ARRAY_LEN(calls), false);
    pay(2 * w.card_count);
    cr_expect_eq(lacking(version), ARRAY_LEN(velocities) - 1,
                 "the catalogue has one, and a draft asks for nothing yet");
    cr_assert_eq(ruleset_publish(w.pg, version, &bob, &why), ERR_CONFLICT);
    cr_expect(strstr(why.text, "more are not computed yet: prepare version"), "%s", why.text);
    MUST(ruleset_prepare(w.pg, version, &bob, &why));
    send_until_served(version);
    pay(BATCH);
    plan = served_plan();
    columns = plan_columns(plan);
    cr_assert_leq(columns, COLUMNS_MAX);
    cr_expect_eq(columns, ARRAY_LEN(velocities), "count(card, \"24h\") is the catalogue's own");
    find_columns(plan, version, column);
    cr_expect(slice_eq_str(plan_column(plan, column[1])->name, "card_count_24h"));
    MUST(ruleset_publish(w.pg, version, &bob, &why));

    probes = calloc(w.card_count, sizeof *probes);
    probe_all(probes, columns);
    unpack_log();
    for (size_t i = 0; i < ARRAY_LEN(velocities); i++) {
        size_t with_value = compare(probes, i, column[i]);

        cr_expect_gt(with_value, 0, "%s is empty for every card", velocities[i].call);
        filled += with_value;
    }
    cr_log_info("%u cards, %lld payments: %zu values that are not 0", w.card_count,
                (long long)number("SELECT count(*) FROM paid"), filled);
    store_decisions(probes, columns);
    cr_expect_eq(run_verify(), 0, "the log alone gives every vector again");
    free(probes);
    plan_free(plan);
    close_world();
}

Test(velocities, are_the_same_after_a_restart_and_from_a_snapshot)
{
    static const char *const asked[] = { "sum(amount, card, \"30d\")" };
    const Assay__V1__ComputeResponse *reply;
    Assay__V1__Transaction *payment[1];
    int64_t version;
    float value;

    open_world("ASSAY_FEATURES_RULES_KEPT=7d");
    pay(2500);
    version = draft(asked, 1, true);
    send_until_served(version);
    stop_features();
    start_features("ASSAY_FEATURES_RULES_KEPT=7d");
    cr_expect_eq(number("SELECT count(*) FROM log WHERE kind = 3"), 2,
                 "the plan is still the one that was logged");
    payment[0] = payment_of(7);
    reply = compute(payment, 1);
    cr_assert_eq(reply->items[0]->vector.len, 2 * sizeof(float));
    memcpy(&value, reply->items[0]->vector.data + sizeof(float), sizeof value);
    unpack_log();
    {
        char sql[400];

        snprintf(sql, sizeof sql,
                 "SELECT " OF("coalesce(sum(o.amount), 0)",
                              TILES("30 * " DAYS, DAYS)) "::int8 FROM paid p WHERE n = %llu",
                 (unsigned long long)reply->items[0]->n);
        cr_expect_eq((float)number(sql), value);
    }
    close_world();
}

Test(velocities, leave_the_plan_when_no_rule_set_asks_for_them_any_more)
{
    static const char *const first[] = { "count(card, \"3h\")", "count(card, \"4h\")" };
    static const char *const second[] = { "count(card, \"4h\")" };
    struct ruleset_change bob = by("bob");
    int64_t one, two, began_us;
    struct plan *plan;

    open_world("ASSAY_FEATURES_RULES_KEPT=0");
    pay(BATCH);
    one = draft(first, 2, false);
    bob.allows_unknown = true; /* in force before they are there: without a value until then */
    MUST(ruleset_publish(w.pg, one, &bob, &why));
    send_until_served(one);
    two = draft(second, 1, false);
    bob.allows_unknown = false;
    MUST(ruleset_publish(w.pg, two, &bob, &why));
    began_us = clock_mono_us();
    while (lacking(one) == 0) {
        cr_assert_lt(clock_mono_us() - began_us, patience_us, "it never left");
        pay(BATCH);
    }
    pay(BATCH);
    plan = served_plan();
    cr_expect_eq(lacking(one), 1);
    cr_expect_eq(lacking(two), 0);
    cr_expect_eq(plan_columns(plan), 2);
    plan_free(plan);
    close_world();
}
