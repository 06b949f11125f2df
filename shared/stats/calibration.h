/* SPDX-License-Identifier: Apache-2.0
 * calibration.h - from a model's margin to a probability: fitted on held-out rows, kept in the model's
 * bundle.
 *
 * A calibration is a piecewise-linear curve through knots: x strictly rising, y never falling; flat outside
 * the first and the last knot. Isotonic regression (PAV) and Platt's sigmoid both become such knots, so that
 * serving knows one form only. */
#ifndef ASSAY_STATS_CALIBRATION_H
#define ASSAY_STATS_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct calibration {
    size_t count; /* knots; 0 means that nothing is calibrated: the logistic function of the margin */
    double *x;    /* margins (log-odds) */
    double *y;    /* probabilities, 0..1 */
};

void calibration_release(struct calibration *c);
/* Whether the knots are finite, rising and within 0..1. */
MUST_USE enum err calibration_check(const struct calibration *c, struct why *why);

/* Never fails; a NaN margin gives NaN. */
double calibration_eval(const struct calibration *c, double margin);

/* Isotonic regression by pool-adjacent-violators (Ayer et al. 1955; ties of x are pooled first), smoothed at
 * the ends so that no probability is 0 or 1: each block's share is (frauds + prior) / (rows + 1) with the
 * overall share as prior. At most `max_knots` knots (at least 2; neighbours are merged where that costs the
 * least squared error). *c is the caller's, to release.
 *   ERR_INVALID  no rows, or one class only */
MUST_USE enum err calibration_fit_isotonic(struct calibration *c, const double *margins,
                                           const uint8_t *labels, size_t n, size_t max_knots,
                                           struct why *why);

/* Platt scaling: sigmoid(a * margin + b) by Newton's method with backtracking on the smoothed targets of
 * Platt 1999 as Lin, Lin and Weng 2007 do it; laid down as `knots` knots over the margins seen. */
struct platt {
    double a, b;
};
MUST_USE enum err platt_fit(struct platt *out, const double *margins, const uint8_t *labels, size_t n,
                            struct why *why);
MUST_USE enum err calibration_fit_platt(struct calibration *c, const double *margins, const uint8_t *labels,
                                        size_t n, size_t knots, struct why *why);

/* How far probabilities are from what happened. Bins of equal count (rows sorted by probability; ties stay
 * together), weighted mean of |mean probability - share of frauds|: the expected calibration error of Naeini
 * et al. 2015 over adaptive bins. */
double calibration_error(const double *probabilities, const uint8_t *labels, size_t n, size_t bins);
/* Mean squared difference (Brier 1950), and the mean negative log-likelihood with probabilities kept within
 * 1e-15 of 0 and 1. */
double brier_score(const double *probabilities, const uint8_t *labels, size_t n);
double log_loss(const double *probabilities, const uint8_t *labels, size_t n);

#endif
