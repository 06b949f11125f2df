/* SPDX-License-Identifier: Apache-2.0
 * weighting.h - what a model does on all transactions, told from those whose outcome became known.
 *
 * Declined payments get no label. A control slice lets some of them through, each with a known chance p; a
 * row that was let through with p stands for 1/p rows (Horvitz and Thompson 1952).
 *
 *   total by Horvitz-Thompson   sum x / p over the seen: unbiased, but noisy where few stand for many
 *   total by Hajek              N * (sum x / p) / (sum 1 / p): a little biased, mostly much less noisy
 *
 * with N the rows that could have been seen (p > 0). Shares and rates (precision, recall, false positive
 * rate, average precision) are ratios of such totals, in which both are the same.
 *
 * Rows with p = 0 could never have been seen: declined by a rule, over a cap. No weight can stand for them,
 * so they are left out of every figure, and `excluded` says how many they were: figures hold for the rest
 * only. Above a few per cent of what is flagged, say so wherever the figures are shown.
 *
 * Intervals are by the cluster bootstrap (resample.h). They are to be trusted when `effective`, Kish's
 * (sum w)^2 / sum w^2 over the seen rows at or above the threshold, is at least about 30. */
#ifndef ASSAY_STATS_WEIGHTING_H
#define ASSAY_STATS_WEIGHTING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "stats/resample.h"

/* All rows, seen or not; borrowed. */
struct weighted_rows {
    size_t n;
    const double *scores;     /* finite, higher = more suspicious */
    const double *chances;    /* of being let through: 1 for what was approved anyway, 0 for never */
    const uint8_t *seen;      /* 1: was let through and its label is known */
    const uint8_t *labels;    /* 0 or 1; looked at where seen */
    const double *money;      /* amount, any unit; NULL: the figures of money are NaN */
    const int64_t *customers; /* NULL: each row is a cluster of its own */
};

enum weighted_total { WEIGHTED_HORVITZ_THOMPSON, WEIGHTED_HAJEK };

/* X(name, meaning): the figures at a threshold, in this order everywhere. */
#define WEIGHTED_LIST(X)                                                                                     \
    X(precision, "frauds among the rows at or above the threshold")                                          \
    X(recall, "of the frauds, those at or above it")                                                         \
    X(false_positive_rate, "of the legitimate, those at or above it")                                        \
    X(frauds, "frauds in all")                                                                               \
    X(flagged, "rows at or above it")                                                                        \
    X(money_caught, "money of the frauds at or above it")                                                    \
    X(money_lost, "money of the frauds below it")                                                            \
    X(money_turned_away, "money of the legitimate at or above it")                                           \
    X(average_precision, "of the weighted rows; the threshold does not matter")
enum weighted_figure {
#define WEIGHTED_ENUM(name, meaning) WEIGHTED_##name,
    WEIGHTED_LIST(WEIGHTED_ENUM)
#undef WEIGHTED_ENUM
        WEIGHTED_COUNT
};
const char *weighted_figure_name(enum weighted_figure figure);

struct weighted {
    struct resampled figures[WEIGHTED_COUNT];
    size_t rows, seen;
    size_t excluded;         /* rows with p = 0 */
    size_t excluded_flagged; /* of them at or above the threshold */
    double effective;        /* see above */
};

/* Everything at one threshold: a score at or above it is called fraud.
 *   rounds       0: no intervals (NaN)
 *   ERR_INVALID  a chance outside 0..1, a row seen with chance 0, or a score that is not finite */
MUST_USE enum err weighted_estimate(struct weighted *out, const struct weighted_rows *rows, double threshold,
                                    enum weighted_total total, size_t rounds, double confidence,
                                    uint64_t seed, struct why *why);

/* Kish's effective sample size of weights: (sum w)^2 / sum w^2; 0 for none. */
double effective_size(const double *weights, size_t n);

#endif
