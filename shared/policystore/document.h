/* SPDX-License-Identifier: Apache-2.0
 * document.h - a rule set as a JSON document: what rulesets.body holds and what people publish.
 *
 *   {"missing": {"score": "open", "features": "open"},
 *    "thresholds": {"challenge": 0.1, "review": 0.3, "decline": 0.8},
 *    "lists": [{"name": "trusted", "field": "customer_id", "purpose": "named", "type": "string", "note": "..."}],
 *    "rules": [{"id": "big_night", "name": "Large amount at night",
 *               "when": "tx.amount > 50000 && tx.hour < 6", "action": "review", "priority": 50,
 *               "reason": "{tx.amount} at {tx.hour} h", "public_reason": "Unusual time", "owner": "payments",
 *               "enabled": true, "shadow": false}]}
 *
 * Only id, when and action must be there. A rule whose action is "tag" marks the payment with `tag` (else its
 * id) and decides nothing; one in shadow is evaluated and told, and decides nothing either. `lists` are those that the rules ask for; publishing makes those
 * that are not there yet, empty. `thresholds` stand in the
 * place of those that come with a model's score; one that is left out is never reached. Other actions are approve, challenge, review, decline; under `missing` also "open"
 * or "rules" (approve unless a list or rule says otherwise) and "closed" (decline). */
#ifndef ASSAY_POLICYSTORE_DOCUMENT_H
#define ASSAY_POLICYSTORE_DOCUMENT_H

#include "base/arena.h"
#include "base/err.h"
#include "policy/policy.h"

enum { DOCUMENT_TEXT_MAX = 1 << 20, DOCUMENT_LISTS_MAX = 256 };

struct document_list {
    struct slice name; /* [a-z][a-z0-9_]{0,62} */
    enum list_purpose purpose;
    enum list_type type;
    enum txn_text field; /* TXN_TEXT_COUNT: none */
    struct slice note;
};

struct document {
    struct ruleset set; /* account and version are the caller's */
    const struct document_list *lists;
    size_t list_count;
};

/* Fills *document but for account and version; everything is a copy in `arena`. Expressions are not compiled
 * here. ERR_SYNTAX   not JSON ERR_INVALID  unknown, missing or ill-typed members: *why names the rule */
MUST_USE enum err document_read(struct document *document, struct slice json, struct arena *arena,
                                struct why *why);

#endif
