/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/plan.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "featurestore/expression.h"
#include "featurestore/layout.h"
#include "featurestore/window.h"

/* ---- what features stand on, each thing once ---- */

static int add_value(struct plan *p, const struct feature *f)
{
    struct value v = { .name = f->field, .scale = f->scale, .factor = 1 };

    for (size_t i = 0; i < p->value_count; i++) {
        if (slice_eq(p->values[i].name, f->field) && p->values[i].scale == f->scale)
            return (int)i;
    }
    for (int i = 0; i < f->scale; i++)
        v.factor *= 10;
    txn_field_find(v.name, &v.field);
    ARRAY_RESERVE_ONE(p->values, p->value_count, p->value_cap);
    p->values[p->value_count] = v;
    return (int)p->value_count++;
}

static int add_condition(struct plan *p, struct slice text)
{
    if (text.len == 0)
        return NONE;
    for (size_t i = 0; i < p->condition_count; i++) {
        if (slice_eq(p->conditions[i].text, text))
            return (int)i;
    }
    ARRAY_RESERVE_ONE(p->conditions, p->condition_count, p->condition_cap);
    p->conditions[p->condition_count] = (struct condition){ .text = text, .fraud_bit = NONE };
    return (int)p->condition_count++;
}

static int add_entity(struct plan *p, const struct feature *f)
{
    struct entity_layout e = { .field_count = f->entity_fields };

    for (size_t i = 0; i < p->entity_count; i++) {
        bool is_same = p->entities[i].field_count == f->entity_fields;

        for (size_t k = 0; is_same && k < f->entity_fields; k++)
            is_same = slice_eq(p->entities[i].names[k], f->entity[k]);
        if (is_same)
            return (int)i;
    }
    for (size_t k = 0; k < f->entity_fields; k++) {
        e.names[k] = f->entity[k];
        txn_field_find(f->entity[k], &e.fields[k]);
    }
    ARRAY_RESERVE_ONE(p->entities, p->entity_count, p->entity_cap);
    p->entities[p->entity_count] = e;
    return (int)p->entity_count++;
}

static size_t add_span(struct span **spans, size_t *count, size_t *cap, const struct feature *f)
{
    for (size_t i = 0; i < *count; i++) {
        if ((*spans)[i].window_us == f->window_us && (*spans)[i].delay_us == f->delay_us)
            return i;
    }
    ARRAY_RESERVE_ONE(*spans, *count, *cap);
    (*spans)[*count] =
        (struct span){ .window_us = f->window_us,
                       .delay_us = f->delay_us,
                       .window_tiles =
                           f->window_us % feature_hop_us(f) ? 0 : f->window_us / feature_hop_us(f) };
    return (*count)++;
}

static int64_t hold(int64_t held_us, const struct feature *f)
{
    int64_t back = f->window_us + f->delay_us;
    int64_t hold_us = back + (back / 8 < DAY_US ? back / 8 : DAY_US) + 2 * feature_hop_us(f);

    return hold_us > held_us ? hold_us : held_us;
}

static bool find_flag(const struct event_layout *l, int condition, int value, size_t *bit)
{
    for (*bit = 0; *bit < l->flag_count; (*bit)++) {
        if (l->flags[*bit].condition == condition && l->flags[*bit].value == value)
            return true;
    }
    return false;
}

/* The flags that a cell needs for a condition and a value; false when there is no room for them. */
static bool add_flags(struct event_layout *l, int condition, int value, uint32_t *mask)
{
    const int pairs[2][2] = { { condition, NONE }, { NONE, value } };

    *mask = 0;
    for (size_t i = 0; i < 2; i++) {
        size_t bit;

        if (pairs[i][i] == NONE)
            continue;
        if (!find_flag(l, pairs[i][0], pairs[i][1], &bit)) {
            if (l->flag_count == FLAGS_MAX)
                return false;
            l->flags[l->flag_count++] = (struct flag){ pairs[i][0], pairs[i][1] };
        }
        *mask |= 1u << bit;
    }
    return true;
}

