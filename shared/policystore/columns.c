/* SPDX-License-Identifier: Apache-2.0
 * columns.c - see columns.h. */
#include "policystore/columns.h"

#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/plan.h"
#include "log/log.h"
#include "pg/pg.h"

static const char plan_sql[] = "SELECT definition FROM plans WHERE plan = $1::bytea";

enum { ANSWER_WITHIN_US = 2000000, ASK_AGAIN_AFTER_US = 1000000 };

struct known_plan {
    unsigned char hash[SHA256_BYTES];
    enum plan_knowledge knowledge;
    int64_t asked_mono_us;
    struct plan *plan; /* NULL until known */
    struct policy_columns *bound;
};

/* A query on its way; the plan is found again by its hash when the answer comes. */
struct question {
    struct columns *columns;
    unsigned char hash[SHA256_BYTES];
};

static void plan_release(struct known_plan *known)
{
    policy_columns_free(known->bound);
    plan_free(known->plan);
    mem_free(known);
}

void columns_init(struct columns *c, struct pg_pool *pool, void (*on_known)(void *ctx), void *ctx)
{
    *c = (struct columns){ .pool = pool, .on_known = on_known, .ctx = ctx };
}

void columns_release(struct columns *c)
{
    for (size_t i = 0; i < c->count; i++)
        plan_release(c->plans[i]);
    c->count = 0;
}

static void bind(struct known_plan *known, const struct policy *policy)
{
    if (!known->plan)
        return;
    policy_columns_free(known->bound);
    known->bound = policy_bind_plan(policy, known->plan);
    if (policy_columns_missing(known->bound))
        log_event(LOG_WARN, "policy_features_missing", "features=%zu", policy_columns_missing(known->bound));
}

void columns_rebind(struct columns *c, const struct policy *policy)
{
    c->policy = policy;
    for (size_t i = 0; i < c->count; i++)
        bind(c->plans[i], policy);
}

static struct known_plan *find(const struct columns *c, const void *hash)
{
    for (size_t i = 0; i < c->count; i++) {
        if (memcmp(c->plans[i]->hash, hash, SHA256_BYTES) == 0)
            return c->plans[i];
    }
    return NULL;
}

static void on_plan(void *ctx, const struct pg_reply *reply)
{
    struct question *question = ctx;
    struct columns *c = question->columns;
    struct known_plan *known = find(c, question->hash);
    struct why why = { 0 };

    c->under_way--;
    mem_free(question);
    if (known)
        known->knowledge = PLAN_UNKNOWN;
    if (known && !reply->err && pg_rows(reply->results[0]) == 1) {
        if (plan_parse(&known->plan, pg_get_text(reply->results[0], 0, 0), &why)) {
            log_limited(LOG_ERROR, "plan_refused", "why=%s", log_quoted(slice_str(why.text)));
        } else {
            known->knowledge = PLAN_KNOWN;
            bind(known, c->policy);
        }
    }
    c->on_known(c->ctx);
}

static void ask(struct columns *c, struct known_plan *known)
{
    struct question *question = mem_new(struct question);
    struct pg_unit *unit = pg_unit_new(c->pool);

    question->columns = c;
    memcpy(question->hash, known->hash, SHA256_BYTES);
    known->knowledge = PLAN_ASKED;
    known->asked_mono_us = clock_mono_us();
    c->under_way++;
    pg_add_bytes(pg_unit_add_sql(unit, plan_sql), slice_of(known->hash, SHA256_BYTES));
    pg_unit_is_read(unit);
    pg_unit_send(unit, known->asked_mono_us + ANSWER_WITHIN_US, on_plan, question);
}

/* The least used makes room: an old plan does not come back often. */
static struct known_plan *add(struct columns *c, const void *hash)
{
    struct known_plan *known = mem_new(struct known_plan);

    if (c->count == PLANS_HELD)
        plan_release(c->plans[--c->count]);
    memcpy(known->hash, hash, SHA256_BYTES);
    memmove(c->plans + 1, c->plans, c->count * sizeof *c->plans);
    c->plans[0] = known;
    c->count++;
    return known;
}

enum plan_knowledge columns_know(struct columns *c, struct slice plan, const struct policy *policy)
{
    struct known_plan *known;

    if (plan.len != SHA256_BYTES)
        return PLAN_KNOWN; /* no features at all, then */
    c->policy = policy;
    known = find(c, plan.ptr);
    if (!known)
        ask(c, known = add(c, plan.ptr));
    else if (known->knowledge == PLAN_UNKNOWN && clock_mono_us() - known->asked_mono_us > ASK_AGAIN_AFTER_US)
        ask(c, known);
    return known->knowledge;
}

const struct policy_columns *columns_find(const struct columns *c, struct slice plan)
{
    const struct known_plan *known = plan.len == SHA256_BYTES ? find(c, plan.ptr) : NULL;

    return known ? known->bound : NULL;
}
