/* SPDX-License-Identifier: Apache-2.0 */
#include "plans.h"

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "pg/pg.h"

enum { PLANS_HELD = 32, ANSWER_WITHIN_US = 2000000, ASK_AGAIN_AFTER_US = 500000 };

static const char one_sql[] = "SELECT plan, definition FROM plans WHERE plan = $1::bytea";
static const char newest_sql[] = "SELECT plan, definition FROM plans ORDER BY created_at DESC LIMIT 8";

struct known {
    unsigned char id[SHA256_BYTES];
    enum plan_state state;
    int64_t asked_mono_us;
    struct plan *plan;         /* with PLAN_KNOWN */
    struct binding **bindings; /* each at its place for good, as a call may hold two */
    size_t binding_count, binding_cap;
};

struct plans {
    struct pg_pool *pool;
    void (*on_known)(void *ctx);
    void *ctx;
    struct known *items[PLANS_HELD]; /* the last used first */
    size_t count;
};

/* A query on its way. The plan is found again by its id: its place may have been given to another. */
struct question {
    struct plans *plans;
    unsigned char id[SHA256_BYTES];
};

static void forget_bindings(struct known *k)
{
    for (size_t i = 0; i < k->binding_count; i++) {
        mem_free(k->bindings[i]->from);
        mem_free(k->bindings[i]);
    }
    k->binding_count = 0;
}

static void known_free(struct known *k)
{
    forget_bindings(k);
    mem_free(k->bindings);
    plan_free(k->plan);
    mem_free(k);
}

struct plans *plans_open(struct pg_pool *pool, void (*on_known)(void *ctx), void *ctx)
{
    struct plans *p = mem_new(struct plans);

    p->pool = pool;
    p->on_known = on_known;
    p->ctx = ctx;
    return p;
}

void plans_close(struct plans *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->count; i++)
        known_free(p->items[i]);
    mem_free(p);
}

void plans_forget_models(struct plans *p)
{
    for (size_t i = 0; i < p->count; i++)
        forget_bindings(p->items[i]);
}

/* NULL when it is not held; else it is the last used now. */
static struct known *find(struct plans *p, const void *id)
{
    for (size_t i = 0; i < p->count; i++) {
        struct known *k = p->items[i];

        if (memcmp(k->id, id, SHA256_BYTES) != 0)
            continue;
        memmove(p->items + 1, p->items, i * sizeof(struct known *));
        p->items[0] = k;
        return k;
    }
    return NULL;
}

static struct known *add(struct plans *p, const void *id)
{
    struct known *k = mem_new(struct known);

    if (p->count == PLANS_HELD)
        known_free(p->items[--p->count]);
    memcpy(k->id, id, SHA256_BYTES);
    memmove(p->items + 1, p->items, p->count * sizeof(struct known *));
    p->items[0] = k;
    p->count++;
    return k;
}

/* One row of `plans`. */
static void learn(struct plans *p, struct slice id, struct slice text)
{
    struct known *k;
    struct plan *plan;
    struct why why = { 0 };

    if (id.len != SHA256_BYTES)
        return;
    k = find(p, id.ptr);
    if (k != NULL && k->state == PLAN_KNOWN)
        return;
    if (plan_parse(&plan, text, &why) || memcmp(plan_hash(plan), id.ptr, SHA256_BYTES) != 0) {
        log_limited(LOG_ERROR, "plan_refused", "why=%s", log_quoted(slice_str(why.text)));
        plan_free(plan);
        return;
    }
    if (k == NULL)
        k = add(p, id.ptr);
    k->plan = plan;
    k->state = PLAN_KNOWN;
}

static void on_answer(void *ctx, const struct pg_reply *reply)
{
    struct question *q = ctx;
    struct plans *p = q->plans;
    struct known *k;

    for (size_t i = 0; !reply->err && i < pg_rows(reply->results[0]); i++)
        learn(p, pg_get_bytes(reply->results[0], i, 0), pg_get_text(reply->results[0], i, 1));
    k = find(p, q->id);
    if (k != NULL && k->state == PLAN_ASKED)
        k->state = reply->err ? PLAN_AWAY : PLAN_ABSENT;
    mem_free(q);
    p->on_known(p->ctx);
}

static void ask(struct plans *p, const char *sql, const void *id, int64_t deadline_mono_us)
{
    struct question *q = mem_new(struct question);
    struct pg_unit *unit = pg_unit_new(p->pool);
    struct pg_params *params = pg_unit_add_sql(unit, sql);

    q->plans = p;
    if (id != NULL) {
        memcpy(q->id, id, SHA256_BYTES);
        pg_add_bytes(params, slice_of(id, SHA256_BYTES));
    }
    pg_unit_is_read(unit);
    pg_unit_send(unit, deadline_mono_us, on_answer, q);
}

void plans_hear(struct plans *p)
{
    ask(p, newest_sql, NULL, clock_mono_us() + ANSWER_WITHIN_US);
}

enum plan_state plans_know(struct plans *p, struct slice id, int64_t deadline_mono_us)
{
    struct known *k = find(p, id.ptr);
    int64_t now = clock_mono_us();

    if (k == NULL)
        k = add(p, id.ptr);
    else if (k->state == PLAN_KNOWN || k->state == PLAN_ASKED || now - k->asked_mono_us < ASK_AGAIN_AFTER_US)
        return k->state;
    k->state = PLAN_ASKED;
    k->asked_mono_us = now;
    if (deadline_mono_us > now + ANSWER_WITHIN_US)
        deadline_mono_us = now + ANSWER_WITHIN_US;
    ask(p, one_sql, id.ptr, deadline_mono_us);
    return k->state;
}

static void bind(struct binding *b, const struct plan *plan, const struct model *model)
{
    size_t missing;

    b->model = model;
    b->vector_bytes = plan_columns(plan) * sizeof(float);
    b->from = mem_new_n(uint16_t, model->columns + 1);
    missing = plan_map(bundle_plan(model->bundle), plan, b->from);
    b->missing = missing == PLAN_NO_COLUMN ? NULL : model->names[missing];
    if (b->missing)
        log_event(LOG_WARN, "plan_lacks_feature", "version=%s feature=%s", model->version_text, b->missing);
}

const struct binding *plans_bind(struct plans *p, struct slice id, const struct model *model)
{
    struct known *k = find(p, id.ptr);

    if (k == NULL || k->state != PLAN_KNOWN)
        return NULL;
    for (size_t i = 0; i < k->binding_count; i++)
        if (k->bindings[i]->model == model)
            return k->bindings[i];
    ARRAY_RESERVE_ONE(k->bindings, k->binding_count, k->binding_cap);
    k->bindings[k->binding_count] = mem_new(struct binding);
    bind(k->bindings[k->binding_count], k->plan, model);
    return k->bindings[k->binding_count++];
}
