/* SPDX-License-Identifier: Apache-2.0
 * window.h - one entity's past: events or tiles in time order, and running totals over windows of it.
 * Internal to featurestore/; the terms are those of layout.h.
 *
 *   cells:  [ c0 | c1 | c2 | c3 | c4 | c5 | c6 ]
 *                     ^ from         ^ to
 *
 * from and to move with the time that is asked about, either way; what they pass over is added to the totals
 * or taken back. Totals are integers, so that taking back is exact. They are only a cache over the cells: a
 * snapshot leaves them out. */
#ifndef ASSAY_FEATURESTORE_WINDOW_H
#define ASSAY_FEATURESTORE_WINDOW_H

#include "featurestore/layout.h"
#include "featurestore/pool.h"
#include "featurestore/store.h"

struct deque {
    unsigned char *cells;
    uint32_t first, count, room; /* in cells */
};

/* What every entity has; recents, lifetimes and the key follow it. */
struct entity {
    uint64_t hash;
    int64_t newest_us; /* the latest event time that was applied */
    struct account *account;
    unsigned char *large; /* NULL while it is small */
    struct deque events;  /* of a small one */
    uint32_t key_len;
    uint32_t ordinal; /* scratch of saving */
    uint16_t type;    /* index of the entity_layout */
};

/* Far enough from the end of the number range that windows can be taken from it. */
#define NEVER_US (INT64_MIN / 4)

/* No single value counts for more: so sums stay exact for half a million such values in one window. */
#define VALUE_MAX (INT64_C(1) << 44)

struct cursor {
    uint32_t from, to; /* counted from the deque's first */
};

/* Events: int64 time, uint32 the entry's number (its low bits), uint32 flags, then values and hashes of
 * texts. Tiles: int32 number of the tile, then totals. */
enum { EVENT_BYTES = 16, TILE_BYTES = 4 };

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
    bool has_current; /* whether the value that was asked about is in the window */
};

/* A transaction as the windows see it. */
struct event {
    int64_t at_us;
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

/* Makes an entity empty and small. */
void entity_init(const struct entity_layout *l, struct entity *e);
/* Makes it empty and small again and gives its memory back. */
void entity_clear(const struct entity_layout *l, struct entity *e, struct workshop *w);
/* A large block without events, for entities that need one, and to count small ones in. */
void large_init(const struct entity_layout *l, unsigned char *large);
static inline char *entity_key(const struct entity_layout *l, const struct entity *e)
{
    return (char *)e + l->bytes;
}

/* Asks for the memory that counting will read. */
static inline void entity_prefetch(const struct entity_layout *l, const struct entity *e)
{
    const unsigned char *cells = e->events.cells + (size_t)e->events.first * l->events.cell_bytes;

    for (size_t i = 0; i < e->events.count * (size_t)l->events.cell_bytes; i += 64)
        __builtin_prefetch(cells + i);
}

/* Adds the event to all windows of the entity, whose newest_us is at least its time already. False when it is
 * older than what one of them holds. */
bool entity_insert(const struct entity_layout *l, struct entity *e, const struct event *event,
                   struct workshop *w);
/* Adds or takes back one fraud at the event's place. `bits` says which conditions held, by their fraud_bit.
 */
void entity_label(const struct plan *p, struct entity *e, int64_t at_us, uint32_t number, uint64_t bits,
                  int change);

/* Makes the totals of a span hold for the window that ends at `at_us`, in the large block that is returned:
 * the entity's, or `view` for a small one. */
void entity_count(const struct track *t, const struct span *s, const struct entity_layout *l,
                  const struct entity *e, unsigned char *view, int64_t at_us);
/* The same for distinct values; `current` is the value that is asked about, 0 for none. */
void entity_count_distinct(const struct variety *v, const struct span *s, const struct entity_layout *l,
                           const struct entity *e, unsigned char *view, int64_t at_us, uint64_t current);

/* Counts the cells again after they were read from a snapshot. */
void variety_rebuild(const struct variety *v, unsigned char *large, struct workshop *w);
/* Begins a large block for an entity that has none. */
void entity_enlarge(const struct entity_layout *l, struct entity *e, struct workshop *w);

struct place {
    int64_t at_us;
    double lat, lon;
};
size_t recent_bytes(const struct recent *r);
/* The last one not after `at_us`; false when none is held. */
bool recent_find(const struct recent *r, const unsigned char *block, int64_t at_us, struct place *out);
void recent_insert(const struct recent *r, unsigned char *block, const struct place *place);

/* Whether what was read from a snapshot can have been written by this code. */
bool events_are_valid(const struct entity_layout *l, const struct entity *e);
bool track_is_valid(const struct track *t, const struct entity *e);
bool variety_is_valid(const struct variety *v, const struct entity *e);
bool recent_is_valid(const struct recent *r, const struct entity *e);

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
