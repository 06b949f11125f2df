/* SPDX-License-Identifier: Apache-2.0
 * explain_rest.h - what each part of a rule comes to for a past payment, over REST: POST /v1/rulesets:explain with
 * {"document" or "version" (without: by which it was decided), "transaction_id", "account", "rule"}; the answer is that of
 * explanation_write() (replaystore/explain.h). */
#ifndef ASSAY_RULES_EXPLAIN_REST_H
#define ASSAY_RULES_EXPLAIN_REST_H

#include "desk/desk.h"

struct pg_session;

enum err explain_rules(struct call *c, struct pg_session *s, struct why *why);

#endif
