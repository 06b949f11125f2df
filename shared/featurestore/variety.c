/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/variety.h"

#include <assert.h>

#include "featurestore/store.h"

/* The table: open addressing, linear probing, entries taken out by shifting back. An entry is there while a
 * cell has its value. */

struct entry {
    uint64_t value;
    int64_t newest; /* key of the newest cell with it */
    uint32_t held;  /* cells with it; 0 marks an empty slot */
    uint32_t in[];  /* by span: cells with it in the window */
};

static size_t entry_bytes(const struct variety *v)
{
    return (sizeof(struct entry) + v->span_count * sizeof(uint32_t) + 7) & ~(size_t)7;
}

static struct entry *entry_at(const struct variety *v, const struct variety_state *state, uint32_t slot)
{
    return (struct entry *)(state->table + slot * entry_bytes(v));
}

static struct entry *entry_find(const struct variety *v, const struct variety_state *state, uint64_t value)
{
    for (uint32_t slot = (uint32_t)value & (state->size - 1); state->size;
         slot = (slot + 1) & (state->size - 1)) {
        struct entry *e = entry_at(v, state, slot);

        if (e->held == 0)
            return NULL;
        if (e->value == value)
            return e;
    }
    return NULL;
}

static struct entry *entry_new(const struct variety *v, const struct variety_state *state, uint64_t value)
{
    uint32_t slot = (uint32_t)value & (state->size - 1);
    struct entry *e;

    while (entry_at(v, state, slot)->held)
        slot = (slot + 1) & (state->size - 1);
    e = entry_at(v, state, slot);
    memset(e, 0, entry_bytes(v));
    e->value = value;
    e->newest = INT64_MIN;
    return e;
}

static void table_resize(const struct variety *v, struct variety_state *state, uint32_t size,
                         struct workshop *w)
{
    struct variety_state old = *state;

    state->size = size;
    state->table = pool_get(&w->pool, size * entry_bytes(v));
    memset(state->table, 0, size * entry_bytes(v));
    for (uint32_t slot = 0; slot < old.size; slot++) {
        const struct entry *e = entry_at(v, &old, slot);

        if (e->held)
            memcpy(entry_new(v, state, e->value), e, entry_bytes(v));
    }
    pool_put(&w->pool, old.table, old.size * entry_bytes(v));
}

static struct entry *entry_get(const struct variety *v, struct variety_state *state, uint64_t value,
                               struct workshop *w)
{
    struct entry *e = entry_find(v, state, value);

    if (e)
        return e;
    if (state->used + 1 > state->size - state->size / 4)
        table_resize(v, state, state->size ? 2 * state->size : 4, w);
    state->used++;
    return entry_new(v, state, value);
}

static void entry_remove(const struct variety *v, struct variety_state *state, struct entry *gone,
                         struct workshop *w)
{
    uint32_t hole = (uint32_t)(((unsigned char *)gone - state->table) / (ptrdiff_t)entry_bytes(v));
    uint32_t slot = hole, mask = state->size - 1;

    for (;;) {
        struct entry *e;

        slot = (slot + 1) & mask;
        e = entry_at(v, state, slot);
        if (e->held == 0)
            break;
        if (((slot - (uint32_t)e->value) & mask) >= ((slot - hole) & mask)) {
            memcpy(entry_at(v, state, hole), e, entry_bytes(v));
            hole = slot;
        }
    }
    entry_at(v, state, hole)->held = 0;
    state->used--;
    if (state->size > 8 && state->used < state->size / 8)
        table_resize(v, state, state->size / 2, w);
}

static const struct variety_cell *pair_at(const struct deque *d, uint32_t i)
{
    return (const struct variety_cell *)d->cells + d->first + i;
}

static void entry_count(const struct variety *v, struct variety_state *state, size_t span,
                        struct variety_cursor *k, uint64_t value, bool is_added)
{
    struct entry *e = entry_find(v, state, value);

    assert(e);
    if (is_added) {
        k->distinct += e->in[span]++ == 0;
    } else {
        k->distinct -= --e->in[span] == 0;
    }
}

