/* SPDX-License-Identifier: Apache-2.0
 * trainingstore_test.c - what a retraining reads from a real PostgreSQL, against the same question asked in SQL and
 * against the history run through the feature store. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "dataset/label_queue.h"
#include "featurestore/store.h"
#include "harness/cluster.h"
#include "logstore/reader.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "simulate/simulate.h"
#include "trainingstore/trainingstore.h"

enum { TRANSACTIONS = 4000, NEWER_PLAN_FROM = 1500 };
#define START (INT64_C(1577836800) * SECOND_US) /* 2020-01-01 */

#define HEAD  "entities: {customer: customer_id, terminal: terminal_id, device: device_id}\nfeatures:\n"
#define HOUR  "  - {name: hour, expr: tx.hour}\n"
#define COUNT "  - {name: count_1h, count: customer, window: 1h}\n"
#define MEAN  "  - {name: mean_30d, mean: amount, by: customer, window: 30d}\n"
#define FRAUD "  - {name: terminal_frauds, fraud_count: terminal, window: 7d}\n"
#define NEW   "  - {name: device_customers, distinct: customer_id, by: device, window: 1h}\n"

/* What was served: first without the mean, then with it. */
enum { OLDER, NEWER, PLANS };
static const char *const served_catalogues[PLANS] = { HEAD COUNT HOUR FRAUD, HEAD MEAN FRAUD COUNT HOUR };

static struct {
    struct pg_session *pg;
    struct arena arena;
    struct plan *plans[PLANS];
    struct store *stores[PLANS];
    double *vectors[PLANS];
    uint64_t n;
} w;
static struct why why;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

static struct plan *plan_of(const char *text)
{
    struct catalogue catalogue;
    struct plan *plan;

    MUST(catalogue_parse(&catalogue, slice_str(text), &w.arena, &why));
    MUST(plan_build(&plan, &catalogue, &why));
    return plan;
}

/* ---- a past ---- */

static void put(const char *sql, struct pg_params *p)
{
    MUST(pg_exec(w.pg, sql, p, NULL, &why));
    pg_params_clear(p);
}

static void put_log(struct pg_params *p, int kind, uint32_t account, int64_t known_at_us, struct slice body)
{
    pg_add_i64(p, (int64_t)++w.n);
    pg_add_i16(p, (int16_t)kind);
    pg_add_i32(p, (int32_t)account);
    pg_add_time_us(p, known_at_us);
    pg_add_bytes(p, body);
    put("INSERT INTO log (n, epoch, kind, account, known_at, body) VALUES ($1::int8, 1, $2::int2, $3::int4, "
        "$4::timestamptz, $5::bytea)",
        p);
}

static void put_label(struct pg_params *p, const struct label *l)
{
    put_log(p, ENTRY_LABEL, l->account, l->known_at_us, label_pack(l, &w.arena));
    pg_add_i32(p, (int32_t)l->account);
    pg_add_text(p, l->transaction_id);
    pg_add_i16(p, (int16_t)l->source);
    pg_add_time_us(p, l->labelled_at_us);
    pg_add_bool(p, l->is_fraud);
    pg_add_time_us(p, l->known_at_us);
    pg_add_i64(p, (int64_t)w.n);
    put("INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) VALUES "
        "($1::int4, $2::text, $3::int2, $4::timestamptz, $5::bool, $6::timestamptz, $7::int8)",
        p);
    for (int i = 0; i < PLANS; i++)
        store_apply_label(w.stores[i], w.n, l);
}

/* Every combination of the table in trainingstore.h comes up, also a decision made without features, one whose
 * place in the log came later, and an import that was never decided. */
