/* SPDX-License-Identifier: Apache-2.0
 * noise.c - see noise.h. */
#include "stats/noise.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stats/distribution.h"
#include "stats/drift.h"
#include "stats/interval.h"

#define PRIOR 0.5

/* ---- draws ---- */

static double draw_normal(struct random *r)
{
    for (;;) { /* Marsaglia's polar method */
        double u = 2 * random_unit(r) - 1, v = 2 * random_unit(r) - 1, s = u * u + v * v;

        if (s > 0 && s < 1)
            return u * sqrt(-2 * log(s) / s);
    }
}

/* Marsaglia and Tsang 2000; a shape below 1 by one more and a power. */
static double draw_gamma(struct random *r, double shape)
{
    double boost = 1, d, c;

    if (shape < 1) {
        boost = pow(1 - random_unit(r), 1 / shape);
        shape += 1;
    }
    d = shape - 1.0 / 3;
    c = 1 / sqrt(9 * d);
    for (;;) {
        double x = draw_normal(r), v = 1 + c * x;

        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - random_unit(r)) < x * x / 2 + d - d * v + d * log(v))
            return boost * d * v;
    }
}

/* Where the variance is large the normal law with its skewness (Cornish and Fisher 1938) is within a row's part of
 * the binomial; elsewhere inversion, from 0 upwards. */
static double draw_binomial(struct random *r, double n, double p)
{
    double q = 1 - p, variance = n * p * q, mass, u, x = 0;

    if (p > 0.5)
        return n - draw_binomial(r, n, q);
    if (n <= 0 || p <= 0)
        return 0;
    if (variance > 60) {
        double z = draw_normal(r);

        x = floor(n * p + sqrt(variance) * z + (q - p) * (z * z - 1) / 6 + 0.5);
        return fmin(fmax(x, 0), n);
    }
    mass = exp(n * log1p(-p));
    for (u = random_unit(r); u >= mass && x < n; x++) {
        u -= mass;
        mass *= (n - x) / (x + 1) * (p / q);
        if (mass < 1e-300)
            break;
    }
    return x;
}

/* ---- the law ---- */

struct simulation {
    size_t bins;
    double n, m;
    const double *shape; /* counts + 1/2 */
    const uint64_t *reference;
    uint64_t *current;
    double *chance;
    struct random random;
};

