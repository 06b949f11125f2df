/* SPDX-License-Identifier: Apache-2.0
 * The store against plain counting, over random streams with equal times, late and out-of-order events, gaps
 * that let entities be forgotten, and labels in any order. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/store.h"
#include "oracle.h"

/* Every aggregate, both modes, all hops, delays, conditions, priors, missing fields. */
static const char *const catalogue_lines[] = {
    "entities: {customer: customer_id, terminal: terminal_id, pair: [customer_id, merchant_id], box: "
    "attributes.box}",
    "features:",
    "- {name: c_count_x5m, count: customer, window: 5m}",
    "- {name: c_count_x1h, count: customer, window: 1h, include_current: true}",
    "- {name: c_count_x7d, count: customer, window: 7d, mode: exact, include_current: true}",
    "- {name: c_count_x7d_late, count: customer, window: 7d, delay: 3d, mode: exact}",
    "- {name: c_sum_x1d, sum: amount, by: customer, window: 1d, mode: exact}",
    "- {name: c_mean_x7d, mean: amount, by: customer, window: 7d, mode: exact, include_current: true}",
    "- {name: c_std_x7d, std: amount, by: customer, window: 7d, mode: exact}",
    "- {name: c_std_x7d_in, std: amount, by: customer, window: 7d, mode: exact, include_current: true, "
    "default: 0}",
    "- {name: c_min_x1d, min: amount, by: customer, window: 1d, mode: exact}",
    "- {name: c_max_x7d, max: amount, by: customer, window: 7d, mode: exact, include_current: true}",
    "- {name: c_max_x1h, max: amount, by: customer, window: 1h, default: -1}",
    "- {name: c_distinct_x1d, distinct: terminal_id, by: customer, window: 1d, mode: exact}",
    "- {name: c_distinct_x7d, distinct: terminal_id, by: customer, window: 7d, mode: exact, include_current: "
    "true}",
    "- {name: c_distinct_x7d_w, distinct: merchant_id, by: customer, window: 7d, mode: exact, where: "
    "\"tx.amount > 500.0\"}",
    "- {name: c_big_x7d, count: customer, window: 7d, mode: exact, where: \"tx.amount > 500.0\", "
    "include_current: true}",
    "- {name: c_pos_sum_x1d, sum: amount, by: customer, window: 1d, mode: exact, where: 'tx.channel == "
    "\"pos\"'}",
    "- {name: c_points_x7d, sum: attributes.points, by: customer, window: 7d, mode: exact, scale: 2}",
    "- {name: c_points_mean_x7d, mean: attributes.points, by: customer, window: 7d, mode: exact, scale: 2, "
    "include_current: true}",
    "- {name: c_points_min_x1d, min: attributes.points, by: customer, window: 1d, mode: exact, scale: 1}",
    "- {name: t_fraud_x7d, fraud_count: terminal, window: 7d, mode: exact}",
    "- {name: t_rate_x20d, fraud_rate: terminal, window: 20d, delay: 7d, mode: exact, prior: {rate: 0.01, "
    "weight: 10}}",
    "- {name: t_rate_x7d, fraud_rate: terminal, window: 7d, mode: exact, default: 0, where: \"tx.amount > "
    "500.0\"}",
    "- {name: t_count_x20d, count: terminal, window: 20d, delay: 7d, mode: exact}",
    "- {name: c_count_t1h, count: customer, window: 1h, mode: tiles}",
    "- {name: c_count_t6h, count: customer, window: 6h, include_current: true}",
    "- {name: c_count_t24h, count: customer, window: 24h}",
    "- {name: c_count_t7d, count: customer, window: 7d, where: \"tx.amount > 500.0\"}",
    "- {name: c_count_t20d, count: customer, window: 20d, delay: 5d}",
    "- {name: c_mean_t6h, mean: amount, by: customer, window: 6h}",
    "- {name: c_mean_t7d, mean: amount, by: customer, window: 7d, include_current: true}",
    "- {name: c_std_t20d, std: amount, by: customer, window: 20d}",
    "- {name: c_min_t24h, min: amount, by: customer, window: 24h}",
    "- {name: c_max_t7d, max: amount, by: customer, window: 7d, delay: 2h}",
    "- {name: c_points_t7d, sum: attributes.points, by: customer, window: 7d, scale: 2}",
    "- {name: c_points_max_t7d, max: attributes.points, by: customer, window: 7d, scale: 2}",
    "- {name: c_distinct_t24h, distinct: terminal_id, by: customer, window: 24h}",
    "- {name: c_distinct_t7d, distinct: terminal_id, by: customer, window: 7d, include_current: true}",
    "- {name: c_distinct_t20d, distinct: attributes.box, by: customer, window: 20d, delay: 1d}",
    "- {name: t_fraud_t6h, fraud_count: terminal, window: 6h}",
    "- {name: t_fraud_t7d, fraud_count: terminal, window: 7d, delay: 1d, where: \"tx.amount > 500.0\"}",
    "- {name: t_rate_t28d, fraud_rate: terminal, window: 28d, delay: 7d, prior: {rate: 0.008, weight: 20}}",
    "- {name: t_rate_t20d, fraud_rate: terminal, window: 20d}",
    "- {name: c_fraud_t7d, fraud_count: customer, window: 7d}",
    "- {name: p_count_x1d, count: pair, window: 1d, mode: exact}",
    "- {name: p_since, since_last: pair}",
    "- {name: b_count_t7d, count: box, window: 7d}",
    "- {name: b_since_pos, since_last: box, where: 'tx.channel == \"pos\"', default: -1}",
    "- {name: c_since, since_last: customer}",
    "- {name: c_first, first_seen: customer}",
    "- {name: c_speed, speed: customer}",
    "- {name: c_km, distance: customer}",
    "- {name: c_all, count: customer, window: all}",
    "- {name: c_all_mean, mean: amount, by: customer, window: all, include_current: true}",
    "- {name: c_all_std, std: amount, by: customer, window: all}",
    "- {name: c_all_max, max: amount, by: customer, window: all, where: 'tx.channel == \"pos\"'}",
    "- {name: c_all_min, min: attributes.points, by: customer, window: all, scale: 2}",
};

