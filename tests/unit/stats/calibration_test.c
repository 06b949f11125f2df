/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/calibration.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/interval.h"

static double logit(double p)
{
    return log(p / (1 - p));
}

Test(calibration, without_knots_is_the_logistic_function)
{
    struct calibration c = { 0 };

    cr_assert_float_eq(calibration_eval(&c, 0), 0.5, 1e-15);
    cr_assert_float_eq(calibration_eval(&c, 2), 0.8807970779778823, 1e-15);
    cr_assert(isnan(calibration_eval(&c, NAN)));
}

Test(calibration, is_linear_between_knots_and_goes_on_with_slope_one_outside)
{
    double x[] = { -2, 0, 4 }, y[] = { -3, -1, 0 };
    struct calibration c = { 3, x, y };

    cr_assert_float_eq(calibration_eval(&c, -2), 1 / (1 + exp(3)), 1e-15);
    cr_assert_float_eq(calibration_eval(&c, -1), 1 / (1 + exp(2)), 1e-15);
    cr_assert_float_eq(calibration_eval(&c, 2), 1 / (1 + exp(0.5)), 1e-15);
    cr_assert_float_eq(calibration_eval(&c, 4), 0.5, 1e-15);
    cr_assert_float_eq(calibration_eval(&c, 5), 1 / (1 + exp(-1)), 1e-15);
    cr_assert_float_eq(calibration_eval(&c, -4), 1 / (1 + exp(5)), 1e-15);
}

Test(calibration, check_refuses_knots_that_do_not_rise)
{
    double x[] = { 0, 1, 1 }, y[] = { 0, 1, 2 }, z[] = { 0, NAN, 2 }, rising[] = { 0, 1, 2 };
    struct why why;

    cr_assert_eq(calibration_check(&(struct calibration){ 3, x, y }, &why), ERR_INVALID);
    cr_assert_eq(calibration_check(&(struct calibration){ 3, y, x }, &why), ERR_INVALID);
    cr_assert_eq(calibration_check(&(struct calibration){ 3, rising, z }, &why), ERR_INVALID);
    cr_assert_eq(calibration_check(&(struct calibration){ 3, rising, y }, &why), ERR_OK);
}

/* By hand: labels 0 0 1 0 1 1 at margins 1..6. PAV pools rows 3 and 4 (1, 0); the prior is 1/2:
 * shares (0 + .5)/3 at 1.5, (1 + .5)/3 at 3.5, (2 + .5)/3 at 5.5. */
Test(calibration, isotonic_pools_adjacent_violators)
{
    const double m[] = { 3, 1, 2, 4, 6, 5 };
    const uint8_t y[] = { 1, 0, 0, 0, 1, 1 };
    struct calibration c;
    struct why why;

    cr_assert_eq(calibration_fit_isotonic(&c, m, y, 6, 100, &why), ERR_OK);
    cr_assert_eq(c.count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_float_eq(c.x[i], 1.5 + 2 * (double)i, 1e-12);
        cr_assert_float_eq(c.y[i], logit((0.5 + (double)i) / 3), 1e-12);
    }
    calibration_release(&c);
    cr_assert_eq(calibration_fit_isotonic(&c, m, y, 6, 2, &why), ERR_OK);
    cr_assert_eq(c.count, 2);
    calibration_release(&c);
}

static double margins[20000];
static uint8_t labels[20000];

/* The truth is sigmoid(0.5 * margin - 3). */
static void draw(void)
{
    struct random random = { 7 };

    for (size_t i = 0; i < ARRAY_LEN(margins); i++) {
        margins[i] = 12 * random_unit(&random) - 4;
        labels[i] = random_unit(&random) < 1 / (1 + exp(-(0.5 * margins[i] - 3)));
    }
}

static double error_of(const struct calibration *c)
{
    static double p[ARRAY_LEN(margins)];

    for (size_t i = 0; i < ARRAY_LEN(margins); i++)
        p[i] = calibration_eval(c, margins[i]);
    return calibration_error(p, labels, ARRAY_LEN(margins), 20);
}

