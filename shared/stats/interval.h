/* SPDX-License-Identifier: Apache-2.0
 * interval.h - how sure a figure is: Wilson intervals, bootstrap, quantiles. */
#ifndef ASSAY_STATS_INTERVAL_H
#define ASSAY_STATS_INTERVAL_H

#include <stddef.h>
#include <stdint.h>

struct interval {
    double low, high;
};

/* The score interval of a share (Wilson 1927), two-sided at `confidence` (0.95). 0..1 when n is 0. */
struct interval wilson(uint64_t successes, uint64_t n, double confidence);

/* Bootstrap by resampling rows with replacement: `statistic` gets n row numbers and returns the figure. For a
 * paired comparison of two models it returns their difference on the same rows. Percentile interval over
 * `rounds` resamples; the same seed gives the same interval on every machine. Rounds whose figure is NaN
 * (a resample of one class) are drawn again, at most `rounds` times in all. */
typedef double (*bootstrap_statistic)(void *context, const uint32_t *rows, size_t n);
struct interval bootstrap(size_t n, bootstrap_statistic statistic, void *context, size_t rounds,
                          double confidence, uint64_t seed);

/* The quantile of sorted values by linear interpolation between ranks (Hyndman and Fan's type 7, the default
 * of R and NumPy). NaN when n is 0. */
double quantile_sorted(const double *sorted, size_t n, double q);

/* The usual figures of a latency sample. Sorts `values`. */
struct quantiles {
    size_t n;
    double mean, min, p50, p90, p95, p99, p999, max;
};
struct quantiles quantiles_of(double *values, size_t n);

/* A small generator whose sequence is fixed for ever: SplitMix64 (Steele, Lea and Flood 2014). */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);
/* Uniform in 0..n-1 without bias; n > 0. */
uint64_t random_below(struct random *r, uint64_t n);
/* Uniform in [0, 1) with 53 bits. */
double random_unit(struct random *r);

#endif