static size_t add_number(int **numbers, size_t *count, size_t *cap, int number)
{
    size_t i = 0;

    while (i < *count && (*numbers)[i] != number)
        i++;
    if (i == *count) {
        ARRAY_RESERVE_ONE(*numbers, *count, *cap);
        (*numbers)[(*count)++] = number;
    }
    return i;
}

/* The entity's track for such a feature; a new one when none is there or all are full. */
static size_t add_track(struct entity_layout *e, const struct feature *f, int condition, int value)
{
    int64_t hop_us = feature_hop_us(f);
    uint32_t mask;

    for (size_t i = 0; i < e->track_count; i++) {
        struct track *t = &e->tracks[i];

        if (t->is_exact == f->is_exact && t->hop_us == hop_us &&
            (!t->is_exact ||
             (t->events.flag_count + 2 <= FLAGS_MAX && add_flags(&t->events, condition, value, &mask)))) {
            t->hold_us = hold(t->hold_us, f);
            return i;
        }
    }
    ARRAY_RESERVE_ONE(e->tracks, e->track_count, e->track_cap);
    e->tracks[e->track_count] =
        (struct track){ .is_exact = f->is_exact, .hop_us = hop_us, .hold_us = hold(0, f) };
    return e->track_count++;
}

static size_t add_column(struct track *t, enum op op, int condition, int value)
{
    struct column c = { .op = op, .condition = condition, .value = value };

    for (size_t i = 0; i < t->column_count; i++) {
        if (t->columns[i].op == op && t->columns[i].condition == condition && t->columns[i].value == value)
            return i;
    }
    if (t->is_exact) {
        bool has_room = add_flags(&t->events, condition, value, &c.mask);

        assert(has_room); /* add_track() saw to it */
        (void)has_room;
        if (op == OP_FRAUD)
            c.mask |= FLAG_FRAUD;
    }
    t->has_fraud |= op == OP_FRAUD;
    ARRAY_RESERVE_ONE(t->columns, t->column_count, t->column_cap);
    t->columns[t->column_count] = c;
    return t->column_count++;
}

/* The running total of a column over a span: (span, run), which layout() turns into a place in the block. */
static void add_run(struct track *t, size_t span, enum op op, int condition, int value)
{
    size_t column = add_column(t, op, condition, value);
    struct span *s = &t->spans[span];

    for (size_t i = 0; i < s->run_count; i++) {
        if (s->runs[i].column == column)
            return;
    }
    ARRAY_RESERVE_ONE(s->runs, s->run_count, s->run_cap);
    s->runs[s->run_count++] = (struct run){ .column = (uint32_t)column };
}

static void add_lifetime(struct entity_layout *e, enum op op, int condition, int value)
{
    for (size_t i = 0; i < e->lifetime_count; i++) {
        const struct column *c = &e->lifetimes[i].column;

        if (c->op == op && c->condition == condition && c->value == value)
            return;
    }
    ARRAY_RESERVE_ONE(e->lifetimes, e->lifetime_count, e->lifetime_cap);
    e->lifetimes[e->lifetime_count++] =
        (struct lifetime){ .column = { .op = op, .condition = condition, .value = value } };
}

/* The columns that an aggregate is made of. Amounts are always there, so their count is the plain one. */
static size_t ops_of(enum aggregate aggregate, enum op ops[3])
{
    static const struct {
        size_t count;
        enum op ops[3];
    } table[AGGREGATE_COUNT_OF] = {
        [AGGREGATE_COUNT] = { 1, { OP_COUNT } },
        [AGGREGATE_SUM] = { 1, { OP_SUM } },
        [AGGREGATE_MEAN] = { 2, { OP_COUNT, OP_SUM } },
        [AGGREGATE_STD] = { 3, { OP_COUNT, OP_SUM, OP_SQUARES } },
        [AGGREGATE_MIN] = { 1, { OP_MIN } },
        [AGGREGATE_MAX] = { 1, { OP_MAX } },
        [AGGREGATE_FRAUD_COUNT] = { 1, { OP_FRAUD } },
        [AGGREGATE_FRAUD_RATE] = { 2, { OP_COUNT, OP_FRAUD } },
        [AGGREGATE_FIRST_SEEN] = { 1, { OP_FIRST } },
    };

    memcpy(ops, table[aggregate].ops, sizeof table[aggregate].ops);
    return table[aggregate].count;
}

