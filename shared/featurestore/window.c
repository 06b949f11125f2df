/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/window.h"

#include <assert.h>

#include "base/mem.h"

__extension__ typedef unsigned __int128 u128;

/* A total of no values, and one that must be looked for again. Values are within +-VALUE_MAX, far from both.
 */
#define MIN_EMPTY   INT64_MAX
#define MIN_UNKNOWN INT64_MIN
#define MAX_EMPTY   INT64_MIN
#define MAX_UNKNOWN INT64_MAX

static inline void store_i64(unsigned char *at, int64_t value)
{
    memcpy(at, &value, sizeof value);
}

static inline void store_u64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static inline uint32_t load_u32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline void store_u32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static inline u128 load_u128(const unsigned char *at)
{
    u128 value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline void store_u128(unsigned char *at, u128 value)
{
    memcpy(at, &value, sizeof value);
}

static inline u128 square(int64_t value)
{
    return (u128)((__int128_t)value * value);
}

/* ---- cells in a deque ---- */

static inline unsigned char *cell_at(const struct deque *d, uint32_t cell_bytes, uint32_t i)
{
    return d->cells + (size_t)(d->first + i) * cell_bytes;
}

static void deque_move(struct deque *d, uint32_t cell_bytes, uint32_t room, struct workshop *w)
{
    unsigned char *cells = pool_block_get(&w->pool, (size_t)room * cell_bytes);

    if (d->count)
        memcpy(cells, cell_at(d, cell_bytes, 0), (size_t)d->count * cell_bytes);
    pool_block_put(&w->pool, d->cells, (size_t)d->room * cell_bytes);
    d->cells = cells;
    d->first = 0;
    d->room = room;
}

void deque_reserve(struct deque *d, uint32_t cell_bytes, uint32_t count, struct workshop *w)
{
    if (d->room < count)
        deque_move(d, cell_bytes, count, w);
}

static void deque_release(struct deque *d, uint32_t cell_bytes, struct workshop *w)
{
    pool_block_put(&w->pool, d->cells, (size_t)d->room * cell_bytes);
    w->cells -= d->count;
    *d = (struct deque){ 0 };
}

/* Makes room for one more cell at place `i` and returns it, unset. */
static unsigned char *deque_insert(struct deque *d, uint32_t cell_bytes, uint32_t i, struct workshop *w)
{
    if (d->first + d->count == d->room) {
        if (d->first > 0 && d->first >= d->room / 8) { /* what is moved was paid for by what was dropped */
            memmove(d->cells, cell_at(d, cell_bytes, 0), (size_t)d->count * cell_bytes);
            d->first = 0;
        } else {
            deque_move(d, cell_bytes, d->count + d->count / 8 + 2, w);
        }
    }
    if (i < d->count)
        memmove(cell_at(d, cell_bytes, i + 1), cell_at(d, cell_bytes, i),
                (size_t)(d->count - i) * cell_bytes);
    d->count++;
    w->cells++;
    return cell_at(d, cell_bytes, i);
}

static void deque_drop_front(struct deque *d, uint32_t cell_bytes, struct workshop *w)
{
    d->first++;
    d->count--;
    w->cells--;
    if (d->room > 8 && d->count < d->room / 2)
        deque_move(d, cell_bytes, d->count + d->count / 8 + 2, w);
}

/* Where a window begins and ends, in the track's own time: keys in (after, until] are in it. */
struct range {
    int64_t after, until;
};

static inline struct range range_of(bool is_exact, int64_t hop_us, const struct span *s, int64_t at_us)
{
    int64_t until = at_us - s->delay_us, after = until - s->window_us;

    if (is_exact)
        return (struct range){ after, until };
    until = floor_div(until, hop_us);
    after = s->window_tiles ? until - s->window_tiles : floor_div(after, hop_us);
    return (struct range){ after - 1, until - (s->delay_us > 0) };
}

/* The first key that an entity holds. */
static inline int64_t oldest_key(bool is_exact, int64_t hop_us, int64_t hold_us, const struct entity *e)
{
    int64_t gone_us = e->newest_us - hold_us;

    return is_exact ? gone_us + 1 : floor_div(gone_us, hop_us);
}

/* ---- tracks ---- */

static inline int64_t key_of(const struct track *t, const unsigned char *cell)
{
    return t->is_exact ? load_i64(cell) : (int32_t)load_u32(cell);
}

static inline int64_t key_at(const struct track *t, int64_t at_us)
{
    return t->is_exact ? at_us : floor_div(at_us, t->hop_us);
}

static inline bool is_counted(const struct column *c, const unsigned char *cell)
{
    return (load_u32(cell + 12) & c->mask) == c->mask;
}

static inline uint64_t cell_count(const struct track *t, const struct column *c, const unsigned char *cell)
{
    return t->is_exact ? is_counted(c, cell) : load_u32(cell + c->cell_at);
}

static inline int64_t cell_sum(const struct track *t, const struct column *c, const unsigned char *cell)
{
    if (!t->is_exact)
        return load_i64(cell + c->cell_at);
    return is_counted(c, cell) ? load_i64(cell + c->value_at) : 0;
}

static inline u128 cell_squares(const struct track *t, const struct column *c, const unsigned char *cell)
{
    if (!t->is_exact)
        return load_u128(cell + c->cell_at);
    return is_counted(c, cell) ? square(load_i64(cell + c->value_at)) : 0;
}

static inline int64_t cell_best(const struct track *t, const struct column *c, const unsigned char *cell)
{
    if (!t->is_exact)
        return load_i64(cell + c->cell_at);
    return is_counted(c, cell) ? load_i64(cell + c->value_at) : c->op == OP_MIN ? MIN_EMPTY : MAX_EMPTY;
}

/* Adds one cell to a span's totals. */
static void totals_add(const struct track *t, const struct span *s, unsigned char *large,
                       const unsigned char *cell)
{
    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = large + r->at;
        int64_t value;

        switch (c->op) {
        case OP_COUNT:
        case OP_FRAUD:
            store_u64(total, load_u64(total) + cell_count(t, c, cell));
            break;
        case OP_SUM:
            store_u64(total, load_u64(total) + (uint64_t)cell_sum(t, c, cell));
            break;
        case OP_SQUARES:
            store_u128(total, load_u128(total) + cell_squares(t, c, cell));
            break;
        case OP_MIN:
            value = cell_best(t, c, cell);
            if (value < load_i64(total)) /* an unknown stays one: nothing is below it */
                store_i64(total, value);
            break;
        case OP_MAX:
            value = cell_best(t, c, cell);
            if (value > load_i64(total))
                store_i64(total, value);
            break;
        case OP_FIRST:
            break;
        }
    }
}

