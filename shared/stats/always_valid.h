/* SPDX-License-Identifier: Apache-2.0
 * always_valid.h - a test that may be looked at whenever one likes, for guardrails.
 *
 * The mixture sequential probability ratio test (Robbins 1970; Johari, Pekelis and Walsh 2017): the
 * likelihood of what was seen, averaged over effects drawn from N(0, tau^2), against no effect. For an
 * estimate d of the effect beyond `null` with variance V,
 *
 *   L = sqrt(V / (V + tau^2)) * exp(tau^2 d^2 / (2 V (V + tau^2)))
 *
 * is a martingale without an effect, so that by Ville's inequality it ever reaches 1/alpha with a chance of
 * alpha at most, however often and whenever one looks. p = min(1, 1 / max L so far) only falls; the test has
 * crossed when p <= alpha. With one side the effects come from the half of N(0, tau^2) on that side,
 *
 *   L = 2 Phi(+-d tau / sqrt(V (V + tau^2))) * (the above)
 *
 * which also holds against every effect on the other side of `null` (L is then a supermartingale).
 *
 * tau is the size of effect one would not want to miss, in the estimate's unit: the test is quickest for
 * effects near it, and by a factor of ten off costs about the same (the boundary grows with the log of it).
 * So: the tolerance of the guardrail is a good tau (a drop of the approval rate by 0.01: tau = 0.01).
 *
 * V is taken as known. It is estimated, so the promise is asymptotic: below `least` units (1000 transactions of each
 * side is a good choice) an update is not counted, for a few early observations can have a variance of nearly 0. For
 * shares that is soon true. It is not for what has a long tail: of a net loss in an arm of 300 customers "worse" would
 * be crossed in 7 of 100 experiments without an effect instead of 5, which is why loss has no guardrail, and is held
 * to sequential.h at the end of each day.
 *
 * It needs more data than a group-sequential test (sequential.h) to find the same effect; it is for what has
 * no planned end. */
#ifndef ASSAY_STATS_ALWAYS_VALID_H
#define ASSAY_STATS_ALWAYS_VALID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define ALWAYS_VALID_SIDE_LIST(X)                                                                            \
    X(ALWAYS_VALID_EITHER, "either")                                                                         \
    X(ALWAYS_VALID_ABOVE, "above") /* only an effect above null counts */                                    \
    X(ALWAYS_VALID_BELOW, "below")
enum always_valid_side {
#define ALWAYS_VALID_ENUM(code, name) code,
    ALWAYS_VALID_SIDE_LIST(ALWAYS_VALID_ENUM)
#undef ALWAYS_VALID_ENUM
        ALWAYS_VALID_SIDE_COUNT
};

struct always_valid {
    enum always_valid_side side;
    double alpha, tau, null;
    double least;     /* units below which an update is not counted */
    double p;         /* 1 at the start */
    uint64_t updates; /* counted */
    bool has_crossed; /* p <= alpha */
};

/* ERR_INVALID  alpha not in 0..1 (exclusive), tau not above 0, or a figure that is not finite */
MUST_USE enum err always_valid_init(struct always_valid *test, enum always_valid_side side, double alpha,
                                    double tau, double null, double least, struct why *why);

/* Takes what is known now, cumulative from the start, made of `units`; returns whether the test has crossed.
 * An estimate or variance that is NaN, and a variance of 0 or below, are not counted. */
bool always_valid_update(struct always_valid *test, double estimate, double variance, double units);

/* The same from two proportions: a's share of successes less b's, Wald's variance with each share's own, half a
 * success and half a failure added to each for the variance only (units: the smaller n). `design_effect` is how many
 * times the variance of counts is that of independent ones. */
bool always_valid_proportions(struct always_valid *test, uint64_t a_successes, uint64_t a,
                              uint64_t b_successes, uint64_t b, double design_effect);

#endif
