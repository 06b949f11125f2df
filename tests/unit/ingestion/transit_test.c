/* SPDX-License-Identifier: Apache-2.0
 * transit_test.c - how much time is kept for what is begun. */
#include <criterion/criterion.h>

#include "../../../services/ingestion/transit.h"

enum { MOST_US = 75000 };

static int64_t after(struct transit *t, size_t times, int64_t took_us)
{
    for (size_t i = 0; i < times; i++)
        transit_add(t, took_us);
    return transit_reserve_us(t, 0, MOST_US);
}

TestSuite(transit, .timeout = 120);

Test(transit, asks_for_little_while_nothing_is_known)
{
    struct transit t = { 0 };

    cr_expect_leq(transit_reserve_us(&t, 0, MOST_US), 5000);
}

Test(transit, comes_to_what_steady_work_takes_and_the_way_back)
{
    struct transit t = { 0 };

    cr_expect_eq(after(&t, 1, 10000), 10000 + 4 * 5000, "RFC 6298, 2.2: half of the first is its deviation");
    cr_expect_float_eq((double)after(&t, 100, 10000), 15000, 10);
}

Test(transit, follows_rfc_6298)
{
    struct transit t = { 0 };
    double mean = 0, deviation = 0;

    for (int i = 0; i < 200; i++) {
        double took = 8000 + 6000 * (i * 7 % 11) / 10.0, off = took - mean;

        transit_add(&t, (int64_t)took);
        if (i == 0) {
            mean = took;
            deviation = took / 2;
            continue;
        }
        deviation = 0.75 * deviation + 0.25 * (off < 0 ? -off : off);
        mean = 0.875 * mean + 0.125 * took;
        cr_assert_float_eq((double)transit_reserve_us(&t, 0, INT64_MAX), mean + 4 * deviation, 30);
    }
}

Test(transit, knows_at_once_that_work_got_slow_and_forgets_it_soon)
{
    struct transit t = { 0 };
    int64_t usual = after(&t, 100, 10000);

    cr_expect_gt(after(&t, 1, 60000), 60000);
    cr_expect_lt(after(&t, 30, 10000), usual + 2000);
}

Test(transit, counts_what_is_still_under_way_and_claims_no_more_than_it_may)
{
    struct transit t = { 0 };

    after(&t, 100, 10000);
    cr_expect_eq(transit_reserve_us(&t, 40000, MOST_US), 45000);
    cr_expect_eq(transit_reserve_us(&t, 9000, MOST_US), transit_reserve_us(&t, 0, MOST_US));
    cr_expect_eq(transit_reserve_us(&t, 500000, MOST_US), MOST_US);
}
