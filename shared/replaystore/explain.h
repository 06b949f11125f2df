/* SPDX-License-Identifier: Apache-2.0
 * explain.h - how a rule came to what it says of a past decision: its evaluation tree, with the value of every
 * sub-expression.
 *
 * The tree is not in the record: all that goes into it is (the payment, the vector, the score, what was degraded), and the
 * rule set and the lists of the time can be had again. So it is computed when somebody asks, by the kernel that decided and
 * bit for bit as replay.h shows; the record stays small. Another rule set, also a draft, can be asked the same.
 *
 * Blocking (pg/session.h); errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_REPLAYSTORE_EXPLAIN_H
#define ASSAY_REPLAYSTORE_EXPLAIN_H

#include "json/json_out.h"
#include "replaystore/past.h"
#include "replaystore/shelf.h"

enum { EXPLAIN_VALUE_MAX = 256, EXPLAIN_STEPS_MAX = 20000 }; /* bytes of a value; steps of one answer */

/* Which rules are told. */
enum explain_which { EXPLAIN_SPOKE /* fired or erred */, EXPLAIN_ALL, EXPLAIN_ONE };

struct explain_question {
    const struct past *past;
    struct slice document; /* a rule set as JSON (policystore/document.h); empty: a version */
    int64_t version;       /* 0: that by which it was decided */
    bool is_shadow;        /* with version 0: the one in shadow beside it */
    enum explain_which which;
    struct slice rule; /* EXPLAIN_ONE: its id */
};

struct explain_step {
    struct slice text;         /* as it was written */
    uint32_t at, depth, times; /* as struct cel_step has them */
    struct slice value;        /* cut at EXPLAIN_VALUE_MAX; "" when it was passed over */
    const char *kind;          /* "bool", "double", ..., "error" */
    bool is_literal;
};

struct explain_rule {
    struct slice id, name, expression, tag;
    enum action action;
    int priority;
    bool is_shadow, fires;
    struct slice value; /* true, false, or the error */
    const struct explain_step *steps;
    size_t step_count;
};

/* Everything is the arena's. */
struct explanation {
    struct slice ruleset_version; /* "draft" for a document, "none" without any */
    const struct explain_rule *rules;
    size_t rule_count;
    size_t evaluated; /* rules of the set that are switched on */
    bool is_cut;      /* EXPLAIN_STEPS_MAX was passed: the last rules have no steps */
};

/* Needs shelf_look_at_lists() before.
 *   ERR_NOT_FOUND  no such rule set or plan, or EXPLAIN_ONE: no rule of that id that is switched on
 *   ERR_SYNTAX, ERR_INVALID  the document cannot be read or compiled */
MUST_USE enum err explain(struct explanation *out, const struct explain_question *question,
                          struct shelf *shelf, struct pg_session *s, struct arena *arena, struct why *why);

/* The same of a policy and an input that are at hand; no I/O.   ERR_NOT_FOUND  as above */
MUST_USE enum err explain_policy(struct explanation *out, const struct policy *policy,
                                 const struct policy_input *in, bool is_shadow, enum explain_which which,
                                 struct slice rule, struct arena *arena, struct why *why);

/* {"ruleset_version", "evaluated", "is_cut", "rules": [{"id", "name", "action", "tag", "priority", "shadow", "expression",
 *  "fires", "value", "steps": [{"text", "at", "depth", "times", "value", "kind", "literal"}]}]} */
void explanation_write(struct json_out *o, const char *key, const struct explanation *e);

#endif