static void draw_current(struct simulation *s)
{
    double total = 0, left = s->n, mass_left;

    for (size_t i = 0; i < s->bins; i++)
        total += s->chance[i] = draw_gamma(&s->random, s->shape[i]);
    mass_left = total;
    for (size_t i = 0; i < s->bins; i++) {
        double p = mass_left > 0 ? fmin(s->chance[i] / mass_left, 1) : 1, x;

        x = i + 1 == s->bins ? left : draw_binomial(&s->random, left, p);
        s->current[i] = (uint64_t)x;
        left -= x;
        mass_left -= s->chance[i];
    }
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* From the draws, scaled, to the points: at the value that a share NOISE_TAIL^(i / last) reaches. */
static void tail_fit(struct noise_tail *tail, double *draws, double scale)
{
    size_t last = (size_t)(NOISE_TAIL * NOISE_DRAWS), above = 0;
    double sum = 0;

    qsort(draws, NOISE_DRAWS, sizeof *draws, falling);
    for (size_t i = 0; i < NOISE_POINTS; i++) {
        double share = pow(NOISE_TAIL, (double)i / (NOISE_POINTS - 1));
        size_t rank = (size_t)ceil(share * NOISE_DRAWS);

        rank = rank < 1 ? 1 : rank;
        while (rank < NOISE_DRAWS && draws[rank] >= draws[rank - 1])
            rank++; /* all that equal it */
        tail->at[i] = draws[rank - 1] / scale;
        tail->chance[i] = (double)(rank + 1) / (NOISE_DRAWS + 1);
    }
    for (; above < last; above++)
        sum += draws[above] / scale - tail->at[NOISE_POINTS - 1];
    tail->excess = fmax(sum / (double)last, 1e-12);
}

static void simulate(struct noise_law *law, struct simulation *s)
{
    double *psis = mem_new_n(double, NOISE_DRAWS), *divergences = mem_new_n(double, NOISE_DRAWS);
    double scale = 1 / s->n + 1 / s->m;

    for (size_t i = 0; i < NOISE_DRAWS; i++) {
        draw_current(s);
        psis[i] = psi(s->reference, s->current, s->bins);
        divergences[i] = jensen_shannon(s->reference, s->current, s->bins);
    }
    tail_fit(&law->psi, psis, scale);
    tail_fit(&law->js, divergences, scale);
    mem_free(psis);
    mem_free(divergences);
}

void noise_law_init(struct noise_law *law, const uint64_t *reference, size_t bins, double rows)
{
    double shape[NOISE_BINS_MAX], chance[NOISE_BINS_MAX], least = INFINITY, m = 0;
    uint64_t current[NOISE_BINS_MAX];
    struct simulation s = {
        .bins = bins,
        .n = fmax(floor(rows), 1),
        .shape = shape,
        .reference = reference,
        .current = current,
        .chance = chance,
        .random = { 0x6e6f697365 },
    };

    assert(bins > 0 && bins <= NOISE_BINS_MAX);
    for (size_t i = 0; i < bins; i++) {
        m += (double)reference[i];
        shape[i] = (double)reference[i] + PRIOR;
        least = fmin(least, (double)reference[i]);
    }
    assert(m > 0);
    memset(law, 0, sizeof *law);
    law->bins = bins;
    law->m = s.m = m;
    law->is_chi_squared = bins == 1 || least * fmin(s.n / m, 1) >= NOISE_EXPECTED_MANY;
    if (!law->is_chi_squared)
        simulate(law, &s);
}

/* Of equal weights for both sides: JS is PSI / 8 in nats where both are small. */
static double per_chi_squared(enum noise_figure figure)
{
    return figure == NOISE_PSI ? 1 : 1 / (8 * log(2));
}

static const struct noise_tail *tail_of(const struct noise_law *law, enum noise_figure figure)
{
    return figure == NOISE_PSI ? &law->psi : &law->js;
}

double noise_p(const struct noise_law *law, enum noise_figure figure, double value, double rows)
{
    double scaled = value / (1 / rows + 1 / law->m);
    const struct noise_tail *tail = tail_of(law, figure);
    size_t i = NOISE_POINTS - 1;

    if (isnan(value) || law->bins == 1)
        return 1;
    if (law->is_chi_squared)
        return chi_squared_upper(scaled / per_chi_squared(figure), (double)(law->bins - 1));
    if (scaled > tail->at[i])
        return tail->chance[i] * exp(-(scaled - tail->at[i]) / tail->excess);
    while (i > 0 && scaled < tail->at[i])
        i--;
    return scaled < tail->at[0] ? 1 : fmin(tail->chance[i], 1);
}

double noise_critical(const struct noise_law *law, enum noise_figure figure, double chance, double rows)
{
    double scale = 1 / rows + 1 / law->m;
    const struct noise_tail *tail = tail_of(law, figure);
    size_t last = NOISE_POINTS - 1;

    if (law->bins == 1)
        return INFINITY;
    if (law->is_chi_squared)
        return scale * per_chi_squared(figure) * chi_squared_upper_quantile(chance, (double)(law->bins - 1));
    if (chance < tail->chance[last])
        return scale * (tail->at[last] + tail->excess * log(tail->chance[last] / chance));
    for (size_t i = 0; i < NOISE_POINTS; i++) {
        if (tail->chance[i] <= chance)
            return scale * tail->at[i];
    }
    return scale * tail->at[last];
}

/* ---- one share ---- */

/* P(X >= x): term by term upwards until nothing more is added. */
static double upper_sum(double a, double b, double x, double n)
{
    double term = lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1) + lgamma(x + a) + lgamma(n - x + b) -
                  lgamma(n + a + b) + lgamma(a + b) - lgamma(a) - lgamma(b),
           sum = 0;

    for (term = exp(term); x <= n; x++) {
        sum += term;
        if (term < 1e-14 * sum || term < 1e-300)
            break;
        term *= (n - x) / (x + 1) * (x + a) / (n - x - 1 + b);
    }
    return sum;
}

static double upper_p(double a, double b, double x, double n)
{
    if (x <= 0)
        return 1;
    if (x > n * a / (a + b)) /* terms fall from here */
        return fmin(upper_sum(a, b, x, n), 1);
    return fmax(1 - upper_sum(b, a, n - x + 1, n), 0);
}

double share_upper_p(uint64_t reference_x, uint64_t reference_n, uint64_t x, uint64_t n)
{
    return upper_p((double)reference_x + PRIOR, (double)(reference_n - reference_x) + PRIOR, (double)x,
                   (double)n);
}

double share_lower_p(uint64_t reference_x, uint64_t reference_n, uint64_t x, uint64_t n)
{
    return upper_p((double)(reference_n - reference_x) + PRIOR, (double)reference_x + PRIOR, (double)(n - x),
                   (double)n);
}

/* ---- many tests ---- */

static int rising(const void *a, const void *b)
{
    return falling(b, a);
}

double benjamini_hochberg(const double *p, size_t n, double q)
{
    double *sorted = mem_new_n(double, n ? n : 1), cut;
    size_t tests = 0;

    for (size_t i = 0; i < n; i++) {
        if (!isnan(p[i]))
            sorted[tests++] = p[i];
    }
    qsort(sorted, tests, sizeof *sorted, rising);
    cut = tests ? q / (double)tests : 0;
    for (size_t i = tests; i > 0; i--) {
        if (sorted[i - 1] <= q * (double)i / (double)tests) {
            cut = q * (double)i / (double)tests;
            break;
        }
    }
    mem_free(sorted);
    return cut;
}
