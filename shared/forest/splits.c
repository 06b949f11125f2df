/* SPDX-License-Identifier: Apache-2.0
 * splits.c - which trees split on which column and where, and rows that are changed one column at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "forest/nodes.h"

/* A tree whose way may differ on both sides of a value. */
struct event {
    float value;
    uint32_t tree;
};

struct column {
    struct event *events; /* by value, then tree; each once */
    size_t count, cap;
    float *values;
    size_t value_count;
};

struct forest_splits {
    const struct forest *forest;
    struct column *columns;
};

static void add_event(struct column *c, float value, size_t tree)
{
    if (!isfinite(value))
        return;
    ARRAY_RESERVE_ONE(c->events, c->count, c->cap);
    c->events[c->count++] = (struct event){ value, (uint32_t)tree };
}

static void add_category(struct forest_splits *s, uint16_t slot, size_t tree)
{
    const struct forest *f = s->forest;

    for (size_t i = 0; i < f->category_count; i++) {
        const struct category_split *split = &f->categories[i];

        if (split->slot != slot)
            continue;
        for (uint32_t code = 0; code <= 32 * split->words; code++)
            add_event(&s->columns[split->column], (float)code, tree);
        return;
    }
}

static void add_tree(struct forest_splits *s, size_t tree)
{
    const struct forest *f = s->forest;
    size_t end = tree + 1 < f->trees ? f->roots[tree + 1] : f->node_count;

    for (size_t i = f->roots[tree]; i < end; i++) {
        const struct node *n = &f->nodes[i];

        if (node_is_leaf(n))
            continue;
        if (n->slot < slot_of(f->columns, false))
            add_event(&s->columns[(n->slot - SLOT_FIRST) / 2], n->threshold, tree);
        else
            add_category(s, n->slot, tree);
    }
}

static int by_value(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->tree > y->tree) - (x->tree < y->tree);
}

static void settle(struct column *c)
{
    size_t kept = 0;

    if (c->count)
        qsort(c->events, c->count, sizeof *c->events, by_value);
    c->values = mem_new_n(float, c->count + 1);
    for (size_t i = 0; i < c->count; i++) {
        if (kept && by_value(&c->events[kept - 1], &c->events[i]) == 0)
            continue;
        if (!kept || c->events[kept - 1].value != c->events[i].value)
            c->values[c->value_count++] = c->events[i].value;
        c->events[kept++] = c->events[i];
    }
    c->count = kept;
}

struct forest_splits *forest_splits_new(const struct forest *f)
{
    struct forest_splits *s = mem_new(struct forest_splits);

    s->forest = f;
    s->columns = mem_new_n(struct column, f->columns + 1);
    for (size_t tree = 0; tree < f->trees; tree++)
        add_tree(s, tree);
    for (size_t c = 0; c < f->columns; c++)
        settle(&s->columns[c]);
    return s;
}

void forest_splits_free(struct forest_splits *s)
{
    if (!s)
        return;
    for (size_t c = 0; c < s->forest->columns; c++) {
        mem_free(s->columns[c].events);
        mem_free(s->columns[c].values);
    }
    mem_free(s->columns);
    mem_free(s);
}

size_t forest_splits_of(const struct forest_splits *s, size_t column, const float **values)
{
    *values = s->columns[column].values;
    return s->columns[column].value_count;
}

/* ---- walking ---- */

struct forest_walk {
    const struct forest_splits *splits;
    float *row, *slots;
    float *leaves; /* [trees]: of the row as it is now */
    float *before; /* [trees + 1]: the margin before each tree, and the whole */
};

struct forest_walk *forest_walk_new(const struct forest_splits *s)
{
    struct forest_walk *w = mem_new(struct forest_walk);

    w->splits = s;
    w->row = mem_new_n(float, s->forest->columns + 1);
    w->slots = mem_new_n(float, s->forest->slots + 1);
    w->leaves = mem_new_n(float, s->forest->trees + 1);
    w->before = mem_new_n(float, s->forest->trees + 1);
    return w;
}

void forest_walk_free(struct forest_walk *w)
{
    if (!w)
        return;
    mem_free(w->row);
    mem_free(w->slots);
    mem_free(w->leaves);
    mem_free(w->before);
    mem_free(w);
}

static void walk_tree(struct forest_walk *w, size_t tree)
{
    const struct forest *f = w->splits->forest;
    const struct node *n = f->nodes + f->roots[tree];

    while (!node_is_leaf(n))
        n = node_next(n, w->slots);
    w->leaves[tree] = n->threshold;
}

/* Adds the trees in their order from `first` on, where the first one changed. */
static float add_up(struct forest_walk *w, size_t first)
{
    const struct forest *f = w->splits->forest;

    for (size_t tree = first; tree < f->trees; tree++)
        w->before[tree + 1] = w->before[tree] + w->leaves[tree];
    return w->before[f->trees];
}

float forest_walk_begin(struct forest_walk *w, const float *row)
{
    const struct forest *f = w->splits->forest;

    memcpy(w->row, row, f->columns * sizeof *row);
    forest_fill_slots(f, w->row, w->slots);
    w->before[0] = f->base_margin;
    for (size_t tree = 0; tree < f->trees; tree++)
        walk_tree(w, tree);
    return add_up(w, 0);
}

/* The first event above the value. */
static size_t event_above(const struct column *c, float value)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->events[middle].value > value)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void fill_column(struct forest_walk *w, size_t column)
{
    const struct forest *f = w->splits->forest;
    bool has_categories = false;
    float value = w->row[column];

    for (size_t i = 0; i < f->category_count; i++)
        has_categories |= f->categories[i].column == column;
    if (has_categories) {
        forest_fill_slots(f, w->row, w->slots);
        return;
    }
    w->slots[slot_of(column, false)] = isnan(value) ? INFINITY : value;
    w->slots[slot_of(column, true)] = isnan(value) ? -INFINITY : value;
}

float forest_walk_set(struct forest_walk *w, size_t column, float value)
{
    const struct column *c = &w->splits->columns[column];
    bool is_jump = isnan(value) || isnan(w->row[column]);
    float low = fminf(value, w->row[column]), high = fmaxf(value, w->row[column]);
    size_t from = is_jump ? 0 : event_above(c, low), upto = is_jump ? c->count : event_above(c, high);
    size_t first = w->splits->forest->trees;

    w->row[column] = value;
    fill_column(w, column);
    for (size_t i = from; i < upto; i++) {
        walk_tree(w, c->events[i].tree);
        if (c->events[i].tree < first)
            first = c->events[i].tree;
    }
    return add_up(w, first);
}
