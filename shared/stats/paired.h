/* SPDX-License-Identifier: Apache-2.0
 * paired.h - two models over the same transactions: is the difference more than chance?
 *
 * Paired figures say much more than two separate ones: what both get right or wrong cancels. Decisions are
 * compared by McNemar's test, everything else by a bootstrap that draws customers (resample.h), scores both
 * models on the same draw, and looks at the difference. */
#ifndef ASSAY_STATS_PAIRED_H
#define ASSAY_STATS_PAIRED_H

#include <stddef.h>
#include <stdint.h>

#include "stats/interval.h"
#include "stats/resample.h"

/* McNemar's test of two yes-or-no answers over the same rows; only rows where they differ count. Two-sided:
 *   exact  2 * P(X <= least) with X ~ Binomial(discordant, 1/2), at most 1: never above its level
 *   mid_p  exact less P(X = least): nearer to its level, and hardly ever above (Fagerland, Lydersen and Laake
 *          2013)
 * Both are 1 when no row is discordant. Rows of one customer are not independent: where that matters, use
 * paired_difference() on the answers. */
struct mcnemar {
    uint64_t only_a, only_b;
    double exact, mid_p;
};
struct mcnemar mcnemar(uint64_t only_a, uint64_t only_b);

/* The rows, borrowed. a is the candidate, b the one it is held against. Scores are finite, higher = more
 * suspicious. */
struct paired_rows {
    size_t n;
    const double *a, *b;
    const uint8_t *labels;    /* 0 or 1 */
    const float *weights;     /* of each row, above 0; NULL: 1 each */
    const int64_t *customers; /* NULL: each row is one of its own */
    const int64_t *days;      /* needed by Card Precision only */
};

/* How the bootstrap is run. rounds = 0 gives the difference with a NaN interval. */
struct paired_settings {
    size_t rounds;     /* 500 is enough for a gate, 2000 for a paper */
    double confidence; /* 0.95 */
    uint64_t seed;
};

/* `difference` is a less b, with its interval; `a` and `b` are the figures of the rows themselves. */
struct paired {
    double a, b;
    struct resampled difference;
};

/* Average precision (ranking.h), weighted where weights are given. O(n log n) once and O(n) a round. */
struct paired paired_average_precision(const struct paired_rows *rows,
                                       const struct paired_settings *settings);

/* Card Precision@k. A customer drawn twice is two customers: each may be found on its own. Without weights
 * (they are not looked at). A day on which nobody that was drawn paid counts 0, so that all rounds are over
 * the same days. */
struct paired paired_card_precision(const struct paired_rows *rows, size_t k,
                                    const struct paired_settings *settings);

/* The mean per row of any figure that a row has under each of the two: money lost, money turned away, a
 * decision as 0 or 1. rows->a and ->b are those figures, any finite numbers; labels are not looked at. */
struct paired paired_difference(const struct paired_rows *rows, const struct paired_settings *settings);

/* Any statistic: it gets how often each row was drawn (0, 1, 2, ...; NULL: once each) and one model's scores.
 * NaN where it is not defined. */
typedef double (*paired_statistic)(void *context, const double *scores, const uint32_t *row_times, size_t n);
struct paired paired_bootstrap(const struct paired_rows *rows, paired_statistic statistic, void *context,
                               const struct paired_settings *settings);

#endif
