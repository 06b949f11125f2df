/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/drift.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/interval.h"

Test(drift, histogram_puts_values_between_edges_and_missing_ones_apart)
{
    const double edges[] = { 1, 2, 3 }, values[] = { 0.5, 1, 1.9, 2, 2.5, 3, 99, -INFINITY, NAN };
    const uint64_t wanted[] = { 2, 2, 2, 2, 1 };
    struct histogram h;

    histogram_init_edges(&h, edges, 3);
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        histogram_add(&h, values[i]);
    cr_assert_eq(histogram_bins(&h), 5);
    cr_assert_arr_eq(h.counts, wanted, sizeof wanted);
    histogram_release(&h);
}

Test(drift, quantile_edges_share_the_rows_evenly)
{
    double values[1000], ties[] = { 0, 0, 0, 0, 0, 0, 0, 1, 2, 3 };
    struct histogram h;

    for (size_t i = 0; i < 1000; i++)
        values[i] = (double)i;
    histogram_init_quantiles(&h, values, 1000, 10);
    cr_assert_eq(h.edge_count, 9);
    for (size_t i = 0; i < 1000; i++)
        histogram_add(&h, values[i]);
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(h.counts[i], 100);
    histogram_release(&h);

    /* Seven equal values are one bin, not seven edges. */
    histogram_init_quantiles(&h, ties, 10, 10);
    cr_assert_eq(h.edge_count, 3);
    histogram_release(&h);
    histogram_init_quantiles(&h, NULL, 0, 10);
    cr_assert_eq(h.edge_count, 0);
    histogram_release(&h);
}

/* By hand: p = .5 .3 .2, q = .4 .4 .2: .1 ln 1.25 + .1 ln (4/3). */
Test(drift, psi_is_the_sum_over_bins)
{
    const uint64_t p[] = { 500, 300, 200 }, q[] = { 40, 40, 20 }, empty[] = { 0, 0, 0 },
                   gap[] = { 50, 50, 0 };

    cr_assert_float_eq(psi(p, q, 3), 0.1 * log(1.25) + 0.1 * log(4.0 / 3), 1e-12);
    cr_assert_float_eq(psi(q, p, 3), psi(p, q, 3), 1e-12);
    cr_assert_float_eq(psi(p, p, 3), 0, 1e-15);
    cr_assert(isnan(psi(p, empty, 3)));
    cr_assert(isfinite(psi(p, gap, 3)));
    cr_assert_gt(psi(p, gap, 3), 0.5);
}

/* 95 of 100 pairs of samples from one distribution stay below the stated noise. */
Test(drift, psi_of_equal_distributions_stays_below_its_noise)
{
    struct random r = { 3 };
    int above = 0;

    for (int round = 0; round < 2000; round++) {
        uint64_t a[10] = { 0 }, b[10] = { 0 };

        for (int i = 0; i < 2000; i++)
            a[random_below(&r, 10)]++;
        for (int i = 0; i < 1000; i++)
            b[random_below(&r, 10)]++;
        above += psi(a, b, 10) > psi_noise_95(10, 2000, 1000);
    }
    cr_assert_float_eq(above / 2000.0, 0.05, 0.015);
}

Test(drift, jensen_shannon_is_between_nothing_and_one_bit)
{
    const uint64_t p[] = { 1, 0 }, q[] = { 0, 5 }, half[] = { 3, 3 };

    cr_assert_float_eq(jensen_shannon(p, p, 2), 0, 1e-15);
    cr_assert_float_eq(jensen_shannon(p, q, 2), 1, 1e-15);
    /* H(3/4, 1/4) - H(1/2, 1/2) / 2 in bits */
    cr_assert_float_eq(jensen_shannon(p, half, 2), 0.8112781244591328 - 0.5, 1e-12);
}
