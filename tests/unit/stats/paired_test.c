/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/paired.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "base/mem.h"
#include "stats/ranking.h"

/* Fagerland, Lydersen and Laake 2013, tables 1 and 2: airway hyper-responsiveness before and after stem cell
 * transplantation (1 against 7 discordant pairs), exact p 0.0703, mid-p 0.0391; and 59 against 16 of complete
 * responses. */
Test(paired, mcnemar_gives_the_published_p_values)
{
    struct mcnemar m = mcnemar(1, 7);

    cr_assert_float_eq(m.exact, 0.0703, 5e-5);
    cr_assert_float_eq(m.mid_p, 0.0391, 5e-5);
    /* By hand: 2 * (1 + 10 + 45) / 1024, less 45 / 1024 for half of the last term on both sides. */
    m = mcnemar(8, 2);
    cr_assert_float_eq(m.exact, 112.0 / 1024, 1e-12);
    cr_assert_float_eq(m.mid_p, 67.0 / 1024, 1e-12);
    cr_assert_eq(mcnemar(0, 0).exact, 1);
    cr_assert_eq(mcnemar(5, 5).exact, 1);
    cr_assert_float_eq(mcnemar(5, 5).mid_p, 1, 1e-12);
    cr_assert_float_eq(mcnemar(500000, 502000).exact, 0.0458, 5e-4, "%f", mcnemar(500000, 502000).exact);
}

enum { ROWS = 600, CUSTOMERS = 60 };
static double a[ROWS], b[ROWS];
static uint8_t labels[ROWS];
static int64_t customers[ROWS], days[ROWS];
static const struct paired_rows rows = { ROWS, a, b, labels, NULL, customers, days };

static void setup(void)
{
    struct random r = { 17 };

    for (size_t i = 0; i < ROWS; i++) {
        customers[i] = (int64_t)random_below(&r, CUSTOMERS) * 7 - 100;
        days[i] = (int64_t)random_below(&r, 6);
        labels[i] = random_unit(&r) < 0.15;
        a[i] = floor(20 * (labels[i] * 0.5 + random_unit(&r))); /* with ties */
        b[i] = floor(20 * (labels[i] * 0.3 + random_unit(&r)));
    }
}

TestSuite(paired, .init = setup);

/* Brute force: the draw is written out row by row, and the plain functions look at it. */
static size_t write_out(const uint32_t *row_times, const double *scores, double *out, uint8_t *y,
                        int64_t *day, int64_t *customer, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        for (uint32_t copy = 0; copy < (row_times ? row_times[i] : 1); copy++) {
            out[count] = scores[i];
            y[count] = labels[i];
            day[count] = days[i];
            customer[count++] = customers[i] * 1000 + copy;
        }
    }
    return count;
}

struct brute {
    double scores[40 * ROWS];
    uint8_t labels[40 * ROWS];
    int64_t days[40 * ROWS], customers[40 * ROWS];
};

static double brute_average_precision(void *context, const double *scores, const uint32_t *times, size_t n)
{
    struct brute *x = context;
    size_t count = write_out(times, scores, x->scores, x->labels, x->days, x->customers, n);

    return average_precision(x->scores, x->labels, count);
}

static double brute_card_precision(void *context, const double *scores, const uint32_t *times, size_t n)
{
    struct brute *x = context;
    size_t count = write_out(times, scores, x->scores, x->labels, x->days, x->customers, n);

    return card_precision_at_k(x->scores, x->labels, x->days, x->customers, count, 7, NULL);
}

static double brute_mean(void *context, const double *scores, const uint32_t *times, size_t n)
{
    double sum = 0, count = 0;

    (void)context;
    for (size_t i = 0; i < n; i++) {
        sum += (times ? times[i] : 1) * scores[i];
        count += times ? times[i] : 1;
    }
    return sum / count;
}

static void expect_same(struct paired x, struct paired y)
{
    cr_expect_float_eq(x.a, y.a, 1e-12);
    cr_expect_float_eq(x.b, y.b, 1e-12);
    cr_expect_float_eq(x.difference.value, y.difference.value, 1e-12);
    cr_expect_float_eq(x.difference.interval.low, y.difference.interval.low, 1e-12);
    cr_expect_float_eq(x.difference.interval.high, y.difference.interval.high, 1e-12);
    cr_expect_float_eq(x.difference.deviation, y.difference.deviation, 1e-12);
    cr_expect_float_eq(x.difference.share_positive, y.difference.share_positive, 1e-12);
    cr_expect_eq(x.difference.defined, y.difference.defined);
}

