/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/interval.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/ranking.h"

/* Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3: the score interval without continuity
 * correction, to four digits. */
Test(interval, wilson_gives_the_published_limits)
{
    static const struct {
        uint64_t successes, n;
        double low, high;
    } cases[] = {
        { 81, 263, 0.2553, 0.3662 },
        { 15, 148, 0.0624, 0.1605 },
        { 0, 20, 0.0000, 0.1611 },
        { 1, 29, 0.0061, 0.1718 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct interval w = wilson(cases[i].successes, cases[i].n, 0.95);

        cr_expect_float_eq(w.low, cases[i].low, 5e-5, "%zu: %f", i, w.low);
        cr_expect_float_eq(w.high, cases[i].high, 5e-5, "%zu: %f", i, w.high);
    }
    cr_assert_eq(wilson(0, 0, 0.95).low, 0);
    cr_assert_eq(wilson(0, 0, 0.95).high, 1);
    cr_assert_eq(wilson(20, 20, 0.95).high, 1);
}

/* The reference outputs of the generator's authors for the seed 1234567. */
Test(interval, random_is_splitmix64)
{
    struct random r = { 1234567 };

    cr_assert_eq(random_next(&r), UINT64_C(6457827717110365317));
    cr_assert_eq(random_next(&r), UINT64_C(3203168211198807973));
    cr_assert_eq(random_next(&r), UINT64_C(9817491932198370423));
}

Test(interval, random_below_is_uniform)
{
    struct random r = { 1 };
    int counts[7] = { 0 };

    for (int i = 0; i < 70000; i++)
        counts[random_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert_float_eq(counts[i], 10000, 400);
    for (int i = 0; i < 1000; i++)
        cr_assert(random_unit(&r) < 1);
}

static double mean_of(void *context, const uint32_t *rows, size_t n)
{
    const double *values = context;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += values[rows[i]];
    return sum / (double)n;
}

/* The mean of 400 draws: its bootstrap interval is the textbook's mean +/- 1.96 s/sqrt(n), nearly. */
Test(interval, bootstrap_of_a_mean_agrees_with_the_normal_interval)
{
    struct random r = { 5 };
    double values[400], mean = 0, squares = 0;
    struct interval b;

    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        mean += (values[i] = random_unit(&r)) / ARRAY_LEN(values);
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double reach = 1.96 * sqrt(squares / 399 / 400);

    b = bootstrap(ARRAY_LEN(values), mean_of, values, 4000, 0.95, 42);
    cr_assert_float_eq(b.low, mean - reach, reach * 0.08);
    cr_assert_float_eq(b.high, mean + reach, reach * 0.08);
    struct interval again = bootstrap(ARRAY_LEN(values), mean_of, values, 4000, 0.95, 42);
    cr_assert_eq(b.low, again.low);
    cr_assert_eq(b.high, again.high);
}

struct pair {
    const double *a, *b;
    const uint8_t *labels;
};

static double auc_gain(void *context, const uint32_t *rows, size_t n)
{
    const struct pair *pair = context;
    double a[200], b[200];
    uint8_t y[200];

    for (size_t i = 0; i < n; i++) {
        a[i] = pair->a[rows[i]];
        b[i] = pair->b[rows[i]];
        y[i] = pair->labels[rows[i]];
    }
    return auc_roc(a, y, n) - auc_roc(b, y, n);
}

Test(interval, a_paired_bootstrap_tells_a_better_model_from_its_twin)
{
    struct random r = { 9 };
    double good[200], poor[200];
    uint8_t y[200];
    struct interval gain;

    for (size_t i = 0; i < 200; i++) {
        y[i] = random_unit(&r) < 0.3;
        good[i] = y[i] + 1.5 * random_unit(&r);
        poor[i] = y[i] + 6 * random_unit(&r);
    }
    gain = bootstrap(200, auc_gain, &(struct pair){ good, poor, y }, 500, 0.95, 1);
    cr_assert_gt(gain.low, 0.1);
    gain = bootstrap(200, auc_gain, &(struct pair){ good, good, y }, 100, 0.95, 1);
    cr_assert_eq(gain.low, 0);
    cr_assert_eq(gain.high, 0);
}

Test(interval, bootstrap_gives_up_where_the_figure_is_never_defined)
{
    uint8_t y[10] = { 0 };
    double s[10] = { 0 };
    struct interval none = bootstrap(10, auc_gain, &(struct pair){ s, s, y }, 50, 0.95, 1);

    cr_assert(isnan(none.low));
    cr_assert(isnan(bootstrap(0, mean_of, s, 50, 0.95, 1).high));
}

/* R: quantile(c(15, 20, 35, 40, 50), c(.05, .3, .4, .5, 1)), type 7. */
Test(interval, quantiles_interpolate_between_ranks)
{
    const double v[] = { 15, 20, 35, 40, 50 };

    cr_assert_float_eq(quantile_sorted(v, 5, 0.05), 16, 1e-12);
    cr_assert_float_eq(quantile_sorted(v, 5, 0.3), 23, 1e-12);
    cr_assert_float_eq(quantile_sorted(v, 5, 0.4), 29, 1e-12);
    cr_assert_float_eq(quantile_sorted(v, 5, 0.5), 35, 1e-12);
    cr_assert_eq(quantile_sorted(v, 5, 1), 50);
    cr_assert(isnan(quantile_sorted(v, 0, 0.5)));
}

Test(interval, quantiles_of_sums_up_a_sample)
{
    double v[1001];
    struct quantiles q;

    for (size_t i = 0; i < 1001; i++)
        v[i] = (double)((i * 8) % 1001);
    q = quantiles_of(v, 1001);
    cr_assert_eq(q.n, 1001);
    cr_assert_float_eq(q.mean, 500, 1e-9);
    cr_assert_eq(q.min, 0);
    cr_assert_float_eq(q.p50, 500, 1e-9);
    cr_assert_float_eq(q.p90, 900, 1e-9);
    cr_assert_float_eq(q.p99, 990, 1e-9);
    cr_assert_float_eq(q.p999, 999, 1e-9);
    cr_assert_eq(q.max, 1000);
}
