/* SPDX-License-Identifier: Apache-2.0
 * maturity.h - how much of a day's fraud is known after so many days, and what recent days will have had.
 *
 * Frauds of young days are seen only when their label came soon: a plain histogram of delays would say that all come
 * soon. The delays are right-truncated, and the estimate is the product-limit estimate in reverse time (Lagakos,
 * Barraj and De Gruttola 1988; in insurance the chain ladder):
 *
 *   share(horizon) = 1,   share(d - 1) = share(d) * (1 - known at d / known until d)
 *
 * where both are counted over the days that are old enough to have had a label at d. Greenwood's formula gives its
 * error. What is known later than the horizon is left out; what is never found is in no figure anywhere. */
#ifndef ASSAY_QUALITY_MATURITY_H
#define ASSAY_QUALITY_MATURITY_H

#include "quality/day.h"
#include "stats/interval.h"

struct quality_maturity {
    unsigned horizon; /* days; share[horizon] is 1. Less than was asked for where no day is old enough yet */
    uint64_t frauds;  /* of the days that are as old as the horizon */
    double
        share[QUALITY_DELAYS]; /* of eventual frauds, known d days after their day; all NaN without a fraud */
    double error[QUALITY_DELAYS]; /* standard, of ln(share) */
};

/* One day's decisions, by the number of the day (quality_day_of()). */
struct quality_cohort {
    int64_t day;
    const struct quality_day *counts;
};
/*   until_day  the first day whose labels have not all come in yet: today
 *   horizon    below QUALITY_DELAYS - 1 */
void quality_maturity(struct quality_maturity *out, const struct quality_cohort *cohorts, size_t count,
                      int64_t until_day, unsigned horizon);

/* The share of a day's eventual frauds that is known by now; 0 for a day that has not ended, 1 past the horizon. */
double quality_known(const struct quality_maturity *curve, int64_t day, int64_t until_day);
/* How many days after its own day at least `share` (0.95) of a day's frauds is known; horizon + 1 at most. */
unsigned quality_matured_after(const struct quality_maturity *curve, double share);

/* The fraud rate of a day's decisions as it will be: known frauds / known share, with a 95 % interval by Wilson's for
 * the count and Greenwood's for the share. NaN when nothing is known of the day. */
struct quality_rate {
    double known;     /* frauds / decisions as of now */
    double corrected; /* as it will be */
    struct interval interval;
};
struct quality_rate quality_rate(const struct quality_maturity *curve, const struct quality_cohort *cohort,
                                 int64_t until_day);

#endif
