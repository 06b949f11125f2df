/* SPDX-License-Identifier: Apache-2.0
 * retrainer_ab_test.c - a candidate beside its champion, from the shadow to the watch after its promotion: the real
 * retrainer over real PostgreSQL, in a small world whose days the test makes.
 *
 * What scoring, ingestion and shadow would have written is written as they write it; what the retrainer finds in
 * it is held against sums that are made here from the world itself. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "bundle/signature.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "lifecycle/arm.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "stats/interval.h"
#include "stats/sequential.h"
#include "unit/bundle/samples.h"

enum { CUSTOMERS = 400, PAYMENTS_A_DAY = 500, TOLD_MOST = 2 };

#define WORLD_START (INT64_C(1577836800) * SECOND_US) /* 2020-01-01 */

#define DECLINE_COST 0.5
#define REVIEW_MINOR 200

/* What somebody said of a payment. */
struct told {
    enum label_source source;
    int64_t at_us, known_at_us;
    bool is_fraud;
};

struct payment {
    int64_t at_us, amount_minor;
    uint64_t customer;
    int64_t version; /* that decided; 0: none did */
    double score;
    enum action by_score, action;
    double p_allow;
    struct told told[TOLD_MOST];
    size_t told_count;
    bool has_shadow; /* the candidate has scored it too */
    bool is_slow;
    bool is_told; /* the record says who decided, and what the score said by the thresholds of the account */
    bool is_by_list; /* else the score alone, or nobody */
};

/* How the models of both roles do. */
struct world {
    double caught[ARM_COUNT]; /* share of frauds that are declined */
    double wrong[ARM_COUNT];  /* share of good payments that are */
    double slice;             /* of declines that are let through */
    double slow[ARM_COUNT]; /* share of answers that take 120 ms, in four parts of 30 each; others take 20 */
};

static const struct world better = { { 0.3, 0.9 }, { 0.1, 0.01 }, 0.5, { 0, 0 } };
static const struct world worse = { { 0.9, 0.3 }, { 0.01, 0.1 }, 0.5, { 0, 0 } };

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process retrainer;
    struct world world;
    struct random random;
    struct arena arena;
    struct payment *payments;
    size_t count, cap;
    int64_t day, now_us;
    uint64_t n;
    int64_t champion, candidate; /* versions, by their first roles */
    char key[64], pg_url[512];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

#define sql(text)     database_run(w.pg, text)
#define sql_int(text) database_int(w.pg, text)

/* The arena's; empty when there is no row. */
static const char *sql_text(const char *text)
{
    return arena_printf(&w.arena, "%s", database_text(w.pg, text)).ptr;
}

/* ---- models ---- */

static int64_t register_model(uint32_t seed)
{
    struct bundle_sample sample;
    struct buf bytes;
    int64_t version;

    bundle_sample_init(&sample, seed);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &version, NULL, &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
    return version;
}

/* A champion of long ago, and a candidate that has passed its gates. */
static void make_models(void)
{
    const struct model_change how = { .actor = SLICE("test"), .now_us = WORLD_START - 30 * DAY_US };

    w.champion = register_model(5);
    w.candidate = register_model(6);
    MUST(model_promote(w.pg, w.champion, MODEL_NONE, &how, &w.why));
    MUST(model_move(w.pg, w.candidate, MODEL_REGISTERED, MODEL_VALIDATED, &how, &w.why));
    sql(arena_printf(
            &w.arena,
            "INSERT INTO training_runs (name, cause, requested_by, state, version) VALUES ('sample', "
            "'request', 'test', 'succeeded', %lld)",
            (long long)w.candidate)
            .ptr);
}

/* ---- days ---- */

/* Thresholds of the sample are 0.3 for review and 0.8 to decline. */
static double score_for(enum action action)
{
    double u = random_unit(&w.random);

    return action == ACTION_DECLINE  ? 0.8 + 0.19 * u
           : action == ACTION_REVIEW ? 0.3 + 0.49 * u
                                     : 0.01 + 0.28 * u;
}

static void tell(struct payment *p, enum label_source source, double hours, bool is_fraud)
{
    int64_t at_us = p->at_us + (int64_t)(hours * (double)HOUR_US);

    p->told[p->told_count++] = (struct told){ source, at_us, at_us + HOUR_US, is_fraud };
}

/* Who is defrauded says so soon, late, or not at all; who is mistaken is put right by a stronger voice. */
static void tell_of(struct payment *p, bool is_fraud)
{
    double u = random_unit(&w.random);

    if (p->action == ACTION_DECLINE)
        return;
    if (is_fraud && u < 0.8)
        tell(p, u < 0.2 ? LABEL_CUSTOMER : LABEL_CHARGEBACK, 6, true);
    else if (is_fraud && u < 0.9)
        tell(p, LABEL_CHARGEBACK, 100, true); /* later than a day is matured */
    else if (is_fraud || u >= 0.04)
        return;
    else if (u < 0.02)
        tell(p, LABEL_ISSUER, 4, false), tell(p, LABEL_CUSTOMER, 8, true); /* the older, stronger one holds */
    else
        tell(p, LABEL_CUSTOMER, 4, true), tell(p, LABEL_CUSTOMER, 8, false); /* the newer one holds */
}