/* Takes one cell back. */
static void totals_take(const struct track *t, const struct span *s, unsigned char *large,
                        const unsigned char *cell)
{
    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = large + r->at;
        int64_t value;

        switch (c->op) {
        case OP_COUNT:
        case OP_FRAUD:
            store_u64(total, load_u64(total) - cell_count(t, c, cell));
            break;
        case OP_SUM:
            store_u64(total, load_u64(total) - (uint64_t)cell_sum(t, c, cell));
            break;
        case OP_SQUARES:
            store_u128(total, load_u128(total) - cell_squares(t, c, cell));
            break;
        case OP_MIN:
            value = cell_best(t, c, cell);
            if (value != MIN_EMPTY && value == load_i64(total))
                store_i64(total, MIN_UNKNOWN);
            break;
        case OP_MAX:
            value = cell_best(t, c, cell);
            if (value != MAX_EMPTY && value == load_i64(total))
                store_i64(total, MAX_UNKNOWN);
            break;
        case OP_FIRST:
            break;
        }
    }
}

/* Looks again for the least and greatest that were taken back. */
static void totals_settle(const struct track *t, const struct span *s, unsigned char *large)
{
    const struct deque *d = (const struct deque *)(large + t->at);
    const struct cursor *k = (const struct cursor *)(large + s->at);

    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = large + r->at;
        int64_t best;

        if (c->op == OP_MIN && load_i64(total) == MIN_UNKNOWN) {
            best = MIN_EMPTY;
            for (uint32_t i = k->from; i < k->to; i++) {
                int64_t value = cell_best(t, c, cell_at(d, t->cell_bytes, i));

                best = value < best ? value : best;
            }
            store_i64(total, best);
        } else if (c->op == OP_MAX && load_i64(total) == MAX_UNKNOWN) {
            best = MAX_EMPTY;
            for (uint32_t i = k->from; i < k->to; i++) {
                int64_t value = cell_best(t, c, cell_at(d, t->cell_bytes, i));

                best = value > best ? value : best;
            }
            store_i64(total, best);
        }
    }
}

static void span_move(const struct track *t, const struct span *s, unsigned char *large, int64_t at_us)
{
    const struct deque *d = (const struct deque *)(large + t->at);
    struct cursor *k = (struct cursor *)(large + s->at);
    struct range range = range_of(t->is_exact, t->hop_us, s, at_us);
    const uint32_t bytes = t->cell_bytes;

    while (k->to < d->count && key_of(t, cell_at(d, bytes, k->to)) <= range.until)
        totals_add(t, s, large, cell_at(d, bytes, k->to++));
    while (k->from > 0 && key_of(t, cell_at(d, bytes, k->from - 1)) > range.after)
        totals_add(t, s, large, cell_at(d, bytes, --k->from));
    while (k->to > k->from && key_of(t, cell_at(d, bytes, k->to - 1)) > range.until)
        totals_take(t, s, large, cell_at(d, bytes, --k->to));
    while (k->from < k->to && key_of(t, cell_at(d, bytes, k->from)) <= range.after)
        totals_take(t, s, large, cell_at(d, bytes, k->from++));
    totals_settle(t, s, large);
}

