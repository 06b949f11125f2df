/* SPDX-License-Identifier: Apache-2.0
 * compiled.h - inside policy/: rule sets as they are kept for deciding. */
#ifndef ASSAY_POLICY_COMPILED_H
#define ASSAY_POLICY_COMPILED_H

#include "base/buf.h"
#include "cel/cel.h"
#include "fraud/field.h"
#include "policy/policy.h"
#include "velocity/velocity.h"

/* SLOT_STATE: how the value of another slot is, "is_fresh(amount_ratio)". */
enum slot_kind { SLOT_FIELD, SLOT_SCORE, SLOT_FEATURE, SLOT_VELOCITY, SLOT_STATE };

enum state_asked { STATE_FRESH, STATE_STALE, STATE_THERE, STATE_COUNT };

/* One name that any rule uses, and where its value comes from. */
struct slot {
    struct slice name;
    enum slot_kind kind;
    struct txn_field field;
    size_t feature; /* into policy.features, or of policy.velocities */
    enum state_asked asked;
    uint32_t of; /* SLOT_STATE: an earlier slot */
};

struct compiled_rule {
    struct policy_rule rule;
    struct cel_program *program;
};

struct compiled_set {
    uint32_t account;
    struct slice version;
    struct policy_missing missing;
    bool has_thresholds;
    struct policy_thresholds thresholds;
    bool is_shadow;
    struct compiled_rule *rules; /* those that are enabled, in the order in which they count */
    size_t count;
};

struct policy {
    struct arena arena; /* names and texts */
    struct slot *slots;
    size_t slot_count, slot_cap;
    struct slice *features;
    size_t feature_count, feature_cap;
    struct velocities *velocities;
    struct compiled_set *sets;
    size_t set_count, set_cap;
    struct list **lists;
    size_t list_count, list_cap;
    uint32_t *list_table;   /* by account and name: one more than the index into lists, 0: free */
    size_t list_table_size; /* a power of two, at least twice list_count */
    const struct policy_list_source *source; /* NULL: the lists themselves */
};

struct policy_columns {
    size_t count, missing;
    size_t *column;   /* of each feature; SIZE_MAX when the plan has none */
    size_t *velocity; /* of each velocity, likewise */
};

/* ---- how a decision came about, for reason.c ---- */

struct decision {
    const struct policy_input *in;
    const struct policy *policy;
    const struct cel_value *slots;
    const struct compiled_rule *const *fired;     /* verdict->fired_count of them */
    const struct list *lists[POLICY_REASONS_MAX]; /* those that decide */
    size_t list_count;
    bool has_score;
};

/* What in_list() is asked by: cel_input's context. */
struct policy_asking {
    const struct policy *policy;
    uint32_t account;
    int64_t now_us;
};

/* The set in force for the account, or one without rules. */
const struct compiled_set *policy_set_of(const struct policy *policy, uint32_t account);
/* `values` has those of earlier slots. */
struct cel_value policy_slot_value(const struct slot *slot, const struct policy_input *in,
                                   const struct cel_value *values);
/* What is done, when all rules were evaluated and `first` is the first that fired and acts (NULL: none did): sets
 * action, decider and score_action of `out`, lists and has_score of `d`. */
void policy_settle(const struct compiled_set *set, const struct policy *policy, const struct policy_input *in,
                   const struct compiled_rule *first, struct decision *d, struct policy_verdict *out);

/* Whether all placeholders of the text are names that the rule's expression uses; the first that is not. */
bool reason_check(const struct compiled_rule *rule, struct slice text, struct slice *unknown);

struct slice reason_values(const struct compiled_rule *rule, const struct cel_value *slots,
                           struct arena *arena);
void reasons_write(const struct decision *d, struct arena *arena, struct policy_verdict *out);

#endif