static bool is_amount(const struct plan *p, int value)
{
    return value != NONE && p->values[value].field.kind == TXN_FIELD_NUMBER;
}

static int value_of(const struct plan *p, enum op op, int value)
{
    return op == OP_COUNT && is_amount(p, value) ? NONE : value;
}

static int add_text(struct plan *p, struct slice name)
{
    struct text text = { .name = name };

    for (size_t i = 0; i < p->text_count; i++) {
        if (slice_eq(p->texts[i].name, name))
            return (int)i;
    }
    txn_field_find(name, &text.field);
    ARRAY_RESERVE_ONE(p->texts, p->text_count, p->text_cap);
    p->texts[p->text_count] = text;
    return (int)p->text_count++;
}

static void add_variety(struct plan *p, struct entity_layout *e, const struct feature *f, struct compiled *c)
{
    int text = add_text(p, f->field);
    size_t i = 0;

    for (; i < e->variety_count; i++) {
        const struct variety *v = &e->varieties[i];

        if (v->is_exact == f->is_exact && v->hop_us == feature_hop_us(f) && v->condition == c->condition &&
            v->text == text)
            break;
    }
    if (i == e->variety_count) {
        struct variety v = {
            .is_exact = f->is_exact, .hop_us = feature_hop_us(f), .text = text, .condition = c->condition
        };

        ARRAY_RESERVE_ONE(e->varieties, e->variety_count, e->variety_cap);
        e->varieties[e->variety_count++] = v;
    }
    c->variety = (int)i;
    e->varieties[i].hold_us = hold(e->varieties[i].hold_us, f);
    c->span =
        (int)add_span(&e->varieties[i].spans, &e->varieties[i].span_count, &e->varieties[i].span_cap, f);
}

static void add_recent(struct entity_layout *e, struct compiled *c, bool has_place)
{
    size_t i = 0;

    while (i < e->recent_count &&
           (e->recents[i].condition != c->condition || e->recents[i].has_place != has_place))
        i++;
    if (i == e->recent_count) {
        ARRAY_RESERVE_ONE(e->recents, e->recent_count, e->recent_cap);
        e->recents[e->recent_count++] = (struct recent){ .condition = c->condition, .has_place = has_place };
    }
    c->recent = (int)i;
}

/* Books what a feature needs; places come when all is booked. */
static void book(struct plan *p, size_t i)
{
    struct feature *f = &p->features[i];
    struct compiled *c = &p->compiled[i];
    struct entity_layout *e;
    enum op ops[3];
    size_t op_count, track;

    *c = (struct compiled){ .feature = f,
                            .entity = NONE,
                            .condition = NONE,
                            .value = NONE,
                            .track = NONE,
                            .variety = NONE,
                            .span = NONE,
                            .recent = NONE,
                            .slot = NONE };
    if (f->aggregate == AGGREGATE_EXPR)
        return;
    c->entity = add_entity(p, f);
    c->condition = add_condition(p, f->where);
    if (f->field.len && f->aggregate != AGGREGATE_DISTINCT)
        c->value = add_value(p, f);
    e = &p->entities[c->entity];
    switch (f->aggregate) {
    case AGGREGATE_DISTINCT:
        add_variety(p, e, f, c);
        return;
    case AGGREGATE_SINCE_LAST:
    case AGGREGATE_SPEED:
    case AGGREGATE_DISTANCE:
        add_recent(e, c, f->aggregate != AGGREGATE_SINCE_LAST);
        return;
    case AGGREGATE_FRAUD_COUNT:
    case AGGREGATE_FRAUD_RATE:
        e->has_fraud = p->has_fraud = true;
        if (c->condition != NONE && p->conditions[c->condition].fraud_bit == NONE)
            p->conditions[c->condition].fraud_bit = p->fraud_conditions++;
        break;
    default:
        break;
    }
    op_count = ops_of(f->aggregate, ops);
    if (f->window_us <= 0) {
        for (size_t k = 0; k < op_count; k++)
            add_lifetime(e, ops[k], c->condition, value_of(p, ops[k], c->value));
        return;
    }
    track = add_track(e, f, c->condition, c->value);
    c->span =
        (int)add_span(&e->tracks[track].spans, &e->tracks[track].span_count, &e->tracks[track].span_cap, f);
    c->track = (int)track;
    for (size_t k = 0; k < op_count; k++)
        add_run(&e->tracks[track], (size_t)c->span, ops[k], c->condition, value_of(p, ops[k], c->value));
}

