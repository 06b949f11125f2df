/* SPDX-License-Identifier: Apache-2.0
 * review.h - what a person wants to know of a rule set before it is published: all that is wrong with it, and how
 * it differs from another one. No I/O. */
#ifndef ASSAY_POLICYSTORE_REVIEW_H
#define ASSAY_POLICYSTORE_REVIEW_H

#include "base/arena.h"
#include "base/err.h"
#include "json/json_out.h"

enum { REVIEW_FAULTS_MAX = 100 };

struct review_fault {
    struct slice pointer; /* "#/rules/3/when" (RFC 6901) */
    struct slice detail;  /* with carets below the place, where an expression is wrong */
};

/* Every fault of the document, up to REVIEW_FAULTS_MAX; all is the arena's. No fault: it can be drafted.
 *   ERR_SYNTAX  it is no JSON object with a list of rules */
MUST_USE enum err review_faults(struct slice json, struct arena *arena, struct review_fault **faults,
                                size_t *count, struct why *why);

/* Writes what makes `b` out of `a`, rules by their ids and everything else by its name:
 *   {"added": [rule], "removed": [rule], "changed": [{"id": "x", "from": {"priority": 1}, "to": {"priority": 2}}],
 *    "others": [{"name": "missing", "from": ..., "to": ...}]}
 *   ERR_SYNTAX  one of them is no JSON object with a list of rules */
MUST_USE enum err review_difference(struct json_out *o, const char *key, struct slice a, struct slice b,
                                    struct why *why);

#endif