static void put_decision(struct pg_params *p, const struct txn *txn, size_t number)
{
    static const struct {
        enum action action;
        double p_allow;
    } ways[] = { { ACTION_APPROVE, 1 },    { ACTION_APPROVE, 0.25 }, { ACTION_DECLINE, 0.25 },
                 { ACTION_DECLINE, 0 },    { ACTION_REVIEW, 1 },     { ACTION_DECLINE, 1 },
                 { ACTION_CHALLENGE, 0.5 } };
    int plan = number < NEWER_PLAN_FROM ? OLDER : NEWER;
    size_t columns = plan_columns(w.plans[plan]);
    unsigned char vector[64];
    bool is_degraded = number % 11 == 0;

    if (number % 13 == 0)
        return;
    store_vector_pack(w.vectors[plan], columns, vector);
    pg_add_i32(p, (int32_t)txn->account);
    pg_add_text(p, txn->id);
    pg_add_time_us(p, txn->known_at_us);
    if (is_degraded)
        pg_add_null(p);
    else
        pg_add_i64(p, (int64_t)w.n);
    pg_add_i16(p, (int16_t)ways[number % ARRAY_LEN(ways)].action);
    pg_add_f64(p, ways[number % ARRAY_LEN(ways)].p_allow);
    pg_add_bytes(p, is_degraded ? SLICE("") : slice_of((const char *)plan_hash(w.plans[plan]), SHA256_BYTES));
    pg_add_bytes(p, is_degraded ? SLICE("") : slice_of((const char *)vector, 4 * columns));
    put("INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, action, p_allow, "
        "model_version, "
        "ruleset_version, arm, plan, vector, amount_base_minor, record) VALUES ($1::int4, $2::text, "
        "$3::timestamptz, $3::timestamptz, $4::int8, $5::int2, $6::float8, '', '', '', $7::bytea, $8::bytea, "
        "1, '')",
        p);
}

static void put_txn(struct pg_params *p, const struct txn *txn, size_t number)
{
    put_log(p, ENTRY_TXN, txn->account, txn->known_at_us, txn_pack(txn, &w.arena));
    for (int i = 0; i < PLANS; i++)
        store_apply_txn(w.stores[i], w.n, txn, w.vectors[i]);
    pg_add_i32(p, (int32_t)txn->account);
    pg_add_text(p, txn->id);
    pg_add_i64(p, (int64_t)w.n);
    pg_add_time_us(p, txn->known_at_us);
    put("INSERT INTO transaction_ids (account, id, body_hash, epoch, n, known_at) VALUES "
        "($1::int4, $2::text, '', 1, $3::int8, $4::timestamptz)",
        p);
    put_decision(p, txn, number);
}

/* Some labels are contradicted, by a weaker source and by a stronger one; some good payments are labelled, too. */
static void queue_labels(struct label_queue *queue, struct label label, size_t number)
{
    if (label.is_fraud || number % 17 == 0)
        label_queue_put(queue, &label);
    if (number % 3 == 0 && (label.is_fraud || number % 17 == 0)) {
        label.source = number % 2 ? LABEL_CUSTOMER : LABEL_CHARGEBACK;
        label.is_fraud = !label.is_fraud;
        label.labelled_at_us += DAY_US;
        label.known_at_us += DAY_US;
        label_queue_put(queue, &label);
    }
}