/* ---- places ---- */

static uint32_t width_of(enum op op)
{
    return op == OP_SQUARES ? 16 : 8;
}

static uint32_t take(size_t *bytes, size_t size)
{
    uint32_t at = (uint32_t)*bytes;

    *bytes = (*bytes + size + 7) & ~(size_t)7;
    return at;
}

static bool has_value(const struct column *c)
{
    return c->value != NONE && c->op != OP_COUNT && c->op != OP_FRAUD;
}

static uint32_t value_place(size_t i)
{
    return (uint32_t)(EVENT_BYTES + 8 * i);
}

static void lay_track(struct track *t, size_t *bytes)
{
    static const enum op by_width[] = { OP_COUNT, OP_FRAUD, OP_SUM, OP_MIN, OP_MAX, OP_SQUARES };
    struct event_layout *l = &t->events;

    t->at = take(bytes, sizeof(struct deque));
    if (t->is_exact) {
        for (size_t i = 0; i < t->column_count; i++) {
            if (has_value(&t->columns[i]))
                t->columns[i].value_at =
                    value_place(add_number(&l->values, &l->value_count, &l->value_cap, t->columns[i].value));
        }
        t->cell_bytes = l->cell_bytes = value_place(l->value_count);
    } else {
        t->cell_bytes = TILE_BYTES;
        for (size_t w = 0; w < ARRAY_LEN(by_width); w++) {
            for (size_t i = 0; i < t->column_count; i++) {
                if (t->columns[i].op != by_width[w])
                    continue;
                t->columns[i].cell_at = t->cell_bytes;
                t->cell_bytes += by_width[w] <= OP_FRAUD ? 4 : width_of(by_width[w]);
            }
        }
    }
    for (size_t s = 0; s < t->span_count; s++) {
        t->spans[s].at = take(bytes, sizeof(struct cursor));
        for (size_t r = 0; r < t->spans[s].run_count; r++)
            t->spans[s].runs[r].at = take(bytes, width_of(t->columns[t->spans[s].runs[r].column].op));
    }
}

/* The cells of small entities: whatever any track or variety needs of an event. */
static void lay_small(struct entity_layout *e)
{
    struct event_layout *l = &e->events;

    e->is_small_first = true;
    for (size_t i = 0; i < e->track_count; i++) {
        struct track *t = &e->tracks[i];

        for (struct column *c = t->columns; c < t->columns + t->column_count; c++) {
            e->is_small_first &= add_flags(l, c->condition, c->value, &c->small_mask);
            if (c->op == OP_FRAUD)
                c->small_mask |= FLAG_FRAUD;
            if (has_value(c))
                c->small_value_at =
                    value_place(add_number(&l->values, &l->value_count, &l->value_cap, c->value));
        }
        if (t->hold_us + t->hop_us > e->small_hold_us)
            e->small_hold_us = t->hold_us + t->hop_us;
    }
    for (size_t i = 0; i < e->variety_count; i++) {
        struct variety *v = &e->varieties[i];

        e->is_small_first &= add_flags(l, v->condition, NONE, &v->small_mask);
        v->small_text_at =
            value_place(l->value_count + add_number(&l->texts, &l->text_count, &l->text_cap, v->text));
        if (v->hold_us + v->hop_us > e->small_hold_us)
            e->small_hold_us = v->hold_us + v->hop_us;
    }
    l->cell_bytes = value_place(l->value_count + l->text_count);
}

