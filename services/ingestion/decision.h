/* SPDX-License-Identifier: Apache-2.0
 * decision.h - what was decided on a transaction: to a row of the table `decisions` and back, and as the
 * public API shows it. No I/O. */
#ifndef ASSAY_INGESTION_DECISION_H
#define ASSAY_INGESTION_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "fraud/txn.h"
#include "json/json_out.h"
#include "proto/assay.pb-c.h"

/* Slices and messages belong to whatever the decision was made in. */
struct decision {
    int64_t known_at_us, decided_at_us;
    uint64_t n; /* place in the log; 0: not there yet */
    enum action action;
    bool has_score;
    double score;
    float margin;
    double p_allow;
    struct slice model_version, ruleset_version, arm;
    struct slice plan, vector; /* empty without features */
    int64_t amount_base_minor;
    Assay__V1__DecisionRecord record;
};

/* Writes the decision as a JSON object. Without `explains`, reasons are the public ones, without detail, and
 * rules only their id and action. The same decision gives the same bytes, now and when read back. */
void decision_write(struct json_out *o, const char *key, struct slice transaction_id,
                    const struct decision *d, bool explains);

/* Whether the action of each rule is one that has a name; a peer or an older version may say otherwise. */
bool decision_rules_are_known(Assay__V1__FiredRule *const *rules, size_t count);
/* The same of all that the rule set in shadow said; NULL is nothing. */
bool decision_shadow_is_known(const Assay__V1__ShadowOutcome *shadow);

/* The packed record, in `arena`. */
struct slice decision_record_pack(const struct decision *d, struct arena *arena);
/* ERR_SYNTAX when the bytes are not a record. What it points to is in `arena`. */
MUST_USE enum err decision_record_unpack(struct decision *d, struct slice bytes, struct arena *arena,
                                         struct why *why);

#endif
