/* SPDX-License-Identifier: Apache-2.0
 * drift.c - see drift.h. */
#include "stats/drift.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stats/distribution.h"
#include "stats/interval.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void histogram_init_edges(struct histogram *h, const double *edges, size_t edge_count)
{
    h->edge_count = edge_count;
    h->edges = mem_new_n(double, edge_count ? edge_count : 1);
    for (size_t i = 0; i < edge_count; i++)
        h->edges[i] = edges[i];
    h->counts = mem_new_n(uint64_t, histogram_bins(h));
}

void histogram_init_quantiles(struct histogram *h, const double *values, size_t n, size_t bins)
{
    double *sorted = mem_new_n(double, n ? n : 1), *edges = mem_new_n(double, bins ? bins : 1);
    size_t count = 0, edge_count = 0;

    for (size_t i = 0; i < n; i++) {
        if (!isnan(values[i]))
            sorted[count++] = values[i];
    }
    qsort(sorted, count, sizeof *sorted, by_value);
    for (size_t i = 1; i < bins && count > 0; i++) {
        double edge = quantile_sorted(sorted, count, (double)i / (double)bins);

        /* An edge at the least value would have an empty bin below it. */
        if (edge > (edge_count ? edges[edge_count - 1] : sorted[0]))
            edges[edge_count++] = edge;
    }
    histogram_init_edges(h, edges, edge_count);
    mem_free(sorted);
    mem_free(edges);
}

void histogram_release(struct histogram *h)
{
    if (!h)
        return;
    mem_free(h->edges);
    mem_free(h->counts);
    *h = (struct histogram){ 0 };
}

size_t histogram_bin(const struct histogram *h, double value)
{
    size_t low = 0, high = h->edge_count;

    if (isnan(value))
        return h->edge_count + 1;
    while (low < high) { /* the first edge above the value */
        size_t middle = low + (high - low) / 2;

        if (h->edges[middle] > value)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void histogram_add(struct histogram *h, double value)
{
    h->counts[histogram_bin(h, value)]++;
}

/* ---- distances ---- */

static double total(const uint64_t *counts, size_t bins)
{
    double sum = 0;

    for (size_t i = 0; i < bins; i++)
        sum += (double)counts[i];
    return sum;
}

double psi(const uint64_t *reference, const uint64_t *current, size_t bins)
{
    double p_rows = total(reference, bins), q_rows = total(current, bins), sum = 0;

    if (p_rows == 0 || q_rows == 0)
        return NAN;
    for (size_t i = 0; i < bins; i++) {
        double p = (reference[i] ? (double)reference[i] : 0.5) / p_rows;
        double q = (current[i] ? (double)current[i] : 0.5) / q_rows;

        if (reference[i] || current[i]) /* a bin that nobody used says nothing */
            sum += (p - q) * log(p / q);
    }
    return sum;
}

double psi_noise_95(size_t bins, uint64_t reference_rows, uint64_t current_rows)
{
    if (bins < 2 || reference_rows == 0 || current_rows == 0)
        return NAN;
    return chi_squared_quantile(0.95, (double)(bins - 1)) *
           (1 / (double)reference_rows + 1 / (double)current_rows);
}

double jensen_shannon(const uint64_t *reference, const uint64_t *current, size_t bins)
{
    double p_rows = total(reference, bins), q_rows = total(current, bins), sum = 0;

    if (p_rows == 0 || q_rows == 0)
        return NAN;
    for (size_t i = 0; i < bins; i++) {
        double p = (double)reference[i] / p_rows, q = (double)current[i] / q_rows, m = (p + q) / 2;

        if (p > 0)
            sum += p / 2 * log2(p / m);
        if (q > 0)
            sum += q / 2 * log2(q / m);
    }
    return fmin(fmax(sum, 0), 1);
}
