/* SPDX-License-Identifier: Apache-2.0
 * document.h - a rule set as a JSON document: what rulesets.body holds and what people publish.
 *
 *   {"missing": {"score": "open", "features": "open"},
 *    "rules": [{"id": "big_night", "name": "Large amount at night",
 *               "when": "tx.amount > 50000 && tx.hour < 6", "action": "review", "priority": 50,
 *               "reason": "{tx.amount} at {tx.hour} h", "public_reason": "Unusual time", "enabled": true}]}
 *
 * Only id, when and action must be there. Actions are approve, challenge, review, decline; under `missing`
 * also "open" or "rules" (approve unless a list or rule says otherwise) and "closed" (decline). */
#ifndef ASSAY_POLICYSTORE_DOCUMENT_H
#define ASSAY_POLICYSTORE_DOCUMENT_H

#include "base/arena.h"
#include "base/err.h"
#include "policy/policy.h"

enum { RULESET_TEXT_MAX = 1 << 20 };

/* Fills rules, count and missing of *set; everything is a copy in `arena`. Expressions are not compiled here.
 *   ERR_SYNTAX   not JSON
 *   ERR_INVALID  unknown, missing or ill-typed members: *why names the rule */
MUST_USE enum err ruleset_read(struct ruleset *set, struct slice json, struct arena *arena, struct why *why);

#endif
