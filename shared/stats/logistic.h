/* SPDX-License-Identifier: Apache-2.0
 * logistic.h - logistic regression: the plain baseline that every other model must beat.
 *
 * Inputs are standardised (mean 0, population deviation 1, fitted on the training rows; a missing value is
 * the mean; a constant column counts nothing). The L2 penalty is scikit-learn's: minimise
 * |w|^2 / 2 + c * sum of log-losses, the intercept without penalty. Newton's method (IRLS) with a Cholesky
 * solve; the same rows give the same weights. */
#ifndef ASSAY_STATS_LOGISTIC_H
#define ASSAY_STATS_LOGISTIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct logistic {
    size_t columns;
    double *mean, *scale; /* of each column */
    double *weights;      /* on the standardised columns */
    double intercept;
    int steps; /* that Newton took */
};

/* Fits on float[rows][columns], row-major, NaN = missing. *model is the caller's, to release.
 *   ERR_INVALID   no rows, one class only, or c not above 0
 *   ERR_INTERNAL  no convergence */
MUST_USE enum err logistic_fit(struct logistic *model, const float *rows, const uint8_t *labels, size_t n,
                               size_t columns, double c, struct why *why);
void logistic_release(struct logistic *model);

/* Log-odds of fraud for one row. */
double logistic_margin(const struct logistic *model, const float *row);
double logistic_probability(const struct logistic *model, const float *row);

#endif
