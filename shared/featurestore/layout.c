/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/layout.h"

#include <assert.h>
#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "featurestore/entity.h"

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

static int64_t in_tiles(int64_t us, int64_t hop_us)
{
    return us % hop_us ? -1 : us / hop_us;
}

static int add_hop(struct plan *p, int64_t hop_us)
{
    size_t i = 0;

    while (i < p->hop_count && p->hops[i] != hop_us)
        i++;
    if (i == p->hop_count) {
        assert(i < HOPS_MAX); /* feature_hop_us() knows no more */
        p->hops[p->hop_count++] = hop_us;
    }
    return (int)i;
}

static size_t add_span(struct span **spans, size_t *count, size_t *cap, const struct feature *f)
{
    for (size_t i = 0; i < *count; i++) {
        if ((*spans)[i].window_us == f->window_us && (*spans)[i].delay_us == f->delay_us)
            return i;
    }
    ARRAY_RESERVE_ONE(*spans, *count, *cap);
    (*spans)[*count] = (struct span){ .window_us = f->window_us,
                                      .delay_us = f->delay_us,
                                      .window_tiles = in_tiles(f->window_us, feature_hop_us(f)),
                                      .delay_tiles = in_tiles(f->delay_us, feature_hop_us(f)) };
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
static size_t add_track(struct plan *p, struct entity_layout *e, const struct feature *f, int condition,
                        int value)
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
    e->tracks[e->track_count] = (struct track){ .is_exact = f->is_exact,
                                                .hop = f->is_exact ? NONE : add_hop(p, hop_us),
                                                .hop_us = hop_us,
                                                .hold_us = hold(0, f) };
    return e->track_count++;
}