static void live_through(void)
{
    struct simulate_params params = {
        .seed = 9, .account = 1, .start_us = START, .customers = 200, .fraud_factor = 5
    };
    struct simulate *world = simulate_new(&params);
    struct label_queue queue = { 0 };
    struct pg_params p = { 0 };
    struct label label;
    struct txn txn;

    MUST(pg_exec_script(w.pg, "BEGIN; SET LOCAL synchronous_commit = off", &why));
    for (int i = 0; i < PLANS; i++) {
        pg_add_bytes(&p, slice_of((const char *)plan_hash(w.plans[i]), SHA256_BYTES));
        pg_add_text(&p, plan_text(w.plans[i]));
        put("INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p);
    }
    for (size_t i = 0; i < TRANSACTIONS; i++) {
        simulate_next(world, &txn, &label);
        while (label_queue_first(&queue) && label_queue_first(&queue)->known_at_us <= txn.known_at_us) {
            struct label due = label_queue_take(&queue);

            put_label(&p, &due);
        }
        put_txn(&p, &txn, i);
        queue_labels(&queue, label, i);
        arena_reset(&w.arena);
    }
    MUST(pg_exec_script(w.pg, "COMMIT", &why));
    pg_params_release(&p);
    label_queue_release(&queue);
    simulate_free(world);
}

static void setup(void)
{
    w.n = 0;
    MUST(pg_session_open(&w.pg, test_database(), "test", &why));
    for (int i = 0; i < PLANS; i++) {
        w.plans[i] = plan_of(served_catalogues[i]);
        w.stores[i] = store_new(w.plans[i]);
        w.vectors[i] = mem_new_n(double, plan_columns(w.plans[i]));
    }
    live_through();
}

static void teardown(void)
{
    for (int i = 0; i < PLANS; i++) {
        store_free(w.stores[i]);
        plan_free(w.plans[i]);
        mem_free(w.vectors[i]);
    }
    arena_release(&w.arena);
    pg_session_close(w.pg);
}

TestSuite(trainingstore, .init = setup, .fini = teardown, .timeout = 120);

/* ---- what it must be ---- */

/* The whole log through the store, row by row: what would have been served. */
struct past {
    struct rows rows; /* row i is that of places[i] */
    uint64_t places[TRANSACTIONS];
    struct arena arena;
};

static bool on_entry(void *context, const struct entry *e)
{
    struct past *past = context;
    union entry_body body;

    MUST(entry_open(&body, e, &past->arena, &why));
    if (e->kind == ENTRY_LABEL) {
        rows_add_label(&past->rows, &body.label);
    } else {
        past->places[past->rows.count] = e->n;
        rows_add_txn(&past->rows, &body.txn);
    }
    arena_reset(&past->arena);
    return true;
}

static struct past *past_of(const struct plan *plan)
{
    struct past *past = mem_new(struct past);
    struct log_range range = LOG_WHOLE;

    rows_init(&past->rows, plan);
    MUST(log_read(w.pg, &range, on_entry, past, &why));
    cr_assert_eq(past->rows.count, TRANSACTIONS);
    return past;
}

static void past_free(struct past *past)
{
    rows_release(&past->rows);
    arena_release(&past->arena);
    mem_free(past);
}

static void check_vectors(const struct rows *rows, const struct plan *plan)
{
    struct past *past = past_of(plan);
    size_t at = 0;

    for (size_t i = 0; i < rows->count; i++) {
        while (past->places[at] < rows->row[i].n)
            at++;
        cr_assert_eq(past->places[at], rows->row[i].n);
        for (size_t c = 0; c < rows->columns; c++) {
            float found = rows_vector(rows, i)[c], expected = rows_vector(&past->rows, at)[c];

            cr_assert((isnan(found) && isnan(expected)) || found == expected,
                      "entry %lu column %zu: %g, not %g", (unsigned long)rows->row[i].n, c, (double)found,
                      (double)expected);
        }
    }
    past_free(past);
}

/* The table of trainingstore.h and the rule about labels, as a person would ask for them. $1: what may be known. */
static const char rows_sql[] =
    "WITH t AS (SELECT l.n, l.known_at, d.action, d.p_allow, EXISTS (SELECT FROM labels b WHERE (b.account, "
    "b.transaction_id) = (i.account, i.id) AND b.known_at < $1::timestamptz) AS is_labelled, "
    "(SELECT b.is_fraud FROM labels b WHERE (b.account, b.transaction_id) = (i.account, i.id) "
    " AND b.known_at < $1::timestamptz ORDER BY b.source DESC, b.labelled_at DESC, b.n DESC LIMIT 1) AS "
    "is_fraud "
    "FROM log l JOIN transaction_ids i ON i.n = l.n "
    "LEFT JOIN decisions d ON (d.account, d.transaction_id) = (i.account, i.id) "
    "WHERE l.kind = 1 AND l.known_at < $1::timestamptz) "
    "SELECT n, CASE WHEN action <> 3 THEN 1 / p_allow ELSE 1 END AS weight, coalesce(is_fraud, false)::int, "
    "is_labelled::int FROM t "
    "WHERE action IS NULL OR action <> 3 OR p_allow = 1 OR p_allow = 0 AND is_labelled ORDER BY n";

static void check_rows(const struct rows *rows, int64_t as_of_us)
{
    struct pg_params p = { 0 };
    struct pg_result *r;

    pg_add_time_us(&p, as_of_us);
    MUST(pg_exec(w.pg, rows_sql, &p, &r, &why));
    cr_assert_eq(rows->count, pg_rows(r));
    for (size_t i = 0; i < rows->count; i++) {
        struct row_truth truth = rows_truth(rows, i, as_of_us);

        cr_assert_eq(rows->row[i].n, (uint64_t)pg_get_int(r, i, 0));
        cr_assert_eq((double)rows->row[i].weight, pg_get_float(r, i, 1));
        cr_assert_eq(truth.is_fraud, pg_get_int(r, i, 2) != 0);
        cr_assert_eq(truth.is_labelled, pg_get_int(r, i, 3) != 0);
    }
    pg_result_free(r);
    pg_params_release(&p);
}

static struct trainingstore_counts read_rows(struct rows *rows, const struct plan *plan,
                                             struct trainingstore_query query)
{
    struct trainingstore_counts counts;

    rows_init(rows, plan);
    MUST(trainingstore_read(w.pg, &query, plan, rows, &counts, &why));
    cr_assert_eq(counts.unreadable, 0);
    cr_assert_eq(counts.served + counts.recomputed, rows->count);
    cr_assert_eq(counts.transactions, rows->count + counts.thinned + counts.declined);
    return counts;
}

/* ---- tests ---- */

Test(trainingstore, gives_the_rows_weights_and_labels_that_the_same_question_in_sql_gives)
{
    struct plan *plan = plan_of(HEAD FRAUD COUNT);
    const int64_t as_of_us[] = { INT64_MAX, START + 10 * DAY_US + 17 * HOUR_US };

    for (size_t i = 0; i < ARRAY_LEN(as_of_us); i++) {
        struct trainingstore_query query = TRAININGSTORE_WHOLE;
        struct trainingstore_counts counts;
        struct rows rows;

        query.as_of_us = as_of_us[i];
        counts = read_rows(&rows, plan, query);
        cr_assert_gt(counts.let_through, 100);
        cr_assert_gt(counts.declined, 100);
        check_rows(&rows, i ? as_of_us[i] : START + 4000 * DAY_US);
        check_vectors(&rows, plan);
        rows_release(&rows);
    }
    plan_free(plan);
}

Test(trainingstore, takes_a_vector_that_was_served_and_computes_what_was_not)
{
    static const struct {
        const char *catalogue;
        bool older, newer; /* whose vectors have all columns */
    } cases[] = { { HEAD FRAUD HOUR, true, true },
                  { HEAD HOUR MEAN COUNT, false, true },
                  { HEAD NEW HOUR, false, false } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct plan *plan = plan_of(cases[i].catalogue);
        struct rows rows;
        struct trainingstore_counts counts = read_rows(&rows, plan, TRAININGSTORE_WHOLE);

        cr_assert_eq(counts.served > 0, cases[i].newer);
        cr_assert_gt(counts.recomputed, 0); /* imports and decisions without features, at least */
        cr_assert_eq(counts.recomputed > NEWER_PLAN_FROM / 2, !cases[i].older);
        check_vectors(&rows, plan);
        rows_release(&rows);
        plan_free(plan);
    }
}

Test(trainingstore, believes_the_vector_that_was_served)
{
    struct plan *plan = plan_of(HEAD HOUR);
    struct rows rows;
    size_t served = 0;

    /* hour is the second column under the older plan, the last under the newer one */
    MUST(pg_exec_script(w.pg,
                        "UPDATE decisions SET vector = overlay(vector PLACING '\\x00002442' FROM CASE WHEN "
                        "octet_length(vector) = 12 THEN 5 ELSE 13 END) WHERE vector <> ''",
                        &why));
    struct trainingstore_counts counts = read_rows(&rows, plan, TRAININGSTORE_WHOLE);
    for (size_t i = 0; i < rows.count; i++)
        served += rows_vector(&rows, i)[0] == 41;
    cr_assert_eq(served, counts.served);
    rows_release(&rows);
    plan_free(plan);
}

Test(trainingstore, thins_payments_that_nobody_called_fraud_and_weighs_the_others_up)
{
    struct plan *plan = plan_of(HEAD HOUR);
    struct trainingstore_query query = TRAININGSTORE_WHOLE;
    struct rows all, some, again;
    double weight[2] = { 0 };
    size_t frauds[2] = { 0 };

    query.keep = 0.2;
    query.seed = 3;
    read_rows(&all, plan, TRAININGSTORE_WHOLE);
    read_rows(&some, plan, query);
    read_rows(&again, plan, query);
    for (size_t i = 0; i < all.count; i++) {
        weight[0] += (double)all.row[i].weight;
        frauds[0] += all.row[i].is_fraud;
    }
    for (size_t i = 0; i < some.count; i++) {
        weight[1] += (double)some.row[i].weight;
        frauds[1] += some.row[i].is_fraud;
        cr_assert_eq(some.row[i].n, again.row[i].n);
    }
    cr_assert_eq(frauds[0], frauds[1]);
    cr_assert_lt(some.count, all.count / 2);
    cr_assert_eq(some.count, again.count);
    /* Each of the about 2,700 others is kept with a chance of 0.2: a standard deviation of about 150 in the sum. */
    cr_assert_float_eq(weight[1], weight[0], 600);
    rows_release(&all);
    rows_release(&some);
    rows_release(&again);
    plan_free(plan);
}

Test(trainingstore, reads_one_account_and_one_time_only)
{
    struct plan *plan = plan_of(HEAD COUNT);
    struct trainingstore_query query = TRAININGSTORE_WHOLE;
    struct rows rows;

    query.account = 2;
    read_rows(&rows, plan, query);
    cr_assert_eq(rows.count, 0);
    rows_release(&rows);
    query.account = 1;
    query.from_us = START + 5 * DAY_US;
    read_rows(&rows, plan, query);
    cr_assert_gt(rows.count, 0);
    for (size_t i = 0; i < rows.count; i++)
        cr_assert_geq(rows.row[i].known_at_us, query.from_us);
    check_vectors(&rows, plan); /* what lies before is in the windows all the same */
    rows_release(&rows);
    plan_free(plan);
}

static bool say_no(void *context, uint64_t entries)
{
    (void)context;
    (void)entries;
    return false;
}

Test(trainingstore, stops_when_it_is_told_to)
{
    struct trainingstore_query query = TRAININGSTORE_WHOLE;
    struct trainingstore_counts counts;
    struct plan *plan = plan_of(HEAD NEW);
    struct rows rows;

    MUST(pg_exec_script(w.pg,
                        "INSERT INTO log SELECT n + 100000 * i, epoch, 1, account, known_at, body FROM log, "
                        "generate_series(1, 5) i WHERE kind = 1",
                        &why));
    query.hook = say_no;
    rows_init(&rows, plan);
    cr_assert_eq(trainingstore_read(w.pg, &query, plan, &rows, &counts, &why), ERR_TIMEOUT);
    MUST(pg_exec_script(w.pg, "BEGIN; COMMIT", &why)); /* the session is free again */
    rows_release(&rows);
    plan_free(plan);
}
