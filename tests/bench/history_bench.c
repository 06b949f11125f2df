/* SPDX-License-Identifier: Apache-2.0
 * history_bench.c - a history decided again: each transaction of a stream in memory through features, forest and
 * ten rules, with the labels that come between, on one thread. What a backtest or a shadow run is made of.
 *
 * Run from the root of the tree: the catalogues are read from models/. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/report.h"
#include "booster/booster.h"
#include "dataset/label_queue.h"
#include "featurestore/store.h"
#include "forest/forest.h"
#include "policy/policy.h"
#include "simulate/simulate.h"
#include "training/rows.h"

enum {
    TRANSACTIONS = 400000,
    CUSTOMERS = 6667, /* two months of them */
    TRAIN_FROM = 20000,
    TRAIN_ROWS = 20000,
    BLOCK = 256, /* rows that are scored together: no score feeds a feature */
    CATALOGUE_MAX = 1 << 16,
};

struct event {
    bool is_label;
    union {
        struct txn txn;
        struct label label;
    };
};

struct stream {
    struct arena arena;
    struct event *events;
    size_t count, transactions;
};

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("history: %s: %s", what, why->text);
}

/* ---- the stream ---- */

static void put_txn(struct stream *s, const struct txn *txn)
{
    struct txn *copy = &s->events[s->count].txn;

    s->events[s->count++].is_label = false;
    *copy = *txn;
    copy->id = arena_slice(&s->arena, txn->id);
    copy->currency = arena_slice(&s->arena, txn->currency);
    for (size_t f = 0; f < TXN_TEXT_COUNT; f++)
        copy->text[f] = arena_slice(&s->arena, txn->text[f]);
    copy->attributes = NULL; /* no catalogue here uses them */
    copy->attribute_count = 0;
    s->transactions++;
}

static void put_labels_until(struct stream *s, struct label_queue *labels, int64_t at_us)
{
    while (label_queue_first(labels) && label_queue_first(labels)->known_at_us <= at_us) {
        struct label label = label_queue_take(labels);

        label.transaction_id = arena_slice(&s->arena, label.transaction_id);
        s->events[s->count++] = (struct event){ .is_label = true, .label = label };
    }
}

static void make_stream(struct stream *s)
{
    struct simulate *world = simulate_new(&(struct simulate_params){
        .seed = 11, .account = 1, .start_us = 0, .customers = CUSTOMERS, .fraud_factor = 1 });
    struct label_queue labels = { 0 };
    struct label label;
    struct txn txn;

    *s = (struct stream){ .events = mem_new_n(struct event, (size_t)2 * TRANSACTIONS) };
    while (s->transactions < TRANSACTIONS) {
        simulate_next(world, &txn, &label);
        put_labels_until(s, &labels, txn.known_at_us);
        put_txn(s, &txn);
        if (label.is_fraud)
            label_queue_put(&labels, &label);
    }
    label_queue_release(&labels);
    simulate_free(world);
}

/* ---- features, forest, rules ---- */

static struct plan *read_plan(const char *path)
{
    static char text[CATALOGUE_MAX];
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan;
    struct why why = { 0 };
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(text, 1, sizeof text, f) : 0;

    if (!f || len == 0 || len == sizeof text)
        bench_fail("history: cannot read %s", path);
    fclose(f);
    must_work(catalogue_parse(&catalogue, slice_of(text, len), &arena, &why), path, &why);
    must_work(plan_build(&plan, &catalogue, &why), path, &why);
    arena_release(&arena);
    return plan;
}

/* 300 trees of depth 6 on what the first weeks would have shown. */
static struct forest *train(const struct stream *s, const struct plan *plan)
{
    struct booster_params params = BOOSTER_PARAMS_DEFAULT;
    struct booster_matrix *matrix;
    struct booster *booster;
    struct forest *forest;
    struct rows rows;
    struct buf model;
    struct why why = { 0 };
    float *labels = mem_new_n(float, TRAIN_ROWS);

    rows_init(&rows, plan);
    for (size_t i = 0; i < s->count && rows.count < TRAIN_FROM + TRAIN_ROWS; i++) {
        if (s->events[i].is_label)
            rows_add_label(&rows, &s->events[i].label);
        else
            rows_add_txn(&rows, &s->events[i].txn);
    }
    for (size_t i = 0; i < TRAIN_ROWS; i++)
        labels[i] = rows.row[TRAIN_FROM + i].is_fraud;
    params.trees = 300;
    params.depth = 6;
    params.threads = 1; /* two that wait for each other on a busy machine take far longer */
    must_work(booster_matrix_new(&matrix, rows_vector(&rows, TRAIN_FROM), TRAIN_ROWS, rows.columns, labels,
                                 NULL, 0, &why),
              "rows", &why);
    must_work(booster_train(&booster, &params, matrix, NULL, NULL, NULL, &why), "train", &why);
    buf_init(&model, 0);
    must_work(booster_save(booster, BOOSTER_UBJ, &model, &why), "save", &why);
    must_work(forest_open(&forest, buf_slice(&model), &why), "open", &why);
    buf_release(&model);
    booster_close(booster);
    booster_matrix_free(matrix);
    rows_release(&rows);
    mem_free(labels);
    return forest;
}

