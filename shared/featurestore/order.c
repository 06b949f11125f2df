/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/order.h"

#include "base/array.h"
#include "base/mem.h"
#include "featurestore/expression.h"

static int slot_of_feature(struct plan *p, struct slice reference)
{
    unsigned char hash[SHA256_BYTES];

    if (!feature_reference_read(reference, hash))
        return NONE;
    for (size_t i = 0; i < p->count; i++) {
        if (memcmp(p->features[i].hash, hash, sizeof hash) == 0) {
            if (p->compiled[i].slot == NONE)
                p->compiled[i].slot = (int)p->slots++;
            return p->compiled[i].slot;
        }
    }
    return NONE;
}

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    struct plan *p = context;
    struct txn_field field;
    int slot = slot_of_feature(p, name);

    if (slot != NONE) {
        *out = (struct cel_name){ .slot = (uint32_t)slot, .kind = CEL_DOUBLE };
        return true;
    }
    if (!expression_field(name, &field))
        return false;
    *out = (struct cel_name){ .kind = (enum cel_kind)expression_field_kind(&field) };
    for (size_t i = 0; i < p->slot_field_count; i++) {
        if (slice_eq(p->slot_fields[i].name, name)) {
            out->slot = (uint32_t)p->slot_fields[i].slot;
            return true;
        }
    }
    ARRAY_RESERVE_ONE(p->slot_fields, p->slot_field_count, p->slot_field_cap);
    name = arena_slice(&p->arena, name);
    expression_field(name, &field); /* again, so that it points to what stays */
    out->slot = (uint32_t)p->slots;
    p->slot_fields[p->slot_field_count++] =
        (struct slot_field){ .name = name, .field = field, .slot = (int)p->slots++ };
    return true;
}

enum err order_compile(struct plan *p, struct why *why)
{
    struct cel_env env = { .resolve = resolve, .context = p, .dialect = CEL_ASSAY };
    enum err err;

    for (size_t i = 0; i < p->condition_count; i++) {
        env.result = CEL_BOOL;
        err = cel_compile(&p->conditions[i].program, p->conditions[i].text, &env, why);
        if (err)
            return err_wrap(why, ERR_INVALID, "where");
    }
    for (size_t i = 0; i < p->count; i++) {
        struct compiled *c = &p->compiled[i];

        if (p->features[i].aggregate != AGGREGATE_EXPR)
            continue;
        if (expression_field(p->features[i].expr, &c->field) && c->field.kind == TXN_FIELD_NUMBER)
            continue; /* the field itself: nothing to evaluate */
        env.result = CEL_DYN;
        err = cel_compile(&c->program, p->features[i].expr, &env, why);
        if (err)
            return err_wrap(why, ERR_INVALID, "%.*s: expr", SLICE_ARG(p->features[i].name));
    }
    return ERR_OK;
}

struct order {
    struct plan *plan;
    bool *has_condition; /* has its step */
};

static void add_step(struct order *o, enum step_kind kind, int entity, int a, int b)
{
    struct plan *p = o->plan;

    for (size_t i = 0; i < p->step_count; i++) {
        struct step *s = &p->steps[i];

        if (s->kind == kind && s->entity == entity && s->a == a && s->b == b)
            return;
    }
    ARRAY_RESERVE_ONE(p->steps, p->step_count, p->step_cap);
    p->steps[p->step_count++] = (struct step){ .kind = kind, .entity = entity, .a = a, .b = b };
}

static void order_feature(struct order *o, size_t i);

static void order_program(struct order *o, const struct cel_program *program)
{
    const struct cel_use *uses;
    size_t count = program ? cel_uses(program, &uses) : 0;
    unsigned char hash[SHA256_BYTES];

    for (size_t u = 0; u < count; u++) {
        if (!feature_reference_read(uses[u].name, hash))
            continue;
        for (size_t i = 0; i < o->plan->count; i++) {
            if (memcmp(o->plan->features[i].hash, hash, sizeof hash) == 0)
                order_feature(o, i);
        }
    }
}

static void order_condition(struct order *o, int condition)
{
    if (condition == NONE || o->has_condition[condition])
        return;
    o->has_condition[condition] = true;
    order_program(o, o->plan->conditions[condition].program);
    add_step(o, STEP_CONDITION, NONE, condition, 0);
}

/* Depth first. There are no circles: an identity is a hash over the identities below it. */
static void order_feature(struct order *o, size_t i)
{
    struct compiled *c = &o->plan->compiled[i];

    if (c->is_visited)
        return;
    c->is_visited = true;
    if (c->feature->includes_current)
        order_condition(o, c->condition);
    order_program(o, c->program);
    if (c->feature->aggregate == AGGREGATE_DISTINCT)
        add_step(o, STEP_VARIETY, c->entity, c->variety, c->span);
    else if (c->span != NONE)
        add_step(o, STEP_SPAN, c->entity, c->track, c->span);
    add_step(o, STEP_FEATURE, NONE, (int)i, 0);
}

/* Lasting first: what the conditions of stored events need. */
void order_steps(struct plan *p)
{
    struct order o = { .plan = p };

    o.has_condition = mem_new_n(bool, p->condition_count + 1);
    ARRAY_NOT_NULL(p->steps, p->step_count, p->step_cap);
    for (size_t i = 0; i < p->condition_count; i++)
        order_condition(&o, (int)i);
    p->lasting_steps = p->step_count;
    for (size_t i = 0; i < p->count; i++)
        order_feature(&o, i);
    mem_free(o.has_condition);
}