Test(calibration, both_ways_find_the_truth)
{
    struct calibration none = { 0 }, isotonic, platt;
    struct platt fit;
    struct why why;

    draw();
    cr_assert_eq(calibration_fit_isotonic(&isotonic, margins, labels, ARRAY_LEN(margins), 32, &why), ERR_OK);
    cr_assert_eq(calibration_fit_platt(&platt, margins, labels, ARRAY_LEN(margins), &why), ERR_OK);
    cr_assert_eq(platt_fit(&fit, margins, labels, ARRAY_LEN(margins), &why), ERR_OK);
    cr_assert_float_eq(fit.a, 0.5, 0.03);
    cr_assert_float_eq(fit.b, -3, 0.1);
    cr_assert_eq(calibration_check(&isotonic, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(calibration_check(&platt, &why), ERR_OK);
    cr_assert_leq(isotonic.count, 32);
    cr_assert_gt(error_of(&none), 0.2);
    cr_assert_lt(error_of(&isotonic), 0.01);
    cr_assert_lt(error_of(&platt), 0.01);
    for (double m = -100; m < 100; m += 0.5)
        cr_assert_float_eq(calibration_eval(&platt, m / 10), 1 / (1 + exp(-fit.a * m / 10 - fit.b)), 1e-12);
    calibration_release(&isotonic);
    calibration_release(&platt);
}

/* At the optimum of Platt's objective both sums of residuals against the smoothed targets vanish. */
Test(calibration, platt_stands_where_its_gradient_is_zero)
{
    struct platt fit;
    struct why why;
    double frauds = 0, g1 = 0, g2 = 0, n = ARRAY_LEN(margins);

    draw();
    cr_assert_eq(platt_fit(&fit, margins, labels, ARRAY_LEN(margins), &why), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(margins); i++)
        frauds += labels[i];
    for (size_t i = 0; i < ARRAY_LEN(margins); i++) {
        double off = 1 / (1 + exp(-fit.a * margins[i] - fit.b)) -
                     (labels[i] ? (frauds + 1) / (frauds + 2) : 1 / (n - frauds + 2));

        g1 += off * margins[i];
        g2 += off;
    }
    cr_assert_float_eq(g1 / n, 0, 1e-9);
    cr_assert_float_eq(g2 / n, 0, 1e-9);
}

Test(calibration, rises_everywhere_so_that_no_two_scores_become_one)
{
    struct calibration c;
    struct why why;

    draw();
    cr_assert_eq(calibration_fit_isotonic(&c, margins, labels, ARRAY_LEN(margins), 64, &why), ERR_OK);
    for (double m = -12; m < 14; m += 0.01)
        cr_assert_lt(calibration_eval(&c, m), calibration_eval(&c, m + 0.01));
    calibration_release(&c);
}

Test(calibration, refuses_one_class_and_what_is_not_finite)
{
    const double m[] = { 1, 2 }, bad[] = { 1, INFINITY };
    const uint8_t one[] = { 1, 1 }, both[] = { 0, 1 }, falling[] = { 1, 0 };
    struct calibration c;
    struct why why;

    cr_assert_eq(calibration_fit_isotonic(&c, m, one, 2, 9, &why), ERR_INVALID);
    cr_assert_eq(calibration_fit_platt(&c, bad, both, 2, &why), ERR_INVALID);
    cr_assert_eq(calibration_fit_platt(&c, m, falling, 2, &why), ERR_INVALID);
    calibration_release(&c);
}

/* Two bins of two rows: |0.1 + 0.3 - 1| + |0.6 + 0.8 - 1| over four rows. */
Test(calibration, error_is_the_gap_between_promise_and_outcome)
{
    const double p[] = { 0.8, 0.1, 0.3, 0.6 };
    const uint8_t y[] = { 1, 0, 1, 0 };

    cr_assert_float_eq(calibration_error(p, y, 4, 2), (0.6 + 0.4) / 4, 1e-12);
    cr_assert_float_eq(calibration_error(p, y, 4, 1), fabs(1.8 - 2) / 4, 1e-12);
    cr_assert_float_eq(brier_score(p, y, 4), (0.04 + 0.01 + 0.49 + 0.36) / 4, 1e-12);
    cr_assert_float_eq(log_loss(p, y, 4), -(log(0.8) + log(0.9) + log(0.3) + log(0.4)) / 4, 1e-12);
}

/* ---- weights ---- */

Test(calibration, a_row_of_weight_three_counts_as_three_rows)
{
    enum { N = 2000 };
    static double repeated_margins[3 * N], p[3 * N], repeated_p[3 * N];
    static uint8_t repeated_labels[3 * N];
    static float weights[N];
    struct calibration weighed, repeated;
    struct why why;
    size_t n = 0;

    draw();
    for (size_t i = 0; i < N; i++) {
        weights[i] = 1 + (float)(i % 3);
        for (size_t k = 0; k <= i % 3; k++) {
            repeated_margins[n] = margins[i];
            repeated_labels[n++] = labels[i];
        }
    }
    for (int is_platt = 0; is_platt < 2; is_platt++) {
        cr_assert_eq(is_platt
                         ? calibration_fit_platt_weighted(&weighed, margins, labels, weights, N, &why)
                         : calibration_fit_isotonic_weighted(&weighed, margins, labels, weights, N, 50, &why),
                     ERR_OK);
        cr_assert_eq(
            is_platt ? calibration_fit_platt(&repeated, repeated_margins, repeated_labels, n, &why)
                     : calibration_fit_isotonic(&repeated, repeated_margins, repeated_labels, n, 50, &why),
            ERR_OK);
        for (size_t i = 0, at = 0; i < N; i++) {
            p[i] = calibration_eval(&weighed, margins[i]);
            cr_assert_float_eq(p[i], calibration_eval(&repeated, margins[i]), 1e-6);
            for (size_t k = 0; k <= i % 3; k++)
                repeated_p[at++] = p[i];
        }
        cr_assert_float_eq(calibration_error_weighted(p, labels, weights, N, 10),
                           calibration_error(repeated_p, repeated_labels, n, 10), 1e-3);
        calibration_release(&weighed);
        calibration_release(&repeated);
    }
}

Test(calibration, the_bins_of_reliability_share_the_weight_and_keep_equal_scores_together)
{
    /* weight 4 each for two bins; the second row's score is that of the third */
    const double p[] = { 0.1, 0.2, 0.2, 0.6, 0.9 };
    const uint8_t y[] = { 0, 1, 0, 1, 1 };
    const float weights[] = { 3, 1, 1, 1, 2 };
    struct reliability_bin bins[2];

    cr_assert_eq(reliability(p, y, weights, ARRAY_LEN(p), bins, 2), 2);
    cr_assert_float_eq(bins[0].weight, 5, 1e-12);
    cr_assert_float_eq(bins[0].expected, 0.7, 1e-7);
    cr_assert_float_eq(bins[0].happened, 1, 1e-12);
    cr_assert_float_eq(bins[1].weight, 3, 1e-12);
    cr_assert_float_eq(bins[1].expected, 2.4, 1e-7);
    cr_assert_float_eq(calibration_error_weighted(p, y, weights, ARRAY_LEN(p), 2), (0.3 + 0.6) / 8, 1e-7);
}