static bool where(const struct feature *f, const struct txn *txn)
{
    if (memmem(f->where.ptr, f->where.len, "amount", 6))
        return txn->amount_base_minor > 500;
    cr_assert(memmem(f->where.ptr, f->where.len, "channel", 7));
    return slice_eq_str(txn->text[TXN_channel], "pos");
}

static struct plan *make_plan(void)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan;
    struct why why = { 0 };
    struct buf yaml;

    buf_init(&yaml, 0);
    for (size_t i = 0; i < ARRAY_LEN(catalogue_lines); i++)
        buf_printf(&yaml, "%s\n", catalogue_lines[i]);
    cr_assert_eq(catalogue_parse(&catalogue, buf_slice(&yaml), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(plan_build(&plan, &catalogue, &why), ERR_OK, "%s", why.text);
    arena_release(&arena);
    buf_release(&yaml);
    return plan;
}

/* ---- random streams ---- */

struct stream {
    uint64_t seed;
    int64_t now_us;
    struct arena arena;
    struct slice ids[4096];
    uint32_t accounts[4096];
    size_t id_count;
};

static uint64_t below(struct stream *s, uint64_t limit)
{
    s->seed += 0x9e3779b97f4a7c15; /* SplitMix64 */
    uint64_t z = s->seed;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % limit;
}

static struct slice named(struct stream *s, const char *prefix, uint64_t count)
{
    return arena_printf(&s->arena, "%s%llu", prefix, (unsigned long long)below(s, count));
}

static struct txn next_txn(struct stream *s)
{
    static const int64_t steps[] = { 0, 1, SECOND_US, 5 * MINUTE_US, HOUR_US, 9 * HOUR_US, DAY_US };
    struct txn txn = { .account = (uint32_t)(1 + (below(s, 8) == 0)) };
    int64_t step = steps[below(s, sizeof steps / sizeof *steps)];

    s->now_us += step ? (int64_t)below(s, (uint64_t)step + 1) : 0;
    if (below(s, 300) == 0)
        s->now_us += (int64_t)below(s, 50) * DAY_US;
    if (below(s, 1000) == 0)
        s->now_us += 410 * DAY_US;
    txn.occurred_at_us = s->now_us;
    if (below(s, 6) == 0) /* late: mostly a little, sometimes hopelessly */
        txn.occurred_at_us -= (int64_t)below(s, (uint64_t)(below(s, 4) ? 2 * DAY_US : 60 * DAY_US));
    if (below(s, 10) == 0) /* on the edge of tiles and windows */
        txn.occurred_at_us -= txn.occurred_at_us % HOUR_US;
    txn.known_at_us = s->now_us;
    txn.amount_base_minor = txn.amount_minor = (int64_t)below(s, 1000) - 20;
    txn.id = below(s, 30) == 0 ? arena_printf(&s->arena, "early%llu", (unsigned long long)below(s, 5000))
                               : arena_printf(&s->arena, "t%zu", s->id_count);
    for (size_t i = 0; i < s->id_count; i++) {
        if (slice_eq(s->ids[i], txn.id)) /* ids are unique in a log */
            txn.id = arena_printf(&s->arena, "t%zu", s->id_count);
    }
    s->accounts[s->id_count] = txn.account;
    s->ids[s->id_count++] = txn.id;
    if (below(s, 20))
        txn.text[TXN_customer_id] = named(s, "c", 4);
    if (below(s, 20))
        txn.text[TXN_terminal_id] = named(s, "t", 6);
    txn.text[TXN_merchant_id] = named(s, "m", 5);
    txn.text[TXN_channel] = below(s, 2) ? slice_str("pos") : slice_str("web");
    txn.has_place = below(s, 5) != 0;
    txn.lat = txn.has_place ? (double)below(s, 12000) / 100 - 60 : 0;
    txn.lon = txn.has_place ? (double)below(s, 36000) / 100 - 180 : 0;
    txn.attributes = arena_new(&s->arena, struct txn_attribute, 2);
    if (below(s, 4)) {
        struct txn_attribute *a = &txn.attributes[txn.attribute_count++];

        a->name = slice_str("box");
        a->kind = below(s, 2) ? ATTRIBUTE_TEXT : ATTRIBUTE_NUMBER;
        a->text = named(s, "b", 3);
        a->number = (double)below(s, 3);
    }
    if (below(s, 3))
        txn.attributes[txn.attribute_count++] = (struct txn_attribute){
            .name = slice_str("points"), .kind = ATTRIBUTE_NUMBER, .number = (double)below(s, 5000) / 100 - 10
        };
    return txn;
}

static struct label next_label(struct stream *s)
{
    struct label label = { .account = 1, .known_at_us = s->now_us };
    size_t back = s->id_count < 60 || below(s, 4) == 0 ? s->id_count : 60;
    size_t i = s->id_count ? s->id_count - 1 - below(s, back) : 0;

    if (s->id_count == 0 || below(s, 8) == 0) {
        label.transaction_id = arena_printf(&s->arena, "early%llu", (unsigned long long)below(s, 5000));
    } else {
        label.transaction_id = s->ids[i];
        label.account = s->accounts[i];
    }
    label.is_fraud = below(s, 3) != 0;
    label.source = (enum label_source)below(s, LABEL_SOURCE_COUNT);
    label.labelled_at_us = s->now_us - (int64_t)below(s, 3) * HOUR_US;
    return label;
}

static void assert_same(const struct plan *plan, const double *got, const double *expected, uint64_t n)
{
    for (size_t i = 0; i < plan_columns(plan); i++) {
        const struct feature *f = plan_column(plan, i);
        /* The two formulas for a distance differ by their rounding; near 0 km by more. */
        double slack = f->aggregate == AGGREGATE_SPEED || f->aggregate == AGGREGATE_DISTANCE ? 1e-6 : 1e-12;

        if (f->aggregate == AGGREGATE_EXPR || (isnan(got[i]) && isnan(expected[i])))
            continue;
        cr_assert(fabs(got[i] - expected[i]) <= slack * (1 + fabs(expected[i])),
                  "entry %llu, %.*s: %.17g, counted %.17g", (unsigned long long)n, SLICE_ARG(f->name), got[i],
                  expected[i]);
    }
}

static void compare(uint64_t seed, size_t entries)
{
    struct plan *plan = make_plan();
    struct store *store = store_new(plan);
    struct oracle *oracle = oracle_new(plan, where);
    struct stream s = { .seed = seed, .now_us = 1700000000 * SECOND_US };
    double *got = mem_new_n(double, plan_columns(plan)), *expected = mem_new_n(double, plan_columns(plan));

    for (uint64_t n = 1; n <= entries; n++) {
        if (below(&s, 3) == 0) {
            struct label label = next_label(&s);

            store_apply_label(store, n, &label);
            oracle_apply_label(oracle, &label);
        } else {
            struct txn txn = next_txn(&s);
            bool is_asked = below(&s, 10) != 0;

            if (below(&s, 5) == 0) { /* asking changes nothing */
                struct txn asked = txn;

                asked.occurred_at_us -= (int64_t)below(&s, (uint64_t)(20 * DAY_US));
                store_peek_txn(store, &asked, got);
            }
            /* Sometimes nobody asks for the vector; the state must be the same. */
            store_apply_txn(store, n, &txn, is_asked ? got : NULL);
            oracle_apply_txn(oracle, &txn, expected);
            if (is_asked)
                assert_same(plan, got, expected, n);
        }
    }
    cr_assert_gt(store_stats(store).late_dropped, 0);
    mem_free(got);
    mem_free(expected);
    arena_release(&s.arena);
    oracle_free(oracle);
    store_free(store);
    plan_free(plan);
}

TestSuite(featurestore_store, .timeout = 60);

Test(featurestore_store, equals_plain_counting_on_random_streams)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        compare(seed, 500);
}