void variety_count(const struct variety *v, const struct span *s, unsigned char *large,
                   const struct moment *at, uint64_t current)
{
    struct variety_state *state = (struct variety_state *)(large + v->at);
    struct variety_cursor *k = (struct variety_cursor *)(large + s->at);
    const struct deque *d = &state->deque;
    struct range range = range_of(s, v->is_exact, v->hop, v->hop_us, at);
    size_t span = (size_t)(s - v->spans);

    while (k->to < d->count && pair_at(d, k->to)->key <= range.until)
        entry_count(v, state, span, k, pair_at(d, k->to++)->value, true);
    while (k->from > 0 && pair_at(d, k->from - 1)->key > range.after)
        entry_count(v, state, span, k, pair_at(d, --k->from)->value, true);
    while (k->to > k->from && pair_at(d, k->to - 1)->key > range.until)
        entry_count(v, state, span, k, pair_at(d, --k->to)->value, false);
    while (k->from < k->to && pair_at(d, k->from)->key <= range.after)
        entry_count(v, state, span, k, pair_at(d, k->from++)->value, false);
    if (current) {
        const struct entry *e = entry_find(v, state, current);

        k->has_current = e && e->in[span];
    }
}

static void variety_drop_front(const struct variety *v, unsigned char *large, struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(large + v->at);
    uint64_t value = pair_at(&state->deque, 0)->value;
    struct entry *e = entry_find(v, state, value);

    for (size_t i = 0; i < v->span_count; i++) {
        struct variety_cursor *k = (struct variety_cursor *)(large + v->spans[i].at);

        if (k->from > 0)
            k->from--;
        else if (k->to > 0)
            entry_count(v, state, i, k, value, false);
        if (k->to > 0)
            k->to--;
    }
    deque_drop_front(&state->deque, sizeof(struct variety_cell), w);
    if (--e->held == 0)
        entry_remove(v, state, e, w);
}

static uint32_t pair_after(const struct deque *d, int64_t key)
{
    uint32_t low = 0, high = d->count;

    if (high == 0 || pair_at(d, high - 1)->key <= key)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (pair_at(d, middle)->key <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void variety_insert(const struct variety *v, unsigned char *large, int64_t newest_us,
                    const struct event *event, struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(large + v->at);
    struct deque *d = &state->deque;
    uint64_t value = event->texts[v->text];
    struct variety_cell cell = { v->is_exact ? event->at.at_us : event->at.tiles[v->hop], value };
    int64_t oldest = oldest_key(v->is_exact, v->hop_us, v->hold_us, newest_us);
    struct entry *entry;
    uint32_t i;

    while (d->count && pair_at(d, 0)->key < oldest)
        variety_drop_front(v, large, w);
    if (!is_in_variety(v, event) || cell.key < oldest)
        return;
    i = pair_after(d, cell.key);
    entry = entry_find(v, state, value);
    if (!v->is_exact && entry && entry->newest >= cell.key) { /* a tile has each value once */
        if (entry->newest == cell.key)
            return;
        for (uint32_t k = i; k > 0 && pair_at(d, k - 1)->key == cell.key; k--) {
            if (pair_at(d, k - 1)->value == value)
                return;
        }
    }
    entry = entry_get(v, state, value, w);
    entry->held++;
    if (cell.key > entry->newest)
        entry->newest = cell.key;
    memcpy(deque_insert(d, sizeof cell, i, w), &cell, sizeof cell);
    for (size_t s = 0; s < v->span_count; s++) {
        struct variety_cursor *k = (struct variety_cursor *)(large + v->spans[s].at);

        if (k->from < i && i < k->to)
            entry_count(v, state, s, k, value, true);
        if (i <= k->from)
            k->from++;
        if (i < k->to || k->from > k->to)
            k->to++;
    }
    if (d->count > STORE_CELLS_MAX) {
        variety_drop_front(v, large, w);
        w->capped++;
    }
}

void variety_rebuild(const struct variety *v, unsigned char *large, struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(large + v->at);

    for (uint32_t i = 0; i < state->deque.count; i++) {
        const struct variety_cell *cell = pair_at(&state->deque, i);
        struct entry *e = entry_get(v, state, cell->value, w);

        e->held++;
        e->newest = cell->key;
    }
}

void variety_release(const struct variety *v, unsigned char *large, struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(large + v->at);

    pool_put(&w->pool, state->table, state->size * entry_bytes(v));
    deque_release(&state->deque, sizeof(struct variety_cell), w);
}

bool variety_is_valid(const struct variety *v, const unsigned char *large, int64_t newest_us)
{
    const struct variety_state *state = (const struct variety_state *)(large + v->at);
    int64_t newest = v->is_exact ? newest_us : floor_div(newest_us, v->hop_us);
    int64_t before = oldest_key(v->is_exact, v->hop_us, v->hold_us, newest_us);

    for (uint32_t i = 0; i < state->deque.count; i++) {
        int64_t key = pair_at(&state->deque, i)->key;

        if (key > newest || key < before || pair_at(&state->deque, i)->value == 0)
            return false;
        before = key;
    }
    return true;
}
