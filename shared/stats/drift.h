/* SPDX-License-Identifier: Apache-2.0
 * drift.h - how far a distribution has moved from its reference: PSI and Jensen-Shannon over histograms. */
#ifndef ASSAY_STATS_DRIFT_H
#define ASSAY_STATS_DRIFT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A histogram over fixed edges: bin i holds edges[i-1] <= x < edges[i], the first is open below, the last
 * above; one more bin counts what is missing (NaN).
 *
 *   bins:  (-inf, e0) [e0, e1) ... [e(k-1), +inf) missing        k edges, k + 2 bins */
struct histogram {
    size_t edge_count;
    double *edges;    /* strictly rising */
    uint64_t *counts; /* edge_count + 2 */
};

/* Edges at the quantiles of `values` (NaN left out), at most `bins` finite bins; equal quantiles are one
 * edge. Counts start at zero. */
void histogram_init_quantiles(struct histogram *h, const double *values, size_t n, size_t bins);
void histogram_init_edges(struct histogram *h, const double *edges, size_t edge_count);
void histogram_release(struct histogram *h);
void histogram_add(struct histogram *h, double value);
size_t histogram_bin(const struct histogram *h, double value);
static inline size_t histogram_bins(const struct histogram *h)
{
    return h->edge_count + 2;
}

/* Population stability index: sum (p - q) ln(p / q). An empty bin counts as half a row, so that the figure
 * stays finite (and is symmetric). NaN when either side has no rows. */
double psi(const uint64_t *reference, const uint64_t *current, size_t bins);
/* What two samples of `reference_rows` and `current_rows` from one distribution exceed with a chance of 5 %
 * only: PSI is then about chi-squared with bins - 1 degrees of freedom times (1/n + 1/m) (Yurdakul 2018). */
double psi_noise_95(size_t bins, uint64_t reference_rows, uint64_t current_rows);

/* Jensen-Shannon divergence in bits: 0 for equal, 1 for disjoint. */
double jensen_shannon(const uint64_t *reference, const uint64_t *current, size_t bins);

#endif