/* Room for one, so that loops over an empty list have a pointer to end at. */
#define ARRAY_NOT_NULL(items, count, cap) ARRAY_RESERVE_ONE(items, count, cap)

static void lay_entity(struct plan *p, struct entity_layout *e)
{
    ARRAY_NOT_NULL(e->tracks, e->track_count, e->track_cap);
    ARRAY_NOT_NULL(e->varieties, e->variety_count, e->variety_cap);
    ARRAY_NOT_NULL(e->recents, e->recent_count, e->recent_cap);
    ARRAY_NOT_NULL(e->lifetimes, e->lifetime_count, e->lifetime_cap);
    e->bytes = sizeof(struct entity);
    e->large_bytes = 8; /* so that no place in it is 0 */
    lay_small(e);
    for (size_t i = 0; i < e->track_count; i++) {
        lay_track(&e->tracks[i], &e->large_bytes);
        if (e->tracks[i].hold_us > e->idle_us)
            e->idle_us = e->tracks[i].hold_us;
        if (e->tracks[i].has_fraud && e->tracks[i].hold_us > p->ledger_us)
            p->ledger_us = e->tracks[i].hold_us;
    }
    for (size_t i = 0; i < e->variety_count; i++) {
        struct variety *v = &e->varieties[i];

        v->at = take(&e->large_bytes, sizeof(struct variety_state));
        for (size_t s = 0; s < v->span_count; s++)
            v->spans[s].at = take(&e->large_bytes, sizeof(struct variety_cursor));
        if (v->hold_us > e->idle_us)
            e->idle_us = v->hold_us;
    }
    for (size_t i = 0; i < e->recent_count; i++)
        e->recents[i].at = take(&e->bytes, recent_bytes(&e->recents[i]));
    for (size_t i = 0; i < e->lifetime_count; i++)
        e->lifetimes[i].at = take(&e->bytes, width_of(e->lifetimes[i].column.op));
    if ((e->recent_count || e->lifetime_count) && e->idle_us < STORE_IDLE_DAYS * DAY_US)
        e->idle_us = STORE_IDLE_DAYS * DAY_US;
}

static void set_place(struct compiled *c, enum op op, uint32_t at)
{
    switch (op) {
    case OP_COUNT:
        c->count_at = at;
        break;
    case OP_FRAUD:
        c->fraud_at = at;
        break;
    case OP_SUM:
        c->sum_at = at;
        break;
    case OP_SQUARES:
        c->squares_at = at;
        break;
    case OP_MIN:
    case OP_MAX:
    case OP_FIRST:
        c->best_at = at;
        break;
    }
}

/* Tells a feature where its totals lie. */
static void place(const struct plan *p, struct compiled *c)
{
    const struct entity_layout *e;
    enum op ops[3];
    size_t op_count;

    if (c->entity == NONE || c->recent != NONE || c->feature->aggregate == AGGREGATE_DISTINCT)
        return;
    e = &p->entities[c->entity];
    op_count = ops_of(c->feature->aggregate, ops);
    for (size_t k = 0; k < op_count; k++) {
        int value = value_of(p, ops[k], c->value);

        if (c->span == NONE) {
            for (size_t i = 0; i < e->lifetime_count; i++) {
                const struct column *column = &e->lifetimes[i].column;

                if (column->op == ops[k] && column->condition == c->condition && column->value == value)
                    set_place(c, ops[k], e->lifetimes[i].at);
            }
        } else {
            const struct track *t = &e->tracks[c->track];
            const struct span *s = &t->spans[c->span];

            for (size_t r = 0; r < s->run_count; r++) {
                const struct column *column = &t->columns[s->runs[r].column];

                if (column->op == ops[k] && column->condition == c->condition && column->value == value)
                    set_place(c, ops[k], s->runs[r].at);
            }
        }
    }
}

