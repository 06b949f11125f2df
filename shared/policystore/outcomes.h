/* SPDX-License-Identifier: Apache-2.0
 * outcomes.h - decisions with what became of their payments, ready to be weighed by inverse probability
 * (stats/weighting.h, policy/control.h).
 *
 * Rows are the decisions that the score alone made, of a span of known_at; those that lists, rules or what was
 * missing decided say nothing about a threshold and are counted only. A payment that was not declined is seen:
 * its label is the one that held at `as_of` (the strongest source, the newest within it), and without one it is
 * legitimate. So the span has to end long enough before `as_of` for labels to have come.
 *
 * Blocks. Holds some 60 bytes a row; results are streamed. */
#ifndef ASSAY_POLICYSTORE_OUTCOMES_H
#define ASSAY_POLICYSTORE_OUTCOMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "stats/weighting.h"

struct pg_session;

struct outcomes_query {
    uint32_t account;        /* 0: all */
    int64_t from_us, to_us;  /* of known_at, [from, to); INT64_MIN and INT64_MAX: without an end */
    int64_t as_of_us;        /* labels that became known later are not used */
    struct slice model, arm; /* empty: any */
};

struct outcomes {
    size_t n, cap;
    double *scores, *chances, *money; /* money in minor units of the base currency */
    uint8_t *seen, *labels;
    uint8_t *flagged; /* 1: the policy in force declined it, whatever the control slice then did */
    int64_t *customers;

    size_t let_through; /* rows by the control slice */
    size_t others;      /* decisions of the span that something else than the score made */
    size_t untold;      /* whose record does not say what made them, or cannot be read */
    double decline;     /* the threshold of the newest row; NaN without one */
    int64_t newest_us;
};

/* ERR_* are those of pg_copy_out(). *out is the caller's, to release, also after an error. */
MUST_USE enum err outcomes_read(struct outcomes *out, struct pg_session *s,
                                const struct outcomes_query *query, struct why *why);
void outcomes_release(struct outcomes *o);

/* As weighted_estimate() takes them: by their scores, or, with `by_policy`, by what the policy in force did: a
 * score of 1 where it declined, else 0. Borrowed from `o`; with `by_policy` the scores are `room`'s, which holds
 * o->n. */
struct weighted_rows outcomes_rows(const struct outcomes *o, bool by_policy, double *room);

#endif
