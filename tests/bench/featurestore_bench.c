/* SPDX-License-Identifier: Apache-2.0
 * featurestore_bench.c - one transaction through 40 features of two entities: read, then update.
 * Goals: 2 us at 10 thousand entities and at most double at a million; 1.5 KiB for each; no memory taken once
 * it is warm. Each entity has about one transaction a day, one in a hundred is fraud and labelled a week
 * later. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/store.h"

static const char *const catalogue_lines[] = {
    "entities: {customer: customer_id, terminal: terminal_id}",
    "features:",
    "- {name: amount, expr: tx.amount}",
    "- {name: hour, expr: tx.hour}",
    "- {name: weekday, expr: tx.weekday}",
    "- {name: c_count_1h, count: customer, window: 1h}",
    "- {name: c_count_24h, count: customer, window: 24h}",
    "- {name: c_count_7d, count: customer, window: 7d}",
    "- {name: c_count_30d, count: customer, window: 30d}",
    "- {name: c_sum_1h, sum: amount, by: customer, window: 1h}",
    "- {name: c_sum_24h, sum: amount, by: customer, window: 24h}",
    "- {name: c_mean_7d, mean: amount, by: customer, window: 7d}",
    "- {name: c_mean_30d, mean: amount, by: customer, window: 30d}",
    "- {name: c_std_30d, std: amount, by: customer, window: 30d}",
    "- {name: c_max_24h, max: amount, by: customer, window: 24h}",
    "- {name: c_max_30d, max: amount, by: customer, window: 30d}",
    "- {name: c_terminals_7d, distinct: terminal_id, by: customer, window: 7d}",
    "- {name: c_since, since_last: customer}",
    "- {name: c_first, first_seen: customer}",
    "- {name: c_speed, speed: customer}",
    "- {name: c_km, distance: customer}",
    "- {name: c_ratio_7d, expr: tx.amount / (c_mean_7d + 1.0)}",
    "- {name: c_ratio_30d, expr: tx.amount / (c_mean_30d + 1.0)}",
    "- {name: c_deviation, expr: (tx.amount - c_mean_30d) / (c_std_30d + 100.0)}",
    "- {name: c_large_7d, count: customer, window: 7d, where: tx.amount > 3.0 * c_mean_30d}",
    "- {name: c_fraud_28d, fraud_count: customer, window: 28d}",
    "- {name: t_count_1h, count: terminal, window: 1h}",
    "- {name: t_count_24h, count: terminal, window: 24h}",
    "- {name: t_count_7d, count: terminal, window: 7d}",
    "- {name: t_count_28d, count: terminal, window: 28d, delay: 7d}",
    "- {name: t_mean_7d, mean: amount, by: terminal, window: 7d}",
    "- {name: t_mean_30d, mean: amount, by: terminal, window: 30d}",
    "- {name: t_max_24h, max: amount, by: terminal, window: 24h}",
    "- {name: t_rate_1d, fraud_rate: terminal, window: 1d, delay: 7d, prior: {rate: 0.008, weight: 20}}",
    "- {name: t_rate_7d, fraud_rate: terminal, window: 7d, delay: 7d, prior: {rate: 0.008, weight: 20}}",
    "- {name: t_rate_28d, fraud_rate: terminal, window: 28d, delay: 7d, prior: {rate: 0.008, weight: 20}}",
    "- {name: t_frauds_7d, fraud_count: terminal, window: 7d}",
    "- {name: t_frauds_28d, fraud_count: terminal, window: 28d}",
    "- {name: t_customers_24h, distinct: customer_id, by: terminal, window: 24h}",
    "- {name: t_since, since_last: terminal}",
    "- {name: t_ratio, expr: tx.amount / (t_mean_30d + 1.0)}",
};

static uint64_t state = 1;

static uint64_t below(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

static struct plan *make_plan(void)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan = NULL;
    struct why why = { 0 };
    struct buf yaml;

    buf_init(&yaml, 0);
    for (size_t i = 0; i < ARRAY_LEN(catalogue_lines); i++)
        buf_printf(&yaml, "%s\n", catalogue_lines[i]);
    if (catalogue_parse(&catalogue, buf_slice(&yaml), &arena, &why) || plan_build(&plan, &catalogue, &why)) {
        fprintf(stderr, "featurestore_bench: %s\n", why.text);
        exit(EXIT_FAILURE);
    }
    buf_release(&yaml);
    arena_release(&arena);
    return plan;
}

struct world {
    struct store *store;
    size_t entities;
    uint64_t n, labelled;
    int64_t step_us;
    double vector[64];
};

static struct slice number(char *text, size_t size, const char *prefix, uint64_t n)
{
    return slice_of(text, (size_t)snprintf(text, size, "%s%08llu", prefix, (unsigned long long)n));
}

/* What this thread has run for, so that a busy machine does not count. */
static int64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The texts are made before the clock runs: only the store is measured. */
enum { BATCH = 512 };
struct batch {
    struct txn txns[BATCH];
    char texts[BATCH][3][32];
};