/* ---- expressions and the order of things ---- */

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

static enum err compile_expressions(struct plan *p, struct why *why)
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
    bool is_lasting;
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
    p->steps[p->step_count++] =
        (struct step){ .kind = kind, .entity = entity, .a = a, .b = b, .is_lasting = o->is_lasting };
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
static void order_all(struct plan *p)
{
    struct order o = { .plan = p, .is_lasting = true };

    o.has_condition = mem_new_n(bool, p->condition_count + 1);
    ARRAY_NOT_NULL(p->steps, p->step_count, p->step_cap);
    for (size_t i = 0; i < p->condition_count; i++)
        order_condition(&o, (int)i);
    o.is_lasting = false;
    for (size_t i = 0; i < p->count; i++)
        order_feature(&o, i);
    mem_free(o.has_condition);
}

/* ---- making ---- */

static struct feature copy_feature(const struct feature *f, struct arena *arena)
{
    struct feature copy = *f;

    copy.name = arena_slice(arena, f->name);
    copy.describe = arena_slice(arena, f->describe);
    copy.definition = arena_slice(arena, f->definition);
    for (size_t i = 0; i < f->entity_fields; i++)
        copy.entity[i] = arena_slice(arena, f->entity[i]);
    copy.field = arena_slice(arena, f->field);
    copy.where = arena_slice(arena, f->where);
    copy.expr = arena_slice(arena, f->expr);
    copy.line = 0;
    return copy;
}

static void write_text(struct plan *p)
{
    unsigned char *hashes = arena_new(&p->arena, unsigned char, p->columns *SHA256_BYTES + 1);
    struct buf text;

    buf_init(&text, 0);
    buf_add_str(&text, p->count ? "features:\n" : "features: []\n");
    for (size_t i = 0; i < p->count; i++) {
        buf_add_str(&text, "- ");
        feature_print(&p->features[i], true, &text);
        buf_add_char(&text, '\n');
    }
    p->text = arena_slice(&p->arena, buf_slice(&text));
    buf_release(&text);
    for (size_t i = 0; i < p->columns; i++)
        memcpy(hashes + i * SHA256_BYTES, p->features[i].hash, SHA256_BYTES);
    sha256(slice_of(hashes, p->columns * SHA256_BYTES), p->hash);
}

/* A name that is taken by another definition gets the beginning of its identity. */
static void make_names_unique(struct plan *p)
{
    for (size_t i = 1; i < p->count; i++) {
        struct slice *name = &p->features[i].name;
        char hex[9];

        for (size_t k = 0; k < i; k++) {
            if (!slice_eq(p->features[k].name, *name))
                continue;
            hex_encode(p->features[i].hash, 4, hex);
            if (name->len > FEATURE_NAME_MAX - 9)
                name->len = FEATURE_NAME_MAX - 9;
            *name = arena_printf(&p->arena, "%.*s_%s", SLICE_ARG(*name), hex);
            break;
        }
    }
}

