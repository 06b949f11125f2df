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
    cr_assert(!always_valid_check(&test, NULL));
    test.p = 2;
    cr_assert(always_valid_check(&test, NULL));
}

/* The interval holds an effect exactly when the test of that effect would not have crossed. */
Test(always_valid, the_interval_turns_the_test_around)
{
    struct always_valid test, at;
    struct interval i;

    cr_assert(!always_valid_init(&test, ALWAYS_VALID_EITHER, 0.05, 0.3, 0, 0, NULL));
    cr_assert(isinf(always_valid_interval(&test).high));
    always_valid_update(&test, 0.4, 0.01, 50);
    i = always_valid_interval(&test);
    cr_assert_float_eq((i.low + i.high) / 2, 0.4, 1e-12);
    for (int outside = 0; outside < 2; outside++) {
        cr_assert(!always_valid_init(&at, ALWAYS_VALID_EITHER, 0.05, 0.3, i.low + (outside ? -1e-9 : 1e-9), 0,
                                     NULL));
        cr_assert_eq(always_valid_update(&at, 0.4, 0.01, 50), outside == 1);
    }
}

Test(always_valid, figures_come_from_sums)
{
    static const double values[] = { 1, 4, 4, 9, 2.5 };
    struct moments all = { 0 }, left = { 0 }, right = { 0 };
    struct always_valid test;
    struct cluster_sums a = { 0 }, b = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        moments_add(&all, values[i]);
        moments_add(i < 2 ? &left : &right, values[i]);
        cluster_sums_move(i < 2 ? &a : &b, 0, 0, values[i], 1);
    }
    cr_assert_float_eq(all.mean, 4.1, 1e-12);
    cr_assert_float_eq(moments_variance(&all), 9.05, 1e-12);
    cr_assert(!always_valid_init(&test, ALWAYS_VALID_EITHER, 0.05, 1, 0, 0, NULL));
    always_valid_mean(&test, &all);
    cr_assert_float_eq(test.variance, 9.05 / 5, 1e-12);
    always_valid_means(&test, &left, &right);
    cr_assert_float_eq(test.estimate, 2.5 - 15.5 / 3, 1e-12);
    always_valid_clusters(&test, &a, &b);
    cr_assert_float_eq(test.estimate, 2.5 - 15.5 / 3, 1e-12);
    cr_assert_float_eq(test.variance, cluster_difference(&a, &b).variance, 1e-15);
    always_valid_proportions(&test, 90, 100, 40, 50);
    cr_assert_float_eq(test.estimate, 0.1, 1e-12);
    cr_assert_float_eq(test.variance, 90.5 / 101 * 10.5 / 101 / 100 + 40.5 / 51 * 10.5 / 51 / 50, 1e-12);
    always_valid_proportions(&test, 0, 0, 1, 1);
    cr_assert_eq(test.updates, 4);
    moments_merge(&left, &right);
    cr_assert_float_eq(left.m2, all.m2, 1e-12);
    moments_merge(&left, &(struct moments){ 0 });
    cr_assert_eq(left.n, 5);
}

Test(always_valid, what_is_no_test_is_refused)
{
    struct always_valid t;

    cr_assert(always_valid_init(&t, ALWAYS_VALID_EITHER, 0, 1, 0, 0, NULL));
    cr_assert(always_valid_init(&t, ALWAYS_VALID_EITHER, 0.05, 0, 0, 0, NULL));
    cr_assert(always_valid_init(&t, ALWAYS_VALID_EITHER, 0.05, 1, NAN, 0, NULL));
    cr_assert(always_valid_init(&t, (enum always_valid_side)7, 0.05, 1, 0, 0, NULL));
}
