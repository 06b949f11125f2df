/* SPDX-License-Identifier: Apache-2.0
 * featurestore_bench.c - one transaction through 39 features of two entities: read, then update; at 10
 * thousand, 100 thousand and a million entities. Each has about one transaction a day; one in a hundred is
 * fraud and labelled a week later. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/report.h"
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

/* Every allocation of the process goes through these, so that "none in the steady state" is counted. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);

static uint64_t allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *ptr, size_t size)
{
    allocations++;
    return __libc_realloc(ptr, size);
}

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
    if (catalogue_parse(&catalogue, buf_slice(&yaml), &arena, &why) || plan_build(&plan, &catalogue, &why))
        bench_fail("featurestore: %s", why.text);
    buf_release(&yaml);
    arena_release(&arena);
    return plan;
}

struct size {
    const char *label;
    size_t entities, days;
};

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
    for (size_t i = 0; i < BATCH; i++) {
        if (i + STORE_AHEAD < BATCH)
            store_expect(w->store, &b->txns[i + STORE_AHEAD]);
        store_apply_txn(w->store, ++w->n, &b->txns[i], w->vector);
    }
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

/* The steady state: windows full, and as many transactions again as are measured before it. */
enum { MEASURED = 400000 };

static void measure(const struct plan *plan, const struct size *size, double *first_ns)
{
    struct world w = { .store = store_new(plan), .entities = size->entities };
    struct batch *batch = mem_new(struct batch);
    double best = INFINITY, all = 0, mean;
    uint64_t warm, counted;
    struct store_stats stats;
    char name[64], note[128];

    w.step_us = DAY_US / (int64_t)(size->entities / 2);
    while (w.n < size->entities / 2 * size->days)
        run(&w, batch);
    warm = w.n;
    counted = allocations;
    while (w.n < warm + MEASURED) {
        double ns = (double)run(&w, batch);

        best = fmin(best, ns / BATCH);
        all += ns;
    }
    counted = allocations - counted;
    mean = all / (double)((w.n - warm) / BATCH * BATCH);
    stats = store_stats(w.store);

    snprintf(name, sizeof name, "featurestore/%s entities, a transaction", size->label);
    snprintf(note, sizeof note, "best %.0f ns; %zu features, %zu days of history, %.1f cells an entity", best,
             plan_columns(plan), size->days, (double)stats.cells / (double)stats.entities);
    report(&(struct result){
        .name = name,
        .value = mean,
        .unit = "ns",
        .baseline = *first_ns,
        .against = *first_ns > 0 ? "10 k entities" : NULL,
        .goals = { *first_ns > 0 ? (struct goal){ RATIO_AT_MOST, 2 } : (struct goal){ VALUE_AT_MOST, 2000 } },
        .note = note });
    *first_ns = *first_ns > 0 ? *first_ns : mean;
    snprintf(name, sizeof name, "featurestore/%s entities, memory", size->label);
    snprintf(note, sizeof note, "%.0f of them for labels that may come",
             (double)stats.ledger_bytes / (double)stats.entities);
    report(&(struct result){ .name = name,
                             .value = (double)stats.bytes / (double)stats.entities,
                             .unit = "B/entity",
                             .goals = { { VALUE_AT_MOST, 1536 } },
                             .note = note });
    snprintf(name, sizeof name, "featurestore/%s entities, allocations", size->label);
    report(&(struct result){ .name = name,
                             .value = (double)counted / (double)(w.n - warm),
                             .unit = "a transaction",
                             .goals = { { VALUE_AT_MOST, 0 } },
                             .note = "over 400 thousand transactions and their labels, once warm" });
    store_free(w.store);
    mem_free(batch);
}

int main(void)
{
    static const struct size sizes[] = {
        { "10 k", 10000, 45 },
        { "100 k", 100000, 45 },
        { "1 M", 1000000, 15 },
    };
    struct plan *plan = make_plan();
    double first_ns = 0;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        measure(plan, &sizes[i], &first_ns);
    plan_free(plan);
    return EXIT_SUCCESS;
}
