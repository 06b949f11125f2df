/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/clustered.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/array.h"

/* By hand: R = 12 / 8 = 1.5, residuals 0.5, -1, 0.5 and 0, V = 4/3 * 1.5 / 64. */
Test(clustered, a_ratio_is_that_of_the_textbook)
{
    static const double y[] = { 2, 2, 5, 3 }, n[] = { 1, 2, 3, 2 };
    struct cluster_sums s = { 0 };
    struct estimate e;

    for (size_t i = 0; i < ARRAY_LEN(y); i++)
        cluster_sums_move(&s, 0, 0, y[i], n[i]);
    e = cluster_ratio(&s);
    cr_assert_float_eq(e.value, 1.5, 1e-15);
    cr_assert_float_eq(e.variance, 4.0 / 3 * 1.5 / 64, 1e-14);
    cr_assert_float_eq(e.effective, 1.5 * 1.5 / 1.125, 1e-12);
    cr_assert_eq(e.clusters, 4);
    cr_assert_float_eq(estimate_z(e), 1.5 / sqrt(4.0 / 3 * 1.5 / 64), 1e-12);
}

/* One payment a customer: the variance of a mean, s^2 / n. */
Test(clustered, clusters_of_one_give_the_variance_of_a_mean)
{
    struct cluster_sums s = { 0 };
    struct random random = { 4 };
    double values[100], mean = 0, squares = 0;

    for (size_t i = 0; i < 100; i++) {
        values[i] = random_unit(&random);
        mean += values[i] / 100;
        cluster_sums_move(&s, 0, 0, values[i], 1);
    }
    for (size_t i = 0; i < 100; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    cr_assert_float_eq(cluster_ratio(&s).variance, squares / 99 / 100, 1e-14);
}

Test(clustered, totals_that_move_give_what_their_ends_give)
{
    enum { CUSTOMERS = 50, DAYS = 20 };
    struct cluster_sums moved = { 0 }, direct = { 0 };
    double y[CUSTOMERS] = { 0 }, n[CUSTOMERS] = { 0 };
    struct random random = { 8 };

    for (int day = 0; day < DAYS; day++) {
        for (int c = 0; c < CUSTOMERS; c++) {
            double more_n = (double)random_below(&random, 3),
                   more_y = more_n * (double)random_below(&random, 900);

            cluster_sums_move(&moved, y[c], n[c], y[c] + more_y, n[c] + more_n);
            y[c] += more_y;
            n[c] += more_n;
        }
    }
    for (int c = 0; c < CUSTOMERS; c++) {
        cluster_sums_move(&direct, 0, 0, y[c], n[c]);
    }
    cr_assert_eq(moved.clusters, direct.clusters);
    cr_assert_eq(moved.y, direct.y); /* whole numbers: exact */
    cr_assert_eq(moved.yy, direct.yy);
    cr_assert_eq(moved.yn, direct.yn);
    cr_assert_float_eq(cluster_ratio(&moved).variance / cluster_ratio(&direct).variance, 1, 1e-12);
    cr_assert_float_eq(cluster_ratio(&moved).effective / cluster_ratio(&direct).effective, 1, 1e-9);
    for (int c = 0; c < CUSTOMERS; c++)
        cluster_sums_move(&moved, y[c], n[c], 0, 0);
    cr_assert_eq(moved.clusters, 0);
    cr_assert(isnan(cluster_ratio(&moved).value));
}

Test(clustered, what_says_nothing_has_no_variance)
{
    struct cluster_sums none = { 0 }, one = { 0 }, zeros = { 0 };
    struct estimate e;

    cluster_sums_move(&one, 0, 0, 5, 2);
    cr_assert(isnan(cluster_ratio(&none).value));
    cr_assert_eq(cluster_ratio(&one).value, 2.5);
    cr_assert(isnan(cluster_ratio(&one).variance));
    for (int i = 0; i < 9; i++)
        cluster_sums_move(&zeros, 0, 0, 0, 3);
    e = cluster_ratio(&zeros);
    cr_assert_eq(e.variance, 0);
    cr_assert_eq(e.effective, 0);
    cr_assert_eq(estimate_z(e), 0);
    e = estimate_difference(e, cluster_ratio(&one));
    cr_assert(isnan(estimate_z(e)));
    cr_assert_eq(e.clusters, 1);
}

Test(clustered, scaled_sums_are_those_of_scaled_clusters)
{
    struct cluster_sums plain = { 0 }, scaled = { 0 };
    struct random random = { 6 };

    for (size_t i = 0; i < 50; i++) {
        double y = random_unit(&random), n = 1 + (double)random_below(&random, 5);

        cluster_sums_move(&plain, 0, 0, y, n);
        cluster_sums_move(&scaled, 0, 0, 3 * y, n);
    }
    cluster_sums_scale(&plain, 3);
    cr_assert_float_eq(cluster_ratio(&plain).value, cluster_ratio(&scaled).value, 1e-12);
    cr_assert_float_eq(cluster_ratio(&plain).variance, cluster_ratio(&scaled).variance, 1e-12);
    cr_assert_float_eq(cluster_ratio(&plain).effective, cluster_ratio(&scaled).effective, 1e-9);
}

/* Under equal arms and equal deviations nothing changes; a small arm borrows the large one's deviation. */
Test(clustered, a_pooled_difference_knows_one_deviation)
{
    struct cluster_sums a = { 0 }, b = { 0 };
    struct random random = { 5 };
    struct estimate pooled;
    double squares = 0, values[120], mean[2] = { 0 };

    for (size_t i = 0; i < 120; i++) {
        values[i] = random_unit(&random) * (i < 20 ? 1 : 4);
        mean[i >= 20] += values[i] / (i < 20 ? 20 : 100);
        cluster_sums_move(i < 20 ? &a : &b, 0, 0, values[i], 1);
    }
    for (size_t i = 0; i < 120; i++)
        squares += (values[i] - mean[i >= 20]) * (values[i] - mean[i >= 20]);
    pooled = cluster_difference(&a, &b);
    /* Student's variance of two means with one deviation. */
    cr_assert_float_eq(pooled.value, mean[0] - mean[1], 1e-12);
    cr_assert_float_eq(pooled.variance, squares / 118 * (1.0 / 20 + 1.0 / 100), 1e-12);
    cr_assert(isnan(cluster_difference(&a, &(struct cluster_sums){ .clusters = 0 }).variance));
}
