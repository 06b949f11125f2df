/* SPDX-License-Identifier: Apache-2.0
 * evidence.h - what a decision about a model is made from, and how it is told: rows that both models saw, what
 * a decision costs, and verdicts with their figures.
 *
 * All of shared/lifecycle is pure: it gets rows, counts and the time, and gives verdicts. The retrainer brings
 * them from PostgreSQL, `assay replay --lifecycle` from memory. */
#ifndef ASSAY_LIFECYCLE_EVIDENCE_H
#define ASSAY_LIFECYCLE_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "fraud/txn.h"

/* ---- rows ---- */

/* One transaction as champion and candidate judged it, each by its own thresholds. */
struct evidence_row {
    int64_t at_us;        /* known_at: when it was decided */
    int64_t amount_minor; /* in the base currency */
    int64_t customer;     /* any number that stands for one: what is drawn together in a bootstrap */
    /* The chance that what became of it can be seen: 1 for what was let through, p_allow for a decline that
     * the control slice let through, 0 for a decline, which never gets a label. */
    double p_label;
    double champion, candidate;                /* calibrated scores; NaN where a model did not score it */
    uint8_t champion_action, candidate_action; /* enum action */
    bool is_fraud;                             /* as it is known at the look */
    bool is_matured;                           /* old enough that its label would have come */
};

/* Whether its label says something: matured, and it could have been seen. */
static inline bool evidence_is_labelled(const struct evidence_row *r)
{
    return r->is_matured && r->p_label > 0;
}

/* ---- money ---- */

/* What a decision costs, in minor units. A fraud that is let through costs its amount; a good payment that is
 * declined costs `decline_cost` of its amount, the revenue that was turned away; a review costs `review_minor`
 * whatever it finds, and finds frauds; a challenge costs `challenge_cost` of a good payment's amount, for those
 * who give up, and stops frauds. */
struct loss_costs {
    double decline_cost;
    double review_minor;
    double challenge_cost;
};
extern const struct loss_costs LOSS_COSTS_DEFAULT;
double decision_loss(const struct loss_costs *costs, enum action action, bool is_fraud, int64_t amount_minor);

/* ---- verdicts ---- */

enum outcome { OUTCOME_PASS, OUTCOME_INCONCLUSIVE, OUTCOME_FAIL, OUTCOME_COUNT };
/* "pass", "inconclusive", "fail": what stands in `verdicts.outcome`. */
const char *outcome_name(enum outcome outcome);

enum stage { STAGE_VALIDATION, STAGE_SHADOW, STAGE_AB, STAGE_GUARDRAIL, STAGE_COUNT };
/* "validation", "shadow", "ab", "guardrail": what stands in `verdicts.stage`. */
const char *stage_name(enum stage stage);

struct verdict {
    enum stage stage;
    const char *gate; /* a constant: "golden_rows", "average_precision", ... */
    enum outcome outcome;
    struct slice reason;   /* one sentence for a person */
    struct slice evidence; /* a JSON object of figures */
};

/* Zero-initialise; what the verdicts point to is the arena's and goes with verdicts_release(). */
struct verdicts {
    struct verdict *items;
    size_t count, cap;
    struct arena arena;
};
void verdicts_release(struct verdicts *v);
/* `evidence` is a JSON object; NULL or empty: {}. */
void verdicts_add(struct verdicts *v, enum stage stage, const char *gate, enum outcome outcome,
                  const struct buf *evidence, const char *reason, ...) PRINTF_LIKE(6, 7);
/* The worst of `items[from..]`: fail before inconclusive before pass. Pass when there are none. */
enum outcome verdicts_outcome(const struct verdicts *v, size_t from);
/* The one of a gate, the newest; NULL when there is none. */
const struct verdict *verdicts_find(const struct verdicts *v, const char *gate);

#endif
