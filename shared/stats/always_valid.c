/* SPDX-License-Identifier: Apache-2.0
 * always_valid.c - see always_valid.h. */
#include "stats/always_valid.h"

#include <math.h>

#include "stats/distribution.h"

enum err always_valid_check(const struct always_valid *test, struct why *why)
{
    if ((unsigned)test->side >= ALWAYS_VALID_SIDE_COUNT)
        return err_set(why, ERR_INVALID, "no such side");
    if (!(test->alpha > 0 && test->alpha < 1))
        return err_set(why, ERR_INVALID, "a chance of error of %g", test->alpha);
    if (!(test->tau > 0 && isfinite(test->tau)) || !isfinite(test->null) || !(test->least >= 0))
        return err_set(why, ERR_INVALID, "tau %g, null %g, least %g", test->tau, test->null, test->least);
    if (!(test->p >= 0 && test->p <= 1) || test->has_crossed != (test->p <= test->alpha))
        return err_set(why, ERR_INVALID, "a p-value of %g", test->p);
    if (test->updates && !(isfinite(test->estimate) && test->variance > 0 && isfinite(test->variance)))
        return err_set(why, ERR_INVALID, "an estimate of %g, variance %g", test->estimate, test->variance);
    return ERR_OK;
}

enum err always_valid_init(struct always_valid *test, enum always_valid_side side, double alpha, double tau,
                           double null, double least, struct why *why)
{
    *test = (struct always_valid){
        .side = side, .alpha = alpha, .tau = tau, .null = null, .least = least, .p = 1
    };
    return always_valid_check(test, why);
}

/* The logarithm of the mixture's likelihood ratio. */
static double log_ratio(const struct always_valid *test, double off, double variance)
{
    double square = test->tau * test->tau, whole = variance + square;
    double both = (log(variance / whole) + square * off * off / (variance * whole)) / 2;
    double side = off * test->tau / sqrt(variance * whole);

    if (test->side == ALWAYS_VALID_EITHER)
        return both;
    return both + log(2 * normal_cdf(test->side == ALWAYS_VALID_ABOVE ? side : -side));
}

bool always_valid_update(struct always_valid *test, double estimate, double variance, double units)
{
    double p;

    if (!isfinite(estimate) || !(variance > 0 && isfinite(variance)) || !(units >= test->least))
        return test->has_crossed;
    test->updates++;
    test->estimate = estimate;
    test->variance = variance;
    p = exp(-log_ratio(test, estimate - test->null, variance));
    if (p < test->p)
        test->p = p;
    test->has_crossed = test->p <= test->alpha;
    return test->has_crossed;
}

/* ---- from cumulative figures ---- */

void moments_add(struct moments *m, double value)
{
    double off = value - m->mean;

    m->n++;
    m->mean += off / m->n;
    m->m2 += off * (value - m->mean);
}

void moments_merge(struct moments *m, const struct moments *other)
{
    double n = m->n + other->n, off = other->mean - m->mean;

    if (other->n == 0)
        return;
    m->m2 += other->m2 + off * off * m->n * other->n / n;
    m->mean += off * other->n / n;
    m->n = n;
}

double moments_variance(const struct moments *m)
{
    return m->n >= 2 ? m->m2 / (m->n - 1) : NAN;
}

bool always_valid_mean(struct always_valid *test, const struct moments *values)
{
    return always_valid_update(test, values->mean, moments_variance(values) / values->n, values->n);
}

static double share_variance(uint64_t successes, uint64_t n)
{
    double share = ((double)successes + 0.5) / ((double)n + 1);

    return share * (1 - share) / (double)n;
}

bool always_valid_proportions(struct always_valid *test, uint64_t a_successes, uint64_t a,
                              uint64_t b_successes, uint64_t b)
{
    if (a == 0 || b == 0)
        return test->has_crossed;
    return always_valid_update(test, (double)a_successes / (double)a - (double)b_successes / (double)b,
                               share_variance(a_successes, a) + share_variance(b_successes, b),
                               (double)(a < b ? a : b));
}

bool always_valid_means(struct always_valid *test, const struct moments *a, const struct moments *b)
{
    return always_valid_update(test, a->mean - b->mean,
                               moments_variance(a) / a->n + moments_variance(b) / b->n, fmin(a->n, b->n));
}

bool always_valid_clusters(struct always_valid *test, const struct cluster_sums *a,
                           const struct cluster_sums *b)
{
    struct estimate difference = cluster_difference(a, b);

    return always_valid_update(test, difference.value, difference.variance, difference.clusters);
}

struct interval always_valid_interval(const struct always_valid *test)
{
    double square = test->tau * test->tau, whole = test->variance + square, reach;

    if (test->updates == 0)
        return (struct interval){ -INFINITY, INFINITY };
    reach = sqrt(test->variance * whole / square * (log(whole / test->variance) - 2 * log(test->alpha)));
    return (struct interval){ test->estimate - reach, test->estimate + reach };
}
