/* SPDX-License-Identifier: Apache-2.0
 * variety.h - the distinct values of a field over windows, of a large entity. Internal to featurestore/.
 *
 * Cells are pairs: time or tile, and the hash of a value. A hash table counts where each value is. */
#ifndef ASSAY_FEATURESTORE_VARIETY_H
#define ASSAY_FEATURESTORE_VARIETY_H

#include "featurestore/cells.h"

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

/* Drops what an entity whose newest event is then does not hold any more, and adds the event if it is one
 * for this variety. */
void variety_insert(const struct variety *v, unsigned char *large, int64_t newest_us,
                    const struct event *event, struct workshop *w);
/* Makes the count of a span hold for the window that ends at that moment; `current` is the value that is
 * asked about, 0 for none. */
void variety_count(const struct variety *v, const struct span *s, unsigned char *large,
                   const struct moment *at, uint64_t current);
/* Counts the cells again after they were read from a snapshot. */
void variety_rebuild(const struct variety *v, unsigned char *large, struct workshop *w);
void variety_release(const struct variety *v, unsigned char *large, struct workshop *w);
/* Whether what was read from a snapshot can have been written by this code. */
bool variety_is_valid(const struct variety *v, const unsigned char *large, int64_t newest_us);

static inline bool is_in_variety(const struct variety *v, const struct event *event)
{
    return (v->condition == NONE || event->holds[v->condition]) && event->texts[v->text];
}

#endif
