/* SPDX-License-Identifier: Apache-2.0
 * store.h - the policy as it is published in PostgreSQL, kept in memory and always whole.
 *
 *   rulesets, lists, list_entries --(NOTIFY policy, and a look each second)--> struct policy
 *
 * The rules service decides with it; ingestion keeps one too, for when no rules service answers. A new policy
 * is built beside the old one and swapped between two decisions. A rule set that cannot be compiled is
 * refused and logged, and the last good one goes on; while PostgreSQL is away, so does the last. Of lists
 * only the entries that changed are read again; a new list comes in pages, so that a million entries do not hold
 * up the loop. By which versions this process decides is told in `rules_serving`.
 *
 * One thread: the loop's. It reads `plans` too, to know where the features lie in a vector. */
#ifndef ASSAY_POLICYSTORE_STORE_H
#define ASSAY_POLICYSTORE_STORE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/slice.h"
#include "policy/policy.h"
#include "proto/assay.pb-c.h"

struct loop;
struct metrics;
struct pg_pool;
struct policy_store;

struct policy_store_options {
    struct loop *loop;
    struct pg_pool *pool; /* for reading; may have a table of statements of its own */
    struct metrics *metrics;
    const char *service; /* what `rules_serving` calls it, before the machine and the process: "rules" */
    /* Optional: a policy was swapped in, or a plan became known or is known not to be there. */
    void (*on_change)(void *ctx);
    void *ctx;
};

/* Starts reading at once and keeps trying; never fails. Close it after the pool, which still answers it. */
struct policy_store *policy_store_open(const struct policy_store_options *options);
void policy_store_close(struct policy_store *store);

/* Something was published: call it on NOTIFY policy, and when the pool has come up. */
void policy_store_hear(struct policy_store *store);

/* NULL until the first was read. Valid until the loop turns. */
const struct policy *policy_store_policy(const struct policy_store *store);

enum plan_knowledge { PLAN_KNOWN, PLAN_ASKED, PLAN_UNKNOWN };
/* Whether the features of the plan (its SHA-256) can be found; asks PostgreSQL when it is new: PLAN_ASKED
 * until the answer comes with on_change. An empty plan is known to have none. */
enum plan_knowledge policy_store_plan(struct policy_store *store, struct slice plan);

/* Decides every item, in order, with what is there now: without a policy by thresholds alone, without the
 * plan without features. The answer is the arena's; strings may point into the request. */
Assay__V1__DecideResponse *policy_store_decide(struct policy_store *store,
                                               const Assay__V1__DecideRequest *request, struct arena *arena);

#endif
