/* SPDX-License-Identifier: Apache-2.0
 * flip.h - the smallest change of one number that would have made another decision of a payment.
 *
 * A change is of one number and one way, all else being as it was:
 *
 *   a feature    a column of the vector: the model's score and the rules read the new value. Features that are
 *                computed from the same facts keep theirs, so it says what the decision hangs on, not what a customer
 *                could have done.
 *   a field      of the transaction, tx.amount or an attribute that is a number, as rules read it. Features and with
 *                them the score stay as they are, also where they are computed from that field (is_read_by_features).
 *                Fields of the calendar are not tried: they all follow from one time.
 *
 *   up, down     to a higher or a lower value: the nearest one that flips the decision
 *   missing      to no value at all
 *   given        from no value to one: the one nearest to the feature's median in the model's reference
 *
 * It is exact. A forest is constant in each column between the thresholds of its splits, and there are no others, so
 * each stretch between two is scored once, by the forest's own sums, calibration and thresholds. Within a stretch only
 * rules can change: by interval arithmetic over their conditions (cel_may()) a stretch either has one outcome, or is
 * halved, down to two neighbouring values. Each found value has been decided by the live policy's trial
 * (policy/trial.h). Values are those that can be: float32 for features, whole where counts and amounts are, none below
 * 0 where there is none. Where a rule cannot be followed (in_list() of a number, a macro over it) and there are too many
 * values to try them all, what is found is shown with is_smallest false, and what is not found is told in `untold`.
 *
 * How small a change is: `size`, the share of the payments in the model's reference histogram that lie between the two
 * values (linear within a bin; an open bin at an end counts as one place); for what has no histogram
 * |a - b| / (|a| + |b|); 1 for "missing". Both are 0 to 1.
 *
 * No I/O. A flip belongs to one thread, and to one bundle, plan and policy, which must outlive it. */
#ifndef ASSAY_FLIP_FLIP_H
#define ASSAY_FLIP_FLIP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "bundle/bundle.h"
#include "featurestore/plan.h"
#include "policy/policy.h"
#include "policy/trial.h"

enum {
    FLIP_FIELDS_MAX = 64,     /* of the transaction, tried */
    FLIP_HALVES_MAX = 1024,   /* stretches halved for one number and way */
    FLIP_STEPS_MAX = 1 << 20, /* values tried in one search */
};

struct flip;

/*   bundle  NULL: what scored was no forest, and the score stays what it was
 *   plan    of the vectors; NULL: decisions without features, of which only fields are tried
 *   policy  whose set for `account` decides
 *   ERR_INVALID  the plan lacks a feature that the bundle needs; *why names it */
MUST_USE enum err flip_new(struct flip **out, const struct bundle *bundle, const struct plan *plan,
                           const struct policy *policy, uint32_t account, struct why *why);
void flip_free(struct flip *f);

/* How much one search may do: so many values are tried (0: FLIP_STEPS_MAX), counted and not timed, so that the same question
 * has the same answer. `is_left` (may be NULL) is asked now and then whether anybody still waits for it. */
void flip_limit(struct flip *f, size_t steps, bool (*is_left)(const void *ctx), const void *ctx);

enum flip_way { FLIP_UP, FLIP_DOWN, FLIP_MISSING, FLIP_GIVEN, FLIP_WAY_COUNT };
const char *flip_way_name(enum flip_way way); /* "up", "down", "missing", "given" */

struct flip_change {
    struct trial_number what;
    struct slice name, describe; /* "customer_count_24h", "tx.amount"; of the plan or policy */
    enum flip_way way;
    double before, after;             /* NaN: missing */
    double place_before, place_after; /* the share of the reference below, 0 to 1; NaN: there is none */
    double size;
    enum action action; /* that it would have been */
    bool has_score;
    double score;
    bool is_whole;
    bool is_smallest; /* proven: none between `before` and `after` does it */
    bool is_read_by_features;
};

/* What makes it milder, or harder. */
struct flip_side {
    struct flip_change *changes; /* the smallest first */
    size_t count, cap;
    struct slice *untold; /* numbers of which none was found, without proof that there is none */
    size_t untold_count;
};

struct flip_answer {
    enum action
        action; /* recomputed, as `score` and `margin` are: the caller compares them with what was stored */
    enum policy_decider decider;
    bool has_score;
    double score;
    float margin; /* 0 without a bundle */
    size_t tried; /* numbers and ways */
    size_t steps; /* values */
    bool
        is_cut; /* by flip_limit(): numbers are left that were not tried, or not to their end. What was found holds. */
    struct flip_side milder, harder;
};

/* What counts as another decision: one that is `milder` or milder still (ACTION_COUNT: any milder one), and likewise. */
struct flip_wish {
    enum action milder, harder;
};
#define FLIP_ANY ((struct flip_wish){ ACTION_COUNT, ACTION_COUNT })

/* Never fails. `in` is what was decided: with a bundle its score is computed anew and need not be given; its columns are
 * not looked at. The answer's texts are the arena's, the plan's and the policy's. */
void flip_find(struct flip *f, const struct policy_input *in, const struct flip_wish *wish,
               struct arena *arena, struct flip_answer *out);

/* The first four members of the answer and nothing else, at the cost of one decision. */
void flip_decide(struct flip *f, const struct policy_input *in, struct arena *arena, struct flip_answer *out);

/* Makes the change in a vector (NULL when there is none) and a transaction, whose attributes are then the arena's. */
void flip_apply(const struct flip_change *change, float *vector, struct txn *txn, struct arena *arena);

/* The share of the histogram's rows that lie below a value; NaN without rows, or for a value that is missing. */
double flip_place(const struct histogram *h, double value);

#endif
