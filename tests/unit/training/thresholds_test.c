/* SPDX-License-Identifier: Apache-2.0
 * thresholds_test.c - thresholds against a search through all that there could be. */
#include "training/thresholds.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "stats/interval.h"

enum { ROWS = 300, WORLDS = 50 };

static const struct threshold_costs costs = { 0.5, 0.05, 0.1 };

static double saved_by(const struct threshold_row *rows, double threshold)
{
    double saved = 0;

    for (size_t i = 0; i < ROWS; i++)
        saved += rows[i].score < threshold ? 0 : rows[i].money * (rows[i].is_fraud ? 1 : -costs.decline_cost);
    return saved;
}

static double weight_in(const struct threshold_row *rows, double from, double until)
{
    double weight = 0;

    for (size_t i = 0; i < ROWS; i++)
        weight += rows[i].score >= from && rows[i].score < until ? rows[i].weight : 0;
    return weight;
}

/* The lowest score from which, up to `until`, at most the capacity lies, above `least`. */
static double lowest_within(const struct threshold_row *rows, double until, double capacity, double least)
{
    double lowest = THRESHOLD_NEVER;

    for (size_t i = 0; i < ROWS; i++) {
        double score = rows[i].score;

        if (score < until && score > least && score < lowest && weight_in(rows, score, until) <= capacity)
            lowest = score;
    }
    return lowest;
}

/* Scores in steps, so that many are equal; frauds likelier above. */
static void draw(struct threshold_row *rows, uint64_t seed)
{
    struct random r = { seed };

    for (size_t i = 0; i < ROWS; i++) {
        double score = floor(40 * random_unit(&r) * random_unit(&r)) / 40;

        rows[i] = (struct threshold_row){ .score = score,
                                          .weight = random_unit(&r) < 0.1 ? 4 : 1,
                                          .is_fraud = random_unit(&r) < score };
        rows[i].money = rows[i].weight * floor(10000 * random_unit(&r));
    }
}

Test(thresholds, save_the_most_and_fill_the_capacity)
{
    struct threshold_row rows[ROWS], sorted[ROWS];
    size_t reviews = 0;

    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct bundle_thresholds t;
        double total = 0, frauds = 0, least, review, challenge;

        draw(rows, seed);
        memcpy(sorted, rows, sizeof rows);
        t = thresholds_set(&costs, sorted, ROWS);
        for (size_t i = 0; i < ROWS; i++) {
            total += rows[i].weight;
            frauds += rows[i].is_fraud ? rows[i].weight : 0;
            cr_assert_leq(saved_by(rows, rows[i].score), saved_by(rows, t.decline) + 1e-6);
        }
        cr_assert_geq(saved_by(rows, t.decline), 0);
        least = frauds / total;
        review = lowest_within(rows, t.decline, costs.review_capacity * total, least);
        cr_assert_eq(t.review, fmin(review, t.decline), "%f, not %f", t.review, review);
        reviews += review < t.decline;
        challenge = lowest_within(rows, t.review, costs.challenge_capacity * total, least);
        cr_assert_eq(t.challenge, fmin(challenge, t.review), "%f, not %f", t.challenge, challenge);
    }
    cr_assert_gt(reviews, WORLDS / 2);
}

Test(thresholds, are_never_reached_where_nothing_is_saved)
{
    struct threshold_row good[3] = { { 0.5, 1, 100, false }, { 0.9, 1, 100, false }, { 0.1, 1, 100, false } };
    struct bundle_thresholds t = thresholds_set(&costs, good, 3);

    cr_assert_eq(t.decline, THRESHOLD_NEVER);
    cr_assert_eq(t.review, THRESHOLD_NEVER, "nobody is above what all have, but for whom there is no room");
    cr_assert_eq(thresholds_set(&costs, NULL, 0).challenge, THRESHOLD_NEVER);
}