static void track_drop_front(const struct track *t, unsigned char *large, struct workshop *w)
{
    struct deque *d = (struct deque *)(large + t->at);

    for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
        struct cursor *k = (struct cursor *)(large + s->at);

        if (k->from > 0)
            k->from--;
        else if (k->to > 0)
            totals_take(t, s, large, cell_at(d, t->cell_bytes, 0));
        if (k->to > 0)
            k->to--;
    }
    deque_drop_front(d, t->cell_bytes, w);
}

static bool holds(const struct event *event, const struct column *c)
{
    return (c->condition == NONE || event->holds[c->condition]) && (c->value == NONE || event->has[c->value]);
}

/* The event as a cell of its own. */
static void event_write(const struct event_layout *l, bool has_fraud, unsigned char *cell,
                        const struct event *event)
{
    uint32_t flags = event->is_fraud && has_fraud ? FLAG_FRAUD : 0;
    unsigned char *at = cell + EVENT_BYTES;

    for (size_t i = 0; i < l->flag_count; i++) {
        const struct flag *f = &l->flags[i];

        if (f->condition != NONE ? event->holds[f->condition] : event->has[f->value])
            flags |= 1u << i;
    }
    store_i64(cell, event->at_us);
    store_u32(cell + 8, event->number);
    store_u32(cell + 12, flags);
    for (size_t i = 0; i < l->value_count; i++, at += 8)
        store_i64(at, event->has[l->values[i]] ? event->values[l->values[i]] : 0);
    for (size_t i = 0; i < l->text_count; i++, at += 8)
        store_u64(at, event->texts[l->texts[i]]);
}

/* What the event alone would be as a cell of the track. */
static void cell_make(const struct track *t, unsigned char *cell, const struct event *event)
{
    if (t->is_exact) {
        event_write(&t->events, t->has_fraud, cell, event);
        return;
    }
    memset(cell, 0, t->cell_bytes);
    store_u32(cell, (uint32_t)(int32_t)floor_div(event->at_us, t->hop_us));
    for (const struct column *c = t->columns; c < t->columns + t->column_count; c++) {
        bool is_in = holds(event, c);
        int64_t value = is_in && c->value != NONE ? event->values[c->value] : 0;

        switch (c->op) {
        case OP_COUNT:
            store_u32(cell + c->cell_at, is_in);
            break;
        case OP_FRAUD:
            store_u32(cell + c->cell_at, is_in && event->is_fraud);
            break;
        case OP_SUM:
            store_i64(cell + c->cell_at, value);
            break;
        case OP_SQUARES:
            store_u128(cell + c->cell_at, square(value));
            break;
        case OP_MIN:
            store_i64(cell + c->cell_at, is_in ? value : MIN_EMPTY);
            break;
        case OP_MAX:
            store_i64(cell + c->cell_at, is_in ? value : MAX_EMPTY);
            break;
        case OP_FIRST:
            break;
        }
    }
}

/* Adds a tile of one event to the tile of its time. */
static void cell_merge(const struct track *t, unsigned char *tile, const unsigned char *one)
{
    for (const struct column *c = t->columns; c < t->columns + t->column_count; c++) {
        unsigned char *total = tile + c->cell_at;
        const unsigned char *add = one + c->cell_at;

        switch (c->op) {
        case OP_COUNT:
        case OP_FRAUD:
            store_u32(total, load_u32(total) + load_u32(add));
            break;
        case OP_SUM:
            store_u64(total, load_u64(total) + load_u64(add));
            break;
        case OP_SQUARES:
            store_u128(total, load_u128(total) + load_u128(add));
            break;
        case OP_MIN:
            if (load_i64(add) < load_i64(total))
                store_i64(total, load_i64(add));
            break;
        case OP_MAX:
            if (load_i64(add) > load_i64(total))
                store_i64(total, load_i64(add));
            break;
        case OP_FIRST:
            break;
        }
    }
}

/* The first place whose key is greater than `key`. Events mostly come in order, so it looks from the end. */
static uint32_t place_after(const struct track *t, const struct deque *d, int64_t key)
{
    uint32_t low = 0, high = d->count;

    if (high == 0 || key_of(t, cell_at(d, t->cell_bytes, high - 1)) <= key)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (key_of(t, cell_at(d, t->cell_bytes, middle)) <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void track_insert(const struct track *t, const struct entity *e, const struct event *event,
                         struct workshop *w)
{
    unsigned char *large = e->large;
    struct deque *d = (struct deque *)(large + t->at);
    int64_t key = key_at(t, event->at_us);
    int64_t oldest = oldest_key(t->is_exact, t->hop_us, t->hold_us, e);
    uint32_t i;

    while (d->count && key_of(t, cell_at(d, t->cell_bytes, 0)) < oldest)
        track_drop_front(t, large, w);
    if (key < oldest)
        return;
    cell_make(t, w->scratch, event);
    i = place_after(t, d, key);
    if (!t->is_exact && i > 0 && key_of(t, cell_at(d, t->cell_bytes, i - 1)) == key) {
        i--;
        cell_merge(t, cell_at(d, t->cell_bytes, i), w->scratch);
        for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
            const struct cursor *k = (const struct cursor *)(large + s->at);

            if (k->from <= i && i < k->to)
                totals_add(t, s, large, w->scratch);
        }
        return;
    }
    memcpy(deque_insert(d, t->cell_bytes, i, w), w->scratch, t->cell_bytes);
    for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
        struct cursor *k = (struct cursor *)(large + s->at);

        if (k->from < i && i < k->to)
            totals_add(t, s, large, w->scratch);
        if (i <= k->from)
            k->from++;
        if (i < k->to || k->from > k->to)
            k->to++;
    }
    if (d->count > STORE_CELLS_MAX) {
        track_drop_front(t, large, w);
        w->capped++;
    }
}

