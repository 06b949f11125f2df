/* SPDX-License-Identifier: Apache-2.0
 * calibration.h - from a model's margin to a probability: fitted on held-out rows, kept in the model's
 * bundle.
 *
 * A calibration is a curve through knots, from margin to calibrated log-odds: linear between the knots, and
 * outside them one unit of margin is one unit of log-odds. So it rises everywhere, a better score stays a
 * better score, and no probability is 0 or 1. Isotonic regression (PAV) and Platt's sigmoid both become such
 * knots: serving knows one form only. */
#ifndef ASSAY_STATS_CALIBRATION_H
#define ASSAY_STATS_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct calibration {
    size_t count; /* knots; 0 means that nothing is calibrated: the margin is the log-odds */
    double *x;    /* margins, strictly rising */
    double *y;    /* calibrated log-odds, strictly rising */
};

void calibration_release(struct calibration *c);
/* Whether the knots are finite and rise. ERR_INVALID when not. */
MUST_USE enum err calibration_check(const struct calibration *c, struct why *why);

/* The probability. Never fails; a NaN margin gives NaN. */
double calibration_eval(const struct calibration *c, double margin);

/* Isotonic regression by pool-adjacent-violators (Ayer et al. 1955; equal margins are pooled first). Each
 * block becomes a knot at its mean margin; its share of frauds is drawn a little to the overall share, as one
 * more row of that, so that no block is certain. At most `max_knots` (at least 2): neighbours are merged
 * where that costs the least squared error. *c is the caller's, to release. ERR_INVALID  no rows, one class
 * only, or margins that are not finite */
MUST_USE enum err calibration_fit_isotonic(struct calibration *c, const double *margins,
                                           const uint8_t *labels, size_t n, size_t max_knots,
                                           struct why *why);

/* Platt scaling: sigmoid(a * margin + b) by Newton's method with backtracking on the smoothed targets of
 * Platt 1999, as Lin, Lin and Weng 2007 do it. As a calibration it is two knots, PLATT_REACH to either side.
 *   ERR_INVALID  no rows, one class only, margins that are not finite, or a falling curve (a <= 0) */
enum { PLATT_REACH = 40 };
struct platt {
    double a, b;
};
MUST_USE enum err platt_fit(struct platt *out, const double *margins, const uint8_t *labels, size_t n,
                            struct why *why);
MUST_USE enum err calibration_fit_platt(struct calibration *c, const double *margins, const uint8_t *labels,
                                        size_t n, struct why *why);

/* Both where row i counts `weights[i]` times, above 0 (NULL: once): for rows that stand for more than
 * themselves. */
MUST_USE enum err calibration_fit_isotonic_weighted(struct calibration *c, const double *margins,
                                                    const uint8_t *labels, const float *weights, size_t n,
                                                    size_t max_knots, struct why *why);
MUST_USE enum err calibration_fit_platt_weighted(struct calibration *c, const double *margins,
                                                 const uint8_t *labels, const float *weights, size_t n,
                                                 struct why *why);

/* How far probabilities are from what happened. Bins of equal count (rows sorted by probability; ties stay
 * together), weighted mean of |mean probability - share of frauds|: the expected calibration error of Naeini
 * et al. 2015 over adaptive bins. */
double calibration_error(const double *probabilities, const uint8_t *labels, size_t n, size_t bins);
double calibration_error_weighted(const double *probabilities, const uint8_t *labels, const float *weights,
                                  size_t n, size_t bins);
/* The bins behind it, of equal weight, by rising probability: what was expected, what happened, of how many;
 * all as sums of weights. Fills at most `count`, and says how many. */
struct reliability_bin {
    double expected, happened, weight;
};
size_t reliability(const double *probabilities, const uint8_t *labels, const float *weights, size_t n,
                   struct reliability_bin *bins, size_t count);
/* Mean squared difference (Brier 1950), and the mean negative log-likelihood with probabilities kept within
 * 1e-15 of 0 and 1. */
double brier_score(const double *probabilities, const uint8_t *labels, size_t n);
double log_loss(const double *probabilities, const uint8_t *labels, size_t n);

#endif
