/* SPDX-License-Identifier: Apache-2.0
 * policy.h - what is done with a payment: lists, rules and the score's thresholds, in this order.
 *
 *   deny list -> decline | allow list -> approve | the fired rule of highest priority | thresholds
 *
 * Between rules of equal priority decline > review > challenge > approve. All rules are evaluated, whatever
 * decides, so that every one that fired is told. A rule whose expression is an error (a name without a value)
 * does not fire. A rule that tags, and one in shadow, is evaluated and told as the others are, apart from
 * them, and decides nothing. Beside the set in force an account may have one in shadow: what it would have
 * done is told too, and changes nothing.
 *
 * A policy is built once from what is published and then never changes; the rules service and ingestion (as
 * its fallback) build the same from the same rows. No I/O; the time is an argument. */
#ifndef ASSAY_POLICY_POLICY_H
#define ASSAY_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "cel/cel.h"
#include "fraud/txn.h"
#include "policy/list.h"

struct plan;
struct policy;
struct velocities;

/* ---- building ---- */

/* Names in an expression: tx.* (fraud/field.h), score, and any other plain name is a feature's.
 * Functions: in_list(value, "name") beside those of cel/cel.h, in the Assay dialect; the value is a text, or in
 * a list of numbers a number. Velocities (velocity/velocity.h) are names with arguments: count(card, "10m").
 *
 * The value of a feature or velocity is fresh, stale (there, but of an earlier moment than the decision:
 * POLICY_OLDER_FEATURES among what was degraded) or absent (an error, as any name without a value). is_fresh(x),
 * is_stale(x) and has_value(x) tell, and are never errors. */
struct policy_rule {
    struct slice id;         /* [a-z][a-z0-9_]{0,62}; stable over versions */
    struct slice name;       /* for people */
    struct slice expression; /* CEL, a bool */
    enum action action;
    int priority; /* higher goes first */
    struct slice
        reason; /* in words, for the analyst; {name} stands for the value of a name in the expression */
    struct slice public_reason; /* the same for everybody who may ask; empty: the reason is not public */
    bool is_enabled;
    bool is_shadow;     /* evaluated and told, never decides */
    struct slice owner; /* who answers for it; for people */
    struct slice tag;   /* what it marks the payment with instead of acting; empty: it acts */
};

/* What is done at least when something was missing and neither list nor rule decides: approve is "open",
 * decline "closed". */
struct policy_missing {
    enum action score;    /* no score at all */
    enum action features; /* a score from what is known without the windows */
};

/* A score at or above gets the action; 2 and above: never. */
struct policy_thresholds {
    double challenge, review, decline;
};

struct ruleset {
    uint32_t account; /* 0: for every account without a set of its own */
    struct slice version;
    const struct policy_rule *rules;
    size_t count;
    struct policy_missing missing;
    /* In the place of those that come with a score, whichever model it is of; never of the score of a fallback ("scoring"
     * among what was degraded), which is none of a calibrated model. */
    bool has_thresholds;
    struct policy_thresholds thresholds;
    bool is_shadow; /* beside the one in force, without a say */
};

enum { POLICY_RULES_MAX = 1000, POLICY_NAMES_MAX = 4096 };

struct policy *policy_new(void);
void policy_free(struct policy *policy);

/* Adds the account's rule set, in force or in shadow: at most one of each; everything is copied.
 *   ERR_INVALID  *why names the rule and shows its faults */
MUST_USE enum err policy_add_ruleset(struct policy *policy, const struct ruleset *set, struct why *why);
/* Adds a list (and takes a reference of its own). An account's list hides the common one of the same name in
 * in_list(); deny and allow lists of both act. */
void policy_add_list(struct policy *policy, struct list *list);
/* Lets go of all lists, so that others can be added in their place. */
void policy_drop_lists(struct policy *policy);

/* Who is asked in the place of a list's entries: for lists as they were, which are elsewhere. The lists are added as
 * always, but may be empty. `value` is a text, also of a number; it is never empty. The answer is for `now_us`, as
 * that of list_has(). */
struct policy_list_source {
    bool (*has)(void *context, const struct list *list, struct slice value, int64_t now_us);
    void *context;
};
/* Borrowed until another one is given; NULL: the lists themselves. */
void policy_ask_lists(struct policy *policy, const struct policy_list_source *source);

/* The first list that a rule of `policy` asks for and that its account does not have; an empty slice when all
 * are there. Such a rule does not fire. */
struct slice policy_unknown_list(const struct policy *policy);

/* The features that rules use, in the order of first use, to be found in plans by name. */
size_t policy_features(const struct policy *policy, const struct slice **names);
/* The velocities that they use, to be found in plans by identity; the policy's. */
const struct velocities *policy_velocities(const struct policy *policy);
/* Whether the rules in force for this account use the score or only the thresholds do. */
size_t policy_rule_count(const struct policy *policy, uint32_t account);
struct slice policy_version(const struct policy *policy,
                            uint32_t account); /* "none" when nothing is published */
