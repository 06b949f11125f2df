/* SPDX-License-Identifier: Apache-2.0
 * thresholds.h - from which probability on to decline, to review, to challenge: by expected money under the
 * analysts' capacity.
 *
 * `decline` is the probability above which declining saved the most on the rows: a fraud's amount is saved, a
 * good payment's amount times `decline_cost` is lost. `review` and `challenge` are set by capacity: of the
 * payments below `decline`, the most suspicious share is reviewed, the next is challenged, but nobody whose
 * probability is not above the overall share of frauds. Rows of equal score are never parted. */
#ifndef ASSAY_TRAINING_THRESHOLDS_H
#define ASSAY_TRAINING_THRESHOLDS_H

#include <stdbool.h>
#include <stddef.h>

#include "bundle/bundle.h"

/* A threshold that no probability reaches. */
#define THRESHOLD_NEVER 2.0

/* One payment, or several with one score. */
struct threshold_row {
    double score;  /* probability; no threshold lies between two rows' */
    double weight; /* how many payments it stands for */
    double money;  /* their amounts together, in minor units of one currency */
    bool is_fraud;
};

struct threshold_costs {
    double decline_cost;                        /* share of a good payment's amount */
    double review_capacity, challenge_capacity; /* shares of all payments */
};
#define THRESHOLD_DECLINE_COST       0.5
#define THRESHOLD_REVIEW_CAPACITY    0.005
#define THRESHOLD_CHALLENGE_CAPACITY 0.01
#define THRESHOLD_COSTS_DEFAULT                                                                              \
    {                                                                                                        \
        THRESHOLD_DECLINE_COST, THRESHOLD_REVIEW_CAPACITY, THRESHOLD_CHALLENGE_CAPACITY                      \
    }

/* Sorts the rows. With no rows, and where nothing saves money, a threshold is THRESHOLD_NEVER. */
struct bundle_thresholds thresholds_set(const struct threshold_costs *costs, struct threshold_row *rows,
                                        size_t count);

#endif
