/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/ranking.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/interval.h"

/* Random rows with few distinct scores, so that ties are everywhere. */
enum { ROWS = 400 };
static double scores[ROWS];
static uint8_t labels[ROWS];

static void fill(uint64_t seed, uint32_t distinct, uint32_t fraud_percent)
{
    uint64_t x = seed * 2 + 1;

    for (size_t i = 0; i < ROWS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        scores[i] = (double)((x >> 33) % distinct) / distinct;
        x = x * 6364136223846793005u + 1442695040888963407u;
        labels[i] = (x >> 33) % 100 < fraud_percent;
    }
}

/* The definition itself: the share of pairs that are the right way round. */
static double auc_by_pairs(void)
{
    double won = 0, pairs = 0;

    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < ROWS; j++) {
            if (!labels[i] || labels[j])
                continue;
            pairs++;
            won += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
        }
    }
    return won / pairs;
}

/* The definition itself: for each distinct threshold from above, precision times the step in recall. */
static double average_precision_by_thresholds(uint32_t distinct)
{
    double sum = 0, last_recall = 0;

    for (uint32_t t = distinct + 1; t-- > 0;) {
        double flagged = 0, caught = 0, frauds = 0;

        for (size_t i = 0; i < ROWS; i++) {
            frauds += labels[i];
            if (scores[i] >= (double)t / distinct) {
                flagged++;
                caught += labels[i];
            }
        }
        if (flagged > 0) {
            sum += (caught / frauds - last_recall) * (caught / flagged);
            last_recall = caught / frauds;
        }
    }
    return sum;
}

Test(ranking, auc_is_the_share_of_pairs_in_order_with_ties_as_halves)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        fill(seed, (uint32_t)(1 + seed * 7), (uint32_t)(5 * seed));
        cr_assert_float_eq(auc_roc(scores, labels, ROWS), auc_by_pairs(), 1e-12);
    }
}

Test(ranking, average_precision_is_the_sum_over_thresholds)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        fill(seed, (uint32_t)(1 + seed * 7), (uint32_t)(5 * seed));
        cr_assert_float_eq(average_precision(scores, labels, ROWS),
                           average_precision_by_thresholds((uint32_t)(1 + seed * 7)), 1e-12);
    }
}

/* The example in scikit-learn's documentation of both functions: 0.75 and 0.83... */
Test(ranking, agrees_with_the_published_four_row_example)
{
    const double s[] = { 0.1, 0.4, 0.35, 0.8 };
    const uint8_t y[] = { 0, 0, 1, 1 };

    cr_assert_float_eq(auc_roc(s, y, 4), 0.75, 1e-15);
    cr_assert_float_eq(average_precision(s, y, 4), 5.0 / 6.0, 1e-15);
}

Test(ranking, is_not_defined_for_one_class)
{
    const double s[] = { 0.1, 0.4 };
    const uint8_t none[] = { 0, 0 }, all[] = { 1, 1 };

    cr_assert(isnan(auc_roc(s, none, 2)));
    cr_assert(isnan(auc_roc(s, all, 2)));
    cr_assert(isnan(average_precision(s, none, 2)));
    cr_assert_eq(average_precision(s, all, 2), 1);
    cr_assert(isnan(auc_roc(s, none, 0)));
}

Test(ranking, point_at_fpr_takes_the_most_frauds_for_the_good_customers_it_may_stop)
{
    /*                   0.9 fraud | 0.8 good | 0.7 fraud fraud | 0.6 good | 0.5 fraud | 7 goods */
    const double s[] = { 0.9, 0.8, 0.7, 0.7, 0.6, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1 };
    const uint8_t y[] = { 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0 };
    struct operating_point p = point_at_fpr(s, y, ARRAY_LEN(s), 0.1); /* 10 goods: one may be stopped */

    cr_assert_eq(p.threshold, 0.7);
    cr_assert_eq(p.flagged, 4);
    cr_assert_eq(p.caught, 3);
    cr_assert_float_eq(p.precision, 0.75, 1e-15);
    cr_assert_float_eq(p.recall, 0.75, 1e-15);
    cr_assert_float_eq(p.false_positive_rate, 0.1, 1e-15);

    p = point_at_fpr(s, y, ARRAY_LEN(s), 0);
    cr_assert_eq(p.threshold, 0.9);
    p = point_at_threshold(s, y, ARRAY_LEN(s), 0.55);
    cr_assert_eq(p.flagged, 5);
    cr_assert_eq(p.caught, 3);
}

/* Worked by hand after the Handbook's rules. k = 2.
 *   day 0: customer 1 (0.9, fraud in another row), 2 (0.8), 3 (0.7 fraud)  -> looks at 1, 2: finds 1
 *   day 1: customer 1 is gone; 3 (0.6 fraud), 2 (0.6), 4 (0.6)             -> tie: 2, 3: finds 3
 *   day 2: 5 (0.1)                                                         -> nothing */
Test(ranking, card_precision_counts_a_customer_once_a_day_and_not_after_it_was_found)
{
    const double s[] = { 0.9, 0.2, 0.8, 0.7, 0.99, 0.6, 0.6, 0.6, 0.1 };
    const uint8_t y[] = { 0, 1, 0, 1, 1, 0, 0, 1, 0 };
    const int64_t day[] = { 10, 10, 10, 10, 11, 11, 11, 11, 12 };
    const int64_t customer[] = { 1, 1, 2, 3, 1, 4, 2, 3, 5 };
    double each[3];

    cr_assert_float_eq(card_precision_at_k(s, y, day, customer, ARRAY_LEN(s), 2, each), 1.0 / 3, 1e-15);
    cr_assert_eq(each[0], 0.5);
    cr_assert_eq(each[1], 0.5);
    cr_assert_eq(each[2], 0);
    cr_assert(isnan(card_precision_at_k(s, y, day, customer, 0, 2, NULL)));
}

/* ---- weights ---- */

Test(ranking, a_row_of_weight_three_ranks_as_three_rows)
{
    enum { N = 500 };
    double s[N], repeated_s[3 * N];
    uint8_t y[N], repeated_y[3 * N];
    float weights[N];
    struct random random = { 5 };
    size_t n = 0;

    for (size_t i = 0; i < N; i++) {
        s[i] = (double)random_below(&random, 60); /* so that many are equal */
        y[i] = random_below(&random, 60) + 30 < (uint64_t)s[i];
        weights[i] = 1 + (float)(i % 3);
        for (size_t k = 0; k <= i % 3; k++) {
            repeated_s[n] = s[i];
            repeated_y[n++] = y[i];
        }
    }
    cr_assert_eq(auc_roc_weighted(s, y, weights, N), auc_roc(repeated_s, repeated_y, n));
    cr_assert_neq(auc_roc_weighted(s, y, weights, N), auc_roc(s, y, N));
    cr_assert_float_eq(average_precision_weighted(s, y, weights, N),
                       average_precision(repeated_s, repeated_y, n), 1e-15);
    cr_assert_neq(average_precision_weighted(s, y, weights, N), average_precision(s, y, N));
}