static bool looks_at_fraud(enum op op)
{
    return op == OP_FRAUD || op == OP_LAST_FRAUD || op == OP_LAST_LEGIT;
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
        c.mask |= op == OP_FRAUD || op == OP_LAST_FRAUD ? FLAG_FRAUD : 0;
        c.but = op == OP_LAST_LEGIT ? FLAG_FRAUD : 0;
    }
    t->has_fraud |= looks_at_fraud(op);
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
        [AGGREGATE_SINCE_FRAUD] = { 1, { OP_LAST_FRAUD } },
        [AGGREGATE_SINCE_LEGIT] = { 1, { OP_LAST_LEGIT } },
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
        struct variety v = { .is_exact = f->is_exact,
                             .hop = f->is_exact ? NONE : add_hop(p, feature_hop_us(f)),
                             .hop_us = feature_hop_us(f),
                             .text = text,
                             .condition = c->condition };

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
void layout_book(struct plan *p, size_t i)
{
    struct feature *f = &p->features[i];
    struct compiled *c = &p->compiled[i];
    struct entity_layout *e;
    enum op ops[3];
    size_t op_count, track;

    *c = (struct compiled){ .feature = f,
                            .aggregate = f->aggregate,
                            .includes_current = f->includes_current,
                            .scale = 1,
                            .fallback = f->has_default ? f->default_value : NAN,
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
    if (c->value != NONE)
        c->scale = p->values[c->value].factor;
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
    case AGGREGATE_SINCE_FRAUD:
    case AGGREGATE_SINCE_LEGIT:
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
    track = add_track(p, e, f, c->condition, c->value);
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
        t->cell_bytes = value_place(l->value_count);
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

static uint32_t add_edge(struct entity_layout *e, struct edge edge)
{
    edge.back_tiles = edge.hop == NONE ? -1 : in_tiles(edge.back_us, edge.hop_us);
    for (size_t i = 0; i < e->edge_count; i++) {
        if (e->edges[i].hop == edge.hop && e->edges[i].back_us == edge.back_us &&
            e->edges[i].ahead == edge.ahead)
            return (uint32_t)i;
    }
    ARRAY_RESERVE_ONE(e->edges, e->edge_count, e->edge_cap);
    e->edges[e->edge_count] = edge;
    return (uint32_t)e->edge_count++;
}

/* A window of tiles begins with a whole one, and ends with one: the current, or with a delay the one before
 * where it would end. */
static void add_edges(struct entity_layout *e, struct span *spans, size_t count, int hop, int64_t hop_us)
{
    for (struct span *s = spans; s < spans + count; s++) {
        struct edge edge = { .hop = hop, .hop_us = hop_us, .back_us = s->delay_us + s->window_us };

        s->from_edge = add_edge(e, edge);
        edge.back_us = s->delay_us;
        edge.ahead = hop != NONE && s->delay_us == 0;
        s->to_edge = add_edge(e, edge);
    }
}

static void few_flag(struct few_column *few, const struct event_layout *l, int condition, int value)
{
    size_t bit;

    if (find_flag(l, condition, value, &bit))
        few->flags[few->flag_count++] = (uint32_t)bit;
}

/* What is looked at of small entities' events. A value that is missing is kept as 0, which adds nothing. */
static void lay_few_column(const struct plan *p, struct entity_layout *e, struct column *c)
{
    struct event_layout *l = &e->events;
    bool needs_value = c->value != NONE && !is_amount(p, c->value);
    uint32_t mask;

    e->is_small_first &= add_flags(l, c->condition, needs_value ? c->value : NONE, &mask);
    if (c->condition != NONE)
        few_flag(&c->few, l, c->condition, NONE);
    if (needs_value && c->op != OP_SUM && c->op != OP_SQUARES)
        few_flag(&c->few, l, NONE, c->value);
    if (has_value(c))
        c->few.value = (uint32_t)add_number(&l->values, &l->value_count, &l->value_cap, c->value);
}

static void hold_small(struct entity_layout *e, int64_t hold_us)
{
    if (hold_us > e->small_hold_us)
        e->small_hold_us = hold_us;
}

/* The columns of small entities: whatever any track or variety needs of an event. */
static void lay_small(const struct plan *p, struct entity_layout *e)
{
    struct event_layout *l = &e->events;

    e->is_small_first = true;
    for (struct track *t = e->tracks; t < e->tracks + e->track_count; t++) {
        for (struct column *c = t->columns; c < t->columns + t->column_count; c++)
            lay_few_column(p, e, c);
        add_edges(e, t->spans, t->span_count, t->hop, t->hop_us);
        hold_small(e, t->hold_us + t->hop_us);
    }
    for (struct variety *v = e->varieties; v < e->varieties + e->variety_count; v++) {
        uint32_t mask;

        e->is_small_first &= add_flags(l, v->condition, NONE, &mask);
        if (v->condition != NONE)
            few_flag(&v->few, l, v->condition, NONE);
        v->few.value = (uint32_t)add_number(&l->texts, &l->text_count, &l->text_cap, v->text);
        add_edges(e, v->spans, v->span_count, v->hop, v->hop_us);
        hold_small(e, v->hold_us + v->hop_us);
    }
    for (struct track *t = e->tracks; t < e->tracks + e->track_count; t++) { /* fraud's flag is the last */
        for (struct column *c = t->columns; c < t->columns + t->column_count; c++) {
            if (looks_at_fraud(c->op))
                c->few.flags[c->few.flag_count++] = (uint32_t)l->flag_count;
            c->few.is_but_last = c->op == OP_LAST_LEGIT;
        }
    }
    for (struct track *t = e->tracks; t < e->tracks + e->track_count; t++) {
        for (struct span *span = t->spans; span < t->spans + t->span_count; span++) {
            for (size_t r = 0; r < span->run_count; r++)
                span->has_flags |= t->columns[span->runs[r].column].few.flag_count > 0;
        }
    }
    e->flags_at = take(&e->bytes, (l->flag_count + e->has_fraud) * 16);
}

void layout_entity(struct plan *p, struct entity_layout *e)
{
    ARRAY_NOT_NULL(e->tracks, e->track_count, e->track_cap);
    ARRAY_NOT_NULL(e->varieties, e->variety_count, e->variety_cap);
    ARRAY_NOT_NULL(e->recents, e->recent_count, e->recent_cap);
    ARRAY_NOT_NULL(e->edges, e->edge_count, e->edge_cap);
    ARRAY_NOT_NULL(e->lifetimes, e->lifetime_count, e->lifetime_cap);
    e->bytes = sizeof(struct entity);
    e->large_bytes = 8; /* so that no place in it is 0 */
    lay_small(p, e);
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
    case OP_LAST_FRAUD:
    case OP_LAST_LEGIT:
        c->best_at = at;
        break;
    }
}

/* Tells a feature where its totals lie. */
void layout_place(const struct plan *p, struct compiled *c)
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
