/* SPDX-License-Identifier: Apache-2.0
 * always_valid.c - see always_valid.h. */
#include "stats/always_valid.h"

#include <math.h>

#include "stats/distribution.h"

enum err always_valid_init(struct always_valid *test, enum always_valid_side side, double alpha, double tau,
                           double null, double least, struct why *why)
{
    if ((unsigned)side >= ALWAYS_VALID_SIDE_COUNT)
        return err_set(why, ERR_INVALID, "no such side");
    if (!(alpha > 0 && alpha < 1))
        return err_set(why, ERR_INVALID, "a chance of error of %g", alpha);
    if (!(tau > 0 && isfinite(tau)) || !isfinite(null) || !(least >= 0))
        return err_set(why, ERR_INVALID, "tau %g, null %g, least %g", tau, null, least);
    *test = (struct always_valid){
        .side = side, .alpha = alpha, .tau = tau, .null = null, .least = least, .p = 1
    };
    return ERR_OK;
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
    p = exp(-log_ratio(test, estimate - test->null, variance));
    if (p < test->p)
        test->p = p;
    test->has_crossed = test->p <= test->alpha;
    return test->has_crossed;
}

/* Half a success and half a failure more, so that nothing seen is not nothing possible. */
static double share_variance(uint64_t successes, uint64_t n)
{
    double share = ((double)successes + 0.5) / ((double)n + 1);

    return share * (1 - share) / (double)n;
}

bool always_valid_proportions(struct always_valid *test, uint64_t a_successes, uint64_t a,
                              uint64_t b_successes, uint64_t b, double design_effect)
{
    if (a == 0 || b == 0)
        return test->has_crossed;
    return always_valid_update(test, (double)a_successes / (double)a - (double)b_successes / (double)b,
                               design_effect *
                                   (share_variance(a_successes, a) + share_variance(b_successes, b)),
                               (double)(a < b ? a : b));
}