/* Of the set in shadow; empty when there is none. */
struct slice policy_shadow_version(const struct policy *policy, uint32_t account);

/* Where the features lie in the vectors of one plan: names in column order; a velocity goes by its call as a rule has
 * it, in canonical spelling. The caller's, for policy_columns_free(); belongs to this policy alone. */
struct policy_columns;
struct policy_columns *policy_bind(const struct policy *policy, const struct slice *names, size_t count);
/* The same by a plan, in which velocities are found by identity. Those that it lacks have no value. */
struct policy_columns *policy_bind_plan(const struct policy *policy, const struct plan *plan);
void policy_columns_free(struct policy_columns *columns);
/* Features and velocities that the plan does not have. */
size_t policy_columns_missing(const struct policy_columns *columns);

/* Compiles an expression of any type over what rules may name, for who tries one: it becomes no rule, but the policy
 * knows its names from then on. *out, for cel_free(), must not outlive the policy.   Errors are those of cel_compile(). */
MUST_USE enum err policy_compile(struct policy *policy, struct slice text, struct cel_program **out,
                                 struct why *why);

/* ---- deciding ---- */

#define POLICY_OLDER_FEATURES "older_features"

struct policy_input {
    const struct txn *txn;
    int64_t now_us;      /* against which lists expire: the transaction's known_at */
    const float *vector; /* of the plan that `columns` was made for; NULL when missing */
    size_t vector_count;
    const struct policy_columns *columns; /* NULL: no features */
    bool has_score;
    double score;
    struct policy_thresholds thresholds;
    const struct slice *degraded; /* "features", "scoring", POLICY_OLDER_FEATURES, ... */
    size_t degraded_count;
};

enum { POLICY_REASONS_MAX = 5 };

struct policy_reason {
    struct slice
        code; /* "rule:<id>", "list:<name>", "feature:<name>", "threshold:<action>", "degraded:<part>" */
    struct slice text; /* in words */
    struct slice detail;
    bool is_public;
};

struct policy_fired {
    const struct policy_rule *rule; /* the policy's */
    struct slice values;            /* "tx.amount=120000 score=0.91" */
};

/* What an action came from. The numbers are those of assay.v1.DecidedBy. */
enum policy_decider {
    POLICY_BY_LIST = 1,
    POLICY_BY_RULE,
    POLICY_BY_THRESHOLD, /* the score alone */
    POLICY_BY_MISSING,   /* something was missing, and the rule set says what then */
};

/* A rule that could not be evaluated for another reason than a missing value. */
struct policy_erred {
    const struct policy_rule *rule;
    const char *what; /* "division by zero"; for ever */
};

struct policy_verdict {
    enum action action;
    enum policy_decider decider;
    enum action score_action;            /* what the score alone would do; approve without a score */
    struct policy_thresholds thresholds; /* by which */
    bool has_own_thresholds;             /* they are the rule set's */
    struct slice version;                /* of the rule set; the policy's */
    struct policy_reason reasons[POLICY_REASONS_MAX];
    size_t reason_count;
    struct policy_fired *fired; /* those that act; the arena's, by priority */
    size_t fired_count;
    struct policy_fired *noted; /* those that fired and only tag, or are in shadow */
    size_t noted_count;
    struct policy_erred *erred;
    size_t erred_count;
    /* What the set in shadow would have done, without reasons; the arena's. NULL: there is none. */
    const struct policy_verdict *shadow;
};

/* What the thresholds alone say of a score. */
enum action policy_score_action(double score, const struct policy_thresholds *thresholds);

/* Never fails. Texts are the arena's or the policy's, or views of the input. */
void policy_decide(const struct policy *policy, const struct policy_input *in, struct arena *arena,
                   struct policy_verdict *out);

/* What moved the score: one feature of the model. */
struct policy_contribution {
    struct slice feature, describe;
    double value, margin;
};

/* The contributions that pull towards the action are reasons too, the strongest first, as long as there are
 * fewer than POLICY_REASONS_MAX. They are not in the verdict: few who get the decision may see them, so they
 * are put in words only for those who do. */
bool policy_contribution_is_reason(const struct policy_contribution *c, enum action action);
struct policy_reason policy_contribution_reason(const struct policy_contribution *c, struct arena *arena);

/* ---- explaining ---- */

/* The rules that are switched on of the set in force for the account (or in shadow), in the order in which they count. */
size_t policy_rules(const struct policy *policy, uint32_t account, bool is_shadow);
const struct policy_rule *policy_rule_at(const struct policy *policy, uint32_t account, bool is_shadow,
                                         size_t rule);
/* Evaluates one of them for the transaction's account as policy_decide() does, and gives the value of every
 * sub-expression to `visit` (cel_explain()). The result is what made it fire, or not; values live as long as the arena, the
 * policy and the input. */
struct cel_value policy_explain(const struct policy *policy, const struct policy_input *in, bool is_shadow,
                                size_t rule, struct arena *arena, cel_visit visit, void *context);

#endif