static void track_label(const struct plan *p, const struct track *t, unsigned char *large, int64_t at_us,
                        uint32_t number, uint64_t bits, int change)
{
    struct deque *d = (struct deque *)(large + t->at);
    int64_t key = key_at(t, at_us);
    uint32_t i = place_after(t, d, key);
    unsigned char *cell = NULL;

    while (i > 0 && key_of(t, cell_at(d, t->cell_bytes, i - 1)) == key) {
        cell = cell_at(d, t->cell_bytes, --i);
        if (!t->is_exact || load_u32(cell + 8) == number)
            break;
        cell = NULL;
    }
    if (!cell)
        return; /* not held any more */
    for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
        const struct cursor *k = (const struct cursor *)(large + s->at);

        if (!(k->from <= i && i < k->to))
            continue;
        for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
            const struct column *c = &t->columns[r->column];
            int bit = c->condition == NONE ? NONE : p->conditions[c->condition].fraud_bit;

            if (c->op == OP_FRAUD && (bit == NONE || (bits >> bit & 1)))
                store_u64(large + r->at, load_u64(large + r->at) + (uint64_t)(int64_t)change);
        }
    }
    if (t->is_exact) {
        store_u32(cell + 12,
                  change > 0 ? load_u32(cell + 12) | FLAG_FRAUD : load_u32(cell + 12) & ~FLAG_FRAUD);
        return;
    }
    for (const struct column *c = t->columns; c < t->columns + t->column_count; c++) {
        int bit = c->condition == NONE ? NONE : p->conditions[c->condition].fraud_bit;

        if (c->op == OP_FRAUD && (bit == NONE || (bits >> bit & 1)))
            store_u32(cell + c->cell_at, load_u32(cell + c->cell_at) + (uint32_t)change);
    }
}

/* ---- varieties ----
 * The table: open addressing, linear probing, entries taken out by shifting back. An entry is there while a
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
    state->table = pool_block_get(&w->pool, size * entry_bytes(v));
    memset(state->table, 0, size * entry_bytes(v));
    for (uint32_t slot = 0; slot < old.size; slot++) {
        const struct entry *e = entry_at(v, &old, slot);

        if (e->held)
            memcpy(entry_new(v, state, e->value), e, entry_bytes(v));
    }
    pool_block_put(&w->pool, old.table, old.size * entry_bytes(v));
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

static void variety_count(const struct variety *v, struct variety_state *state, size_t span,
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

static void variety_move(const struct variety *v, const struct span *s, unsigned char *large, int64_t at_us,
                         uint64_t current)
{
    struct variety_state *state = (struct variety_state *)(large + v->at);
    struct variety_cursor *k = (struct variety_cursor *)(large + s->at);
    const struct deque *d = &state->deque;
    struct range range = range_of(v->is_exact, v->hop_us, s, at_us);
    size_t span = (size_t)(s - v->spans);

    while (k->to < d->count && pair_at(d, k->to)->key <= range.until)
        variety_count(v, state, span, k, pair_at(d, k->to++)->value, true);
    while (k->from > 0 && pair_at(d, k->from - 1)->key > range.after)
        variety_count(v, state, span, k, pair_at(d, --k->from)->value, true);
    while (k->to > k->from && pair_at(d, k->to - 1)->key > range.until)
        variety_count(v, state, span, k, pair_at(d, --k->to)->value, false);
    while (k->from < k->to && pair_at(d, k->from)->key <= range.after)
        variety_count(v, state, span, k, pair_at(d, k->from++)->value, false);
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
            variety_count(v, state, i, k, value, false);
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

/* Drops what the entity does not hold any more, since it has newer events. */
static void variety_trim(const struct variety *v, const struct entity *e, struct workshop *w)
{
    const struct deque *d = &((const struct variety_state *)(e->large + v->at))->deque;
    int64_t oldest = oldest_key(v->is_exact, v->hop_us, v->hold_us, e);

    while (d->count && pair_at(d, 0)->key < oldest)
        variety_drop_front(v, e->large, w);
}