static void decide(struct payment *p, double u)
{
    p->action = p->by_score;
    p->is_by_list = u >= 0.01 && u < (p->by_score == ACTION_DECLINE   ? 0.04
                                      : p->by_score == ACTION_APPROVE ? 0.02
                                                                      : 0);
    if (u < 0.01) { /* without a model */
        p->version = 0;
        p->score = (double)NAN;
        p->action = ACTION_APPROVE;
    } else if (p->is_by_list && p->by_score == ACTION_APPROVE) {
        p->action = ACTION_DECLINE;
        p->p_allow = 0;
    } else if (p->is_by_list) {
        p->action = ACTION_APPROVE;
    } else if (p->by_score == ACTION_DECLINE) { /* by score: the slice may draw it */
        p->p_allow = w.world.slice;
        if (random_unit(&w.random) < w.world.slice)
            p->action = ACTION_APPROVE;
    }
}

static enum action model_says(enum arm role, bool is_fraud, double luck)
{
    double decline = is_fraud ? w.world.caught[role] : w.world.wrong[role];

    return luck < decline ? ACTION_DECLINE : luck > 0.97 ? ACTION_REVIEW : ACTION_APPROVE;
}

/* Rows of one statement each. */
struct inserts {
    struct buf log, decisions, labels, shadows;
};

/* One more row is begun. */
static struct buf *row_of(struct buf *statement, const char *table)
{
    if (statement->len)
        buf_add_char(statement, ',');
    else
        buf_printf(statement, "INSERT INTO %s VALUES ", table);
    return statement;
}

/* As ingestion stores it, in hexadecimal digits; the arena's. */
static const char *record_of(const struct payment *p)
{
    uint32_t part_us = p->is_slow ? 30000 : 5000; /* none of them is slow by itself */
    Assay__V1__DecisionRecord record = ASSAY__V1__DECISION_RECORD__INIT;
    unsigned char bytes[64];
    char *hex = arena_new(&w.arena, char, 2 * sizeof bytes + 1);

    if (p->is_told) {
        record.decided_by = p->is_by_list ? ASSAY__V1__DECIDED_BY__BY_LIST
                            : p->version  ? ASSAY__V1__DECIDED_BY__BY_THRESHOLD
                                          : ASSAY__V1__DECIDED_BY__BY_MISSING;
        record.score_action = (Assay__V1__Action)p->by_score;
    }
    record.queue_us = record.features_us = record.scoring_us = record.rules_us = part_us;
    cr_assert_leq(assay__v1__decision_record__get_packed_size(&record), sizeof bytes);
    hex_encode(bytes, assay__v1__decision_record__pack(&record, bytes), hex);
    return hex;
}

static void write_payment(struct inserts *into, const struct payment *p, size_t number, bool has_shadow,
                          double shadow_score, enum action shadow_action)
{
    char at[RFC3339_SIZE], version[24] = "", score[32] = "NULL";
    const char *customer = arena_printf(&w.arena, "c-%llu", (unsigned long long)p->customer).ptr;
    struct txn txn = { .account = 1,
                       .id = arena_printf(&w.arena, "t-%zu", number),
                       .occurred_at_us = p->at_us,
                       .known_at_us = p->at_us,
                       .amount_minor = p->amount_minor,
                       .currency = SLICE("EUR"),
                       .amount_base_minor = p->amount_minor,
                       .text = { [TXN_customer_id] = slice_str(customer) } };
    struct slice body = txn_pack(&txn, &w.arena);
    char *hex = arena_new(&w.arena, char, 2 * body.len + 1);

    hex_encode((const unsigned char *)body.ptr, body.len, hex);
    rfc3339_format(p->at_us, at);
    if (p->version) {
        snprintf(version, sizeof version, "%lld", (long long)p->version);
        snprintf(score, sizeof score, "%.17g", p->score);
    }
    buf_printf(row_of(&into->log, "log (n, epoch, kind, account, known_at, body)"),
               "(%llu, 1, 1, 1, '%s', '\\x%s')", (unsigned long long)++w.n, at, hex);
    buf_printf(row_of(&into->decisions,
                      "decisions (account, transaction_id, known_at, decided_at, n, action, score, p_allow, "
                      "model_version, ruleset_version, arm, plan, vector, amount_base_minor, record)"),
               "(1, 't-%zu', '%s', '%s', %llu, %d, %s, %.17g, '%s', '', '%s', '', '', %lld, '\\x%s')", number,
               at, at, (unsigned long long)w.n, (int)p->action, score, p->p_allow, version,
               arm_name(p->version == w.candidate ? ARM_CANDIDATE : ARM_CHAMPION), (long long)p->amount_minor,
               record_of(p));
    if (has_shadow)
        buf_printf(
            row_of(&into->shadows,
                   "shadow_scores (version, account, transaction_id, known_at, margin, score, action)"),
            "(%lld, 1, 't-%zu', '%s', 0, %.17g, %d)", (long long)w.candidate, number, at, shadow_score,
            (int)shadow_action);
    for (size_t i = 0; i < p->told_count; i++) {
        char said[RFC3339_SIZE], known[RFC3339_SIZE];

        rfc3339_format(p->told[i].at_us, said);
        rfc3339_format(p->told[i].known_at_us, known);
        buf_printf(row_of(&into->labels,
                          "labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n)"),
                   "(1, 't-%zu', %d, '%s', %s, '%s', %llu)", number, (int)p->told[i].source, said,
                   p->told[i].is_fraud ? "true" : "false", known, (unsigned long long)(w.n * 10 + i));
    }
}

