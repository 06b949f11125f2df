/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/distribution.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"

/* Printed tables: the normal at .975 and .995; chi-squared at .95 for 1, 9 and 100 degrees, at .01 for 3. */
Test(distribution, quantiles_are_those_of_the_tables)
{
    cr_assert_float_eq(normal_quantile(0.975), 1.959963984540054, 1e-12);
    cr_assert_float_eq(normal_quantile(0.995), 2.5758293035489004, 1e-12);
    cr_assert_float_eq(normal_quantile(0.5), 0, 1e-12);
    cr_assert_float_eq(chi_squared_quantile(0.95, 1), 3.841458820694124, 1e-9);
    cr_assert_float_eq(chi_squared_quantile(0.95, 9), 16.918977604620448, 1e-9);
    cr_assert_float_eq(chi_squared_quantile(0.95, 100), 124.34211340400407, 1e-7);
    cr_assert_float_eq(chi_squared_quantile(0.01, 3), 0.11483180189911714, 1e-9);
}

Test(distribution, normal_tails_are_exact_far_out)
{
    cr_assert_float_eq(normal_cdf(1.96), 0.9750021048517795, 1e-15);
    /* DLMF 7.8 / printed tables: 1 - Phi(8) = 6.22096057427e-16 */
    cr_assert_float_eq(normal_upper(8) / 6.220960574271785e-16, 1, 1e-12);
    for (double z = -5; z <= 20; z += 0.37)
        cr_expect_float_eq(normal_upper_quantile(normal_upper(z)), z, 1e-9, "%f", z);
    cr_assert(isinf(normal_quantile(0)) && isinf(normal_upper_quantile(0)) && isnan(normal_quantile(-1)));
    cr_assert_eq(normal_quantile(0.25), -normal_upper_quantile(0.25));
}

/* Brute force: the sum of the masses, which are products. */
Test(distribution, binomial_tails_are_sums_of_masses)
{
    static const double shares[] = { 0.01, 0.3, 0.5, 0.97 };

    for (size_t s = 0; s < ARRAY_LEN(shares); s++) {
        for (uint64_t n = 1; n <= 40; n += 13) {
            double sum = 0, mass = pow(1 - shares[s], (double)n);

            for (uint64_t k = 0; k <= n; k++) {
                sum += mass;
                cr_expect_float_eq(binomial_mass(k, n, shares[s]), mass, 1e-12);
                cr_expect_float_eq(binomial_cdf(k, n, shares[s]), sum, 1e-12);
                mass *= (double)(n - k) / (double)(k + 1) * shares[s] / (1 - shares[s]);
            }
        }
    }
    /* With many trials: the normal approximation with correction is near. */
    cr_assert_float_eq(binomial_cdf(500500, 1000000, 0.5), normal_cdf(500.5 / 500), 1e-6);
    cr_assert_eq(binomial_cdf(3, 3, 0.5), 1);
    cr_assert_eq(binomial_mass(0, 5, 0), 1);
}

/* Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 5: the exact interval, to four digits. */
Test(distribution, clopper_pearson_gives_the_published_limits)
{
    static const struct {
        uint64_t successes, n;
        double low, high;
    } cases[] = {
        { 81, 263, 0.2527, 0.3676 },
        { 15, 148, 0.0578, 0.1617 },
        { 0, 20, 0.0000, 0.1684 },
        { 1, 29, 0.0009, 0.1776 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct interval exact = clopper_pearson(cases[i].successes, cases[i].n, 0.95);

        cr_expect_float_eq(exact.low, cases[i].low, 5e-5, "%zu: %f", i, exact.low);
        cr_expect_float_eq(exact.high, cases[i].high, 5e-5, "%zu: %f", i, exact.high);
    }
    cr_assert_eq(clopper_pearson(0, 0, 0.95).high, 1);
    cr_assert_eq(clopper_pearson(20, 20, 0.95).high, 1);
}
