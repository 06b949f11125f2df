/* SPDX-License-Identifier: Apache-2.0
 * guardrail.h - what must not get worse while a candidate decides, or after a promotion, looked at at any time.
 *
 * No labels are needed: approval rate, review load, errors, slow answers, and where the scores lie. The tests
 * are always valid (stats/always_valid.h): they may be looked at after every period, for ever, and still raise a
 * false alarm with a chance of at most `alpha` in all. Each compares the new model with a reference: the other
 * arm of the same periods in an experiment, or the champion before it in the watch after a promotion. Verdicts
 * of stage "guardrail":
 *
 *   approval_rate   lower than the reference by more than `approval_rate_drop`
 *   review_load     higher by more than `review_load_rise`
 *   error_rate      degraded or failed answers, higher by more than `error_rate_rise`
 *   slow_rate       answers slower than `slow_us` (the p99 that is promised), higher by more than `slow_rate_rise`
 *   score_psi       its scores against its own of before (in shadow), beyond `psi_most` and what chance gives at any
 *                   look (chi-squared at alpha / (k (k + 1)) at look k, which adds up to alpha). Not against the
 *                   other model's: two good models need not spread their low scores alike
 *
 * Payments of one customer are not independent; `design_effect` is how many times the variance of counts is that
 * of independent ones (Kish 1965).
 *
 * pass: not broken (yet); fail: broken, roll back; inconclusive: too few to say anything. */
#ifndef ASSAY_LIFECYCLE_GUARDRAIL_H
#define ASSAY_LIFECYCLE_GUARDRAIL_H

#include "lifecycle/evidence.h"

enum { GUARD_BINS = 20 }; /* of scores, by guard_bin() */

struct guardrail_settings {
    double alpha;                                                 /* of each guardrail, over its whole life */
    double approval_rate_drop, review_load_rise, error_rate_rise; /* in shares of transactions: 0.02 */
    double slow_rate_rise;
    double psi_most;
    int64_t slow_us;
    double design_effect;
    uint64_t rows_least; /* of either side, before anything is said */
};
extern const struct guardrail_settings GUARDRAIL_SETTINGS_DEFAULT;

/* What happened in one period (an hour, a day) under one model. */
struct guard_counts {
    uint64_t rows, approved, reviewed, errors, slow;
    uint64_t scores[GUARD_BINS];
};
/* Bins of calibrated scores, even in log-odds from 1e-5 to 1 - 1e-2 or so: the same for every model. */
size_t guard_bin(double score);
void guard_count(struct guard_counts *counts, enum action action, double score, bool is_error, bool is_slow);
void guard_add(struct guard_counts *sum, const struct guard_counts *more);

/* Period by period, in order of time, from the beginning of the experiment or of the watch. In the watch after
 * a promotion `reference` holds the champion before it, whole, in every period (is_reference_fixed). `own` is what
 * the new model did before, of which only the scores are looked at; NULL: then score_psi is inconclusive. Adds the
 * verdicts and returns the worst. */
enum outcome guardrails_judge(const struct guardrail_settings *settings, const struct guard_counts *reference,
                              const struct guard_counts *current, size_t periods, bool is_reference_fixed,
                              const struct guard_counts *own, struct verdicts *out);

#endif
