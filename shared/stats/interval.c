/* SPDX-License-Identifier: Apache-2.0
 * interval.c - see interval.h. */
#include "stats/interval.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stats/distribution.h"

struct interval wilson(uint64_t successes, uint64_t n, double confidence)
{
    double z = normal_quantile(0.5 + confidence / 2), rows = (double)n, share = (double)successes / rows;
    double middle = share + z * z / (2 * rows), grown = 1 + z * z / rows;
    double reach = z * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows));

    if (n == 0)
        return (struct interval){ 0, 1 };
    return (struct interval){ successes == 0 ? 0 : fmax(0, (middle - reach) / grown),
                              successes == n ? 1 : fmin(1, (middle + reach) / grown) };
}

uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

__extension__ typedef unsigned __int128 u128;

/* Lemire 2019: the high half of a product, drawn again in the few cases that would favour some numbers. */
uint64_t random_below(struct random *r, uint64_t n)
{
    u128 product = (u128)random_next(r) * n;

    if ((uint64_t)product < n) {
        uint64_t least = -n % n;

        while ((uint64_t)product < least)
            product = (u128)random_next(r) * n;
    }
    return (uint64_t)(product >> 64);
}

double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct interval bootstrap(size_t n, bootstrap_statistic statistic, void *context, size_t rounds,
                          double confidence, uint64_t seed)
{
    struct random random = { seed };
    uint32_t *rows = mem_new_n(uint32_t, n ? n : 1);
    double *figures = mem_new_n(double, rounds ? rounds : 1);
    size_t count = 0, redraws = 0;
    struct interval result;

    while (n > 0 && count < rounds) {
        for (size_t i = 0; i < n; i++)
            rows[i] = (uint32_t)random_below(&random, n);
        double figure = statistic(context, rows, n);

        if (!isnan(figure))
            figures[count++] = figure;
        else if (redraws++ == rounds)
            break;
    }
    qsort(figures, count, sizeof *figures, by_value);
    result.low = quantile_sorted(figures, count, 0.5 - confidence / 2);
    result.high = quantile_sorted(figures, count, 0.5 + confidence / 2);
    mem_free(rows);
    mem_free(figures);
    return result;
}

double quantile_sorted(const double *sorted, size_t n, double q)
{
    double place = q * (double)(n - 1);
    size_t below;

    if (n == 0)
        return NAN;
    if (place <= 0)
        return sorted[0];
    if (place >= (double)(n - 1))
        return sorted[n - 1];
    below = (size_t)place;
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

struct quantiles quantiles_of(double *values, size_t n)
{
    struct quantiles q = { .n = n };

    qsort(values, n, sizeof *values, by_value);
    for (size_t i = 0; i < n; i++)
        q.mean += values[i] / (double)n;
    if (n == 0)
        q.mean = NAN;
    q.min = quantile_sorted(values, n, 0);
    q.p50 = quantile_sorted(values, n, 0.5);
    q.p90 = quantile_sorted(values, n, 0.9);
    q.p95 = quantile_sorted(values, n, 0.95);
    q.p99 = quantile_sorted(values, n, 0.99);
    q.p999 = quantile_sorted(values, n, 0.999);
    q.max = quantile_sorted(values, n, 1);
    return q;
}