static void variety_insert(const struct variety *v, const struct entity *e, int64_t at_us, uint64_t value,
                           struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(e->large + v->at);
    struct deque *d = &state->deque;
    struct variety_cell cell = { v->is_exact ? at_us : floor_div(at_us, v->hop_us), value };
    struct entry *entry;
    uint32_t i;

    if (cell.key < oldest_key(v->is_exact, v->hop_us, v->hold_us, e))
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
        struct variety_cursor *k = (struct variety_cursor *)(e->large + v->spans[s].at);

        if (k->from < i && i < k->to)
            variety_count(v, state, s, k, value, true);
        if (i <= k->from)
            k->from++;
        if (i < k->to || k->from > k->to)
            k->to++;
    }
    if (d->count > STORE_CELLS_MAX) {
        variety_drop_front(v, e->large, w);
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

/* ---- the last few ---- */

size_t recent_bytes(const struct recent *r)
{
    return sizeof(uint64_t) + RECENT_MAX * sizeof(int64_t) * (r->has_place ? 3 : 1);
}

static unsigned char *recent_row(const struct recent *r, const unsigned char *block, int row)
{
    return (unsigned char *)block + r->at + sizeof(uint64_t) + (size_t)row * RECENT_MAX * sizeof(int64_t);
}

bool recent_find(const struct recent *r, const unsigned char *block, int64_t at_us, struct place *out)
{
    uint64_t count = load_u64(block + r->at);
    const unsigned char *times = recent_row(r, block, 0);

    for (uint64_t i = count; i-- > 0;) {
        out->at_us = load_i64(times + 8 * i);
        if (out->at_us > at_us)
            continue;
        if (r->has_place) {
            memcpy(&out->lat, recent_row(r, block, 1) + 8 * i, sizeof out->lat);
            memcpy(&out->lon, recent_row(r, block, 2) + 8 * i, sizeof out->lon);
        }
        return true;
    }
    return false;
}

static void row_insert(unsigned char *row, uint64_t count, uint64_t i, const void *value)
{
    if (count == RECENT_MAX) { /* the oldest gives way; `i` counts without it */
        memmove(row, row + 8, 8 * i);
    } else {
        memmove(row + 8 * (i + 1), row + 8 * i, 8 * (count - i));
    }
    memcpy(row + 8 * i, value, 8);
}

void recent_insert(const struct recent *r, unsigned char *block, const struct place *place)
{
    uint64_t count = load_u64(block + r->at), i = count;
    const unsigned char *times = recent_row(r, block, 0);

    while (i > 0 && load_i64(times + 8 * (i - 1)) > place->at_us)
        i--;
    if (count == RECENT_MAX && i-- == 0)
        return; /* older than all that are kept */
    row_insert(recent_row(r, block, 0), count, i, &place->at_us);
    if (r->has_place) {
        row_insert(recent_row(r, block, 1), count, i, &place->lat);
        row_insert(recent_row(r, block, 2), count, i, &place->lon);
    }
    if (count < RECENT_MAX)
        store_u64(block + r->at, count + 1);
}

/* ---- whole blocks ---- */

void lifetime_add(const struct lifetime *l, unsigned char *block, const struct event *event)
{
    const struct column *c = &l->column;
    unsigned char *total = block + l->at;
    int64_t value = c->op == OP_FIRST ? event->at_us : c->value == NONE ? 0 : event->values[c->value];

    if (!holds(event, c))
        return;
    switch (c->op) {
    case OP_COUNT:
        store_u64(total, load_u64(total) + 1);
        break;
    case OP_SUM:
        store_u64(total, load_u64(total) + (uint64_t)value);
        break;
    case OP_SQUARES:
        store_u128(total, load_u128(total) + square(value));
        break;
    case OP_MIN:
    case OP_FIRST:
        if (value < load_i64(total))
            store_i64(total, value);
        break;
    case OP_MAX:
        if (value > load_i64(total))
            store_i64(total, value);
        break;
    case OP_FRAUD:
        break;
    }
}

static void total_init(enum op op, unsigned char *total)
{
    if (op == OP_MIN || op == OP_FIRST)
        store_i64(total, MIN_EMPTY);
    else if (op == OP_MAX)
        store_i64(total, MAX_EMPTY);
}

void large_init(const struct entity_layout *l, unsigned char *large)
{
    memset(large, 0, l->large_bytes);
    for (const struct track *t = l->tracks; t < l->tracks + l->track_count; t++) {
        for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
            for (const struct run *r = s->runs; r < s->runs + s->run_count; r++)
                total_init(t->columns[r->column].op, large + r->at);
        }
    }
}

void entity_init(const struct entity_layout *l, struct entity *e)
{
    unsigned char *block = (unsigned char *)e;

    e->newest_us = NEVER_US;
    e->large = NULL;
    e->events = (struct deque){ 0 };
    memset(block + sizeof *e, 0, l->bytes - sizeof *e);
    for (const struct lifetime *t = l->lifetimes; t < l->lifetimes + l->lifetime_count; t++)
        total_init(t->column.op, block + t->at);
}

