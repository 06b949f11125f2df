/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/curves.h"

#include <criterion/criterion.h>
#include <math.h>

#include "stats/interval.h"
#include "stats/ranking.h"

enum { ROWS = 700, STEPS = 40 };
static double scores[ROWS], money[ROWS];
static uint8_t labels[ROWS];
static float weights[ROWS];
static struct curve_point points[ROWS + 2];

/* Few distinct scores, so that ties are everywhere. */
static struct curve_rows fill(uint64_t seed, uint64_t distinct, uint64_t fraud_percent)
{
    uint64_t x = seed * 2 + 1;

    for (size_t i = 0; i < ROWS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        scores[i] = (double)((x >> 33) % distinct) / (double)distinct;
        x = x * 6364136223846793005u + 1442695040888963407u;
        labels[i] = (x >> 33) % 100 < fraud_percent;
        x = x * 6364136223846793005u + 1442695040888963407u;
        money[i] = (double)((x >> 33) % 5000);
        weights[i] = (float)(1 + (x >> 50) % 4);
    }
    return (struct curve_rows){ ROWS, scores, labels, weights, money };
}

/* The definition itself. */
static void check_point(const struct curve_point *p)
{
    double flagged = 0, frauds = 0, all = 0, caught = 0, turned_away = 0;

    for (size_t i = 0; i < ROWS; i++) {
        double w = (double)weights[i];

        all += labels[i] ? w : 0;
        if (scores[i] < p->threshold)
            continue;
        flagged += w;
        frauds += labels[i] ? w : 0;
        *(labels[i] ? &caught : &turned_away) += w * money[i];
    }
    cr_assert_float_eq(p->flagged, flagged, 1e-9);
    cr_assert_float_eq(p->recall, frauds / all, 1e-12);
    cr_assert_float_eq(p->precision, frauds / flagged, 1e-12);
    cr_assert_float_eq(p->caught, caught, 1e-6);
    cr_assert_float_eq(p->turned_away, turned_away, 1e-6);
}

Test(curves, have_points_that_are_what_their_threshold_does)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct curve_rows rows = fill(seed, 3 + seed * 9, 1 + seed);

        for (int by = 0; by < 2; by++) {
            size_t count = curve_points(&rows, (enum curve_by)by, STEPS, points);

            cr_assert(count > 0 && count <= STEPS + 2, "%zu points", count);
            for (size_t i = 0; i < count; i++) {
                struct curve_point at = curve_at(&rows, points[i].threshold);

                check_point(&points[i]);
                check_point(&at);
                cr_assert(i == 0 || points[i].threshold < points[i - 1].threshold);
            }
            cr_assert_float_eq(points[count - 1].recall, 1, 1e-12, "the last flags everything");
        }
    }
}

/* Each distinct score a point: then the curve is all there is of the ranking. */
Test(curves, hold_the_average_precision_when_no_point_is_left_out)
{
    struct curve_rows rows = fill(5, 150, 10);
    size_t count = curve_points(&rows, CURVE_BY_SHARE, 100000, points);
    double sum = 0, before = 0;

    for (size_t i = 0; i < count; i++) {
        sum += (points[i].recall - before) * points[i].precision;
        before = points[i].recall;
    }
    cr_assert_float_eq(sum, average_precision_weighted(scores, labels, weights, ROWS), 1e-12);
}

Test(curves, say_nothing_of_no_rows_and_are_not_defined_without_a_fraud)
{
    struct curve_rows rows = fill(1, 10, 0), none = { 0 };
    size_t count = curve_points(&rows, CURVE_BY_RECALL, STEPS, points);

    cr_assert_eq(curve_points(&none, CURVE_BY_RECALL, STEPS, points), 0);
    cr_assert_leq(count, STEPS + 2);
    cr_assert(isnan(points[count - 1].recall));
    cr_assert(isnan(curve_at(&rows, INFINITY).precision), "nothing is flagged");
    rows.weights = NULL;
    rows.money = NULL;
    cr_assert_eq(curve_at(&rows, 0).flagged, ROWS, "each row once");
}
