/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/weighting.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "stats/ranking.h"

/* By hand: at 0.5 the seen rows above are a fraud that stands for 4 and a legitimate one that stands for 2;
 * below, a fraud and three legitimate that stand for themselves. */
Test(weighting, figures_are_weighted_sums)
{
    static const double scores[] = { 0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.1, 0.0, 0.95 };
    static const double chances[] = { 0.25, 0.25, 0.5, 0.5, 1, 1, 1, 1, 0 };
    static const uint8_t seen[] = { 1, 0, 1, 0, 1, 1, 1, 1, 0 }, labels[] = { 1, 0, 0, 0, 1, 0, 0, 0, 0 };
    static const double money[] = { 100, 7, 30, 7, 50, 1, 1, 1, 999 };
    const struct weighted_rows rows = { 9, scores, chances, seen, labels, money, NULL };
    struct weighted w;

    cr_assert(!weighted_estimate(&w, &rows, 0.5, WEIGHTED_HORVITZ_THOMPSON, 0, 0.95, 1, NULL));
    cr_expect_float_eq(w.figures[WEIGHTED_precision].value, 4.0 / 6, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_recall].value, 4.0 / 5, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_false_positive_rate].value, 2.0 / 5, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_frauds].value, 5, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_flagged].value, 6, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_money_caught].value, 400, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_money_lost].value, 50, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_money_turned_away].value, 60, 1e-12);
    /* 4 of 4, then 5 of 7 */
    cr_expect_float_eq(w.figures[WEIGHTED_average_precision].value, (4 + 5.0 / 7) / 5, 1e-12);
    cr_expect_float_eq(w.effective, 36.0 / 20, 1e-12);
    cr_expect_eq(w.rows, 9);
    cr_expect_eq(w.seen, 6);
    cr_expect_eq(w.excluded, 1);
    cr_expect_eq(w.excluded_flagged, 1);
    cr_expect(isnan(w.figures[WEIGHTED_recall].interval.low));
    /* Eight rows could have been seen, the weights sum to ten. */
    cr_assert(!weighted_estimate(&w, &rows, 0.5, WEIGHTED_HAJEK, 0, 0.95, 1, NULL));
    cr_expect_float_eq(w.figures[WEIGHTED_money_caught].value, 320, 1e-12);
    cr_expect_float_eq(w.figures[WEIGHTED_recall].value, 4.0 / 5, 1e-12);
    cr_expect_str_eq(weighted_figure_name(WEIGHTED_money_lost), "money_lost");
}

enum { ROWS = 4000, CUSTOMERS = 800, WORLDS = 300 };

struct world {
    double scores[ROWS], chances[ROWS], money[ROWS];
    uint8_t labels[ROWS], seen[ROWS];
    int64_t customers[ROWS];
};

/* Frauds come by customer, and score higher; what scores at least 0.6 is declined but for a tenth. */
static void draw_rows(struct world *w, struct random *r)
{
    for (size_t i = 0; i < ROWS; i++) {
        int64_t customer = (int64_t)random_below(r, CUSTOMERS);
        bool is_fraud = customer % 8 == 0 && random_unit(r) < 0.5;

        w->customers[i] = customer;
        w->labels[i] = is_fraud;
        w->scores[i] = is_fraud ? sqrt(random_unit(r)) : random_unit(r) * random_unit(r);
        w->chances[i] = w->scores[i] >= 0.6 ? 0.1 : 1;
        w->money[i] = 10 + 200 * random_unit(r);
    }
}

static void let_through(struct world *w, struct random *r)
{
    for (size_t i = 0; i < ROWS; i++)
        w->seen[i] = random_unit(r) < w->chances[i];
}

/* The same rows, many control slices: the estimates are right on average, and a threshold lower than the one
 * that declines can be judged as well as one above. */