/* Makes a plan of features whose names, identities and dependencies are in order. */
static enum err make(struct plan **out, const struct feature *const *features, const bool *is_hidden,
                     size_t count, struct why *why)
{
    struct plan *p = mem_new(struct plan);
    enum err err;

    *out = NULL;
    p->features = arena_new(&p->arena, struct feature, count + 1);
    p->compiled = arena_new(&p->arena, struct compiled, count + 1);
    for (int hidden = 0; hidden < 2; hidden++) {
        for (size_t i = 0; i < count; i++) {
            if (is_hidden[i] == (hidden == 1)) {
                p->features[p->count] = copy_feature(features[i], &p->arena);
                p->features[p->count++].is_hidden = is_hidden[i];
            }
        }
        if (!hidden)
            p->columns = p->count;
    }
    make_names_unique(p);
    if (p->count > CATALOGUE_FEATURES_MAX) {
        err = err_set(why, ERR_INVALID, "a plan has at most %d features, this has %zu",
                      CATALOGUE_FEATURES_MAX, p->count);
        goto out;
    }
    for (size_t i = 0; i < p->count; i++)
        book(p, i);
    if (p->fraud_conditions > FRAUD_CONDITIONS_MAX || p->value_count > VALUES_MAX) {
        err = err_set(why, ERR_INVALID, "at most %d conditions on fraud counts and %d summed fields",
                      FRAUD_CONDITIONS_MAX, VALUES_MAX);
        goto out;
    }
    err = compile_expressions(p, why);
    if (err)
        goto out;
    for (size_t i = 0; i < p->entity_count; i++)
        lay_entity(p, &p->entities[i]);
    for (size_t i = 0; i < p->entity_count; i++) {
        p->fraud_entities += p->entities[i].has_fraud;
        if (p->entities[i].has_fraud && p->entities[i].idle_us < p->ledger_us)
            p->entities[i].idle_us = p->ledger_us; /* what the ledger points to is there */
    }
    for (size_t i = 0; i < p->count; i++)
        place(p, &p->compiled[i]);
    order_all(p);
    write_text(p);
    *out = p;
    p = NULL;
out:
    plan_free(p);
    return err;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->entity_count; i++) {
        struct entity_layout *e = &p->entities[i];

        for (size_t t = 0; t < e->track_count; t++) {
            for (size_t s = 0; s < e->tracks[t].span_count; s++)
                mem_free(e->tracks[t].spans[s].runs);
            mem_free(e->tracks[t].spans);
            mem_free(e->tracks[t].columns);
            mem_free(e->tracks[t].events.values);
        }
        for (size_t v = 0; v < e->variety_count; v++)
            mem_free(e->varieties[v].spans);
        mem_free(e->tracks);
        mem_free(e->varieties);
        mem_free(e->recents);
        mem_free(e->lifetimes);
        mem_free(e->events.values);
        mem_free(e->events.texts);
    }
    for (size_t i = 0; i < p->condition_count; i++)
        cel_free(p->conditions[i].program);
    for (size_t i = 0; i < p->count; i++)
        cel_free(p->compiled[i].program);
    mem_free(p->entities);
    mem_free(p->conditions);
    mem_free(p->values);
    mem_free(p->texts);
    mem_free(p->slot_fields);
    mem_free(p->steps);
    arena_release(&p->arena);
    mem_free(p);
}

enum err plan_build(struct plan **out, const struct catalogue *catalogue, struct why *why)
{
    const struct feature **features = mem_new_n(const struct feature *, catalogue->count + 1);
    bool *is_hidden = mem_new_n(bool, catalogue->count + 1);
    enum err err;

    for (size_t i = 0; i < catalogue->count; i++) {
        features[i] = &catalogue->features[i];
        is_hidden[i] = features[i]->is_hidden;
    }
    err = make(out, features, is_hidden, catalogue->count, why);
    mem_free(features);
    mem_free(is_hidden);
    return err;
}

static size_t find(const struct feature *const *features, size_t count, const unsigned char *hash)
{
    size_t i = 0;

    while (i < count && memcmp(features[i]->hash, hash, SHA256_BYTES) != 0)
        i++;
    return i;
}

enum err plan_merge(struct plan **out, const struct plan *const *plans, size_t count, struct why *why)
{
    const struct feature **features;
    bool *is_hidden;
    size_t used = 0, room = 1;
    enum err err;

