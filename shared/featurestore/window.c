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
    size_t bytes = pool_round((size_t)room * cell_bytes);
    unsigned char *cells = pool_get(&w->pool, bytes);

    if (d->count)
        memcpy(cells, cell_at(d, cell_bytes, 0), (size_t)d->count * cell_bytes);
    pool_put(&w->pool, d->cells, pool_round((size_t)d->room * cell_bytes));
    d->cells = cells;
    d->first = 0;
    d->room = (uint32_t)(bytes / cell_bytes);
}

/* A block is described by its room alone: the room that fills a pool block rounds to that block again. */
void deque_reserve(struct deque *d, uint32_t cell_bytes, uint32_t count, struct workshop *w)
{
    if (d->room < count)
        deque_move(d, cell_bytes, count, w);
}

static void deque_release(struct deque *d, uint32_t cell_bytes, struct workshop *w)
{
    pool_put(&w->pool, d->cells, pool_round((size_t)d->room * cell_bytes));
    w->cells -= d->count;
    *d = (struct deque){ 0 };
}

/* Makes room for one more cell at place `i` and returns it, unset. */
static unsigned char *deque_insert(struct deque *d, uint32_t cell_bytes, uint32_t i, struct workshop *w)
{
    if (d->first + d->count == d->room) {
        if (d->first >= 4 && d->first >= d->room / 4) {
            memmove(d->cells, cell_at(d, cell_bytes, 0), (size_t)d->count * cell_bytes);
            d->first = 0;
        } else {
            deque_move(d, cell_bytes, d->count + d->count / 2 + 2, w);
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
    if (d->room > 16 && d->count < d->room / 4)
        deque_move(d, cell_bytes, d->count + d->count / 2 + 2, w);
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
    return (struct range){ floor_div(after, hop_us) - 1, floor_div(until, hop_us) - (s->delay_us > 0) };
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
static void totals_add(const struct track *t, const struct span *s, unsigned char *block,
                       const unsigned char *cell)
{
    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = block + r->at;
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
static void totals_take(const struct track *t, const struct span *s, unsigned char *block,
                        const unsigned char *cell)
{
    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = block + r->at;
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
static void totals_settle(const struct track *t, const struct span *s, unsigned char *block)
{
    const struct deque *d = (const struct deque *)(block + t->at);
    const struct cursor *k = (const struct cursor *)(block + s->at);

    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = block + r->at;
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

void span_move(const struct track *t, const struct span *s, unsigned char *block, int64_t at_us)
{
    const struct deque *d = (const struct deque *)(block + t->at);
    struct cursor *k = (struct cursor *)(block + s->at);
    struct range range = range_of(t->is_exact, t->hop_us, s, at_us);
    const uint32_t bytes = t->cell_bytes;

    while (k->to < d->count && key_of(t, cell_at(d, bytes, k->to)) <= range.until)
        totals_add(t, s, block, cell_at(d, bytes, k->to++));
    while (k->from > 0 && key_of(t, cell_at(d, bytes, k->from - 1)) > range.after)
        totals_add(t, s, block, cell_at(d, bytes, --k->from));
    while (k->to > k->from && key_of(t, cell_at(d, bytes, k->to - 1)) > range.until)
        totals_take(t, s, block, cell_at(d, bytes, --k->to));
    while (k->from < k->to && key_of(t, cell_at(d, bytes, k->from)) <= range.after)
        totals_take(t, s, block, cell_at(d, bytes, k->from++));
    totals_settle(t, s, block);
}

static void track_drop_front(const struct track *t, unsigned char *block, struct workshop *w)
{
    struct deque *d = (struct deque *)(block + t->at);

    for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
        struct cursor *k = (struct cursor *)(block + s->at);

        if (k->from > 0)
            k->from--;
        else if (k->to > 0)
            totals_take(t, s, block, cell_at(d, t->cell_bytes, 0));
        if (k->to > 0)
            k->to--;
    }
    deque_drop_front(d, t->cell_bytes, w);
}

static bool holds(const struct event *event, const struct column *c)
{
    return (c->condition == NONE || event->holds[c->condition]) && (c->value == NONE || event->has[c->value]);
}

/* What the event alone would be as a cell. */
static void cell_make(const struct track *t, unsigned char *cell, const struct event *event)
{
    memset(cell, 0, t->cell_bytes);
    if (t->is_exact) {
        uint32_t flags = event->is_fraud && t->has_fraud ? FLAG_FRAUD : 0;

        for (size_t i = 0; i < t->flag_count; i++) {
            const struct flag *f = &t->flags[i];

            if (f->condition != NONE ? event->holds[f->condition] : event->has[f->value])
                flags |= 1u << i;
        }
        store_i64(cell, event->at_us);
        store_u32(cell + 8, event->number);
        store_u32(cell + 12, flags);
        for (size_t i = 0; i < t->value_count; i++)
            store_i64(cell + EXACT_CELL_BYTES + 8 * i,
                      event->has[t->values[i]] ? event->values[t->values[i]] : 0);
        return;
    }
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

bool track_insert(const struct track *t, unsigned char *block, const struct event *event, struct workshop *w)
{
    const struct entity *e = (const struct entity *)block;
    struct deque *d = (struct deque *)(block + t->at);
    int64_t key = key_at(t, event->at_us);
    int64_t oldest = oldest_key(t->is_exact, t->hop_us, t->hold_us, e);
    uint32_t i;

    while (d->count && key_of(t, cell_at(d, t->cell_bytes, 0)) < oldest)
        track_drop_front(t, block, w);
    if (key < oldest)
        return false;
    cell_make(t, w->scratch, event);
    i = place_after(t, d, key);
    if (!t->is_exact && i > 0 && key_of(t, cell_at(d, t->cell_bytes, i - 1)) == key) {
        i--;
        cell_merge(t, cell_at(d, t->cell_bytes, i), w->scratch);
        for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
            const struct cursor *k = (const struct cursor *)(block + s->at);

            if (k->from <= i && i < k->to)
                totals_add(t, s, block, w->scratch);
        }
        return true;
    }
    memcpy(deque_insert(d, t->cell_bytes, i, w), w->scratch, t->cell_bytes);
    for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
        struct cursor *k = (struct cursor *)(block + s->at);

        if (k->from < i && i < k->to)
            totals_add(t, s, block, w->scratch);
        if (i <= k->from)
            k->from++;
        if (i < k->to || k->from > k->to)
            k->to++;
    }
    if (d->count > STORE_CELLS_MAX) {
        track_drop_front(t, block, w);
        w->capped++;
    }
    return true;
}

void track_label(const struct plan *p, const struct track *t, unsigned char *block, int64_t at_us,
                 uint32_t number, uint64_t bits, int change)
{
    struct deque *d = (struct deque *)(block + t->at);
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
        const struct cursor *k = (const struct cursor *)(block + s->at);

        if (!(k->from <= i && i < k->to))
            continue;
        for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
            const struct column *c = &t->columns[r->column];
            int bit = c->condition == NONE ? NONE : p->conditions[c->condition].fraud_bit;

            if (c->op == OP_FRAUD && (bit == NONE || (bits >> bit & 1)))
                store_u64(block + r->at, load_u64(block + r->at) + (uint64_t)(int64_t)change);
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

void variety_move(const struct variety *v, const struct span *s, unsigned char *block, int64_t at_us)
{
    struct variety_state *state = (struct variety_state *)(block + v->at);
    struct variety_cursor *k = (struct variety_cursor *)(block + s->at);
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
}

bool variety_has(const struct variety *v, size_t span, const unsigned char *block, uint64_t value)
{
    const struct variety_state *state = (const struct variety_state *)(block + v->at);
    const struct entry *e = entry_find(v, state, value);

    return e && e->in[span];
}

static void variety_drop_front(const struct variety *v, unsigned char *block, struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(block + v->at);
    uint64_t value = pair_at(&state->deque, 0)->value;
    struct entry *e = entry_find(v, state, value);

    for (size_t i = 0; i < v->span_count; i++) {
        struct variety_cursor *k = (struct variety_cursor *)(block + v->spans[i].at);

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

void variety_trim(const struct variety *v, unsigned char *block, struct workshop *w)
{
    const struct entity *entity = (const struct entity *)block;
    const struct deque *d = &((const struct variety_state *)(block + v->at))->deque;
    int64_t oldest = oldest_key(v->is_exact, v->hop_us, v->hold_us, entity);

    while (d->count && pair_at(d, 0)->key < oldest)
        variety_drop_front(v, block, w);
}

bool variety_insert(const struct variety *v, unsigned char *block, int64_t at_us, uint64_t value,
                    struct workshop *w)
{
    const struct entity *entity = (const struct entity *)block;
    struct variety_state *state = (struct variety_state *)(block + v->at);
    struct deque *d = &state->deque;
    int64_t key = v->is_exact ? at_us : floor_div(at_us, v->hop_us);
    struct variety_cell cell = { key, value };
    struct entry *e;
    uint32_t i;

    variety_trim(v, block, w);
    if (key < oldest_key(v->is_exact, v->hop_us, v->hold_us, entity))
        return false;
    i = pair_after(d, key);
    e = entry_find(v, state, value);
    if (!v->is_exact && e && e->newest >= key) { /* a tile has each value once */
        if (e->newest == key)
            return true;
        for (uint32_t k = i; k > 0 && pair_at(d, k - 1)->key == key; k--) {
            if (pair_at(d, k - 1)->value == value)
                return true;
        }
    }
    e = entry_get(v, state, value, w);
    e->held++;
    if (key > e->newest)
        e->newest = key;
    memcpy(deque_insert(d, sizeof cell, i, w), &cell, sizeof cell);
    for (size_t s = 0; s < v->span_count; s++) {
        struct variety_cursor *k = (struct variety_cursor *)(block + v->spans[s].at);

        if (k->from < i && i < k->to)
            variety_count(v, state, s, k, value, true);
        if (i <= k->from)
            k->from++;
        if (i < k->to || k->from > k->to)
            k->to++;
    }
    if (d->count > STORE_CELLS_MAX) {
        variety_drop_front(v, block, w);
        w->capped++;
    }
    return true;
}

void variety_rebuild(const struct variety *v, unsigned char *block, struct workshop *w)
{
    struct variety_state *state = (struct variety_state *)(block + v->at);

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

void block_init(const struct entity_layout *e, unsigned char *block)
{
    memset(block + sizeof(struct entity), 0, e->bytes - sizeof(struct entity));
    for (const struct track *t = e->tracks; t < e->tracks + e->track_count; t++) {
        for (const struct span *s = t->spans; s < t->spans + t->span_count; s++) {
            for (const struct run *r = s->runs; r < s->runs + s->run_count; r++)
                total_init(t->columns[r->column].op, block + r->at);
        }
    }
    for (const struct lifetime *l = e->lifetimes; l < e->lifetimes + e->lifetime_count; l++)
        total_init(l->column.op, block + l->at);
}

void block_clear(const struct entity_layout *e, unsigned char *block, struct workshop *w)
{
    for (const struct track *t = e->tracks; t < e->tracks + e->track_count; t++)
        deque_release((struct deque *)(block + t->at), t->cell_bytes, w);
    for (const struct variety *v = e->varieties; v < e->varieties + e->variety_count; v++) {
        struct variety_state *state = (struct variety_state *)(block + v->at);

        pool_put(&w->pool, state->table, state->size * entry_bytes(v));
        deque_release(&state->deque, sizeof(struct variety_cell), w);
    }
    block_init(e, block);
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

static bool cell_is_valid(const struct track *t, const unsigned char *cell)
{
    if (t->is_exact) {
        uint32_t known =
            (t->flag_count ? UINT32_MAX >> (32 - t->flag_count) : 0) | (t->has_fraud ? FLAG_FRAUD : 0);

        for (size_t i = 0; i < t->value_count; i++) {
            int64_t value = load_i64(cell + EXACT_CELL_BYTES + 8 * i);

            if (value < -VALUE_MAX || value > VALUE_MAX)
                return false;
        }
        return !(load_u32(cell + 12) & ~known);
    }
    for (const struct column *c = t->columns; c < t->columns + t->column_count; c++) {
        if ((c->op == OP_MIN || c->op == OP_MAX) && !is_best(load_i64(cell + c->cell_at), c->op))
            return false;
    }
    return true;
}

bool track_is_valid(const struct track *t, const unsigned char *block)
{
    const struct entity *e = (const struct entity *)block;
    const struct deque *d = (const struct deque *)(block + t->at);
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

bool variety_is_valid(const struct variety *v, const unsigned char *block)
{
    const struct entity *e = (const struct entity *)block;
    const struct variety_state *state = (const struct variety_state *)(block + v->at);
    int64_t newest = v->is_exact ? e->newest_us : floor_div(e->newest_us, v->hop_us);
    int64_t before = oldest_key(v->is_exact, v->hop_us, v->hold_us, e);

    for (uint32_t i = 0; i < state->deque.count; i++) {
        int64_t key = pair_at(&state->deque, i)->key;

        if (key > newest || key < before)
            return false;
        before = key;
    }
    return true;
}

bool recent_is_valid(const struct recent *r, const unsigned char *block)
{
    const struct entity *e = (const struct entity *)block;
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
