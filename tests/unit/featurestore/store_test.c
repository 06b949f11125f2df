/* SPDX-License-Identifier: Apache-2.0
 * The store against plain counting, over random streams with equal times, late and out-of-order events, gaps
 * that let entities be forgotten, and labels in any order. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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
    "- {name: t_since_fraud_20d, since_last_fraud: terminal, window: 20d, delay: 7d}",
    "- {name: t_since_legit_20d, since_last_legit: terminal, window: 20d, delay: 7d}",
    "- {name: t_since_fraud_1h, since_last_fraud: terminal, window: 1h, default: -1}",
    "- {name: t_since_fraud_big, since_last_fraud: terminal, window: 30d, where: \"tx.amount > 500.0\"}",
    "- {name: c_since_legit_big, since_last_legit: customer, window: 7d, where: \"tx.amount > 500.0\"}",
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

TestSuite(featurestore_store, .timeout = 180);

Test(featurestore_store, equals_plain_counting_on_random_streams)
{
    const char *rounds = getenv("ASSAY_TEST_ROUNDS"); /* more than the usual few */

    for (uint64_t seed = 1; seed <= (rounds ? strtoull(rounds, NULL, 10) : 4); seed++)
        compare(seed, seed % 4 ? 600 : 2000);
}

/* ---- snapshots ---- */

static void apply(struct store *store, struct stream *s, uint64_t n, double *vector)
{
    if (below(s, 3) == 0) {
        struct label label = next_label(s);

        store_apply_label(store, n, &label);
    } else {
        struct txn txn = next_txn(s);

        store_apply_txn(store, n, &txn, below(s, 10) ? vector : NULL);
    }
}

static struct buf saved(const struct store *store)
{
    struct buf out;

    buf_init(&out, 0);
    store_save_buf(store, &out);
    return out;
}

static struct store *loaded(const struct plan *plan, struct slice snapshot)
{
    struct store *store;
    struct why why = { 0 };

    cr_assert_eq(store_load(&store, plan, snapshot, &why), ERR_OK, "%s", why.text);
    return store;
}

/* Stops, saves, loads and goes on at random places; the other store never stops. */
static void go_on(uint64_t seed, size_t entries)
{
    struct plan *plan = make_plan();
    struct store *steady = store_new(plan), *stopped = store_new(plan);
    struct stream a = { .seed = seed, .now_us = 1700000000 * SECOND_US }, b = a, cuts = { .seed = ~seed };
    double *x = mem_new_n(double, plan_columns(plan)), *y = mem_new_n(double, plan_columns(plan));

    for (uint64_t n = 1; n <= entries; n++) {
        apply(steady, &a, n, x);
        apply(stopped, &b, n, y);
        for (size_t i = 0; i < plan_columns(plan); i++)
            cr_assert(memcmp(&x[i], &y[i], sizeof x[i]) == 0 || (isnan(x[i]) && isnan(y[i])), "entry %llu",
                      (unsigned long long)n);
        if (below(&cuts, 150) == 0) {
            struct buf first = saved(stopped), again, other = saved(steady);

            store_free(stopped);
            stopped = loaded(plan, buf_slice(&first));
            again = saved(stopped);
            cr_assert(slice_eq(buf_slice(&first), buf_slice(&again)), "what was read is what was written");
            cr_assert(slice_eq(buf_slice(&first), buf_slice(&other)), "equal states are equal bytes");
            buf_release(&first);
            buf_release(&again);
            buf_release(&other);
        }
    }
    mem_free(x);
    mem_free(y);
    arena_release(&a.arena);
    arena_release(&b.arena);
    store_free(steady);
    store_free(stopped);
    plan_free(plan);
}

Test(featurestore_store, goes_on_from_a_snapshot_as_if_it_had_never_stopped)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        go_on(seed, 3000);
}

