/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/always_valid.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/distribution.h"

/* Brute force: the likelihood ratio of an estimate, averaged over effects from N(0, tau^2), or from its half, by
 * a sum over a fine grid. */
static double mixed(enum always_valid_side side, double off, double variance, double tau)
{
    double sum = 0, all = 0;

    for (double theta = -12 * tau; theta <= 12 * tau; theta += tau / 2000) {
        double weight = normal_density(theta / tau);

        if ((side == ALWAYS_VALID_ABOVE && theta < 0) || (side == ALWAYS_VALID_BELOW && theta > 0))
            continue;
        all += weight;
        sum += weight * exp((off * theta - theta * theta / 2) / variance);
    }
    return sum / all;
}

Test(always_valid, p_is_one_over_the_mixed_likelihood_ratio)
{
    static const double offs[] = { 0.3, -0.25, 0.05, 0.6 }, variances[] = { 0.02, 0.01, 0.04, 0.05 };

    for (int side = 0; side < ALWAYS_VALID_SIDE_COUNT; side++) {
        for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
            struct always_valid test;
            double expected = 1 / mixed((enum always_valid_side)side, offs[i], variances[i], 0.2);

            cr_assert(!always_valid_init(&test, (enum always_valid_side)side, 0.05, 0.2, 0.7, 0, NULL));
            always_valid_update(&test, 0.7 + offs[i], variances[i], 10);
            cr_expect_float_eq(test.p / fmin(1, expected), 1, 2e-3, "%d %zu: %g %g", side, i, test.p,
                               expected);
            cr_expect_eq(test.has_crossed, test.p <= 0.05);
        }
    }
}

Test(always_valid, p_only_falls)
{
    struct always_valid test;
    double before;

    cr_assert(!always_valid_init(&test, ALWAYS_VALID_EITHER, 0.05, 1, 0, 5, NULL));
    cr_assert(!always_valid_update(&test, 9, 0.1, 4), "too few are not counted");
    cr_assert_eq(test.updates, 0);
    cr_assert(!always_valid_update(&test, 0.5, 0.1, 5));
    before = test.p;
    cr_assert(!always_valid_update(&test, 0, 0.05, 10));
    cr_assert_eq(test.p, before);
    cr_assert(!always_valid_update(&test, NAN, 0.05, 10) && !always_valid_update(&test, 9, 0, 10) &&
              !always_valid_update(&test, 9, NAN, 10));
    cr_assert_eq(test.updates, 2);
    cr_assert(always_valid_update(&test, 3, 0.05, 20));
    cr_assert(always_valid_update(&test, 0, 0.01, 30), "what has crossed stays so");
}

Test(always_valid, shares_come_from_counts)
{
    struct always_valid test, by_hand;
    double variance = 95.5 / 101 * 5.5 / 101 / 100 + 20.5 / 51 * 30.5 / 51 / 50;

    cr_assert(!always_valid_init(&test, ALWAYS_VALID_EITHER, 0.05, 0.1, 0, 50, NULL));
    by_hand = test;
    always_valid_proportions(&test, 95, 100, 20, 50, 2);
    always_valid_update(&by_hand, 0.55, 2 * variance, 50);
    cr_assert_float_eq(test.p, by_hand.p, 1e-12);
    cr_assert_lt(test.p, 1);
    cr_assert_eq(test.updates, 1);
    always_valid_proportions(&test, 0, 0, 1, 1, 2);
    always_valid_proportions(&test, 0, 49, 49, 50, 2);
    cr_assert_eq(test.updates, 1, "nothing, and too few");
}

Test(always_valid, what_is_no_test_is_refused)
{
    struct always_valid t;

    cr_assert(always_valid_init(&t, ALWAYS_VALID_EITHER, 0, 1, 0, 0, NULL));
    cr_assert(always_valid_init(&t, ALWAYS_VALID_EITHER, 0.05, 0, 0, 0, NULL));
    cr_assert(always_valid_init(&t, ALWAYS_VALID_EITHER, 0.05, 1, NAN, 0, NULL));
    cr_assert(always_valid_init(&t, (enum always_valid_side)7, 0.05, 1, 0, 0, NULL));
}
