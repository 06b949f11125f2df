/* SPDX-License-Identifier: Apache-2.0
 * backtest_bench.c - a policy over 1.75 million made-up decisions: columns built, a whole set of rules, and one that was
 * changed while what the others said is known. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "backtest/backtest.h"
#include "backtest/outcomes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/report.h"
#include "stats/interval.h"

enum {
    ROWS = 1750000,
    CHUNK = 60000,
    CHUNKS = ROWS / CHUNK + 1,
    FEATURES = 40,
    RULES = 50,
    THREADS = 2,
    DAYS = 183
};

static struct {
    struct buf bytes[CHUNKS];
    struct chunk *chunks[CHUNKS];
    size_t count, total;
    struct chunk_feature features[FEATURES];
    char texts[RULES][256], ids[RULES][16];
    struct policy_rule rules[RULES];
    struct ruleset set;
    struct backtest_options options;
    struct timeline *timeline;
    struct labels *labels;
} w;
static struct why why;

/* ---- decisions ---- */

static void fill_row(struct random *r, size_t i, struct chunk_row *row, float *vector, char texts[4][24])
{
    static const struct slice channels[] = { { "pos", 3 }, { "ecommerce", 9 }, { "atm", 3 } };

    snprintf(texts[0], 24, "tx_%zu", i);
    snprintf(texts[1], 24, "c_%u", (unsigned)random_below(r, 5000));
    snprintf(texts[2], 24, "card_%u", (unsigned)random_below(r, 8000));
    snprintf(texts[3], 24, "shop_%u", (unsigned)random_below(r, 10000));
    *row = (struct chunk_row){ .decided_at_us = (int64_t)i,
                               .n = i + 1,
                               .has_score = true,
                               .score = random_unit(r) * random_unit(r),
                               .thresholds = { 0.5, 0.8, 0.95 },
                               .p_allow = 1,
                               .decider = POLICY_BY_THRESHOLD,
                               .ruleset = SLICE("7"),
                               .model = SLICE("3") };
    row->txn = (struct txn){ .account = 1,
                             .id = slice_str(texts[0]),
                             .known_at_us = (int64_t)i * (DAYS * DAY_US / ROWS),
                             .amount_minor = (int64_t)random_below(r, 100000),
                             .currency = SLICE("EUR") };
    row->txn.occurred_at_us = row->txn.known_at_us;
    row->txn.amount_base_minor = row->txn.amount_minor;
    row->txn.text[TXN_customer_id] = slice_str(texts[1]);
    row->txn.text[TXN_card_id] = slice_str(texts[2]);
    row->txn.text[TXN_merchant_id] = slice_str(texts[3]);
    row->txn.text[TXN_channel] = channels[random_below(r, 3)];
    /* As features are: half of them counts, half of them means and shares. */
    for (size_t k = 0; k < FEATURES; k++)
        vector[k] = k % 2 ? (float)random_unit(r) : (float)random_below(r, 20);
}

/* Seconds that the builder takes, without making up the rows. */
static double build(void)
{
    struct chunk_builder *b = chunk_builder_new();
    struct random random = { 7 };
    char(*texts)[4][24] = mem_alloc(CHUNK, sizeof *texts);
    struct chunk_row *rows = mem_new_n(struct chunk_row, CHUNK);
    float(*vectors)[FEATURES] = mem_alloc(CHUNK, sizeof *vectors);
    int64_t took_us = 0;

    for (size_t i = 0; i < ROWS;) {
        size_t count = ROWS - i < CHUNK ? ROWS - i : CHUNK;
        int64_t began_us;

        for (size_t k = 0; k < count; k++, i++) {
            fill_row(&random, i, &rows[k], vectors[k], texts[k]);
            if (random_below(&random, 75) == 0)
                labels_add(w.labels, chunk_id_hash(1, rows[k].txn.id), LABEL_ISSUER, 1,
                           random_below(&random, 2) == 0);
        }
        began_us = clock_mono_us();
        for (size_t k = 0; k < count; k++) {
            if (chunk_builder_add(b, &rows[k], w.features, vectors[k], FEATURES, &why))
                bench_fail("backtest: %s", why.text);
        }
        chunk_builder_end(b, &w.bytes[w.count]);
        took_us += clock_mono_us() - began_us;
        if (chunk_open(&w.chunks[w.count], buf_slice(&w.bytes[w.count]), &why))
            bench_fail("backtest: %s", why.text);
        w.total += w.bytes[w.count++].len;
    }
    chunk_builder_free(b);
    mem_free(texts);
    mem_free(rows);
    mem_free(vectors);
    return (double)took_us / 1e6;
}

/* ---- rules ---- */

