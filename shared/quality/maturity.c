/* SPDX-License-Identifier: Apache-2.0
 * maturity.c - see maturity.h. */
#include "quality/maturity.h"

#include <assert.h>
#include <math.h>

/* Frauds known at d days, and until d days, of the days that are old enough. */
static void count_known(const struct quality_cohort *cohorts, size_t count, int64_t until_day, size_t d,
                        uint64_t *at, uint64_t *until)
{
    *at = *until = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t *delays = cohorts[i].counts->delays;

        if (cohorts[i].day + (int64_t)d >= until_day)
            continue;
        *at += delays[d];
        for (size_t s = 0; s <= d; s++)
            *until += delays[s];
    }
}

void quality_maturity(struct quality_maturity *out, const struct quality_cohort *cohorts, size_t count,
                      int64_t until_day, unsigned horizon)
{
    double share = 1, variance = 0;
    bool is_reached = false;

    assert(horizon < QUALITY_DELAYS - 1);
    *out = (struct quality_maturity){ 0 };
    for (size_t d = 0; d < QUALITY_DELAYS; d++)
        out->share[d] = 1;
    for (size_t d = horizon + 1; d-- > 0;) {
        uint64_t at, until;

        count_known(cohorts, count, until_day, d, &at, &until);
        if (until > 0 && !is_reached) {
            is_reached = true;
            out->horizon = (unsigned)d;
            out->frauds = until;
        }
        out->share[d] = share;
        out->error[d] = sqrt(variance);
        if (until == 0)
            continue;
        share *= 1 - (double)at / (double)until;
        variance += at < until ? (double)at / ((double)until * (double)(until - at)) : 0;
    }
    for (size_t d = 0; d < QUALITY_DELAYS && !is_reached; d++)
        out->share[d] = out->error[d] = (double)NAN;
}

double quality_known(const struct quality_maturity *curve, int64_t day, int64_t until_day)
{
    int64_t age = until_day - 1 - day;

    if (age < 0)
        return 0;
    return curve->share[age < QUALITY_DELAYS ? age : QUALITY_DELAYS - 1];
}

unsigned quality_matured_after(const struct quality_maturity *curve, double share)
{
    for (unsigned d = 0; d < curve->horizon; d++)
        if (curve->share[d] >= share)
            return d + 1; /* known d days after its day: that day has ended the day after */
    return curve->horizon + 1;
}

struct quality_rate quality_rate(const struct quality_maturity *curve, const struct quality_cohort *cohort,
                                 int64_t until_day)
{
    int64_t age = until_day - 1 - cohort->day;
    double known = quality_known(curve, cohort->day, until_day), error = 0;
    uint64_t rows = quality_day_rows(cohort->counts), frauds = quality_day_frauds(cohort->counts);
    struct quality_rate rate = { (double)NAN, (double)NAN, { (double)NAN, (double)NAN } };
    struct interval plain;
    double count_error;

    if (rows == 0)
        return rate;
    rate.known = (double)frauds / (double)rows;
    if (!(known > 0))
        return rate;
    if (age < QUALITY_DELAYS)
        error = curve->error[age];
    plain = wilson(frauds < rows ? frauds : rows, rows, 0.95);
    rate.corrected = fmin(rate.known / known, 1);
    /* Both errors are small on the scale of logarithms, and independent. */
    count_error = frauds ? log(plain.high / rate.known) : 0;
    rate.interval.high =
        fmin((frauds ? rate.known : plain.high) / known * exp(hypot(count_error, 1.96 * error)), 1);
    count_error = frauds ? log(rate.known / plain.low) : 0;
    rate.interval.low = (frauds ? rate.known : 0) / known * exp(-hypot(count_error, 1.96 * error));
    return rate;
}