static void flush(struct buf *statement)
{
    if (statement->len) {
        buf_add_char(statement, '\0');
        sql(buf_slice(statement).ptr);
    }
    buf_release(statement);
}

/* What is so when a day begins. */
struct roles {
    int64_t champion, salt;
    double share; /* of customers that the candidate decides for */
    bool has_shadow;
};

static struct roles read_roles(void)
{
    struct roles roles = { .champion = sql_int("SELECT version FROM aliases WHERE alias = 'champion'") };

    if (sql_int("SELECT count(*) FROM aliases WHERE alias = 'challenger'")) {
        roles.share = strtod(sql_text("SELECT share::text FROM experiments WHERE stage = 'ab'"), NULL);
        roles.salt = sql_int("SELECT salt FROM experiments WHERE stage = 'ab'");
    }
    roles.has_shadow = sql_int("SELECT count(*) FROM aliases WHERE alias = 'shadow'") > 0;
    return roles;
}

static void live_payment(struct inserts *into, const struct roles *roles, int64_t at_us)
{
    bool is_fraud = random_unit(&w.random) < 0.12;
    double luck = random_unit(&w.random), fate = random_unit(&w.random);
    struct payment p = { .at_us = at_us,
                         .amount_minor = 2000 + (int64_t)random_below(&w.random, is_fraud ? 16000 : 6000),
                         .customer = random_below(&w.random, CUSTOMERS),
                         .p_allow = 1 };
    enum action shadow_says = model_says(ARM_CANDIDATE, is_fraud, luck);
    bool is_candidates = arm_of(p.customer, roles->salt, roles->share) == ARM_CANDIDATE;

    p.version = is_candidates ? w.candidate : roles->champion;
    p.by_score = model_says(p.version == w.candidate ? ARM_CANDIDATE : ARM_CHAMPION, is_fraud, luck);
    p.score = score_for(p.by_score);
    p.is_told = random_unit(&w.random) < 0.5;
    if (p.is_told && p.by_score == ACTION_DECLINE && random_unit(&w.random) < 0.3)
        p.score = 0.6; /* the account declines from there on, whatever the model's threshold is */
    p.has_shadow = roles->has_shadow;
    p.is_slow =
        random_unit(&w.random) < w.world.slow[p.version == w.candidate ? ARM_CANDIDATE : ARM_CHAMPION];
    decide(&p, fate);
    tell_of(&p, is_fraud);
    ARRAY_RESERVE_ONE(w.payments, w.count, w.cap);
    w.payments[w.count] = p;
    write_payment(into, &p, w.count++, roles->has_shadow, score_for(shadow_says), shadow_says);
}

