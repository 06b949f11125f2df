/* SPDX-License-Identifier: Apache-2.0
 * columns.h - inside policystore/: where the features that rules use lie in the vectors of each plan. */
#ifndef ASSAY_POLICYSTORE_COLUMNS_H
#define ASSAY_POLICYSTORE_COLUMNS_H

#include "base/hash.h"
#include "policy/policy.h"
#include "policystore/store.h"

enum { PLANS_HELD = 16 }; /* a change of plan needs two; more come one after the other */

struct known_plan;

struct columns {
    struct pg_pool *pool;
    void (*on_known)(void *ctx);
    void *ctx;
    const struct policy *policy;
    struct known_plan *plans[PLANS_HELD]; /* the last used first */
    size_t count;
    size_t under_way; /* queries */
};

void columns_init(struct columns *c, struct pg_pool *pool, void (*on_known)(void *ctx), void *ctx);
void columns_release(struct columns *c);
/* Another policy: all plans are bound to it. */
void columns_rebind(struct columns *c, const struct policy *policy);

enum plan_knowledge columns_know(struct columns *c, struct slice plan, const struct policy *policy);
/* NULL when the plan is not known, or empty. */
const struct policy_columns *columns_find(const struct columns *c, struct slice plan);

#endif
