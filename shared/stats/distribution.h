/* SPDX-License-Identifier: Apache-2.0
 * distribution.h - the classical distributions that tests are judged by: normal, chi-squared, binomial.
 *
 * Probabilities in, quantiles out, and the other way round; what is not defined is NaN. No state. */
#ifndef ASSAY_STATS_DISTRIBUTION_H
#define ASSAY_STATS_DISTRIBUTION_H

#include <stdint.h>

#include "stats/interval.h"

/* The standard normal distribution: P(Z <= z), P(Z > z) (exact far out, where 1 - P would be 0), the density,
 * and the z below which a share `probability` lies (-inf at 0, +inf at 1). */
double normal_cdf(double z);
double normal_upper(double z);
double normal_density(double z);
double normal_quantile(double probability);
/* The z above which a share `probability` lies: -normal_quantile(probability), exact for tiny shares too. */
double normal_upper_quantile(double probability);

/* The chi-squared quantile for `df` degrees of freedom. */
double chi_squared_quantile(double probability, double df);
/* P(X > x), exact far out; and the x above which a share `probability` lies, above 0, exact for tiny shares. */
double chi_squared_upper(double x, double df);
double chi_squared_upper_quantile(double probability, double df);

/* The regularised incomplete beta function I_x(a, b), a and b above 0 (continued fraction, DLMF 8.17.22). */
double beta_regularised(double x, double a, double b);

/* Of n trials that succeed with chance p: P(X <= k), and P(X = k). */
double binomial_cdf(uint64_t k, uint64_t n, double p);
double binomial_mass(uint64_t k, uint64_t n, double p);

/* The exact interval of a share (Clopper and Pearson 1934), two-sided at `confidence` (0.95): it never covers
 * less than it says. 0..1 when n is 0. For a report, wilson() is nearer to what it says; this one is for
 * proofs. */
struct interval clopper_pearson(uint64_t successes, uint64_t n, double confidence);

#endif