static struct policy *make_policy(void)
{
    static const char *const expressions[] = {
        "tx.amount > 1000000",
        "score >= 0.9",
        "score >= 0.3 && tx.amount >= 50000",
        "tx.channel == \"ecommerce\" && tx.amount < 300 && score >= 0.2",
        "tx.channel == \"ecommerce\" && tx.hour < 5 && tx.amount >= 50000 && score >= 0.02",
        "tx.channel == \"ecommerce\" && !has(tx.device_id) && tx.amount >= 20000",
        "tx.mcc in [\"5732\", \"5944\", \"5094\", \"5045\"] && tx.amount >= 100000 && score >= 0.05",
        "tx.mcc in [\"4829\", \"6011\", \"6051\", \"6211\", \"7995\"] && tx.amount >= 30000 && score >= 0.05",
        "tx.country == \"DE\" && tx.amount > 200000",
        "tx.weekday >= 5 && tx.amount > 300000 && score >= 0.01",
    };
    static char ids[ARRAY_LEN(expressions)][16];
    struct policy_rule rules[ARRAY_LEN(expressions)] = { 0 };
    struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = ARRAY_LEN(expressions) };
    struct policy *policy = policy_new();
    struct why why = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(expressions); i++) {
        snprintf(ids[i], sizeof ids[i], "rule_%zu", i);
        rules[i] = (struct policy_rule){ .id = slice_str(ids[i]),
                                         .name = slice_str(ids[i]),
                                         .expression = slice_str(expressions[i]),
                                         .action = ACTION_REVIEW,
                                         .priority = (int)i,
                                         .is_enabled = true };
    }
    must_work(policy_add_ruleset(policy, &set, &why), "rules", &why);
    return policy;
}

/* ---- the run ---- */

struct decider {
    const struct plan *plan;
    const struct forest *forest;
    struct forest_scratch *scratch;
    struct policy *policy;
    struct policy_columns *columns;
    struct arena arena;
    double *vector;
    float *rows, margins[BLOCK]; /* [BLOCK][columns] */
    const struct txn *txns[BLOCK];
    size_t count;
    uint64_t actions[ACTION_COUNT];
};

static void decide_block(struct decider *d)
{
    size_t columns = plan_columns(d->plan);

    forest_margins(d->forest, d->rows, d->count, d->margins, d->scratch);
    for (size_t i = 0; i < d->count; i++) {
        struct policy_verdict verdict;

        arena_reset(&d->arena);
        policy_decide(d->policy,
                      &(struct policy_input){ .txn = d->txns[i],
                                              .now_us = d->txns[i]->known_at_us,
                                              .vector = d->rows + i * columns,
                                              .vector_count = columns,
                                              .columns = d->columns,
                                              .has_score = true,
                                              .score = (double)forest_probability(d->margins[i]),
                                              .thresholds = { 0.1, 0.3, 0.6 } },
                      &d->arena, &verdict);
        d->actions[verdict.action]++;
    }
    d->count = 0;
}

static void decide_all(struct decider *d, const struct stream *s)
{
    struct store *store = store_new(d->plan);
    size_t columns = plan_columns(d->plan);

    for (size_t i = 0; i < s->count; i++) {
        float *row = d->rows + d->count * columns;

        if (s->events[i].is_label) {
            store_apply_label(store, i + 1, &s->events[i].label);
            continue;
        }
        store_apply_txn(store, i + 1, &s->events[i].txn, d->vector);
        for (size_t c = 0; c < columns; c++)
            row[c] = (float)d->vector[c];
        d->txns[d->count++] = &s->events[i].txn;
        if (d->count == BLOCK)
            decide_block(d);
    }
    decide_block(d);
    store_free(store);
}

/* What this thread has run for, so that a busy machine does not count. */
static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(const struct stream *s, const char *name, const char *catalogue)
{
    struct plan *plan = read_plan(catalogue);
    size_t columns = plan_columns(plan);
    struct slice *names = mem_new_n(struct slice, columns);
    struct forest *forest = train(s, plan);
    struct decider d = { .plan = plan,
                         .forest = forest,
                         .scratch = forest_scratch_new(forest),
                         .policy = make_policy(),
                         .vector = mem_new_n(double, columns),
                         .rows = mem_new_n(float, BLOCK *columns) };
    double began, seconds;
    char note[200];

    for (size_t c = 0; c < columns; c++)
        names[c] = plan_column(plan, c)->name;
    d.columns = policy_bind(d.policy, names, columns);
    began = cpu_seconds();
    decide_all(&d, s);
    seconds = cpu_seconds() - began;
    snprintf(note, sizeof note,
             "%s: %zu features, %zu trees, 10 rules; %zu transactions and %zu labels; %llu approved",
             catalogue, columns, forest_trees(forest), s->transactions, s->count - s->transactions,
             (unsigned long long)d.actions[ACTION_APPROVE]);
    report(&(struct result){ .name = name,
                             .value = (double)s->transactions / seconds,
                             .unit = "a second",
                             .goals = { { VALUE_AT_LEAST, 130000 }, { VALUE_AT_LEAST, 250000 } },
                             .note = note });
    policy_columns_free(d.columns);
    policy_free(d.policy);
    forest_scratch_free(d.scratch);
    forest_close(forest);
    arena_release(&d.arena);
    mem_free(d.vector);
    mem_free(d.rows);
    mem_free(names);
    plan_free(plan);
}

int main(void)
{
    struct stream s;

    make_stream(&s);
    measure(&s, "history/handbook catalogue, one core", "models/handbook.yaml");
    measure(&s, "history/default catalogue, one core", "models/default.yaml");
    mem_free(s.events);
    arena_release(&s.arena);
    return 0;
}