    for (size_t i = 0; i < count; i++)
        room += plans[i]->count;
    features = mem_new_n(const struct feature *, room);
    is_hidden = mem_new_n(bool, room);
    for (int hidden = 0; hidden < 2; hidden++) { /* what anyone shows comes first, in order */
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < plans[i]->count; k++) {
                const struct feature *f = &plans[i]->features[k];

                if (f->is_hidden != (hidden == 1) || find(features, used, f->hash) < used)
                    continue;
                features[used] = f;
                is_hidden[used++] = f->is_hidden;
            }
        }
    }
    err = make(out, features, is_hidden, used, why);
    mem_free(features);
    mem_free(is_hidden);
    return err;
}

/* Adds, hidden, what the texts refer to. `features` has room for the whole plan. */
static void add_references(const struct plan *p, struct slice text, const struct feature **features,
                           size_t *used)
{
    unsigned char hash[SHA256_BYTES];

    for (size_t i = 0; i + FEATURE_REFERENCE_LEN <= text.len; i++) {
        if (!feature_reference_read(slice_of(text.ptr + i, FEATURE_REFERENCE_LEN), hash))
            continue;
        for (size_t k = 0; k < p->count; k++) {
            if (memcmp(p->features[k].hash, hash, sizeof hash) == 0 && find(features, *used, hash) == *used)
                features[(*used)++] = &p->features[k];
        }
    }
}

enum err plan_select(struct plan **out, const struct plan *plan, const struct slice *names, size_t count,
                     struct why *why)
{
    const struct feature **features = mem_new_n(const struct feature *, plan->count + 1);
    bool *is_hidden = mem_new_n(bool, plan->count + 1);
    size_t used = 0;
    enum err err = ERR_OK;

    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t column = plan_find_name(plan, names[i]);

        if (column == PLAN_NO_COLUMN) {
            err = err_set(why, ERR_NOT_FOUND, "the plan has no column %.*s", SLICE_ARG(names[i]));
            goto out;
        }
        if (find(features, used, plan->features[column].hash) < used) {
            err = err_set(why, ERR_INVALID, "the column %.*s is asked for twice", SLICE_ARG(names[i]));
            goto out;
        }
        features[used++] = &plan->features[column];
    }
    for (size_t i = 0; i < used; i++) { /* grows while it runs, until nothing refers to what is not there */
        is_hidden[i] = i >= count;
        add_references(plan, features[i]->where, features, &used);
        add_references(plan, features[i]->expr, features, &used);
    }
    err = make(out, features, is_hidden, used, why);
out:
    mem_free(features);
    mem_free(is_hidden);
    return err;
}

enum err plan_parse(struct plan **out, struct slice text, struct why *why)
{
    struct arena arena = { 0 };
    struct catalogue catalogue;
    enum err err = catalogue_parse(&catalogue, text, &arena, why);

    *out = NULL;
    if (!err)
        err = plan_build(out, &catalogue, why);
    if (!err && !slice_eq(plan_text(*out), text)) {
        err = err_set(why, ERR_INVALID, "not the text of a plan: it is spelt in another way");
        plan_free(*out);
        *out = NULL;
    }
    arena_release(&arena);
    return err;
}

/* ---- reading ---- */

struct slice plan_text(const struct plan *plan)
{
    return plan->text;
}

const unsigned char *plan_hash(const struct plan *plan)
{
    return plan->hash;
}

size_t plan_columns(const struct plan *plan)
{
    return plan->columns;
}

const struct feature *plan_column(const struct plan *plan, size_t column)
{
    assert(column < plan->columns);
    return &plan->features[column];
}

size_t plan_find(const struct plan *plan, const unsigned char *hash)
{
    for (size_t i = 0; i < plan->columns; i++) {
        if (memcmp(plan->features[i].hash, hash, SHA256_BYTES) == 0)
            return i;
    }
    return PLAN_NO_COLUMN;
}

size_t plan_find_name(const struct plan *plan, struct slice name)
{
    for (size_t i = 0; i < plan->columns; i++) {
        if (slice_eq(plan->features[i].name, name))
            return i;
    }
    return PLAN_NO_COLUMN;
}