void entity_clear(const struct entity_layout *l, struct entity *e, struct workshop *w)
{
    deque_release(&e->events, l->events.cell_bytes, w);
    for (const struct track *t = l->tracks; e->large && t < l->tracks + l->track_count; t++)
        deque_release((struct deque *)(e->large + t->at), t->cell_bytes, w);
    for (const struct variety *v = l->varieties; e->large && v < l->varieties + l->variety_count; v++) {
        struct variety_state *state = (struct variety_state *)(e->large + v->at);

        pool_block_put(&w->pool, state->table, state->size * entry_bytes(v));
        deque_release(&state->deque, sizeof(struct variety_cell), w);
    }
    pool_put(&w->pool, e->large, l->large_bytes);
    entity_init(l, e);
}

/* ---- small entities ---- */

static inline const unsigned char *event_at(const struct entity_layout *l, const struct entity *e, uint32_t i)
{
    return cell_at(&e->events, l->events.cell_bytes, i);
}

/* The first event after a time. Where that lies cannot be guessed, so it is found without branches. */
static uint32_t event_after(const struct entity_layout *l, const struct entity *e, int64_t at_us)
{
    const uint32_t bytes = l->events.cell_bytes;
    uint32_t count = e->events.count, low = 0;
    const unsigned char *first = count ? event_at(l, e, 0) : NULL;

    if (count == 0 || load_i64(first + (size_t)(count - 1) * bytes) <= at_us)
        return count;
    while (count > 1) {
        uint32_t half = count / 2;

        low += half & -(uint32_t)(load_i64(first + (size_t)(low + half - 1) * bytes) <= at_us);
        count -= half;
    }
    return low + (load_i64(first + (size_t)low * bytes) <= at_us);
}

/* The events of a window, of those that the track or variety would hold. */
static struct cursor events_in(const struct entity_layout *l, const struct entity *e, bool is_exact,
                               int64_t hop_us, int64_t hold_us, const struct span *s, int64_t at_us)
{
    struct range range = range_of(is_exact, hop_us, s, at_us);

    if (at_us < e->newest_us) { /* else the window begins after what is held */
        int64_t gone = oldest_key(is_exact, hop_us, hold_us, e) - 1;

        if (range.after < gone)
            range.after = gone;
    }
    if (!is_exact) { /* the last microsecond of the tile */
        range.after = (range.after + 1) * hop_us - 1;
        range.until = (range.until + 1) * hop_us - 1;
    }
    if (range.until <= range.after || e->events.count == 0)
        return (struct cursor){ 0 };
    return (struct cursor){ event_after(l, e, range.after), event_after(l, e, range.until) };
}

static void events_count(const struct entity_layout *l, const struct entity *e, const struct column *c,
                         struct cursor k, unsigned char *total)
{
    const uint32_t bytes = l->events.cell_bytes, mask = c->small_mask, at = c->small_value_at;
    const unsigned char *cell = k.from < k.to ? event_at(l, e, k.from) : NULL;
    int64_t best;
    uint64_t sum = 0;
    u128 squares = 0;

    switch (c->op) {
    case OP_COUNT:
    case OP_FRAUD:
        if (mask == 0)
            sum = k.to - k.from;
        for (uint32_t i = k.from; mask && i < k.to; i++, cell += bytes)
            sum += (load_u32(cell + 12) & mask) == mask;
        store_u64(total, sum);
        break;
    case OP_SUM:
        for (uint32_t i = k.from; i < k.to; i++, cell += bytes)
            sum += (load_u32(cell + 12) & mask) == mask ? load_u64(cell + at) : 0;
        store_u64(total, sum);
        break;
    case OP_SQUARES:
        for (uint32_t i = k.from; i < k.to; i++, cell += bytes)
            squares += (load_u32(cell + 12) & mask) == mask ? square(load_i64(cell + at)) : 0;
        store_u128(total, squares);
        break;
    case OP_MIN:
        best = MIN_EMPTY;
        for (uint32_t i = k.from; i < k.to; i++, cell += bytes) {
            if ((load_u32(cell + 12) & mask) == mask && load_i64(cell + at) < best)
                best = load_i64(cell + at);
        }
        store_i64(total, best);
        break;
    case OP_MAX:
        best = MAX_EMPTY;
        for (uint32_t i = k.from; i < k.to; i++, cell += bytes) {
            if ((load_u32(cell + 12) & mask) == mask && load_i64(cell + at) > best)
                best = load_i64(cell + at);
        }
        store_i64(total, best);
        break;
    case OP_FIRST:
        break;
    }
}

