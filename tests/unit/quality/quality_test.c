/* SPDX-License-Identifier: Apache-2.0 */
#include "quality/figures.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "base/mem.h"
#include "quality/maturity.h"
#include "stats/calibration.h"
#include "stats/interval.h"
#include "stats/ranking.h"

enum { ROWS = 4000 };

static struct why why;

/* A decision as a calibrated model makes it: fraud with the chance that its score says. */
static struct quality_row some_row(struct random *r, uint8_t *is_fraud)
{
    double odds = -7 + 9 * random_unit(r) * random_unit(r) + random_unit(r), p = 1 / (1 + exp(-odds));

    *is_fraud = random_unit(r) < p;
    return (struct quality_row){
        .score = p,
        .action = p > 0.5   ? ACTION_DECLINE
                  : p > 0.1 ? ACTION_REVIEW
                            : ACTION_APPROVE,
        .p_label = 1,
        .amount_minor = (int64_t)random_below(r, 50000),
    };
}

static struct quality_day *new_day(void)
{
    return mem_new(struct quality_day);
}

Test(quality, figures_are_those_of_the_rows)
{
    static double scores[ROWS];
    static uint8_t labels[ROWS];
    struct quality_day *day = new_day();
    struct quality_figures f;
    double caught = 0, lost = 0, away = 0, exact;
    struct operating_point point;
    struct random r = { 2 };

    for (size_t i = 0; i < ROWS; i++) {
        struct quality_row row = some_row(&r, &labels[i]);

        scores[i] = row.score;
        quality_day_add(day, &row);
        if (labels[i])
            quality_day_label(day, &row, 3);
        caught += labels[i] && row.action >= ACTION_REVIEW ? (double)row.amount_minor : 0;
        lost += labels[i] && row.action < ACTION_REVIEW ? (double)row.amount_minor : 0;
        away += !labels[i] && row.action == ACTION_DECLINE ? (double)row.amount_minor : 0;
    }
    quality_realised(&f, day, ACTION_REVIEW);
    point = point_at_threshold(scores, labels, ROWS, nextafter(0.1, 1));
    exact = average_precision(scores, labels, ROWS);
    cr_assert_float_eq(f.values[QUALITY_rows], ROWS, 1e-9);
    cr_assert_float_eq(f.values[QUALITY_precision], point.precision, 1e-12);
    cr_assert_float_eq(f.values[QUALITY_recall], point.recall, 1e-12);
    cr_assert_float_eq(f.values[QUALITY_false_positive_rate], point.false_positive_rate, 1e-12);
    cr_assert_float_eq(f.values[QUALITY_money_caught], caught, 0.5);
    cr_assert_float_eq(f.values[QUALITY_money_lost], lost, 0.5);
    cr_assert_float_eq(f.values[QUALITY_money_turned_away], away, 0.5);
    cr_assert_leq(f.ap_low, exact);
    cr_assert_geq(f.ap_high, exact);
    cr_assert_float_eq(f.values[QUALITY_average_precision], exact, 0.01);
    cr_assert_lt(f.ap_high - f.ap_low, 0.05);
    for (size_t i = 0; i < ROWS; i++) /* rounded to bins they are the same to the last digit */
        scores[i] = (double)quality_bin(scores[i]);
    cr_assert_float_eq(f.values[QUALITY_average_precision], average_precision(scores, labels, ROWS), 1e-12);
    mem_free(day);
}

Test(quality, bounds_hold_whatever_the_order_within_bins)
{
    struct random r = { 8 };

    for (int round = 0; round < 100; round++) {
        struct quality_day *day = new_day();
        double scores[60];
        uint8_t labels[60];
        struct quality_figures f;

        for (size_t i = 0; i < 60; i++) { /* three bins, crowded */
            struct quality_row row = { .p_label = 1 };

            scores[i] = row.score =
                0.5 + 0.01 * (double)random_below(&r, 3) + 1e-5 * (double)random_below(&r, 4);
            labels[i] = random_below(&r, 3) == 0;
            quality_day_add(day, &row);
            if (labels[i])
                quality_day_label(day, &row, 0);
        }
        quality_realised(&f, day, ACTION_REVIEW);
        cr_assert_leq(f.ap_low, average_precision(scores, labels, 60) + 1e-12);
        cr_assert_geq(f.ap_high, average_precision(scores, labels, 60) - 1e-12);
        mem_free(day);
    }
}