static void fill(struct world *w, struct batch *b)
{
    for (size_t i = 0; i < BATCH; i++) {
        struct txn *t = &b->txns[i];

        *t = (struct txn){ .account = 1, .amount_base_minor = (int64_t)below(20000), .has_place = true };
        t->occurred_at_us = (int64_t)(w->n + i) * w->step_us;
        t->lat = (double)below(90);
        t->lon = (double)below(90);
        t->id = number(b->texts[i][0], 32, "transaction-", w->n + i);
        t->text[TXN_customer_id] = number(b->texts[i][1], 32, "customer-", below(w->entities / 2));
        t->text[TXN_terminal_id] = number(b->texts[i][2], 32, "terminal-", below(w->entities / 2));
    }
}

static int64_t run(struct world *w, struct batch *b)
{
    int64_t start;

    fill(w, b);
    start = cpu_ns();
    for (size_t i = 0; i < BATCH; i++)
        store_apply_txn(w->store, ++w->n, &b->txns[i], w->vector);
    start = cpu_ns() - start;
    while ((int64_t)w->labelled * 100 * w->step_us + 7 * DAY_US < (int64_t)w->n * w->step_us) {
        char text[32];
        struct label label = { .account = 1, .is_fraud = true, .source = LABEL_CHARGEBACK };

        label.known_at_us = (int64_t)w->n * w->step_us;
        label.transaction_id = number(text, sizeof text, "transaction-", w->labelled++ * 100);
        store_apply_label(w->store, ++w->n, &label);
    }
    return start;
}

static void measure(const struct plan *plan, size_t entities, size_t days)
{
    struct world w = { .store = store_new(plan), .entities = entities };
    struct batch *batch = mem_new(struct batch);
    int64_t best = INT64_MAX, all = 0;
    size_t warm, rounds = 0;
    struct store_stats before, after;

    w.step_us = DAY_US / (int64_t)(entities / 2);
    while (w.n < entities / 2 * days)
        run(&w, batch);
    before = store_stats(w.store);
    warm = w.n;
    while (w.n < warm + 400000) {
        int64_t ns = run(&w, batch);

        best = ns < best ? ns : best;
        all += ns;
        rounds++;
    }
    after = store_stats(w.store);
    printf("%9zu  %4zu  %9.0f  %9.0f  %12.0f  %12.0f  %9.1f  %+10td\n", entities, days, (double)best / BATCH,
           (double)all / (double)(rounds * BATCH), (double)after.bytes / (double)after.entities,
           (double)(after.bytes - after.ledger_bytes) / (double)after.entities,
           (double)after.cells / (double)after.entities, (ptrdiff_t)(after.bytes - before.bytes));
    store_free(w.store);
    mem_free(batch);
}

int main(int argc, char **argv)
{
    struct plan *plan = make_plan();

    printf("%zu features, two entities; ns for one transaction, read and update\n", plan_columns(plan));
    printf(" entities  days    best ns    mean ns  bytes/entity  (no labels)  cells/ent.  growth, bytes\n");
    measure(plan, 10000, 45);
    if (argc < 3)
        measure(plan, 100000, 45);
    if (argc < 2 || argv[1][0] != '-')
        measure(plan, 1000000, 15);
    plan_free(plan);
    return EXIT_SUCCESS;
}
