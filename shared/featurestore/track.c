/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/track.h"

#include "featurestore/store.h"

static inline int64_t cell_key(const struct track *t, const unsigned char *cell)
{
    return t->is_exact ? load_i64(cell) : (int32_t)load_u32(cell);
}

static inline int64_t key_at(const struct track *t, const struct moment *at)
{
    return t->is_exact ? at->at_us : at->tiles[t->hop];
}

static inline bool is_counted(const struct column *c, const unsigned char *cell)
{
    return (load_u32(cell + 12) & (c->mask | c->but)) == c->mask;
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
    return is_counted(c, cell) ? load_i64(cell + c->value_at) /* of OP_LAST_*: the cell's time */
           : c->op == OP_MIN   ? MIN_EMPTY
                               : MAX_EMPTY;
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
        case OP_LAST_FRAUD:
        case OP_LAST_LEGIT:
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
        case OP_LAST_FRAUD:
        case OP_LAST_LEGIT:
            value = cell_best(t, c, cell);
            if (value != MAX_EMPTY && value == load_i64(total))
                store_i64(total, MAX_UNKNOWN);
            break;
        case OP_FIRST:
            break;
        }
    }
}

static int64_t least(const struct track *t, const struct column *c, const struct deque *d,
                     const struct cursor *k)
{
    int64_t best = MIN_EMPTY;

    for (uint32_t i = k->from; i < k->to; i++) {
        int64_t value = cell_best(t, c, cell_at(d, t->cell_bytes, i));

        best = value < best ? value : best;
    }
    return best;
}

static int64_t greatest(const struct track *t, const struct column *c, const struct deque *d,
                        const struct cursor *k)
{
    int64_t best = MAX_EMPTY;

    for (uint32_t i = k->to; i-- > k->from;) {
        int64_t value = cell_best(t, c, cell_at(d, t->cell_bytes, i));

        best = value > best ? value : best;
        if (best != MAX_EMPTY && c->op != OP_MAX)
            break; /* times: none before it is newer */
    }
    return best;
}

/* Looks again for the least and greatest that were taken back. */
static void totals_settle(const struct track *t, const struct span *s, unsigned char *large)
{
    const struct deque *d = (const struct deque *)(large + t->at);
    const struct cursor *k = (const struct cursor *)(large + s->at);

    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];
        unsigned char *total = large + r->at;

        if (c->op == OP_MIN && load_i64(total) == MIN_UNKNOWN)
            store_i64(total, least(t, c, d, k));
        else if ((c->op == OP_MAX || c->op == OP_LAST_FRAUD || c->op == OP_LAST_LEGIT) &&
                 load_i64(total) == MAX_UNKNOWN)
            store_i64(total, greatest(t, c, d, k));
    }
}

void track_count(const struct track *t, const struct span *s, unsigned char *large, const struct moment *at)
{
    const struct deque *d = (const struct deque *)(large + t->at);
    struct cursor *k = (struct cursor *)(large + s->at);
    struct range range = range_of(s, t->is_exact, t->hop, t->hop_us, at);
    const uint32_t bytes = t->cell_bytes;

    while (k->to < d->count && cell_key(t, cell_at(d, bytes, k->to)) <= range.until)
        totals_add(t, s, large, cell_at(d, bytes, k->to++));
    while (k->from > 0 && cell_key(t, cell_at(d, bytes, k->from - 1)) > range.after)
        totals_add(t, s, large, cell_at(d, bytes, --k->from));
    while (k->to > k->from && cell_key(t, cell_at(d, bytes, k->to - 1)) > range.until)
        totals_take(t, s, large, cell_at(d, bytes, --k->to));
    while (k->from < k->to && cell_key(t, cell_at(d, bytes, k->from)) <= range.after)
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
    store_i64(cell, event->at.at_us);
    store_u32(cell + 8, event->number);
    store_u32(cell + 12, flags);
    for (size_t i = 0; i < l->value_count; i++, at += 8)
        store_i64(at, event->has[l->values[i]] ? event->values[l->values[i]] : 0);
}

/* What the event alone would be as a cell of the track. */
static void cell_make(const struct track *t, unsigned char *cell, const struct event *event)
{
    if (t->is_exact) {
        event_write(&t->events, t->has_fraud, cell, event);
        return;
    }
    memset(cell, 0, t->cell_bytes);
    store_u32(cell, (uint32_t)(int32_t)event->at.tiles[t->hop]);
    for (const struct column *c = t->columns; c < t->columns + t->column_count; c++) {
        bool is_in = is_in_column(event, c);
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
        case OP_LAST_FRAUD:
        case OP_LAST_LEGIT: /* never in tiles */
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
        case OP_LAST_FRAUD:
        case OP_LAST_LEGIT:
        case OP_FIRST:
            break;
        }
    }
}

/* The first place whose key is greater than `key`. Events mostly come in order, so it looks from the end. */
static uint32_t place_after(const struct track *t, const struct deque *d, int64_t key)
{
    uint32_t low = 0, high = d->count;

    if (high == 0 || cell_key(t, cell_at(d, t->cell_bytes, high - 1)) <= key)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (cell_key(t, cell_at(d, t->cell_bytes, middle)) <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void track_insert(const struct track *t, unsigned char *large, int64_t newest_us, const struct event *event,
                  struct workshop *w)
{
    struct deque *d = (struct deque *)(large + t->at);
    int64_t key = key_at(t, &event->at);
    int64_t oldest = oldest_key(t->is_exact, t->hop_us, t->hold_us, newest_us);
    uint32_t i;

    while (d->count && cell_key(t, cell_at(d, t->cell_bytes, 0)) < oldest)
        track_drop_front(t, large, w);
    if (key < oldest)
        return;
    cell_make(t, w->scratch, event);
    i = place_after(t, d, key);
    if (!t->is_exact && i > 0 && cell_key(t, cell_at(d, t->cell_bytes, i - 1)) == key) {
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

void track_label(const struct plan *p, const struct track *t, unsigned char *large, int64_t at_us,
                 uint32_t number, uint64_t bits, int change)
{
    struct deque *d = (struct deque *)(large + t->at);
    int64_t key = t->is_exact ? at_us : floor_div(at_us, t->hop_us);
    uint32_t i = place_after(t, d, key);
    unsigned char *cell = NULL;

    while (i > 0 && cell_key(t, cell_at(d, t->cell_bytes, i - 1)) == key) {
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

            if (bit != NONE && !(bits >> bit & 1))
                continue;
            if (c->op == OP_FRAUD)
                store_u64(large + r->at, load_u64(large + r->at) + (uint64_t)(int64_t)change);
            else if (c->op == OP_LAST_FRAUD || c->op == OP_LAST_LEGIT)
                store_i64(large + r->at, MAX_UNKNOWN);
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

bool track_is_valid(const struct track *t, const unsigned char *large, int64_t newest_us)
{
    const struct deque *d = (const struct deque *)(large + t->at);
    int64_t newest = t->is_exact ? newest_us : floor_div(newest_us, t->hop_us);
    int64_t before = oldest_key(t->is_exact, t->hop_us, t->hold_us, newest_us) - 1;

    for (uint32_t i = 0; i < d->count; i++) {
        const unsigned char *cell = cell_at(d, t->cell_bytes, i);
        int64_t key = cell_key(t, cell);

        if (key > newest || key < before || (key == before && (i == 0 || !t->is_exact)) ||
            !cell_is_valid(t, cell))
            return false;
        before = key;
    }
    return true;
}