Test(featurestore_store, has_the_same_state_whether_vectors_were_asked_for_or_not_and_whatever_was_expected)
{
    struct plan *plan = make_plan();
    struct store *asked = store_new(plan), *silent = store_new(plan);
    struct stream s = { .seed = 11, .now_us = 1700000000 * SECOND_US }, others = { .seed = 12 };
    double *x = mem_new_n(double, plan_columns(plan)), *y = mem_new_n(double, plan_columns(plan));
    struct buf bytes[2];
    struct txn txn;

    others.now_us = s.now_us;
    for (uint64_t n = 1; n <= 3000; n++) {
        if (below(&s, 4) == 0) {
            struct label label = next_label(&s);

            store_apply_label(asked, n, &label);
            store_apply_label(silent, n, &label);
            continue;
        }
        txn = next_txn(&others);
        store_expect(asked, &txn);
        txn = next_txn(&s);
        store_expect(asked, &txn);
        store_apply_txn(asked, n, &txn, x);
        store_apply_txn(silent, n, &txn, NULL);
    }
    bytes[0] = saved(asked);
    bytes[1] = saved(silent);
    cr_assert(slice_eq(buf_slice(&bytes[0]), buf_slice(&bytes[1])), "equal states are equal bytes");
    txn = next_txn(&s);
    store_peek_txn(asked, &txn, x);
    store_peek_txn(silent, &txn, y);
    for (size_t i = 0; i < plan_columns(plan); i++)
        cr_assert(memcmp(&x[i], &y[i], sizeof x[i]) == 0 || (isnan(x[i]) && isnan(y[i])), "column %zu", i);
    buf_release(&bytes[0]);
    buf_release(&bytes[1]);
    mem_free(x);
    mem_free(y);
    arena_release(&s.arena);
    arena_release(&others.arena);
    store_free(asked);
    store_free(silent);
    plan_free(plan);
}

Test(featurestore_store, refuses_a_snapshot_that_is_damaged_anywhere)
{
    struct plan *plan = make_plan();
    struct store *store = store_new(plan), *other;
    struct stream s = { .seed = 7, .now_us = 1700000000 * SECOND_US };
    struct buf bytes;

    for (uint64_t n = 1; n <= 200; n++)
        apply(store, &s, n, NULL);
    bytes = saved(store);
    for (size_t i = 0; i < bytes.len; i += 1 + bytes.len / 997) {
        struct why why = { 0 };
        enum err err;

        bytes.data[bytes.taken + i] ^= 0x20;
        err = store_load(&other, plan, buf_slice(&bytes), &why);
        cr_assert(err == ERR_SYNTAX || (err == ERR_CONFLICT && i == 7), "byte %zu: %s", i, err_name(err));
        cr_assert_null(other);
        cr_assert_gt(strlen(why.text), 0);
        bytes.data[bytes.taken + i] ^= 0x20;
        cr_assert_eq(store_load(&other, plan, slice_of(buf_slice(&bytes).ptr, i), &why), ERR_SYNTAX);
    }
    buf_release(&bytes);
    arena_release(&s.arena);
    store_free(store);
    plan_free(plan);
}

Test(featurestore_store, forgets_idle_entities_and_reuses_their_memory)
{
    struct plan *plan = make_plan();
    struct store *store = store_new(plan);
    struct arena arena = { 0 };
    size_t settled = 0;

    for (uint64_t n = 1; n <= 60000; n++) { /* a new customer every minute, hundreds of days in all */
        struct txn txn = { .account = 1, .amount_base_minor = 100 };

        txn.occurred_at_us = (int64_t)n * HOUR_US;
        txn.id = arena_printf(&arena, "t%llu", (unsigned long long)n);
        txn.text[TXN_customer_id] = arena_printf(&arena, "c%llu", (unsigned long long)(n / 4));
        txn.text[TXN_terminal_id] = arena_printf(&arena, "t%llu", (unsigned long long)(n / 2));
        store_apply_txn(store, n, &txn, NULL);
        arena_reset(&arena);
        if (n == 40000)
            settled = store_stats(store).bytes;
    }
    cr_assert_gt(store_stats(store).evicted, 20000);
    cr_assert_lt(store_stats(store).entities, 20000);
    if (settled > (1 << 20)) /* under AddressSanitizer memory is not pooled and goes up and down a little */
        cr_assert_leq(store_stats(store).bytes, settled + settled / 10);
    arena_release(&arena);
    store_free(store);
    plan_free(plan);
}
