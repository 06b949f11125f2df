/* SPDX-License-Identifier: Apache-2.0
 * cells.h - cells in time order, in a deque, and the numbers inside them. Internal to featurestore/; the
 * terms are those of layout.h.
 *
 *   cells:  [ dropped | c0 | c1 | c2 | c3 | room ]
 *                       ^ first          ^ first + count
 *
 * Numbers lie at any address: they are read and written by copying. */
#ifndef ASSAY_FEATURESTORE_CELLS_H
#define ASSAY_FEATURESTORE_CELLS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "featurestore/layout.h"
#include "featurestore/pool.h"

__extension__ typedef unsigned __int128 u128;

/* Far enough from the end of the number range that windows can be taken from it. */
#define NEVER_US (INT64_MIN / 4)

/* No single value counts for more: so sums stay exact for half a million such values in one window. */
#define VALUE_MAX (INT64_C(1) << 44)

/* A total of no values, and one that must be looked for again. Values are within +-VALUE_MAX, far from both.
 */
#define MIN_EMPTY   INT64_MAX
#define MIN_UNKNOWN INT64_MIN
#define MAX_EMPTY   INT64_MIN
#define MAX_UNKNOWN INT64_MAX

struct deque {
    unsigned char *cells;
    uint32_t first, count, room; /* in cells */
};

struct cursor {
    uint32_t from, to; /* counted from the deque's first */
};

/* A transaction as the windows see it. */
struct event {
    struct moment at;
    uint32_t number; /* the entry's, low bits */
    bool is_fraud;
    const bool *holds;     /* by condition */
    const int64_t *values; /* by value */
    const bool *has;
    const uint64_t *texts; /* by text: the value's hash, 0 where it is missing */
};

/* What windows need from their store. */
struct workshop {
    struct pool pool;
    unsigned char *scratch; /* one cell of any track */
    bool *holds, *has;      /* an event that is read back from its cell */
    int64_t *values;
    uint64_t *texts;
    uint64_t capped;
    size_t cells;
};

/* Room for `count` cells, empty; for reading a snapshot. */
void deque_reserve(struct deque *d, uint32_t cell_bytes, uint32_t count, struct workshop *w);
void deque_release(struct deque *d, uint32_t cell_bytes, struct workshop *w);
/* Makes room for one more cell at place `i` and returns it, unset. */
unsigned char *deque_insert(struct deque *d, uint32_t cell_bytes, uint32_t i, struct workshop *w);
void deque_drop_front(struct deque *d, uint32_t cell_bytes, struct workshop *w);

static inline unsigned char *cell_at(const struct deque *d, uint32_t cell_bytes, uint32_t i)
{
    return d->cells + (size_t)(d->first + i) * cell_bytes;
}

static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Where a window begins and ends, in the track's own time: keys in (after, until] are in it. */
struct range {
    int64_t after, until;
};

static inline struct range range_of(const struct span *s, bool is_exact, int hop, int64_t hop_us,
                                    const struct moment *at)
{
    int64_t until = at->at_us - s->delay_us, after = until - s->window_us;

    if (is_exact)
        return (struct range){ after, until };
    until = s->delay_tiles >= 0 ? at->tiles[hop] - s->delay_tiles : floor_div(until, hop_us);
    after = s->window_tiles >= 0 ? until - s->window_tiles : floor_div(after, hop_us);
    return (struct range){ after - 1, until - (s->delay_us > 0) };
}

static inline struct moment moment_of(const struct plan *p, int64_t at_us)
{
    struct moment m = { .at_us = at_us };

    for (size_t i = 0; i < p->hop_count; i++)
        m.tiles[i] = floor_div(at_us, p->hops[i]);
    return m;
}

/* The first key that an entity whose newest event was then holds. */
static inline int64_t oldest_key(bool is_exact, int64_t hop_us, int64_t hold_us, int64_t newest_us)
{
    int64_t gone_us = newest_us - hold_us;

    return is_exact ? gone_us + 1 : floor_div(gone_us, hop_us);
}

/* Whether the event counts in a column. */
static inline bool is_in_column(const struct event *event, const struct column *c)
{
    return (c->condition == NONE || event->holds[c->condition]) && (c->value == NONE || event->has[c->value]);
}

static inline void total_init(enum op op, unsigned char *total)
{
    int64_t none = op == OP_MIN || op == OP_FIRST ? MIN_EMPTY : MAX_EMPTY;

    if (op == OP_MIN || op == OP_FIRST || op == OP_MAX || op == OP_LAST_FRAUD || op == OP_LAST_LEGIT)
        memcpy(total, &none, sizeof none);
}

static inline int64_t load_i64(const unsigned char *at)
{
    int64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline void store_i64(unsigned char *at, int64_t value)
{
    memcpy(at, &value, sizeof value);
}

static inline uint64_t load_u64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
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

#endif