Test(weighting, estimates_hit_what_only_all_labels_would_tell)
{
    struct world *w = mem_new(struct world);
    struct random r = { 21 };
    const struct weighted_rows rows = { ROWS,      w->scores, w->chances,  w->seen,
                                        w->labels, w->money,  w->customers };
    double thresholds[] = { 0.5, 0.6, 0.8 };
    struct weighted truth, one;

    draw_rows(w, &r);
    for (size_t t = 0; t < ARRAY_LEN(thresholds); t++) {
        double sums[WEIGHTED_COUNT] = { 0 }, squares[WEIGHTED_COUNT] = { 0 };
        struct weighted_rows all = rows;
        double ones[ROWS];
        uint8_t every[ROWS];

        for (size_t i = 0; i < ROWS; i++) {
            ones[i] = 1;
            every[i] = 1;
        }
        all.chances = ones;
        all.seen = every;
        cr_assert(!weighted_estimate(&truth, &all, thresholds[t], WEIGHTED_HAJEK, 0, 0.95, 1, NULL));
        cr_assert_eq(truth.figures[WEIGHTED_average_precision].value,
                     average_precision(w->scores, w->labels, ROWS));
        for (int world = 0; world < WORLDS; world++) {
            let_through(w, &r);
            cr_assert(!weighted_estimate(&one, &rows, thresholds[t],
                                         world % 2 ? WEIGHTED_HAJEK : WEIGHTED_HORVITZ_THOMPSON, 0, 0.95, 1,
                                         NULL));
            for (int f = 0; f < WEIGHTED_COUNT; f++) {
                sums[f] += one.figures[f].value;
                squares[f] += one.figures[f].value * one.figures[f].value;
            }
        }
        for (int f = 0; f < WEIGHTED_COUNT; f++) {
            double mean = sums[f] / WORLDS, value = truth.figures[f].value;
            double error = sqrt(fmax(squares[f] / WORLDS - mean * mean, 0) / WORLDS);

            /* Ratios and ranks have a bias of the order of 1 / n beside the sampling error. */
            cr_expect_float_eq(mean, value, 4 * error + 0.01 * value, "%s at %.1f: %f, truth %f",
                               weighted_figure_name((enum weighted_figure)f), thresholds[t], mean, value);
        }
    }
    mem_free(w);
}

/* New rows and a new slice each time: about 95 of 100 intervals hold the long-run figure. */
Test(weighting, intervals_cover_as_often_as_they_say)
{
    struct world *w = mem_new(struct world);
    struct random r = { 33 };
    const struct weighted_rows rows = { ROWS,      w->scores, w->chances,  w->seen,
                                        w->labels, w->money,  w->customers };
    double truth = 0;
    int covered = 0;

    for (int world = 0; world < 400; world++) {
        draw_rows(w, &r);
        double caught = 0, frauds = 0;
        for (size_t i = 0; i < ROWS; i++) {
            frauds += w->labels[i];
            caught += w->labels[i] && w->scores[i] >= 0.6;
        }
        truth += caught / frauds / 400;
    }
    for (int world = 0; world < WORLDS; world++) {
        struct weighted one;

        draw_rows(w, &r);
        let_through(w, &r);
        cr_assert(!weighted_estimate(&one, &rows, 0.6, WEIGHTED_HAJEK, 200, 0.95, (uint64_t)world, NULL));
        covered += one.figures[WEIGHTED_recall].interval.low <= truth &&
                   truth <= one.figures[WEIGHTED_recall].interval.high;
    }
    cr_assert(covered >= WORLDS * 0.91 && covered <= WORLDS * 0.985, "%d of %d", covered, WORLDS);
    mem_free(w);
}

Test(weighting, what_cannot_be_is_refused)
{
    static const double scores[] = { 0.9, 0.8 }, over[] = { 0.5, 1.5 }, never[] = { 0, 1 };
    static const uint8_t seen[] = { 1, 1 }, labels[] = { 1, 0 };
    struct weighted_rows rows = { 2, scores, over, seen, labels, NULL, NULL };
    struct weighted w;

    cr_assert_eq(weighted_estimate(&w, &rows, 0.5, WEIGHTED_HAJEK, 0, 0.95, 1, NULL), ERR_INVALID);
    rows.chances = never;
    cr_assert_eq(weighted_estimate(&w, &rows, 0.5, WEIGHTED_HAJEK, 0, 0.95, 1, NULL), ERR_INVALID);
    rows.n = 0;
    cr_assert(!weighted_estimate(&w, &rows, 0.5, WEIGHTED_HAJEK, 20, 0.95, 1, NULL));
    cr_assert(isnan(w.figures[WEIGHTED_recall].value));
    cr_assert_eq(w.effective, 0);
    rows.n = 2;
    rows.chances = (const double[]){ 1, 1 };
    cr_assert(!weighted_estimate(&w, &rows, 0.5, WEIGHTED_HAJEK, 20, 0.95, 1, NULL));
    cr_assert(isnan(w.figures[WEIGHTED_money_lost].value), "no money was given");
}
