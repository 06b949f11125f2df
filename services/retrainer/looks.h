/* SPDX-License-Identifier: Apache-2.0
 * looks.h - what became of payments, out of PostgreSQL: decisions, beside what a candidate would have said, with
 * what is known of them by now.
 *
 * Blocking; streamed. Errors are those of pg_copy_out(). */
#ifndef ASSAY_RETRAINER_LOOKS_H
#define ASSAY_RETRAINER_LOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fraud/txn.h"

struct pg_session;

struct look_row {
    int64_t at_us, amount_minor; /* known_at; base currency */
    int64_t customer;            /* a hash of account and customer */
    enum action action;          /* what was done in the end */
    double p_allow;
    double score;    /* of the model that decided; NaN when none did */
    int64_t version; /* that model; 0: none */
    bool has_candidate;
    double candidate_score;
    enum action candidate_action;
    bool is_fraud; /* as known before `now_us` */
    /* What the record says of how it came about, where it does (is_told): whether the score alone decided, and what
     * it said by the thresholds of the account. */
    bool is_told, is_by_score;
    enum action score_action;
    int64_t answer_us; /* in the queue, for features, the score and the rules, together */
};

struct look_range {
    int64_t from_us, until_us; /* of known_at */
    int64_t now_us;            /* labels that became known from then on are not there yet */
    int64_t candidate;         /* whose shadow scores stand beside; 0: nobody's */
    bool has_labels;           /* false: customer and is_fraud are not read, which is much cheaper */
};

typedef void look_fn(void *ctx, const struct look_row *row);
/* In the order of known_at. */
MUST_USE enum err looks_read(struct pg_session *s, const struct look_range *range, look_fn *each, void *ctx,
                             struct why *why);

#endif
