/* SPDX-License-Identifier: Apache-2.0
 * entity.h - one entity's past, in either of its forms: few.h while it is small, track.h and variety.h when
 * it is large, lasting.h in both. Internal to featurestore/; the terms are those of layout.h. */
#ifndef ASSAY_FEATURESTORE_ENTITY_H
#define ASSAY_FEATURESTORE_ENTITY_H

#include "featurestore/cells.h"
#include "featurestore/lasting.h"
#include "featurestore/store.h"
#include "featurestore/track.h"
#include "featurestore/variety.h"

/* What every entity has; flags, recents, lifetimes and the key follow it. */
struct entity {
    uint64_t hash;
    int64_t newest_us; /* the latest event time that was applied */
    struct account *account;
    unsigned char *large;       /* NULL while it is small */
    unsigned char *cells;       /* of a small one */
    uint32_t ordinal;           /* scratch of saving */
    uint16_t key_len, type;     /* type: index of the entity_layout */
    uint8_t first, count, room; /* in the columns of a small one */
};

/* Makes an entity empty and small. */
void entity_init(const struct entity_layout *l, struct entity *e);
/* Makes it empty and small again and gives its memory back. */
void entity_clear(const struct entity_layout *l, struct entity *e, struct workshop *w);
/* Begins a large block for an entity that has none. */
void entity_enlarge(const struct entity_layout *l, struct entity *e, struct workshop *w);
/* A large block without events, for entities that need one, and to count small ones in. */
void large_init(const struct entity_layout *l, unsigned char *large);
static inline char *entity_key(const struct entity_layout *l, const struct entity *e)
{
    return (char *)e + l->bytes;
}

/* Adds the event to all windows of the entity, whose newest_us is at least its time already. False when it is
 * older than what one of them holds. */
bool entity_insert(const struct plan *p, struct entity *e, const struct event *event, struct workshop *w);
/* Adds or takes back one fraud at the event's place. `bits` says which conditions held, by their fraud_bit.
 */
void entity_label(const struct plan *p, struct entity *e, int64_t at_us, uint32_t number, uint64_t bits,
                  int change);

#endif