static void events_count_distinct(const struct entity_layout *l, const struct entity *e,
                                  const struct variety *v, struct cursor range, struct variety_cursor *out,
                                  uint64_t current)
{
    uint64_t seen[SMALL_MAX];
    uint8_t slots[256] = { 0 }; /* of a hash table: one more than the place in `seen` */
    uint32_t count = 0;

    static_assert(SMALL_MAX < 128, "the table stays half empty");
    out->has_current = false;
    for (uint32_t i = range.from; i < range.to; i++) {
        const unsigned char *cell = event_at(l, e, i);
        uint64_t text = load_u64(cell + v->small_text_at);
        uint8_t slot = (uint8_t)text;

        if (!text || (load_u32(cell + 12) & v->small_mask) != v->small_mask)
            continue;
        while (slots[slot] && seen[slots[slot] - 1] != text)
            slot++;
        if (slots[slot])
            continue;
        seen[count++] = text;
        slots[slot] = (uint8_t)count;
        out->has_current |= text == current;
    }
    out->distinct = count;
}

/* ---- entities ---- */

void entity_count(const struct track *t, const struct span *s, const struct entity_layout *l,
                  const struct entity *e, unsigned char *view, int64_t at_us)
{
    struct cursor k;

    if (e->large) {
        span_move(t, s, e->large, at_us);
        return;
    }
    k = events_in(l, e, t->is_exact, t->hop_us, t->hold_us, s, at_us);
    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++)
        events_count(l, e, &t->columns[r->column], k, view + r->at);
}

void entity_count_distinct(const struct variety *v, const struct span *s, const struct entity_layout *l,
                           const struct entity *e, unsigned char *view, int64_t at_us, uint64_t current)
{
    if (e->large)
        variety_move(v, s, e->large, at_us, current);
    else
        events_count_distinct(l, e, v, events_in(l, e, v->is_exact, v->hop_us, v->hold_us, s, at_us),
                              (struct variety_cursor *)(view + s->at), current);
}

static bool is_in_variety(const struct variety *v, const struct event *event)
{
    return (v->condition == NONE || event->holds[v->condition]) && event->texts[v->text];
}

static void large_insert(const struct entity_layout *l, const struct entity *e, const struct event *event,
                         struct workshop *w)
{
    for (const struct track *t = l->tracks; t < l->tracks + l->track_count; t++)
        track_insert(t, e, event, w);
    for (const struct variety *v = l->varieties; v < l->varieties + l->variety_count; v++) {
        variety_trim(v, e, w);
        if (is_in_variety(v, event))
            variety_insert(v, e, event->at_us, event->texts[v->text], w);
    }
}

void entity_enlarge(const struct entity_layout *l, struct entity *e, struct workshop *w)
{
    e->large = pool_get(&w->pool, l->large_bytes);
    large_init(l, e->large);
}

/* Gives a small entity its tracks, and them its events. */
static void grow(const struct entity_layout *l, struct entity *e, struct workshop *w)
{
    struct event event = { .holds = w->holds, .values = w->values, .has = w->has, .texts = w->texts };

    entity_enlarge(l, e, w);
    for (uint32_t i = 0; i < e->events.count; i++) {
        const unsigned char *cell = event_at(l, e, i), *at = cell + EVENT_BYTES;
        uint32_t flags = load_u32(cell + 12);

        event.at_us = load_i64(cell);
        event.number = load_u32(cell + 8);
        event.is_fraud = flags & FLAG_FRAUD;
        for (size_t k = 0; k < l->events.flag_count; k++) {
            const struct flag *f = &l->events.flags[k];

            *(f->condition != NONE ? &w->holds[f->condition] : &w->has[f->value]) = flags >> k & 1;
        }
        for (size_t k = 0; k < l->events.value_count; k++, at += 8)
            w->values[l->events.values[k]] = load_i64(at);
        for (size_t k = 0; k < l->events.text_count; k++, at += 8)
            w->texts[l->events.texts[k]] = load_u64(at);
        large_insert(l, e, &event, w);
    }
    deque_release(&e->events, l->events.cell_bytes, w);
}

/* Whether every window that wants the event still holds its time. */
static bool is_in_time(const struct entity_layout *l, const struct entity *e, const struct event *event)
{
    for (const struct track *t = l->tracks; t < l->tracks + l->track_count; t++) {
        if (key_at(t, event->at_us) < oldest_key(t->is_exact, t->hop_us, t->hold_us, e))
            return false;
    }
    for (const struct variety *v = l->varieties; v < l->varieties + l->variety_count; v++) {
        int64_t key = v->is_exact ? event->at_us : floor_div(event->at_us, v->hop_us);

        if (is_in_variety(v, event) && key < oldest_key(v->is_exact, v->hop_us, v->hold_us, e))
            return false;
    }
    return true;
}

bool entity_insert(const struct entity_layout *l, struct entity *e, const struct event *event,
                   struct workshop *w)
{
    int64_t gone_us = e->newest_us - l->small_hold_us;