static double metric(const char *name)
{
    struct http_said said = http_ask(w.retrainer.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    char *line = said.body ? strstr(said.body, arena_printf(&w.arena, "\n%s ", name).ptr) : NULL;
    double value = line ? strtod(line + strlen(name) + 2, NULL) : (double)NAN;

    http_said_free(&said);
    return value;
}

/* Until it has done all there was to do at this time. */
static void settle(void)
{
    char question[256];

    snprintf(question, sizeof question,
             "SELECT count(*) FROM experiments WHERE state = 'running' AND (progress->>'look_at_us')::int8 "
             "<= %lld",
             (long long)w.now_us);
    for (int i = 0;
         i < 3000 && fabs(metric("assay_retrainer_clock_timestamp_seconds") - (double)w.now_us / 1e6) > 0.5;
         i++)
        usleep(10000);
    cr_assert_float_eq(metric("assay_retrainer_clock_timestamp_seconds"), (double)w.now_us / 1e6, 0.5);
    for (int i = 0; i < 3000 && sql_int(question); i++)
        usleep(10000);
    cr_assert_eq(sql_int(question), 0, "the look is taken");
}

/* A whole day becomes known at once; its last payment is a second before midnight. */
static void live_a_day(void)
{
    struct inserts into = { 0 };
    struct roles roles = read_roles();

    buf_init(&into.log, 0);
    buf_init(&into.decisions, 0);
    buf_init(&into.labels, 0);
    buf_init(&into.shadows, 0);
    for (int64_t i = 0; i < PAYMENTS_A_DAY; i++) {
        w.now_us = WORLD_START + w.day * DAY_US + (i + 1) * (DAY_US / PAYMENTS_A_DAY) - SECOND_US;
        live_payment(&into, &roles, w.now_us);
    }
    w.day++;
    sql("BEGIN; SET LOCAL synchronous_commit = off");
    flush(&into.log);
    flush(&into.decisions);
    flush(&into.labels);
    flush(&into.shadows);
    sql("COMMIT");
    if (w.retrainer.pid)
        settle();
}

/* ---- the retrainer ---- */

#define STAGES                                                                                               \
    "\"label_delay_days\":1,\"shadow_days\":2,\"shadow_rows\":500,\"shadow_frauds\":20,"                     \
    "\"shadow_flips\":1,\"shadow_psi\":100"

static void start(const char *more)
{
    char stages[512];

    snprintf(stages, sizeof stages, "ASSAY_RETRAINER_STAGES={" STAGES "%s}", more);
    process_start(&w.retrainer, "retrainer",
                  (const char *const[]){ w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                                         "ASSAY_RETRAINER_THREADS=1", stages, NULL });
}

#define NO_SHADOW ",\"shadow\":false"

static void setup(void)
{
    memset(&w, 0, sizeof w);
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    w.random = (struct random){ 17 };
    sql("INSERT INTO accounts (name, clock) VALUES ('world', 'simulated')");
    database_key(w.pg, 1, "admin", w.key);
    make_models();
}

static void teardown(void)
{
    if (w.retrainer.pid)
        cr_expect_eq(process_stop(&w.retrainer), 0, "it ends gracefully");
    mem_free(w.payments);
    arena_release(&w.arena);
    pg_session_close(w.pg);
}

TestSuite(retrainer_ab, .init = setup, .fini = teardown, .timeout = 300);

static const char *state_of(int64_t version)
{
    return sql_text(
        arena_printf(&w.arena, "SELECT state FROM models WHERE version = %lld", (long long)version).ptr);
}

static const char *experiment_state(const char *stage)
{
    return sql_text(arena_printf(&w.arena, "SELECT state FROM experiments WHERE stage = '%s'", stage).ptr);
}

/* Lives until the experiment has ended, `most` days at most; every second night the retrainer is killed when
 * `kills`. */
static void live_through_experiment(int most, bool kills, const char *more)
{
    for (int i = 0; i < most && strcmp(experiment_state("ab"), "running") == 0; i++) {
        if (kills && i % 2) {
            process_kill(&w.retrainer);
            start(more);
        }
        live_a_day();
    }
}

/* A world of a week, then a candidate that is tried. */
static void begin(struct world world, const char *more)
{
    w.world = world;
    for (int i = 0; i < 7; i++)
        live_a_day();
    start(more);
    settle();
}

/* ---- what was found, by hand ---- */

/* What holds of a payment for those who know what was known before `now_us`. */
static bool is_fraud_at(const struct payment *p, int64_t now_us)
{
    const struct told *best = NULL;

    for (size_t i = 0; i < p->told_count; i++) {
        const struct told *t = &p->told[i];

        if (t->known_at_us < now_us &&
            (!best || t->source > best->source || (t->source == best->source && t->at_us >= best->at_us)))
            best = t;
    }
    return best && best->is_fraud;
}

struct arm_sum {
    int64_t rows, customers, frauds, declined, control;
    double loss, fraud_loss, turned_away;
    double y[CUSTOMERS], n[CUSTOMERS]; /* each customer's loss and payments */
};

static void sum_payment(struct arm_sum *s, const struct payment *p, bool is_fraud)
{
    bool is_declined = p->by_score == ACTION_DECLINE, is_seen = p->action != ACTION_DECLINE;
    double weight = is_declined && is_seen ? 1 / p->p_allow : 1, loss = 0;

    s->rows++;
    s->declined += is_declined;
    s->control += is_declined && is_seen;
    s->frauds += is_fraud;
    if (p->by_score == ACTION_APPROVE && is_fraud)
        loss = (double)p->amount_minor;
    if (p->by_score == ACTION_REVIEW)
        loss = REVIEW_MINOR;
    if (is_declined && is_seen && !is_fraud)
        loss = weight * DECLINE_COST * (double)p->amount_minor;
    s->loss += loss;
    s->y[p->customer] += loss;
    s->n[p->customer]++;
    s->fraud_loss += is_fraud ? loss : 0;
    s->turned_away += is_declined && !is_fraud ? loss : 0;
}

/* Of the payments from `from_us` that a model alone decided, by `version`. */
static struct arm_sum sum_arm(int64_t version, int64_t from_us, int64_t until_us, int64_t now_us)
{
    struct arm_sum s = { 0 };
    bool has_paid[CUSTOMERS] = { false };

    for (size_t i = 0; i < w.count; i++) {
        const struct payment *p = &w.payments[i];
        bool is_let_through = p->by_score == ACTION_DECLINE && p->action == ACTION_APPROVE && p->p_allow < 1;

        if (p->version != version || p->at_us < from_us || p->at_us >= until_us || p->is_by_list ||
            (p->action != p->by_score && !is_let_through))
            continue;
        sum_payment(&s, p, is_fraud_at(p, now_us));
        s.customers += !has_paid[p->customer];
        has_paid[p->customer] = true;
    }
    s.loss /= (double)s.rows;
    s.fraud_loss /= (double)s.rows;
    s.turned_away /= (double)s.rows;
    return s;
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    cr_assert(json_is_number(value), "%s", name);
    return json_number_value(value);
}

static void compare_arm(const json_t *told, const struct arm_sum *s)
{
    cr_assert_eq((int64_t)number(told, "rows"), s->rows);
    cr_assert_eq((int64_t)number(told, "customers"), s->customers);
    cr_assert_eq((int64_t)number(told, "frauds"), s->frauds);
    cr_assert_eq((int64_t)number(told, "declined"), s->declined);
    cr_assert_eq((int64_t)number(told, "control"), s->control);
    if (!s->rows) /* no day of it has matured */
        return;
    cr_assert_float_eq(number(told, "loss"), s->loss, 1e-9 * s->loss);
    cr_assert_float_eq(number(told, "fraud_loss"), s->fraud_loss, 1e-9 * s->loss);
    cr_assert_float_eq(number(told, "turned_away"), s->turned_away, 1e-9 * s->loss);
}

/* The standard error of the difference: one deviation of customers from their arm's loss (Cochran 1977, 6.4) for
 * both arms. */
static double error_of(const struct arm_sum *a, const struct arm_sum *b)
{
    double squares = 0, customers = (double)(a->customers + b->customers);

    for (size_t i = 0; i < CUSTOMERS; i++)
        squares += pow(a->y[i] - a->loss * a->n[i], 2) + pow(b->y[i] - b->loss * b->n[i], 2);
    return sqrt(
        squares / (customers - 2) *
        ((double)a->customers / pow((double)a->rows, 2) + (double)b->customers / pow((double)b->rows, 2)));
}

/* Every look of the experiment against the world; their number. */
static size_t check_looks(void)
{
    struct pg_result *r = NULL;
    int64_t from_us = INT64_MAX;
    size_t count;

    MUST(pg_exec(
        w.pg,
        "SELECT v.evidence::text, v.at, e.started_at FROM verdicts v JOIN experiments e USING (experiment) "
        "WHERE v.gate = 'net_loss' ORDER BY v.verdict",
        NULL, &r, &w.why));
    count = pg_rows(r);
    for (size_t i = 0; i < count; i++) {
        json_t *told = json_loadb(pg_get_text(r, i, 0).ptr, pg_get_text(r, i, 0).len, 0, NULL);
        int64_t at_us = pg_get_time_us(r, i, 1), until_us = (at_us - DAY_US) / DAY_US * DAY_US;
        struct arm_sum champion, candidate;

        from_us = pg_get_time_us(r, i, 2);
        champion = sum_arm(w.champion, from_us, until_us, at_us);
        candidate = sum_arm(w.candidate, from_us, until_us, at_us);
        cr_assert_gt(champion.rows, 0);
        compare_arm(json_object_get(told, "champion"), &champion);
        compare_arm(json_object_get(told, "challenger"), &candidate);
        if (candidate.rows > 1 && champion.rows > 1) {
            double difference = champion.loss - candidate.loss, error = error_of(&champion, &candidate);

            cr_assert_float_eq(number(told, "difference"), difference, 1e-9 * champion.loss);
            cr_assert_float_eq(number(told, "error"), error, 1e-6 * error);
            cr_assert_float_eq(number(told, "z_fail"), -difference / error, 1e-6);
        }
        json_decref(told);
    }
    pg_result_free(r);
    return count;
}

/* What the looks have spent is what one test that was never interrupted spends. */
static size_t check_spending(void)
{
    const struct sequential_design design = { .spending = SPENDING_OBRIEN_FLEMING,
                                              .sides = 1,
                                              .alpha = 0.05 };
    json_t *progress =
        json_loads(sql_text("SELECT (progress->'looks')::text FROM experiments WHERE stage = 'ab'"), 0, NULL);
    json_t *looks = json_object_get(progress, "looks");
    bool has_ended = json_is_true(json_object_get(progress, "is_ended"));
    struct sequential_test test;
    size_t count = json_array_size(looks);

    MUST(sequential_init(&test, &design, number(progress, "planned_rows"), &w.why));
    for (size_t i = 0; i < count; i++) {
        const json_t *look = json_array_get(looks, i), *bound = json_object_get(look, "bound");

        sequential_look(&test, number(look, "rows"), number(look, "z_pass"), has_ended && i + 1 == count);
        cr_assert_eq(test.count, i + 1);
        if (json_is_null(bound))
            cr_assert(isinf(test.looks[i].bound));
        else
            cr_assert_float_eq(json_number_value(bound), test.looks[i].bound, 1e-9);
    }
    sequential_release(&test);
    json_decref(progress);
    return count;
}

static int64_t time_of(const char *question)
{
    struct pg_result *r = NULL;
    int64_t at_us;

    MUST(pg_exec(w.pg, question, NULL, &r, &w.why));
    at_us = pg_get_time_us(r, 0, 0);
    pg_result_free(r);
    return at_us;
}

/* What the shadow was judged by: labelled rows that have matured, and the frauds among them. */
static void check_shadow(void)
{
    static const char volume[] = "FROM verdicts WHERE stage = 'shadow' AND gate = 'volume'";
    json_t *told =
        json_loads(sql_text(arena_printf(&w.arena, "SELECT evidence::text %s", volume).ptr), 0, NULL);
    int64_t rows = 0, frauds = 0, at_us = time_of(arena_printf(&w.arena, "SELECT at %s", volume).ptr);

    for (size_t i = 0; i < w.count; i++) {
        const struct payment *p = &w.payments[i];

        if (!p->has_shadow || p->version != w.champion || p->at_us + DAY_US > at_us ||
            p->action == ACTION_DECLINE)
            continue;
        rows++;
        frauds += is_fraud_at(p, at_us);
    }
    cr_assert_eq((int64_t)number(told, "rows"), rows);
    cr_assert_eq((int64_t)number(told, "frauds"), frauds);
    json_decref(told);
}

/* ---- the whole way ---- */

Test(retrainer_ab, takes_a_better_candidate_through_shadow_and_experiment_to_champion)
{
    begin(better, "");
    cr_assert_str_eq(state_of(w.candidate), "shadow");
    for (int i = 0; i < 12 && strcmp(experiment_state("shadow"), "running") == 0; i++)
        live_a_day();
    cr_assert_str_eq(
        experiment_state("shadow"), "passed", "%s",
        sql_text("SELECT string_agg(concat_ws(' ', gate, outcome, reason), '; ') FROM verdicts"));
    check_shadow();
    cr_assert_str_eq(state_of(w.candidate), "ab");
    live_through_experiment(20, false, "");
    cr_assert_str_eq(experiment_state("ab"), "passed");
    settle();
    cr_assert_gt(check_looks(), 1);
    check_spending();
    cr_assert_str_eq(state_of(w.candidate), "champion");
    cr_assert_str_eq(state_of(w.champion), "retired");
    cr_assert_eq(sql_int("SELECT version FROM aliases WHERE alias = 'champion'"), w.candidate);
    cr_assert_eq(sql_int("SELECT count(*) FROM aliases WHERE alias IN ('shadow', 'challenger')"), 0);
    cr_assert_eq(sql_int("SELECT count(*) FROM verdicts WHERE gate = 'net_loss' AND outcome = 'pass'"), 1);
    cr_assert_eq(sql_int("SELECT count(*) FROM audit WHERE action = 'model.promote' AND actor = 'retrainer'"),
                 1);
}

Test(retrainer_ab, rejects_a_worse_candidate)
{
    begin(worse, NO_SHADOW ",\"guard_approval_rate_drop\":1");
    cr_assert_str_eq(state_of(w.candidate), "ab");
    live_through_experiment(20, false, "");
    cr_assert_str_eq(experiment_state("ab"), "failed");
    settle();
    cr_assert_gt(check_looks(), 0);
    check_spending();
    cr_assert_str_eq(state_of(w.candidate), "rejected");
    cr_assert_str_eq(state_of(w.champion), "champion");
    cr_assert_eq(sql_int("SELECT count(*) FROM verdicts WHERE gate = 'net_loss' AND outcome = 'fail'"), 1);
    cr_assert_eq(sql_int("SELECT count(*) FROM verdicts WHERE stage = 'guardrail'"), 0);
}

/* ---- what is not known, and what breaks ---- */

Test(retrainer_ab, waits_for_a_person_where_no_slice_says_what_declines_cost)
{
    struct world blind = better;
    struct http_said said;
    char body[64];

    blind.slice = 0;
    begin(blind, NO_SHADOW ",\"ab_days\":3");
    live_through_experiment(10, false, "");
    cr_assert_str_eq(experiment_state("ab"), "inconclusive");
    for (int i = 0; i < 2; i++)
        live_a_day();
    cr_assert_gt(check_looks(), 0);
    cr_assert_eq(check_spending(), 0, "nothing was looked at, so nothing is spent");
    cr_assert_eq(
        sql_int("SELECT count(*) FROM verdicts WHERE gate = 'net_loss' AND outcome <> 'inconclusive'"), 0);
    cr_assert_not_null(
        strstr(sql_text("SELECT reason FROM verdicts WHERE gate = 'net_loss' LIMIT 1"), "control slice"));
    cr_assert_str_eq(state_of(w.candidate), "ab");
    cr_assert_str_eq(state_of(w.champion), "champion");

    snprintf(body, sizeof body, "{\"version\":%lld,\"expected\":%lld}", (long long)w.candidate,
             (long long)w.champion);
    said = http_ask(w.retrainer.port, "POST", "/v1/models/sample:promote", w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 200, "%s", said.body);
    http_said_free(&said);
    cr_assert_str_eq(state_of(w.candidate), "champion");
}

static bool is_approved(const struct payment *p)
{
    return p->action == ACTION_APPROVE;
}

static bool is_slow(const struct payment *p)
{
    return p->is_slow;
}

Test(retrainer_ab, promotes_what_a_trusted_key_signed_and_nothing_else)
{
    static const char path[] = "/v1/models/sample:promote";
    char file_name[] = "/tmp/assay_keys_XXXXXX", setting[64], body[64];
    struct signing_key trusted;
    struct http_said said;
    struct buf text;
    FILE *file;

    signing_key_make(&trusted);
    buf_init(&text, 0);
    signing_key_format_public(&text, &trusted);
    close(mkstemp(file_name));
    file = fopen(file_name, "w");
    cr_assert(file && fputs(buf_str(&text), file) >= 0 && fclose(file) == 0);
    buf_release(&text);
    snprintf(setting, sizeof setting, "ASSAY_MODEL_KEYS=%s", file_name);
    snprintf(body, sizeof body, "{\"version\":%lld}", (long long)w.candidate);
    w.world = better;
    live_a_day();
    process_start(&w.retrainer, "retrainer",
                  (const char *const[]){ w.pg_url, "ASSAY_RETRAINER_TURN=20ms", "ASSAY_RETRAINER_CLOCK=log",
                                         setting, NULL });
    said = http_ask(w.retrainer.port, "POST", path, w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 403, "%d %s", said.status, said.body);
    http_said_free(&said);
    cr_assert_str_eq(state_of(w.champion), "champion");
    MUST(model_sign(w.pg, w.candidate, &trusted, SLICE("test"), &w.why));
    said = http_ask(w.retrainer.port, "POST", path, w.key, NULL, body, strlen(body));
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    http_said_free(&said);
    cr_assert_str_eq(state_of(w.candidate), "champion");
    cr_assert_eq(time_of("SELECT updated_at FROM aliases WHERE alias = 'champion'"), w.now_us,
                 "the watch after it begins on the log's clock");
    unlink(file_name);
}

/* The share that a guardrail was broken by, against the world: whole days from `from_us` on. */
static void check_guardrail(const char *gate, bool (*counts)(const struct payment *), int64_t reference,
                            int64_t current, int64_t reference_from_us, int64_t from_us)
{
    json_t *told =
        json_loads(sql_text(arena_printf(&w.arena,
                                         "SELECT evidence::text FROM verdicts WHERE gate = '%s' AND "
                                         "outcome = 'fail' AND version = %lld",
                                         gate, (long long)current)
                                .ptr),
                   0, NULL);
    int64_t until_us = from_us + (w.now_us - from_us) / DAY_US * DAY_US, rows[2] = { 0 }, counted[2] = { 0 };

    cr_assert_not_null(told, "%s", gate);
    for (size_t i = 0; i < w.count; i++) {
        const struct payment *p = &w.payments[i];
        bool is_current = p->version == current;
        int64_t begins_us = is_current ? from_us : reference_from_us,
                ends_us = !is_current && reference_from_us != from_us ? from_us : until_us;

        if ((!is_current && p->version != reference) || p->at_us < begins_us || p->at_us >= ends_us)
            continue;
        rows[is_current]++;
        counted[is_current] += counts(p);
    }
    cr_assert_eq((int64_t)number(told, "rows"), rows[1]);
    cr_assert_eq((int64_t)number(told, "reference_rows"), rows[0]);
    cr_assert_float_eq(number(told, "current"), (double)counted[1] / (double)rows[1], 1e-12);
    cr_assert_float_eq(number(told, "reference"), (double)counted[0] / (double)rows[0], 1e-12);
    json_decref(told);
}

Test(retrainer_ab, stops_an_experiment_whose_candidate_turns_too_many_away)
{
    struct world stern = better;
    int64_t from_us;

    stern.wrong[ARM_CANDIDATE] = 0.5;
    begin(stern, NO_SHADOW);
    live_through_experiment(12, false, "");
    cr_assert_str_eq(experiment_state("ab"), "failed");
    from_us = time_of("SELECT started_at FROM experiments");
    check_guardrail("approval_rate", is_approved, w.champion, w.candidate, from_us, from_us);
    cr_assert_str_eq(state_of(w.candidate), "rejected");
    cr_assert_str_eq(state_of(w.champion), "champion");
    cr_assert_eq(sql_int("SELECT count(*) FROM aliases WHERE alias = 'challenger'"), 0);
    cr_assert_eq(
        sql_int("SELECT count(*) FROM verdicts WHERE stage = 'guardrail' AND gate = 'approval_rate' AND "
                "outcome = 'fail' AND version = (SELECT candidate FROM experiments) AND experiment IS NOT "
                "NULL"),
        1);
}

Test(retrainer_ab, stops_an_experiment_whose_candidate_answers_late)
{
    struct world slow = better;
    int64_t from_us;

    slow.slow[ARM_CHAMPION] = 0.02;
    slow.slow[ARM_CANDIDATE] = 0.2;
    begin(slow, NO_SHADOW);
    live_through_experiment(12, false, "");
    cr_assert_str_eq(experiment_state("ab"), "failed");
    from_us = time_of("SELECT started_at FROM experiments");
    check_guardrail("slow_rate", is_slow, w.champion, w.candidate, from_us, from_us);
    cr_assert_str_eq(state_of(w.candidate), "rejected");
    cr_assert_eq(sql_int("SELECT count(*) FROM verdicts WHERE stage = 'guardrail' AND outcome = 'fail'"), 1);
}

Test(retrainer_ab, takes_a_promotion_back_when_a_guardrail_breaks_in_the_watch)
{
    int64_t from_us;

    begin(better, NO_SHADOW);
    live_through_experiment(20, false, "");
    cr_assert_str_eq(state_of(w.candidate), "champion");
    from_us = time_of("SELECT updated_at FROM aliases WHERE alias = 'champion'");
    cr_assert_eq(from_us, w.now_us, "promoted on the log's clock");
    live_a_day(); /* a good one */
    live_a_day();
    cr_assert_str_eq(state_of(w.candidate), "champion");
    w.world.wrong[ARM_CANDIDATE] = 0.6;
    for (int i = 0; i < 4 && strcmp(state_of(w.candidate), "champion") == 0; i++)
        live_a_day();
    check_guardrail("approval_rate", is_approved, w.champion, w.candidate, from_us - 7 * DAY_US, from_us);
    cr_assert_str_eq(state_of(w.champion), "champion");
    cr_assert_str_eq(state_of(w.candidate), "retired");
    cr_assert_eq(sql_int("SELECT version FROM aliases WHERE alias = 'champion'"), w.champion);
    cr_assert_eq(sql_int("SELECT count(*) FROM aliases WHERE alias = 'previous_champion' AND is_way_back"),
                 0);
    cr_assert_eq(
        sql_int("SELECT count(*) FROM audit WHERE action = 'model.roll_back' AND actor = 'retrainer'"), 1,
        "%s", sql_text("SELECT string_agg(concat_ws(' ', action, actor), '; ') FROM audit"));
    cr_assert_eq(sql_int("SELECT count(*) FROM verdicts WHERE stage = 'guardrail' AND outcome = 'fail'"), 1);
    for (int i = 0; i < 3; i++)
        live_a_day();
    cr_assert_str_eq(state_of(w.champion), "champion", "it does not swing back");
    cr_assert_eq(sql_int("SELECT count(*) FROM audit WHERE action = 'model.roll_back'"), 1);
}

Test(retrainer_ab, a_way_back_that_could_not_be_written_is_taken_as_soon_as_it_can)
{
    begin(better, NO_SHADOW);
    live_through_experiment(20, false, "");
    cr_assert_str_eq(state_of(w.candidate), "champion");
    sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; "
        "END "
        "$$; CREATE TRIGGER refuse BEFORE INSERT ON verdicts FOR EACH ROW WHEN (new.stage = 'guardrail') "
        "EXECUTE FUNCTION refuse()");
    w.world.wrong[ARM_CANDIDATE] = 0.6;
    for (int i = 0; i < 4; i++)
        live_a_day();
    cr_assert_str_eq(state_of(w.candidate), "champion");
    sql("DROP TRIGGER refuse ON verdicts");
    for (int i = 0; i < 1000 && strcmp(state_of(w.candidate), "champion") == 0; i++)
        usleep(10000);
    cr_assert_str_eq(state_of(w.champion), "champion", "on the same day, by the clock of the log");
    cr_assert_str_eq(state_of(w.candidate), "retired");
}

