/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/few.h"

#include <assert.h>

/* A bit for each event. */
static_assert(SMALL_MAX < 128, "the flags of all events fit in 128 bits, and shifts stay below that");

static inline u128 bits_below(uint32_t i)
{
    return ((u128)1 << i) - 1;
}

static inline uint32_t word_count(uint64_t b)
{
    b -= b >> 1 & UINT64_C(0x5555555555555555);
    b = (b & UINT64_C(0x3333333333333333)) + (b >> 2 & UINT64_C(0x3333333333333333));
    b = (b + (b >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(b * UINT64_C(0x0101010101010101) >> 56);
}

static inline uint32_t bits_count(u128 b)
{
    return word_count((uint64_t)b) + word_count((uint64_t)(b >> 64));
}

/* The highest of some. */
static inline uint32_t bits_last(u128 b)
{
    uint64_t high = (uint64_t)(b >> 64);

    return (uint32_t)(high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((unsigned long long)b));
}

/* Takes the lowest bit off and says which it was. */
static inline uint32_t bits_next(u128 *b)
{
    uint64_t low = (uint64_t)*b;
    uint32_t i =
        (uint32_t)(low ? __builtin_ctzll(low) : 64 + __builtin_ctzll((unsigned long long)(*b >> 64)));

    *b &= *b - 1;
    return i;
}

static inline unsigned char *flag_at(const struct entity_layout *l, const struct entity *e, size_t flag)
{
    return (unsigned char *)e + l->flags_at + flag * sizeof(u128);
}

/* ---- columns ---- */

/* Of an entity without events, NULL: it has no cells, and zero may not be added to a null pointer. */
static inline unsigned char *column_at(const struct entity *e, size_t column, size_t width)
{
    return e->cells ? e->cells + 8 * column * e->room + width * e->first : NULL;
}

static inline int64_t *times_of(const struct entity *e)
{
    return (int64_t *)column_at(e, 0, 8);
}

static inline int64_t *values_of(const struct entity *e, size_t value)
{
    return (int64_t *)column_at(e, 1 + value, 8);
}

static inline uint64_t *texts_of(const struct entity_layout *l, const struct entity *e, size_t text)
{
    return (uint64_t *)column_at(e, 1 + l->events.value_count + text, 8);
}

static inline uint32_t *numbers_of(const struct entity_layout *l, const struct entity *e)
{
    return (uint32_t *)column_at(e, 1 + l->events.value_count + l->events.text_count, 4);
}

size_t few_columns(const struct entity_layout *l)
{
    return 1 + l->events.value_count + l->events.text_count + l->has_fraud;
}

unsigned char *few_column(const struct entity_layout *l, const struct entity *e, size_t column, size_t *width)
{
    *width = column < 1 + l->events.value_count + l->events.text_count ? 8 : 4;
    return column_at(e, column, *width);
}

static void move(const struct entity_layout *l, struct entity *e, uint32_t room, struct workshop *w)
{
    struct entity old = *e;
    size_t width;

    e->cells = pool_get(&w->pool, room * few_event_bytes(l));
    e->first = 0;
    e->room = (uint8_t)room;
    for (size_t i = 0; old.count && i < few_columns(l); i++) {
        const unsigned char *from = few_column(l, &old, i, &width);

        memcpy(few_column(l, e, i, &width), from, old.count * width);
    }
    pool_put(&w->pool, old.cells, old.room * few_event_bytes(l));
}

/* To the front of the same block. */
static void slide(const struct entity_layout *l, struct entity *e)
{
    for (size_t i = 0; i < few_columns(l); i++) {
        size_t width;
        unsigned char *from = few_column(l, e, i, &width);

        memmove(from - e->first * width, from, e->count * width);
    }
    e->first = 0;
}

/* In steps, so that blocks are of few sizes. */
enum { ROOM_STEP = 4 };

static uint32_t room_for(uint32_t count)
{
    uint32_t room = (count + ROOM_STEP) / ROOM_STEP * ROOM_STEP;

    return room < SMALL_MAX ? room : SMALL_MAX;
}

void few_reserve(const struct entity_layout *l, struct entity *e, uint32_t count, struct workshop *w)
{
    if (e->room < count)
        move(l, e, room_for(count), w);
}

void few_release(const struct entity_layout *l, struct entity *e, struct workshop *w)
{
    pool_put(&w->pool, e->cells, e->room * few_event_bytes(l));
    w->cells -= e->count;
    e->cells = NULL;
    e->first = e->count = e->room = 0;
    memset(flag_at(l, e, 0), 0, few_flag_count(l) * sizeof(u128));
}

/* How many events are not after a time. Where that lies cannot be guessed, so it is found without branches.
 */
static uint32_t count_until(const struct entity *e, int64_t at_us)
{
    const int64_t *times = times_of(e);
    uint32_t count = e->count, low = 0;

    if (count == 0 || times[count - 1] <= at_us)
        return count;
    while (count > 1) {
        uint32_t half = count / 2;

        low += half & -(uint32_t)(times[low + half - 1] <= at_us);
        count -= half;
    }
    return low + (times[low] <= at_us);
}

/* ---- changing ---- */

static bool has_flag(const struct flag *f, const struct event *event)
{
    return f->condition != NONE ? event->holds[f->condition] : event->has[f->value];
}

static void flag_insert(const struct entity_layout *l, struct entity *e, size_t flag, uint32_t i, bool is_set)
{
    unsigned char *at = flag_at(l, e, flag);
    u128 bits = load_u128(at), below = bits & bits_below(i);

    store_u128(at, below | (u128)is_set << i | (bits & ~bits_below(i)) << 1);
}

static void column_insert(uint64_t *column, uint32_t count, uint32_t i, uint64_t value)
{
    if (i < count)
        memmove(column + i + 1, column + i, (count - i) * sizeof *column);
    column[i] = value;
}

void few_insert(const struct entity_layout *l, struct entity *e, const struct event *event,
                struct workshop *w)
{
    const struct event_layout *k = &l->events;
    uint32_t i;

    if (event->at.at_us <= e->newest_us - l->small_hold_us)
        return;
    if (e->first + e->count == e->room) {
        if (e->first > 0 && e->first >= e->room / 16) /* what is moved was paid for by what was dropped */
            slide(l, e);
        else
            move(l, e, room_for(e->count), w);
    }
    i = count_until(e, event->at.at_us);
    column_insert((uint64_t *)times_of(e), e->count, i, (uint64_t)event->at.at_us);
    for (size_t v = 0; v < k->value_count; v++)
        column_insert((uint64_t *)values_of(e, v), e->count, i,
                      event->has[k->values[v]] ? (uint64_t)event->values[k->values[v]] : 0);
    for (size_t t = 0; t < k->text_count; t++)
        column_insert(texts_of(l, e, t), e->count, i, event->texts[k->texts[t]]);
    for (size_t f = 0; f < k->flag_count; f++)
        flag_insert(l, e, f, i, has_flag(&k->flags[f], event));
    if (l->has_fraud) {
        uint32_t *numbers = numbers_of(l, e);

        if (i < e->count)
            memmove(numbers + i + 1, numbers + i, (e->count - i) * sizeof *numbers);
        numbers[i] = event->number;
        flag_insert(l, e, k->flag_count, i, event->is_fraud);
    }
    e->count++;
    w->cells++;
}

void few_drop(const struct entity_layout *l, struct entity *e, int64_t gone_us, struct workshop *w)
{
    uint32_t gone = 0;

    while (gone < e->count && times_of(e)[gone] <= gone_us)
        gone++;
    if (!gone)
        return;
    for (size_t f = 0; f < few_flag_count(l); f++)
        store_u128(flag_at(l, e, f), load_u128(flag_at(l, e, f)) >> gone);
    e->first = (uint8_t)(e->first + gone);
    e->count = (uint8_t)(e->count - gone);
    w->cells -= gone;
    if (e->room > room_for(e->count) + ROOM_STEP) /* but not back and forth */
        move(l, e, room_for(e->count), w);
}

void few_label(const struct entity_layout *l, struct entity *e, int64_t at_us, uint32_t number, bool is_fraud)
{
    unsigned char *at = flag_at(l, e, l->events.flag_count);

    for (uint32_t i = count_until(e, at_us); i > 0 && times_of(e)[i - 1] == at_us; i--) {
        u128 bit = (u128)1 << (i - 1);

        if (numbers_of(l, e)[i - 1] == number)
            store_u128(at, is_fraud ? load_u128(at) | bit : load_u128(at) & ~bit);
    }
}

static bool is_set(const struct entity_layout *l, const struct entity *e, size_t flag, uint32_t i)
{
    return load_u128(flag_at(l, e, flag)) >> i & 1;
}

struct event few_get(const struct plan *p, const struct entity *e, uint32_t i, struct workshop *w)
{
    const struct entity_layout *l = &p->entities[e->type];
    const struct event_layout *k = &l->events;
    struct event event = { .at = moment_of(p, times_of(e)[i]),
                           .holds = w->holds,
                           .values = w->values,
                           .has = w->has,
                           .texts = w->texts };

    for (size_t v = 0; v < k->value_count; v++)
        w->has[k->values[v]] = true; /* what can be missing has a flag */
    for (size_t f = 0; f < k->flag_count; f++) {
        const struct flag *flag = &k->flags[f];

        *(flag->condition != NONE ? &w->holds[flag->condition] : &w->has[flag->value]) = is_set(l, e, f, i);
    }
    for (size_t v = 0; v < k->value_count; v++)
        w->values[k->values[v]] = values_of(e, v)[i];
    for (size_t t = 0; t < k->text_count; t++)
        w->texts[k->texts[t]] = texts_of(l, e, t)[i];
    if (l->has_fraud) {
        event.number = numbers_of(l, e)[i];
        event.is_fraud = is_set(l, e, k->flag_count, i);
    }
    return event;
}

/* ---- counting ---- */

static int64_t edge_us(const struct edge *edge, const struct moment *at)
{
    int64_t tile;

    if (edge->hop == NONE)
        return at->at_us - edge->back_us;
    tile = edge->back_tiles >= 0 ? at->tiles[edge->hop] - edge->back_tiles
                                 : floor_div(at->at_us - edge->back_us, edge->hop_us);
    return (tile + edge->ahead) * edge->hop_us - 1;
}

/* Several edges at a time: each search waits for its own last comparison, but not for the others'. */
enum { EDGES_AT_ONCE = 16 };

static void find_places(const int64_t *times, uint32_t count, const int64_t *edges, size_t edge_count,
                        uint8_t *places)
{
    uint32_t low[EDGES_AT_ONCE] = { 0 };

    while (count > 1) {
        uint32_t half = count / 2;

        for (size_t i = 0; i < edge_count; i++)
            low[i] += half & -(uint32_t)(times[low[i] + half - 1] <= edges[i]);
        count -= half;
    }
    for (size_t i = 0; i < edge_count; i++)
        places[i] = (uint8_t)(low[i] + (times[low[i]] <= edges[i]));
}

void few_find(const struct entity_layout *l, const struct entity *e, const struct moment *at, uint8_t *places)
{
    int64_t edges[EDGES_AT_ONCE];

    if (e->count == 0) {
        memset(places, 0, l->edge_count);
        return;
    }
    for (size_t first = 0; first < l->edge_count; first += EDGES_AT_ONCE) {
        size_t left = l->edge_count - first, edge_count = left < EDGES_AT_ONCE ? left : EDGES_AT_ONCE;

        for (size_t i = 0; i < edge_count; i++)
            edges[i] = edge_us(&l->edges[first + i], at);
        find_places(times_of(e), e->count, edges, edge_count, places + first);
    }
}

/* The events of a window, of those that the track or variety of a large entity would hold. */
static struct cursor window_of(const struct span *s, const struct entity *e, const uint8_t *places,
                               const struct moment *at, bool is_exact, int64_t hop_us, int64_t hold_us)
{
    struct cursor k = { places[s->from_edge], places[s->to_edge] };

    if (at->at_us < e->newest_us) { /* else the window begins after what is held */
        int64_t gone = oldest_key(is_exact, hop_us, hold_us, e->newest_us) - 1;
        uint32_t from = count_until(e, is_exact ? gone : (gone + 1) * hop_us - 1);

        k.from = k.from < from ? from : k.from;
    }
    if (k.to < k.from)
        k.to = k.from;
    return k;
}

static inline u128 bits_in(struct cursor k)
{
    return bits_below(k.to) & ~bits_below(k.from);
}

/* Those of `bits` that a column counts. */
static inline u128 bits_of(const struct few_column *c, const struct entity_layout *l, const struct entity *e,
                           u128 bits)
{
    for (uint32_t i = 0; i < c->flag_count; i++) {
        u128 set = load_u128(flag_at(l, e, c->flags[i]));

        bits &= c->is_but_last && i + 1 == c->flag_count ? ~set : set;
    }
    return bits;
}

static uint64_t sum_of(const int64_t *values, struct cursor k)
{
    uint64_t sum = 0;

    for (uint32_t i = k.from; i < k.to; i++)
        sum += (uint64_t)values[i];
    return sum;
}

static u128 squares_of(const int64_t *values, struct cursor k)
{
    u128 squares = 0;

    for (uint32_t i = k.from; i < k.to; i++)
        squares += square(values[i]);
    return squares;
}

static int64_t best_of(const int64_t *values, u128 bits, enum op op)
{
    int64_t best = op == OP_MIN ? MIN_EMPTY : MAX_EMPTY;

    while (bits) {
        int64_t value = values[bits_next(&bits)];

        if (op == OP_MIN ? value < best : value > best)
            best = value;
    }
    return best;
}

static int64_t best_of_all(const int64_t *values, struct cursor k, enum op op)
{
    int64_t best = op == OP_MIN ? MIN_EMPTY : MAX_EMPTY;

    for (uint32_t i = k.from; i < k.to; i++) {
        if (op == OP_MIN ? values[i] < best : values[i] > best)
            best = values[i];
    }
    return best;
}

/* All events of the window count. */
static void count_all(const struct column *c, const struct entity *e, struct cursor k, unsigned char *total)
{
    const int64_t *values = values_of(e, c->few.value);

    switch (c->op) {
    case OP_COUNT:
    case OP_FRAUD:
        store_u64(total, k.to - k.from);
        break;
    case OP_SUM:
        store_u64(total, sum_of(values, k));
        break;
    case OP_SQUARES:
        store_u128(total, squares_of(values, k));
        break;
    case OP_MIN:
    case OP_MAX:
        store_i64(total, best_of_all(values, k, c->op));
        break;
    case OP_LAST_FRAUD:
    case OP_LAST_LEGIT: /* have a flag */
    case OP_FIRST:
        break;
    }
}

/* Those count whose bits are set. */
static void count_bits(const struct column *c, const struct entity *e, u128 bits, unsigned char *total)
{
    const int64_t *values = values_of(e, c->few.value);
    uint64_t sum = 0;
    u128 squares = 0;

    switch (c->op) {
    case OP_COUNT:
    case OP_FRAUD:
        store_u64(total, bits_count(bits));
        break;
    case OP_SUM:
        while (bits)
            sum += (uint64_t)values[bits_next(&bits)];
        store_u64(total, sum);
        break;
    case OP_SQUARES:
        while (bits)
            squares += square(values[bits_next(&bits)]);
        store_u128(total, squares);
        break;
    case OP_MIN:
    case OP_MAX:
        store_i64(total, best_of(values, bits, c->op));
        break;
    case OP_LAST_FRAUD:
    case OP_LAST_LEGIT:
        store_i64(total, bits ? times_of(e)[bits_last(bits)] : MAX_EMPTY);
        break;
    case OP_FIRST:
        break;
    }
}

void few_count(const struct track *t, const struct span *s, const struct entity_layout *l,
               const struct entity *e, const uint8_t *places, const struct moment *at, unsigned char *view)
{
    struct cursor k = window_of(s, e, places, at, t->is_exact, t->hop_us, t->hold_us);
    u128 bits = s->has_flags ? bits_in(k) : 0;

    for (const struct run *r = s->runs; r < s->runs + s->run_count; r++) {
        const struct column *c = &t->columns[r->column];

        if (c->few.flag_count)
            count_bits(c, e, bits_of(&c->few, l, e, bits), view + r->at);
        else
            count_all(c, e, k, view + r->at);
    }
}

void few_count_distinct(const struct variety *v, const struct span *s, const struct entity_layout *l,
                        const struct entity *e, const uint8_t *places, const struct moment *at,
                        uint64_t current, unsigned char *view)
{
    struct variety_cursor *out = (struct variety_cursor *)(view + s->at);
    const uint64_t *texts = texts_of(l, e, v->few.value);
    struct cursor k = window_of(s, e, places, at, v->is_exact, v->hop_us, v->hold_us);
    u128 bits = bits_of(&v->few, l, e, bits_in(k));
    uint64_t seen[SMALL_MAX];
    uint8_t slots[256]; /* of a hash table: one more than the place in `seen` */
    uint32_t count = 0;

    static_assert(SMALL_MAX < 128, "the table stays half empty");
    out->has_current = false;
    if (bits)
        memset(slots, 0, sizeof slots);
    while (bits) {
        uint64_t text = texts[bits_next(&bits)];
        uint8_t slot = (uint8_t)text;

        if (!text)
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

/* ---- what a snapshot may say ---- */

bool few_are_valid(const struct entity_layout *l, const struct entity *e)
{
    int64_t before = e->newest_us - l->small_hold_us + 1;

    if (e->count > SMALL_MAX || (e->count && !l->is_small_first))
        return false;
    for (uint32_t i = 0; i < e->count; i++) {
        if (times_of(e)[i] < before || times_of(e)[i] > e->newest_us)
            return false;
        before = times_of(e)[i];
    }
    for (size_t v = 0; v < l->events.value_count; v++) {
        for (uint32_t i = 0; i < e->count; i++) {
            if (values_of(e, v)[i] < -VALUE_MAX || values_of(e, v)[i] > VALUE_MAX)
                return false;
        }
    }
    for (size_t f = 0; f < few_flag_count(l); f++) {
        if (load_u128(flag_at(l, e, f)) & ~bits_below(e->count))
            return false;
    }
    return true;
}