    if (!l->track_count && !l->variety_count)
        return true;
    while (e->events.count && load_i64(event_at(l, e, 0)) <= gone_us)
        deque_drop_front(&e->events, l->events.cell_bytes, w);
    if (!e->large && !l->is_small_first)
        entity_enlarge(l, e, w);
    if (e->events.count == SMALL_MAX)
        grow(l, e, w);
    if (e->large)
        large_insert(l, e, event, w);
    else if (event->at_us > gone_us)
        event_write(&l->events, l->has_fraud,
                    deque_insert(&e->events, l->events.cell_bytes, event_after(l, e, event->at_us), w),
                    event);
    return is_in_time(l, e, event);
}

void entity_label(const struct plan *p, struct entity *e, int64_t at_us, uint32_t number, uint64_t bits,
                  int change)
{
    const struct entity_layout *l = &p->entities[e->type];

    for (const struct track *t = l->tracks; e->large && t < l->tracks + l->track_count; t++) {
        if (t->has_fraud)
            track_label(p, t, e->large, at_us, number, bits, change);
    }
    for (uint32_t i = event_after(l, e, at_us); i > 0 && load_i64(event_at(l, e, i - 1)) == at_us; i--) {
        unsigned char *cell = cell_at(&e->events, l->events.cell_bytes, i - 1);

        if (load_u32(cell + 8) == number)
            store_u32(cell + 12,
                      change > 0 ? load_u32(cell + 12) | FLAG_FRAUD : load_u32(cell + 12) & ~FLAG_FRAUD);
    }
}

size_t lifetime_bytes(const struct lifetime *l)
{
    return l->column.op == OP_SQUARES ? 16 : 8;
}

/* ---- what a snapshot may say ---- */

static bool is_best(int64_t best, enum op op)
{
    return (best >= -VALUE_MAX && best <= VALUE_MAX) || best == (op == OP_MIN ? MIN_EMPTY : MAX_EMPTY);
}

static bool event_is_valid(const struct event_layout *l, bool has_fraud, const unsigned char *cell)
{
    uint32_t known = (l->flag_count ? UINT32_MAX >> (32 - l->flag_count) : 0) | (has_fraud ? FLAG_FRAUD : 0);

    for (size_t i = 0; i < l->value_count; i++) {
        int64_t value = load_i64(cell + EVENT_BYTES + 8 * i);

        if (value < -VALUE_MAX || value > VALUE_MAX)
            return false;
    }
    return !(load_u32(cell + 12) & ~known);
}

bool events_are_valid(const struct entity_layout *l, const struct entity *e)
{
    int64_t before = e->newest_us - l->small_hold_us + 1;

    for (uint32_t i = 0; i < e->events.count; i++) {
        int64_t at_us = load_i64(event_at(l, e, i));

        if (at_us < before || at_us > e->newest_us ||
            !event_is_valid(&l->events, l->has_fraud, event_at(l, e, i)))
            return false;
        before = at_us;
    }
    return e->events.count <= SMALL_MAX && (e->events.count == 0 || l->is_small_first);
}

static bool cell_is_valid(const struct track *t, const unsigned char *cell)
{
    if (t->is_exact)
        return event_is_valid(&t->events, t->has_fraud, cell);
    for (const struct column *c = t->columns; c < t->columns + t->column_count; c++) {
        if ((c->op == OP_MIN || c->op == OP_MAX) && !is_best(load_i64(cell + c->cell_at), c->op))
            return false;
    }
    return true;
}

bool track_is_valid(const struct track *t, const struct entity *e)
{
    const struct deque *d = (const struct deque *)(e->large + t->at);
    int64_t newest = key_at(t, e->newest_us), before = oldest_key(t->is_exact, t->hop_us, t->hold_us, e) - 1;

    for (uint32_t i = 0; i < d->count; i++) {
        const unsigned char *cell = cell_at(d, t->cell_bytes, i);
        int64_t key = key_of(t, cell);

        if (key > newest || key < before || (key == before && (i == 0 || !t->is_exact)) ||
            !cell_is_valid(t, cell))
            return false;
        before = key;
    }
    return true;
}

bool variety_is_valid(const struct variety *v, const struct entity *e)
{
    const struct variety_state *state = (const struct variety_state *)(e->large + v->at);
    int64_t newest = v->is_exact ? e->newest_us : floor_div(e->newest_us, v->hop_us);
    int64_t before = oldest_key(v->is_exact, v->hop_us, v->hold_us, e);

    for (uint32_t i = 0; i < state->deque.count; i++) {
        int64_t key = pair_at(&state->deque, i)->key;

        if (key > newest || key < before || pair_at(&state->deque, i)->value == 0)
            return false;
        before = key;
    }
    return true;
}

bool recent_is_valid(const struct recent *r, const struct entity *e)
{
    const unsigned char *block = (const unsigned char *)e;
    uint64_t count = load_u64(block + r->at);
    int64_t before = INT64_MIN;

    for (uint64_t i = 0; i < count && count <= RECENT_MAX; i++) {
        int64_t at_us = load_i64(recent_row(r, block, 0) + 8 * i);

        if (at_us < before || at_us > e->newest_us)
            return false;
        before = at_us;
    }
    return count <= RECENT_MAX;
}
