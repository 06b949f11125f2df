/* SPDX-License-Identifier: Apache-2.0
 * decay.h - whether a ranking has become worse than was promised, by windows of matured days.
 *
 * A window's figure is the average precision of its days together. How far chance moves it is told by leaving out one
 * day after another (the jackknife; Quenouille 1956, Tukey 1958): customers, merchants and attacks make payments of a
 * day alike, so days are what is independent, and weights of the control slice need no model of their own.
 *
 *   error^2 = (m - 1) / m * sum over days (figure without the day - mean of these)^2
 *
 * The promise was measured too, on so many frauds; its error is taken to be the window's, scaled by the root of
 * frauds / its frauds. Together they make a t statistic with m - 1 degrees of freedom. A window is *beyond* when the
 * figure lies below the promise by at least `least` of it, and by more than chance explains at `alpha`, one-sided. */
#ifndef ASSAY_QUALITY_DECAY_H
#define ASSAY_QUALITY_DECAY_H

#include <stdbool.h>
#include <stddef.h>

#include "quality/day.h"

struct quality_promise {
    double average_precision; /* NaN: none, and nothing is tested */
    double frauds;            /* it was measured on; NaN: taken as exact */
};

struct quality_decay_settings {
    double alpha;
    double least;        /* share of the promise */
    double frauds_least; /* weighted, of a window before it is tested */
};
/* 0.01, 0.1, 50. */
extern const struct quality_decay_settings quality_decay_default;

struct quality_decay {
    bool is_tested; /* enough frauds, and at least 3 days with any */
    bool is_beyond;
    double value, error; /* of the window's average precision */
    double frauds;
    double p; /* that chance alone makes it as low */
};
/* Days of one window, in any order. */
void quality_decay(struct quality_decay *out, const struct quality_day *const *days, size_t count,
                   const struct quality_promise *promise, const struct quality_decay_settings *settings);

#endif
