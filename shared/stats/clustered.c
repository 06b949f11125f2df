/* SPDX-License-Identifier: Apache-2.0
 * clustered.c - see clustered.h. */
#include "stats/clustered.h"

#include <math.h>

#include "stats/distribution.h"

static void put(struct cluster_sums *s, double y, double n, double sign)
{
    if (n == 0)
        return;
    s->clusters += sign;
    s->y += sign * y;
    s->n += sign * n;
    s->yy += sign * y * y;
    s->yn += sign * y * n;
    s->nn += sign * n * n;
    s->moments[0] += sign * (y * y) * (y * y);
    s->moments[1] += sign * (y * y) * (y * n);
    s->moments[2] += sign * (y * y) * (n * n);
    s->moments[3] += sign * (y * n) * (n * n);
    s->moments[4] += sign * (n * n) * (n * n);
}

void cluster_sums_move(struct cluster_sums *s, double y_before, double n_before, double y_after,
                       double n_after)
{
    put(s, y_before, n_before, -1);
    put(s, y_after, n_after, 1);
}

void cluster_sums_scale(struct cluster_sums *s, double factor)
{
    double power = 1;

    s->y *= factor;
    s->yy *= factor * factor;
    s->yn *= factor;
    for (int i = 4; i >= 0; i--, power *= factor)
        s->moments[i] *= power;
}

struct estimate cluster_ratio(const struct cluster_sums *s)
{
    struct estimate e = { .value = NAN, .variance = NAN, .clusters = s->clusters };
    const double *m = s->moments;
    double r, squares, fourths;

    if (!(s->clusters > 0 && s->n > 0))
        return e;
    e.value = r = s->y / s->n;
    if (s->clusters < 2)
        return e;
    /* What rounding leaves of differences of large sums is no variance. */
    squares = s->yy - 2 * r * s->yn + r * r * s->nn;
    if (squares < 1e-13 * s->yy)
        squares = 0;
    fourths = m[0] - 4 * r * m[1] + 6 * r * r * m[2] - 4 * r * r * r * m[3] + r * r * r * r * m[4];
    e.variance = s->clusters / (s->clusters - 1) * squares / (s->n * s->n);
    e.effective = squares > 0 && fourths > 0 ? fmin(s->clusters, squares * squares / fourths) : 0;
    return e;
}

struct estimate estimate_difference(struct estimate a, struct estimate b)
{
    return (struct estimate){
        .value = a.value - b.value,
        .variance = a.variance + b.variance,
        .clusters = fmin(a.clusters, b.clusters),
        .effective = fmin(a.effective, b.effective),
    };
}

/* Sum of squared deviations from the arm's ratio. */
static double squares_of(const struct cluster_sums *s, struct estimate ratio)
{
    return ratio.variance * (s->clusters - 1) / s->clusters * s->n * s->n;
}

struct estimate cluster_difference(const struct cluster_sums *a, const struct cluster_sums *b)
{
    struct estimate x = cluster_ratio(a), y = cluster_ratio(b), e = estimate_difference(x, y);
    double of_a, of_b, fourths = 0, freedom = a->clusters + b->clusters - 2;

    e.effective = 0;
    if (!(x.variance >= 0 && y.variance >= 0))
        return e;
    of_a = squares_of(a, x);
    of_b = squares_of(b, y);
    if (of_a > 0)
        fourths += of_a * of_a / x.effective;
    if (of_b > 0)
        fourths += of_b * of_b / y.effective;
    if (fourths > 0)
        e.effective = (of_a + of_b) * (of_a + of_b) / fourths;
    e.variance = (of_a + of_b) / freedom * (a->clusters / (a->n * a->n) + b->clusters / (b->n * b->n));
    return e;
}

double estimate_z(struct estimate e)
{
    if (e.value == 0 && e.variance == 0)
        return 0;
    return e.value / sqrt(e.variance);
}
