/* SPDX-License-Identifier: Apache-2.0
 * rule_case.h - a made-up payment, with all else that a rule set may ask of it:
 *
 *   {tx: {amount: 120, channel: ecommerce}, score: 0.2, features: {card_count_1h: 3},
 *    velocities: {'distinct(card, device, "1h")': 2}, lists: {watched_devices: [d-7]}}
 *
 * `tx` has the members that the API takes, none of them needed; the amount counts as one in the base currency. Lists are
 * those that the set declares. What is not said has no value. */
#ifndef ASSAY_CLI_RULE_CASE_H
#define ASSAY_CLI_RULE_CASE_H

#include <jansson.h>

#include "policystore/publish.h"

struct rule_case {
    struct txn txn;
    const json_t *score; /* NULL: none */
    float *values;       /* [count] of features and velocities, for `columns` */
    size_t count;
    struct policy_columns *columns;
};

/* Reads the case for the draft, whose lists become those of the case. What it points to is in `one` and in `arena`; it must
 * not outlive the draft. rule_case_release() is due in either case.
 *   ERR_INVALID  *why names the member that is unknown or of the wrong type, and what no rule asks for */
MUST_USE enum err rule_case_open(struct rule_case *c, struct draft *d, const json_t *one, struct arena *arena,
                                 struct why *why);
void rule_case_release(struct rule_case *c);

/* What the set decides it by; thresholds that come with a model are none. */
struct policy_input rule_case_input(const struct rule_case *c);

#endif