Test(quality, days_merge_by_addition_and_come_back_from_their_bytes)
{
    struct quality_day *all = new_day(), *parts[2] = { new_day(), new_day() }, *again = new_day();
    struct random r = { 3 };
    struct buf bytes;

    for (size_t i = 0; i < 500; i++) {
        struct quality_row row;
        uint8_t is_fraud;
        size_t part = random_below(&r, 2);

        row = some_row(&r, &is_fraud);
        row.p_label = random_below(&r, 10) ? 1 : random_below(&r, 2) ? 0.02 : 0;
        row.score = random_below(&r, 30) ? row.score : (double)NAN;
        quality_day_add(all, &row);
        quality_day_add(parts[part], &row);
        if (!is_fraud)
            continue;
        quality_day_label(all, &row, (int64_t)random_below(&r, 200));
        quality_day_label(parts[1 - part], &row, 0); /* the label may be counted by another */
        quality_day_unlabel(parts[1 - part], &row, 0);
        quality_day_label(parts[part], &row, 1);
    }
    memset(all->delays, 0, sizeof all->delays);
    memset(parts[0]->delays, 0, sizeof all->delays);
    memset(parts[1]->delays, 0, sizeof all->delays);
    quality_day_merge(parts[0], parts[1]);
    cr_assert_arr_eq(parts[0], all, sizeof *all);
    buf_init(&bytes, 0);
    quality_day_pack(all, &bytes);
    cr_assert_lt(bytes.len, 8000);
    cr_assert_eq(quality_day_open(again, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
    cr_assert_arr_eq(again, all, sizeof *all);
    for (size_t i = 0; i < bytes.len; i++) {
        cr_assert_eq(quality_day_open(again, slice_of(buf_slice(&bytes).ptr, i), &why), ERR_SYNTAX);
        bytes.data[bytes.taken + i] ^= 4;
        cr_assert_eq(quality_day_open(again, buf_slice(&bytes), &why), ERR_SYNTAX);
        bytes.data[bytes.taken + i] ^= 4;
    }
    cr_assert_arr_eq(again, all, sizeof *all);
    buf_release(&bytes);
    mem_free(all);
    mem_free(again);
    mem_free(parts[0]);
    mem_free(parts[1]);
}

/* One in ten declines is let through: weighted, recall and precision are those of a world in which all were. */
Test(quality, what_was_declined_is_told_from_the_control_slice)
{
    struct quality_day *day = new_day(), *whole = new_day();
    struct quality_figures seen, truth;
    struct random r = { 21 };

    for (size_t i = 0; i < 100000; i++) {
        uint8_t is_fraud;
        struct quality_row row = some_row(&r, &is_fraud);

        quality_day_add(whole, &row);
        if (is_fraud)
            quality_day_label(whole, &row, 0);
        if (row.action == ACTION_DECLINE)
            row.p_label = random_below(&r, 10) == 0 ? 0.1 : 0;
        quality_day_add(day, &row);
        if (is_fraud && row.p_label > 0)
            quality_day_label(day, &row, 0);
    }
    quality_realised(&seen, day, ACTION_REVIEW);
    quality_realised(&truth, whole, ACTION_REVIEW);
    cr_assert_float_eq(seen.values[QUALITY_recall], truth.values[QUALITY_recall], 0.03);
    cr_assert_float_eq(seen.values[QUALITY_precision], truth.values[QUALITY_precision], 0.03);
    cr_assert_float_eq(seen.values[QUALITY_average_precision], truth.values[QUALITY_average_precision], 0.03);
    cr_assert_gt(seen.excluded, 0);
    cr_assert_eq(truth.excluded, 0);
    mem_free(day);
    mem_free(whole);
}

Test(quality, estimate_without_labels_is_right_for_a_calibrated_model_and_its_error_is_kept)
{
    struct quality_track track = { 0 }, again;
    struct random r = { 5 };
    struct buf bytes;

    for (int i = 0; i < 20; i++) {
        struct quality_day *day = new_day();
        struct quality_figures realised, estimated;

        for (size_t k = 0; k < 20000; k++) {
            uint8_t is_fraud;
            struct quality_row row = some_row(&r, &is_fraud);

            quality_day_add(day, &row);
            if (is_fraud)
                quality_day_label(day, &row, 0);
        }
        quality_realised(&realised, day, ACTION_REVIEW);
        quality_estimated(&estimated, day, ACTION_REVIEW);
        quality_track_add(&track, &estimated, &realised);
        mem_free(day);
    }
    for (size_t i = QUALITY_fraud_rate; i <= QUALITY_false_positive_rate; i++) {
        cr_expect_lt(fabs(quality_track_bias(&track, (enum quality_figure)i)), 0.01, "%s",
                     quality_figure_name((enum quality_figure)i));
        cr_expect_lt(quality_track_error(&track, (enum quality_figure)i), 0.03, "%s",
                     quality_figure_name((enum quality_figure)i));
    }
    buf_init(&bytes, 0);
    quality_track_pack(&track, &bytes);
    cr_assert_eq(quality_track_open(&again, buf_slice(&bytes), &why), ERR_OK);
    cr_assert_arr_eq(&again, &track, sizeof track);
    for (size_t i = 0; i < bytes.len; i++)
        cr_assert_eq(quality_track_open(&again, slice_of(buf_slice(&bytes).ptr, i), &why), ERR_SYNTAX);
    buf_release(&bytes);
}

static void fill_calibration(struct quality_calibration *c, struct random *r, double factor, size_t rows,
                             double *exact_error)
{
    struct quality_day *day = new_day();
    double *scores = mem_new_n(double, rows);
    uint8_t *labels = mem_new_n(uint8_t, rows);

    for (size_t k = 0; k < rows; k++) {
        struct quality_row row = some_row(r, &labels[k]);

        scores[k] = row.score;
        labels[k] = random_unit(r) < fmin(row.score * factor, 1);
        quality_day_add(day, &row);
        if (labels[k])
            quality_day_label(day, &row, 0);
    }
    quality_calibration(c, day);
    *exact_error = calibration_error(scores, labels, rows, QUALITY_GROUPS);
    mem_free(scores);
    mem_free(labels);
    mem_free(day);
}

Test(quality, calibration_is_doubted_when_it_is_off_and_seldom_else)
{
    struct quality_calibration c;
    struct random r = { 13 };
    int wrong = 0, wrong_shape = 0;
    double exact;

    for (int i = 0; i < 300; i++) {
        fill_calibration(&c, &r, 1, 2000, &exact);
        wrong += c.p < 0.05;
        wrong_shape += c.p_shape < 0.05;
    }
    cr_expect_leq(wrong, 28, "%d of 300", wrong); /* 15 expected, deviation 3.8 */
    cr_expect_leq(wrong_shape, 31, "%d of 300", wrong_shape);
    fill_calibration(&c, &r, 1.5, 20000, &exact);
    cr_assert_lt(c.p, 1e-6);
    cr_assert_lt(c.p_shape, 1e-6);
    cr_assert_gt(c.ratio, 1.2);
    cr_assert_float_eq(c.ece, exact, 0.002); /* groups of whole bins are not cut at the very same rows */
}

/* The handbook's way: frauds come in by delays of 1 - exp(-d / 5); younger days have seen less of them. */
Test(quality, maturity_is_not_fooled_by_young_days)
{
    enum { DAYS = 60, PER_DAY = 400, HORIZON = 40 };
    struct quality_cohort cohorts[DAYS];
    struct quality_maturity curve;
    struct random r = { 6 };
    const struct quality_row row = { .score = 0.5, .p_label = 1 };
    double naive = 0, known = 0;

    for (int64_t day = 0; day < DAYS; day++) {
        struct quality_day *counts = new_day();

        cohorts[day] = (struct quality_cohort){ day, counts };
        for (int i = 0; i < PER_DAY; i++) {
            int64_t delay = (int64_t)(-5 * log(1 - random_unit(&r)));

            quality_day_add(counts, &row);
            quality_day_add(counts, &row);
            if (day + delay < DAYS)
                quality_day_label(counts, &row, delay);
            naive += day + delay < DAYS && delay <= 5;
            known += day + delay < DAYS;
        }
    }
    quality_maturity(&curve, cohorts, DAYS, DAYS, HORIZON);
    cr_assert_eq(curve.horizon, HORIZON);
    for (int d = 0; d < HORIZON; d++) {
        double wanted = 1 - exp(-(d + 1) / 5.0);

        cr_expect_float_eq(curve.share[d], wanted, 5 * curve.share[d] * curve.error[d] + 0.002, "%d: %g", d,
                           curve.share[d]);
    }
    cr_assert_gt(naive / known, curve.share[5] + 3 * curve.error[5]);
    cr_assert_eq(quality_known(&curve, DAYS, DAYS), 0);
    cr_assert_eq(quality_known(&curve, 0, DAYS), 1);
    cr_assert_float_eq(quality_matured_after(&curve, 0.95), 15, 1);
    for (int64_t age = 2; age < 20; age++) {
        struct quality_rate rate = quality_rate(&curve, &cohorts[DAYS - 1 - age], DAYS);

        cr_expect_lt(rate.known, rate.corrected);
        cr_expect(rate.interval.low < 0.5 && rate.interval.high > 0.42, "%g..%g at %d", rate.interval.low,
                  rate.interval.high, (int)age);
        cr_expect_float_eq(rate.corrected, 0.5, 0.08);
    }
    for (int64_t day = 0; day < DAYS; day++)
        mem_free((void *)(uintptr_t)cohorts[day].counts);
}

Test(quality, horizon_is_cut_to_what_the_oldest_day_has_reached)
{
    struct quality_day *counts = new_day();
    const struct quality_cohort cohort = { 0, counts };
    const struct quality_row row = { .score = 0.5, .p_label = 1 };
    struct quality_maturity curve;

    quality_day_add(counts, &row);
    quality_maturity(&curve, &cohort, 1, 5, 30);
    cr_assert(isnan(curve.share[0]));
    cr_assert(isnan(quality_rate(&curve, &cohort, 5).corrected));
    quality_day_label(counts, &row, 2);
    quality_maturity(&curve, &cohort, 1, 5, 30);
    cr_assert_eq(curve.horizon, 4);
    cr_assert_eq(curve.share[2], 1);
    cr_assert_eq(curve.share[1], 0);
    mem_free(counts);
}
