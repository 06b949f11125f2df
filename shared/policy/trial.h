/* SPDX-License-Identifier: Apache-2.0
 * trial.h - one rule set over many transactions, for who asks what it would have done.
 *
 * The evaluation and the order of deciding are those of policy_decide(): a trial differs in that it gives no reasons,
 * reads only what its rules ask for, and takes what a rule said of a transaction from who has kept it. So a policy of
 * fifty rules of which one was changed costs about what one rule costs.
 *
 * A trial belongs to one thread. It borrows the policy, whose lists may change between two transactions. */
#ifndef ASSAY_POLICY_TRIAL_H
#define ASSAY_POLICY_TRIAL_H

#include "fraud/field.h"
#include "policy/policy.h"

struct trial;

/* What a rule said: kept as bytes. */
enum trial_outcome { TRIAL_QUIET, TRIAL_FIRES, TRIAL_ERRS };

struct trial_verdict {
    enum action action;
    enum policy_decider decider;
    enum action score_action;
    size_t rule; /* that decided; SIZE_MAX: something else did */
};

/* Over the set in force for `account`. */
struct trial *trial_new(const struct policy *policy, uint32_t account);
void trial_free(struct trial *trial);

/* The rules that are switched on, in the order in which they count. */
size_t trial_rule_count(const struct trial *trial);
const struct policy_rule *trial_rule(const struct trial *trial, size_t rule);
/* Whether it may decide: it neither tags nor is in shadow. */
bool trial_rule_acts(const struct trial *trial, size_t rule);
/* Whether what it says depends on lists, that is on more than the transaction, its features and its score. */
bool trial_rule_asks_lists(const struct trial *trial, size_t rule);
/* Whether it reads the score. */
bool trial_rule_asks_score(const struct trial *trial, size_t rule);
/* The vector that rules read: features, then velocities, by their names in plans (a velocity's follows from its
 * definition). Give it with these columns. */
size_t trial_vector(const struct trial *trial, const struct slice **names);
/* The member at `place` as rules write it: a feature's name, or a velocity's call. */
struct slice trial_vector_text(const struct trial *trial, size_t place);
/* The identity of the velocity at that place of the vector: a plan may have it under the catalogue's name. NULL: a
 * feature, which is found by its name. */
const unsigned char *trial_velocity(const struct trial *trial, size_t place);
const struct policy_columns *trial_columns(const struct trial *trial);
/* What of it a rule reads. */
void trial_rule_features(const struct trial *trial, size_t rule, void (*each)(void *context, size_t place),
                         void *context);

/* From now on the outcome of this rule is known to the caller. */
void trial_know(struct trial *trial, size_t rule, bool is_known);

/* Decides one transaction. `outcomes` has a byte for each rule: those that are known are read, the others written. */
void trial_decide(struct trial *trial, const struct policy_input *in, uint8_t *outcomes,
                  struct trial_verdict *out);

/* ---- what changes when one number does ---- */

/* A number that a decision may depend on: a column of the vector, or a field of the transaction. */
struct trial_number {
    bool is_field;
    size_t column;          /* of the vector that in->columns was made for */
    struct txn_field field; /* a number, or an attribute that is one */
};

/* The fields that are numbers, or attributes that may be, and that rules read which may decide: up to `most` of them,
 * with their names as rules have them ("tx.amount"). Returns how many there are. */
size_t trial_fields(const struct trial *trial, struct trial_number *fields, struct slice *names, size_t most);
/* Whether that rule reads the number, or asks how it is (is_fresh(), has_value()). */
bool trial_rule_reads(const struct trial *trial, size_t rule, const struct policy_columns *columns,
                      const struct trial_number *number);
/* Whether what that rule says may differ between two values of the number in lo..hi, all else being as in `in`, which
 * has one of them. False is certain; true may be too much said (cel_may()). */
bool trial_rule_may_differ(struct trial *trial, size_t rule, const struct policy_input *in,
                           const struct trial_number *number, double lo, double hi);

/* What of a transaction is read at all, by rules that are not known and by lists that act: */
struct trial_needs {
    bool texts[TXN_TEXT_COUNT];
    bool id, currency, attributes;
};
struct trial_needs trial_needs(const struct trial *trial);

#endif
