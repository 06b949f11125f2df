/* SPDX-License-Identifier: Apache-2.0
 * window.h - one entity's past: events or tiles in time order, and running totals over windows of it.
 * Internal to featurestore/; the terms are those of layout.h.
 *
 *   cells:  [ c0 | c1 | c2 | c3 | c4 | c5 | c6 ]      from and to move with the time that is asked about,
 * either way; ^from          ^to             what they pass over is added to the totals or taken back
 *
 * Totals are integers, so that taking back is exact. They are only a cache over the cells: a snapshot leaves
 * them out. */
#ifndef ASSAY_FEATURESTORE_WINDOW_H
#define ASSAY_FEATURESTORE_WINDOW_H

#include "featurestore/layout.h"
#include "featurestore/pool.h"
#include "featurestore/store.h"

/* The head of an entity's block. */
struct entity {
    uint64_t hash;
    int64_t newest_us; /* the latest event time that was applied */
    struct account *account;
    char *key; /* account and fields */
    uint32_t key_len;
    uint16_t type;    /* index of the entity_layout */
    uint32_t ordinal; /* scratch of saving */
};

/* No single value counts for more: so sums stay exact for half a million such values in one window. */
#define VALUE_MAX (INT64_C(1) << 44)

struct deque {
    unsigned char *cells;
    uint32_t first, count, room; /* in cells */
};

struct cursor {
    uint32_t from, to; /* counted from the deque's first */
};

/* Exact: int64 time, uint32 the entry's number (its low bits), uint32 flags, then values. Tiles: int32 number
 * of the tile, then totals. */
enum { EXACT_CELL_BYTES = 16, TILE_CELL_BYTES = 4 };

/* A variety's cells are pairs: time or tile, and the hash of a value; the table counts where each value is.
 */
struct variety_cell {
    int64_t key;
    uint64_t value;
};
struct variety_state {
    struct deque deque;
    unsigned char *table;
    uint32_t size, used; /* slots; size is a power of two, or 0 */
};
struct variety_cursor {
    uint32_t from, to, distinct;
};

/* A transaction as the windows see it. */
struct event {
    int64_t at_us;
    uint32_t number; /* the entry's, low bits */
    bool is_fraud;
    const bool *holds;     /* by condition */
    const int64_t *values; /* by value */
    const bool *has;
    bool has_place;
    double lat, lon;
};

/* What windows need from their store. */
struct workshop {
    struct pool pool;
    unsigned char *scratch; /* one cell of any track */
    uint64_t capped;
    size_t cells;
};

/* Sets the totals of an empty block: what has no events. */
void block_init(const struct entity_layout *e, unsigned char *block);
void block_clear(const struct entity_layout *e, unsigned char *block, struct workshop *w);

/* Moves a span to the window that ends at `at_us`, so that its totals hold for it. */
void span_move(const struct track *t, const struct span *s, unsigned char *block, int64_t at_us);
/* False when the event is older than what the track holds. */
bool track_insert(const struct track *t, unsigned char *block, const struct event *event, struct workshop *w);
/* Adds or takes back one fraud at the event's place. `bits` says which conditions held, by their fraud_bit.
 */
void track_label(const struct plan *p, const struct track *t, unsigned char *block, int64_t at_us,
                 uint32_t number, uint64_t bits, int change);

void variety_move(const struct variety *v, const struct span *s, unsigned char *block, int64_t at_us);
/* Drops what the entity does not hold any more, since it has newer events. */
void variety_trim(const struct variety *v, unsigned char *block, struct workshop *w);
bool variety_insert(const struct variety *v, unsigned char *block, int64_t at_us, uint64_t value,
                    struct workshop *w);
/* Whether the value is in the span's window, which variety_move() has set. */
bool variety_has(const struct variety *v, size_t span, const unsigned char *block, uint64_t value);
/* Counts the cells again after they were read from a snapshot. */
void variety_rebuild(const struct variety *v, unsigned char *block, struct workshop *w);

struct place {
    int64_t at_us;
    double lat, lon;
};
size_t recent_bytes(const struct recent *r);
/* The last one not after `at_us`; false when none is held. */
bool recent_find(const struct recent *r, const unsigned char *block, int64_t at_us, struct place *out);
void recent_insert(const struct recent *r, unsigned char *block, const struct place *place);

/* Whether what was read from a snapshot can have been written by this code. */
bool track_is_valid(const struct track *t, const unsigned char *block);
bool variety_is_valid(const struct variety *v, const unsigned char *block);
bool recent_is_valid(const struct recent *r, const unsigned char *block);

size_t lifetime_bytes(const struct lifetime *l);
void lifetime_add(const struct lifetime *l, unsigned char *block, const struct event *event);

/* Room for `count` cells, empty; for reading a snapshot. */
void deque_reserve(struct deque *d, uint32_t cell_bytes, uint32_t count, struct workshop *w);

static inline int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static inline int64_t load_i64(const unsigned char *at)
{
    int64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t load_u64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

#endif