Test(paired, quick_rounds_are_those_of_rows_written_out)
{
    const struct paired_settings settings = { 100, 0.9, 5 };
    struct brute *x = mem_new(struct brute);

    expect_same(paired_average_precision(&rows, &settings),
                paired_bootstrap(&rows, brute_average_precision, x, &settings));
    expect_same(paired_card_precision(&rows, 7, &settings),
                paired_bootstrap(&rows, brute_card_precision, x, &settings));
    expect_same(paired_difference(&rows, &settings), paired_bootstrap(&rows, brute_mean, NULL, &settings));
    mem_free(x);
}

Test(paired, the_figures_are_those_of_the_rows)
{
    struct paired p = paired_average_precision(&rows, &(struct paired_settings){ 0, 0.95, 1 });

    cr_assert_eq(p.a, average_precision(a, labels, ROWS));
    cr_assert_eq(p.b, average_precision(b, labels, ROWS));
    cr_assert_eq(p.difference.value, p.a - p.b);
    cr_assert(isnan(p.difference.interval.low));
    p = paired_card_precision(&rows, 5, &(struct paired_settings){ 0, 0.95, 1 });
    cr_assert_eq(p.a, card_precision_at_k(a, labels, days, customers, ROWS, 5, NULL));
}

/* An integer weight is so many equal rows. */
Test(paired, weights_are_rows_that_stand_for_several)
{
    float weights[ROWS];
    double more_a[3 * ROWS], more_b[3 * ROWS];
    uint8_t more_labels[3 * ROWS];
    int64_t more_customers[3 * ROWS];
    struct paired_rows weighted = rows, more = { 0, more_a, more_b, more_labels, NULL, more_customers, NULL };
    const struct paired_settings settings = { 50, 0.9, 5 };

    for (size_t i = 0; i < ROWS; i++) {
        weights[i] = (float)(1 + i % 3);
        for (size_t copy = 0; copy <= i % 3; copy++) {
            more_a[more.n] = a[i];
            more_b[more.n] = b[i];
            more_labels[more.n] = labels[i];
            more_customers[more.n++] = customers[i];
        }
    }
    weighted.weights = weights;
    expect_same(paired_average_precision(&weighted, &settings), paired_average_precision(&more, &settings));
    expect_same(paired_difference(&weighted, &settings), paired_difference(&more, &settings));
}

Test(paired, equal_models_do_not_differ_and_seeds_repeat)
{
    struct paired_rows twins = rows;
    struct paired p, q;

    twins.b = a;
    p = paired_average_precision(&twins, &(struct paired_settings){ 50, 0.95, 3 });
    cr_assert_eq(p.difference.interval.low, 0);
    cr_assert_eq(p.difference.interval.high, 0);
    cr_assert_eq(p.difference.share_positive, 0.5);
    p = paired_average_precision(&rows, &(struct paired_settings){ 200, 0.95, 3 });
    q = paired_average_precision(&rows, &(struct paired_settings){ 200, 0.95, 3 });
    cr_assert_eq(p.difference.interval.low, q.difference.interval.low);
    cr_assert_eq(p.difference.interval.high, q.difference.interval.high);
    cr_assert_gt(p.difference.interval.low, 0, "a is the better one: %f", p.difference.interval.low);
    q = paired_average_precision(&rows, &(struct paired_settings){ 200, 0.95, 4 });
    cr_assert_neq(p.difference.interval.low, q.difference.interval.low);
}

/* All payments of a customer move together: the deviation of the mean is that of as many customers, not of as
 * many rows. */
Test(paired, clusters_are_drawn_whole)
{
    static double value[ROWS], zero[ROWS];
    struct paired_rows clustered = rows, loose = rows;
    double within, without;

    for (size_t i = 0; i < ROWS; i++)
        value[i] = customers[i] % 2 ? 1 : -1;
    clustered.a = loose.a = value;
    clustered.b = loose.b = zero;
    loose.customers = NULL;
    within = paired_difference(&clustered, &(struct paired_settings){ 2000, 0.95, 3 }).difference.deviation;
    without = paired_difference(&loose, &(struct paired_settings){ 2000, 0.95, 3 }).difference.deviation;
    cr_assert_float_eq(without, 1 / sqrt(ROWS), 0.1 / sqrt(ROWS));
    cr_assert_float_eq(within, 1.04 / sqrt(CUSTOMERS), 0.12 / sqrt(CUSTOMERS), "%f", within);
}

Test(paired, what_is_not_defined_has_no_interval)
{
    uint8_t none[ROWS] = { 0 };
    struct paired_rows without = rows, few = rows;
    struct paired p;

    without.labels = none;
    p = paired_average_precision(&without, &(struct paired_settings){ 20, 0.95, 3 });
    cr_assert(isnan(p.a) && isnan(p.difference.interval.low));
    cr_assert_eq(p.difference.defined, 0);
    few.n = 0;
    p = paired_difference(&few, &(struct paired_settings){ 20, 0.95, 3 });
    cr_assert(isnan(p.a) && isnan(p.difference.interval.low));
}
