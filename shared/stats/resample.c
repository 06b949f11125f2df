/* SPDX-License-Identifier: Apache-2.0
 * resample.c - see resample.h. */
#include "stats/resample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

void clusters_init(struct clusters *c, const int64_t *ids, size_t n)
{
    int64_t *sorted;

    *c = (struct clusters){ .count = n, .of = mem_new_n(uint32_t, n ? n : 1) };
    if (!ids) {
        for (size_t i = 0; i < n; i++)
            c->of[i] = (uint32_t)i;
        return;
    }
    sorted = mem_new_n(int64_t, n ? n : 1);
    c->count = 0;
    if (n)
        memcpy(sorted, ids, n * sizeof *ids);
    qsort(sorted, n, sizeof *sorted, by_number);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || sorted[i] != sorted[c->count - 1])
            sorted[c->count++] = sorted[i];
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t *found = bsearch(&ids[i], sorted, c->count, sizeof *sorted, by_number);

        c->of[i] = (uint32_t)(found - sorted);
    }
    mem_free(sorted);
}

void clusters_release(struct clusters *c)
{
    if (!c)
        return;
    mem_free(c->of);
    *c = (struct clusters){ 0 };
}

void clusters_draw(const struct clusters *c, struct random *random, uint32_t *times)
{
    memset(times, 0, c->count * sizeof *times);
    for (size_t i = 0; i < c->count; i++)
        times[random_below(random, c->count)]++;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sums up what `n` rounds gave of one figure; sorts them. */
static void sum_up(struct resampled *out, double *figures, size_t n, size_t rounds, double confidence)
{
    double mean = 0, squares = 0, positive = 0;

    out->defined = n;
    out->deviation = out->share_positive = out->interval.low = out->interval.high = NAN;
    if (n < 2 || 2 * n < rounds)
        return;
    for (size_t i = 0; i < n; i++) {
        mean += figures[i] / (double)n;
        positive += figures[i] > 0 ? 1 : figures[i] == 0 ? 0.5 : 0;
    }
    for (size_t i = 0; i < n; i++)
        squares += (figures[i] - mean) * (figures[i] - mean);
    qsort(figures, n, sizeof *figures, by_value);
    out->deviation = sqrt(squares / (double)(n - 1));
    out->share_positive = positive / (double)n;
    out->interval.low = quantile_sorted(figures, n, 0.5 - confidence / 2);
    out->interval.high = quantile_sorted(figures, n, 0.5 + confidence / 2);
}

void resample(const struct clusters *c, resample_figures figures, void *context, size_t count, size_t rounds,
              double confidence, uint64_t seed, struct resampled *out)
{
    struct random random = { seed };
    double values[RESAMPLE_FIGURES_MAX], *all = mem_new_n(double, rounds *count + 1);
    uint32_t *times = mem_new_n(uint32_t, c->count + 1);

    assert(count <= RESAMPLE_FIGURES_MAX);
    figures(context, NULL, values);
    for (size_t f = 0; f < count; f++)
        out[f] = (struct resampled){ .value = values[f] };
    for (size_t round = 0; round < rounds && c->count > 0; round++) {
        clusters_draw(c, &random, times);
        figures(context, times, values);
        for (size_t f = 0; f < count; f++) {
            if (!isnan(values[f]))
                all[f * rounds + out[f].defined++] = values[f];
        }
    }
    for (size_t f = 0; f < count; f++)
        sum_up(&out[f], all + f * rounds, out[f].defined, rounds, confidence);
    mem_free(all);
    mem_free(times);
}
