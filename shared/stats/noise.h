/* SPDX-License-Identifier: Apache-2.0
 * noise.h - what a sample differs by from its reference by chance alone, also where bins are nearly empty; and which
 * of many such differences to believe.
 *
 * The reference is a sample too: `reference` counts of m rows in all. What n more rows of the same distribution look
 * like, when all that is known of it is the reference, is the Dirichlet-multinomial with parameters counts + 1/2 (the
 * posterior predictive under Jeffreys' prior); for one bin against the rest it is the beta-binomial. So the error of
 * the reference is in the law, and a bin that the reference never saw may still get a few rows.
 *
 * The chi-squared law, PSI ~ (1/n + 1/m) chi2(bins - 1), holds only where every bin expects many rows. Elsewhere the
 * law is simulated: NOISE_DRAWS draws with a fixed seed, so that the same input has the same law on every machine.
 * Up to a p-value of NOISE_TAIL it is the share of draws at or above the value; beyond, an exponential tail through
 * the draws above (peaks over a threshold), which is never lighter than that of a sum of squares. */
#ifndef ASSAY_STATS_NOISE_H
#define ASSAY_STATS_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NOISE_BINS_MAX = 512,
    NOISE_DRAWS = 4000,
    NOISE_POINTS = 64,
    NOISE_EXPECTED_MANY = 100, /* rows in each bin, from where on the chi-squared law is taken */
};
#define NOISE_TAIL 0.02

/* The law of one figure: P(figure >= scale * at[i]) = chance[i]. */
struct noise_tail {
    double at[NOISE_POINTS], chance[NOISE_POINTS]; /* rising, falling */
    double excess;                                 /* mean, over the last point */
};
struct noise_law {
    bool is_chi_squared;
    size_t bins; /* that hold or expect anything */
    double m;    /* reference rows */
    struct noise_tail psi, js;
};
/* The law of psi() and jensen_shannon() between `reference` and `rows` rows of the same distribution. About a
 * microsecond for each draw and ten bins: some milliseconds where it is simulated. At least one reference row and one
 * row; at most NOISE_BINS_MAX bins. */
void noise_law_init(struct noise_law *law, const uint64_t *reference, size_t bins, double rows);

enum noise_figure { NOISE_PSI, NOISE_JS };
/* The chance of a figure as large as this or larger from `rows` rows. A law made for another number of rows within a
 * quarter of an octave serves too: figures scale with 1/rows + 1/m. 1 for a NaN. */
double noise_p(const struct noise_law *law, enum noise_figure figure, double value, double rows);
/* What the figure passes with this chance only: its noise floor. */
double noise_critical(const struct noise_law *law, enum noise_figure figure, double chance, double rows);

/* P(X >= x) and P(X <= x) of n rows, when `reference_x` of `reference_n` rows had it: beta-binomial with
 * reference_x + 1/2 and the rest + 1/2. Sums of the exact terms, to about 1e-7 of the figure. x is from 0 to n. */
double share_upper_p(uint64_t reference_x, uint64_t reference_n, uint64_t x, uint64_t n);
double share_lower_p(uint64_t reference_x, uint64_t reference_n, uint64_t x, uint64_t n);

/* Benjamini and Hochberg 1995: which of `n` p-values to believe so that of those believed a share `q` at most is
 * chance. When all are chance, one is believed with a chance of at most q (for independent or positively dependent
 * tests). NaN is no test and not counted. Returns the largest p-value that would still be believed, at least
 * q / tests (0 without tests): a p is believed when it is at most that. */
double benjamini_hochberg(const double *p, size_t n, double q);

#endif
