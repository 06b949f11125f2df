/* SPDX-License-Identifier: Apache-2.0
 * curves.h - what a ranking does at each threshold: precision and recall, and money, as a curve of few points.
 *
 * All rows with a score at or above a point's threshold are flagged; rows of equal score are never parted, so no
 * point depends on the order of the rows. Sums are of weights, in the order of falling scores. */
#ifndef ASSAY_STATS_CURVES_H
#define ASSAY_STATS_CURVES_H

#include <stddef.h>
#include <stdint.h>

/* Borrowed. */
struct curve_rows {
    size_t n;
    const double *scores; /* finite, higher = more suspicious */
    const uint8_t *labels;
    const float *weights; /* above 0; NULL: 1 each */
    const double *money;  /* amount, any unit; NULL: 0 each */
};

struct curve_point {
    double threshold;           /* the lowest score that is flagged; +inf: nothing is */
    double recall, precision;   /* NaN without a fraud, or with nothing flagged */
    double flagged, frauds;     /* weights: of the rows flagged, of the frauds among them */
    double caught, turned_away; /* money: of the frauds flagged, of the others flagged */
};

/* Where a curve of `most` steps has its points: each time that its recall has grown by one step; or the square root of
 * the share of rows that are flagged, which is finer at the top, where thresholds lie. */
enum curve_by { CURVE_BY_RECALL, CURVE_BY_SHARE };

/* Points by falling threshold, the last with everything flagged. At most steps + 2, which `out` must hold; says how
 * many: 0 without rows. */
size_t curve_points(const struct curve_rows *rows, enum curve_by by, size_t steps, struct curve_point *out);

/* The point of one threshold. */
struct curve_point curve_at(const struct curve_rows *rows, double threshold);

#endif