static void write_rules(void)
{
    for (int i = 0; i < RULES; i++) {
        int n = snprintf(w.texts[i], sizeof w.texts[i],
                         "tx.amount > %d.0 && feature_%d > %d.0 && feature_%d < 0.9", 20000 + 1000 * i,
                         2 * i % FEATURES, 12 + i % 7, (2 * i + 1) % FEATURES);

        if (i % 2)
            snprintf(w.texts[i] + n, sizeof w.texts[i] - (size_t)n,
                     " && tx.channel == \"ecommerce\" && score > 0.%d", i % 10);
        snprintf(w.ids[i], sizeof w.ids[i], "rule_%d", i);
        w.rules[i] = (struct policy_rule){ .id = slice_str(w.ids[i]),
                                           .name = slice_str(w.ids[i]),
                                           .expression = slice_str(w.texts[i]),
                                           .action = ACTION_REVIEW,
                                           .is_enabled = true };
    }
    w.set = (struct ruleset){ .version = SLICE("draft"), .rules = w.rules, .count = RULES };
    w.options = (struct backtest_options){ .asked = { CONTENDER_BY_ACCOUNT, &w.set, 1 },
                                           .compared = { .by = CONTENDER_DECIDED },
                                           .timeline = w.timeline,
                                           .labels = w.labels,
                                           .from_us = INT64_MIN,
                                           .to_us = INT64_MAX,
                                           .as_of_us = DAYS * DAY_US,
                                           .label_delay_us = 7 * DAY_US,
                                           .examples_most = 5 };
}

static struct {
    pthread_mutex_t lock;
    unsigned char keys[2 * RULES][SHA256_BYTES];
    struct outcomes_of_rule *outcomes[2 * RULES];
    size_t count;
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct outcomes_of_rule *known(const unsigned char key[SHA256_BYTES])
{
    for (size_t i = 0; i < memory.count; i++) {
        if (memcmp(memory.keys[i], key, SHA256_BYTES) == 0)
            return memory.outcomes[i];
    }
    memcpy(memory.keys[memory.count], key, SHA256_BYTES);
    memory.outcomes[memory.count] = rule_outcomes_open((struct slice){ 0 });
    return memory.outcomes[memory.count++];
}

static const uint8_t *recall(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES])
{
    const uint8_t *bits;

    (void)context;
    pthread_mutex_lock(&memory.lock);
    bits = rule_outcomes_find(known(key), chunk_identity(c), chunk_rows(c) / 4 + 1);
    pthread_mutex_unlock(&memory.lock);
    return bits;
}

static void keep(void *context, const struct chunk *c, const unsigned char key[SHA256_BYTES],
                 const uint8_t *bits, size_t bytes)
{
    (void)context;
    pthread_mutex_lock(&memory.lock);
    rule_outcomes_add(known(key), chunk_identity(c), bits, bytes);
    pthread_mutex_unlock(&memory.lock);
}

/* ---- running ---- */

struct part {
    struct backtest_worker *worker;
    size_t begin, end;
};

static void *work(void *arg)
{
    struct part *p = arg;
    struct why mine = { 0 };

    for (size_t i = p->begin; i < p->end; i++) {
        if (backtest_worker_take(p->worker, w.chunks[i], NULL, &mine))
            bench_fail("backtest: %s", mine.text);
    }
    return NULL;
}

static double run(size_t evaluated)
{
    static const struct backtest_memory calls = { recall, keep, NULL };
    struct part parts[THREADS];
    pthread_t threads[THREADS];
    int64_t began_us = clock_mono_us();
    double seconds;

    for (size_t i = 0; i < THREADS; i++) {
        parts[i] = (struct part){ .begin = w.count * i / THREADS, .end = w.count * (i + 1) / THREADS };
        if (backtest_worker_new(&parts[i].worker, &w.options, 0, DAYS + 1, &calls, &why))
            bench_fail("backtest: %s", why.text);
        if (pthread_create(&threads[i], NULL, work, &parts[i]) != 0)
            bench_fail("backtest: no thread");
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (i)
            backtest_worker_add(parts[0].worker, parts[i].worker);
    }
    seconds = (double)(clock_mono_us() - began_us) / 1e6;
    if (backtest_worker_result(parts[0].worker)->rows != ROWS ||
        backtest_worker_result(parts[0].worker)->newly_evaluated != evaluated * w.count)
        bench_fail("backtest: not what was to be measured");
    for (size_t i = 0; i < THREADS; i++)
        backtest_worker_free(parts[i].worker);
    return seconds;
}

int main(void)
{
    double built_s;

    w.timeline = timeline_new();
    timeline_seal(w.timeline);
    w.labels = labels_new();
    for (size_t i = 0; i < FEATURES; i++) {
        snprintf(w.features[i].name, sizeof w.features[i].name, "feature_%zu", i);
        w.features[i].identity[0] = (unsigned char)i;
    }
    write_rules();
    built_s = build();
    report(&(struct result){ .name = "backtest/columns built", .value = ROWS / built_s, .unit = "/s" });
    report(&(struct result){
        .name = "backtest/a decision on disk", .value = (double)w.total / ROWS, .unit = "bytes" });
    report(&(struct result){ .name = "backtest/50 rules, 1.75 million decisions",
                             .value = run(RULES),
                             .unit = "s",
                             .goals = { { VALUE_AT_MOST, 15 } } });
    w.rules[17].expression = SLICE("tx.amount > 61000.0 && feature_4 > 11.0 && score > 0.3");
    report(&(struct result){ .name = "backtest/one changed rule of 50",
                             .value = run(1),
                             .unit = "s",
                             .goals = { { VALUE_AT_MOST, 2 } } });
    for (size_t i = 0; i < memory.count; i++)
        rule_outcomes_close(memory.outcomes[i]);
    for (size_t i = 0; i < w.count; i++) {
        chunk_close(w.chunks[i]);
        buf_release(&w.bytes[i]);
    }
    labels_free(w.labels);
    timeline_free(w.timeline);
    return EXIT_SUCCESS;
}
