/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "fraud/pan.h"
#include "proto/txn_proto.h"
#include "simulate/simulate.h"

#define START (INT64_C(1577836800) * SECOND_US) /* 2020-01-01 */

static struct simulate *world(uint64_t seed, double fraud_factor)
{
    struct simulate_params params = {
        .seed = seed, .account = 1, .start_us = START, .customers = 1000, .fraud_factor = fraud_factor
    };

    return simulate_new(&params);
}

TestSuite(simulate, .timeout = 120);

static void digest(uint64_t seed, int count, char hex[SHA256_HEX_SIZE])
{
    struct simulate *s = world(seed, 1);
    struct arena arena = { 0 };
    struct buf all;
    struct txn txn;
    struct label label;

    buf_init(&all, 0);
    for (int i = 0; i < count; i++) {
        simulate_next(s, &txn, &label);
        buf_add_slice(&all, txn_pack(&txn, &arena));
        buf_add_slice(&all, label_pack(&label, &arena));
        arena_reset(&arena);
    }
    sha256_hex(buf_slice(&all), hex);
    buf_release(&all);
    arena_release(&arena);
    simulate_free(s);
}

Test(simulate, the_same_seed_gives_the_same_stream_and_another_seed_another)
{
    char a[SHA256_HEX_SIZE], b[SHA256_HEX_SIZE], c[SHA256_HEX_SIZE];

    digest(7, 5000, a);
    digest(7, 5000, b);
    digest(8, 5000, c);
    cr_assert_str_eq(a, b);
    cr_assert_str_neq(a, c);
}

Test(simulate, time_never_runs_back_and_labels_come_after_their_transaction)
{
    struct simulate *s = world(1, 1);
    struct txn txn;
    struct label label;
    int64_t last = START;

    for (int i = 0; i < 50000; i++) {
        simulate_next(s, &txn, &label);
        cr_assert_geq(txn.occurred_at_us, last);
        cr_assert_gt(label.known_at_us, txn.occurred_at_us);
        cr_assert_leq(label.known_at_us, txn.occurred_at_us + 60 * DAY_US);
        last = txn.occurred_at_us;
    }
    simulate_free(s);
}

Test(simulate, every_kind_of_fraud_happens_and_about_one_payment_in_a_hundred_is_one)
{
    struct simulate *s = world(2, 1);
    struct txn txn;
    struct label label;
    int seen[SCENARIO_COUNT] = { 0 }, frauds = 0;

    for (int i = 0; i < 60000; i++) {
        enum scenario scenario = simulate_next(s, &txn, &label);

        seen[scenario]++;
        frauds += label.is_fraud;
        cr_assert_eq(label.is_fraud, scenario != SCENARIO_GENUINE);
    }
    for (int i = 0; i < SCENARIO_COUNT; i++)
        cr_assert_gt(seen[i], 5, "%s", scenario_name((enum scenario)i));
    cr_assert(frauds > 200 && frauds < 1800, "%d", frauds);
    simulate_free(s);
}

Test(simulate, a_world_without_fraud_has_none)
{
    struct simulate *s = world(3, 0);
    struct txn txn;
    struct label label;

    for (int i = 0; i < 10000; i++)
        cr_assert_eq(simulate_next(s, &txn, &label), SCENARIO_GENUINE);
    simulate_free(s);
}

Test(simulate, people_pay_by_day_and_as_often_as_they_should)
{
    struct simulate *s = world(4, 0);
    struct txn txn = { 0 };
    struct label label;
    int night = 0, all = 0;

    for (; all < 30000; all++) {
        simulate_next(s, &txn, &label);
        night += txn.occurred_at_us / HOUR_US % 24 < 6;
    }
    cr_assert_lt(night, all / 12);
    cr_assert_float_eq((double)(txn.occurred_at_us - START) / (double)DAY_US,
                       30000 / (1000 * simulate_daily_rate()), 2.0);
    simulate_free(s);
}

Test(simulate, nothing_in_it_looks_like_a_card_number)
{
    struct simulate *s = world(UINT64_C(4111111111111111), 1);
    struct txn txn;
    struct label label;

    for (int i = 0; i < 20000; i++) {
        simulate_next(s, &txn, &label);
        cr_assert(!pan_find(txn.id, NULL));
        for (int f = 0; f < TXN_TEXT_COUNT; f++)
            cr_assert(!pan_find(txn.text[f], NULL), "%.*s", SLICE_ARG(txn.text[f]));
    }
    simulate_free(s);
}
