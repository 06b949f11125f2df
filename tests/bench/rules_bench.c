/* SPDX-License-Identifier: Apache-2.0
 * rules_bench.c - what a rule and a policy cost, on one core. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "bench/report.h"
#include "cel/cel.h"
#include "policy/policy.h"

enum { FEATURES = 40, RULES = 200, ROWS = 1024, ROUNDS = 200 };

static float rows[ROWS][FEATURES];
static struct txn txns[ROWS];
static char feature_names[FEATURES][16], ids[ROWS][16];
static struct slice features[FEATURES];

/* Values 0 to 1, the same on every machine. */
static double next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static void fill(void)
{
    uint64_t state = 1;

    for (size_t j = 0; j < FEATURES; j++) {
        snprintf(feature_names[j], sizeof feature_names[j], "feature_%zu", j);
        features[j] = slice_str(feature_names[j]);
    }
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < FEATURES; j++)
            rows[i][j] = (float)next(&state);
        snprintf(ids[i], sizeof ids[i], "c%zu", i % 500);
        txns[i] = (struct txn){ .account = 1,
                                .currency = SLICE("EUR"),
                                .amount_minor = (int64_t)(100000 * next(&state)),
                                .occurred_at_us = (int64_t)i * MINUTE_US };
        txns[i].amount_base_minor = txns[i].amount_minor;
        txns[i].text[TXN_customer_id] = slice_str(ids[i]);
        txns[i].text[TXN_channel] = i % 3 ? SLICE("pos") : SLICE("ecommerce");
    }
}

static bool column(void *context, struct slice name, struct cel_name *out)
{
    (void)context;
    for (uint32_t j = 0; j < FEATURES; j++) {
        if (slice_eq(name, features[j])) {
            *out = (struct cel_name){ j, CEL_DOUBLE };
            return true;
        }
    }
    return false;
}

/* Both: short rounds, the best of many, which is what the code takes when nobody else runs. */

/* Ten conditions that all hold mostly, so that all are looked at. */
static double one_rule_ns(void)
{
    struct cel_env env = { .resolve = column, .dialect = CEL_ASSAY, .result = CEL_BOOL };
    struct cel_program *program;
    struct buf text = { 0 };
    struct why why = { 0 };
    double best = INFINITY;
    size_t held = 0;

    for (int j = 0; j < 10; j++)
        buf_printf(&text, "%sfeature_%d > 0.001", j ? " && " : "", j * 3);
    if (cel_compile(&program, buf_slice(&text), &env, &why))
        bench_fail("rules: %s", why.text);
    static struct cel_value slots[ROWS][FEATURES];

    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < FEATURES; j++)
            slots[i][j] = cel_feature((double)rows[i][j]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int64_t began = clock_mono_us();

        for (size_t i = 0; i < 4 * ROWS; i++) {
            struct cel_value value = cel_eval(program, &(struct cel_input){ .slots = slots[i % ROWS] });

            held += value.kind == CEL_BOOL && value.b;
        }
        double ns = (double)(clock_mono_us() - began) * 1000 / (4.0 * ROWS);
        best = ns < best ? ns : best;
    }
    if (held == 0)
        bench_fail("rules: the rule never held");
    cel_free(program);
    buf_release(&text);
    return best;
}

/* 200 rules of three to six conditions; few fire. */
static double policy_us(void)
{
    static char texts[RULES][256], rule_ids[RULES][16];
    static struct policy_rule rules[RULES];
    struct ruleset set = { .version = SLICE("1"), .rules = rules, .count = RULES };
    struct policy *policy = policy_new();
    struct policy_columns *columns;
    struct arena arena = { 0 };
    struct why why = { 0 };
    double best = INFINITY;

    for (int i = 0; i < RULES; i++) {
        int n = snprintf(texts[i], sizeof texts[i], "tx.amount > %d && feature_%d > 0.%d && feature_%d < 0.9",
                         20000 + 300 * i, i % FEATURES, 90 + i % 10, (i * 7) % FEATURES);

        if (i % 2)
            snprintf(texts[i] + n, sizeof texts[i] - (size_t)n,
                     " && tx.channel == \"ecommerce\" && score > 0.%d", i % 10);
        snprintf(rule_ids[i], sizeof rule_ids[i], "rule_%d", i);
        rules[i] = (struct policy_rule){ .id = slice_str(rule_ids[i]),
                                         .name = slice_str(rule_ids[i]),
                                         .expression = slice_str(texts[i]),
                                         .action = ACTION_REVIEW,
                                         .is_enabled = true };
    }
    if (policy_add_ruleset(policy, &set, &why))
        bench_fail("rules: %s", why.text);
    columns = policy_bind(policy, features, FEATURES);
    for (int round = 0; round < ROUNDS / 10; round++) {
        int64_t began = clock_mono_us();

        for (size_t i = 0; i < ROWS; i++) {
            struct policy_verdict verdict;

            arena_reset(&arena);
            policy_decide(policy,
                          &(struct policy_input){ .txn = &txns[i],
                                                  .vector = rows[i],
                                                  .vector_count = FEATURES,
                                                  .columns = columns,
                                                  .has_score = true,
                                                  .score = (double)rows[i][0],
                                                  .thresholds = { 0.5, 0.8, 0.95 } },
                          &arena, &verdict);
        }
        double us = (double)(clock_mono_us() - began) / ROWS;
        best = us < best ? us : best;
    }
    policy_columns_free(columns);
    policy_free(policy);
    arena_release(&arena);
    return best;
}

int main(void)
{
    fill();
    report(&(struct result){ .name = "rules/one rule of 10 conditions",
                             .value = one_rule_ns() / 1000,
                             .unit = "us",
                             .goals = { { VALUE_AT_MOST, 0.3 } } });
    report(&(struct result){ .name = "rules/200 rules, a transaction",
                             .value = policy_us(),
                             .unit = "us",
                             .goals = { { VALUE_AT_MOST, 60 } } });
    return EXIT_SUCCESS;
}
