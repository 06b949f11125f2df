/* SPDX-License-Identifier: Apache-2.0
 * triage.h - which case is looked at first: the one that loses the most if nobody looks.
 *
 * Who reviews a payment stops its loss with the chance that it is fraud, and has spent what a review costs:
 *
 *   expected loss = P(fraud) * amount - cost of a review
 *
 * When P is calibrated and a day has room for k reviews, the k cases of the highest expected loss stop the most money
 * that any choice of k can be expected to stop: the sum of k independent gains is largest over the k largest.
 * So the probability must be the calibrated one that scoring answers, not a margin.
 *
 * Money is in minor units of the base currency. No I/O. */
#ifndef ASSAY_TRIAGE_TRIAGE_H
#define ASSAY_TRIAGE_TRIAGE_H

#include <stddef.h>
#include <stdint.h>

/* `probability` outside 0..1, and NaN, count as the nearest of both, and 0. */
int64_t triage_expected_loss(double probability, int64_t amount_minor, int64_t review_cost_minor);

/* ---- cases without a score ---- */

/* What people said of cases before: `decided` of them, "unclear" left out. */
struct triage_past {
    int64_t frauds, decided;
};

/* The chance that a case without a score is fraud, by what became of cases before it: of those of its account, and of
 * those that one of its rules has sent. Each is the posterior mean of a share whose prior has the weight of TRIAGE_WEIGHT
 * cases: the rules' prior is the account's share, the account's is TRIAGE_PRIOR. So a rule that has sent nothing
 * yet is worth what the account's cases are worth, and nothing is ever certain. */
#define TRIAGE_PRIOR  0.1
#define TRIAGE_WEIGHT 20.0
double triage_unscored(struct triage_past account, struct triage_past rules);

/* ---- what a ranking is worth ---- */

struct triage_worth {
    int64_t stopped_minor; /* amounts of the frauds among what was looked at */
    size_t frauds, reviews;
};

/* Each day the `most` rows of the highest key are looked at; of equal keys the earlier row. All arrays have `count`
 * items; days in any numbering. */
struct triage_worth triage_worth(const double *keys, const int64_t *amounts_minor, const uint8_t *is_fraud,
                                 const int64_t *days, size_t count, size_t most);

#endif