/* ---- what was spent ---- */

Test(retrainer_ab, remembers_each_look_however_often_it_is_killed_between_two)
{
    struct world alike = { { 0.6, 0.6 }, { 0.04, 0.04 }, 0.5, { 0, 0 } };
    static const char stages[] = NO_SHADOW ",\"ab_margin\":0";
    const char *before;
    size_t same;

    begin(alike, stages);
    live_through_experiment(8, true, stages);
    before = sql_text("SELECT progress#>>'{looks,looks}' FROM experiments");
    cr_assert_str_eq(experiment_state("ab"), "running", "equal models are not told apart in a week");
    cr_assert_gt(check_spending(), 1);
    live_through_experiment(30, true, stages);
    cr_assert_str_neq(experiment_state("ab"), "running");
    same = strlen(before) - 1; /* without its bracket: more looks follow */
    cr_assert_eq(strncmp(sql_text("SELECT progress#>>'{looks,looks}' FROM experiments"), before, same), 0);
    cr_assert_geq(check_looks(), check_spending());
    cr_assert_eq(sql_int("SELECT count(DISTINCT at) FROM verdicts WHERE gate = 'net_loss'"),
                 sql_int("SELECT count(*) FROM verdicts WHERE gate = 'net_loss'"),
                 "no day is looked at twice");
}
