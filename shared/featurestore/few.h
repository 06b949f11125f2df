/* SPDX-License-Identifier: Apache-2.0
 * few.h - the events of a small entity, at most SMALL_MAX of them, in time order. Internal to featurestore/.
 *
 * One block has a column for each thing known of an event, so that what is counted lies side by side:
 *
 *   cells:  times | values ... | texts ... | numbers          each with room for `room` events
 *             [ dropped | 0 | 1 | 2 | room ]
 *                         ^ first
 *
 * Flags are bits in the entity itself, bit i for event i: the conditions, which values are there, fraud last.
 * Numbers (the entries', their low bits) tell events of one time apart when a label comes, so they are there
 * where fraud is counted. */
#ifndef ASSAY_FEATURESTORE_FEW_H
#define ASSAY_FEATURESTORE_FEW_H

#include "featurestore/entity.h"

/* There must be fewer than SMALL_MAX. An event older than what is held is left out. */
void few_insert(const struct entity_layout *l, struct entity *e, const struct event *event,
                struct workshop *w);
/* Drops the events that are not after `gone_us`. */
void few_drop(const struct entity_layout *l, struct entity *e, int64_t gone_us, struct workshop *w);
void few_release(const struct entity_layout *l, struct entity *e, struct workshop *w);
void few_label(const struct entity_layout *l, struct entity *e, int64_t at_us, uint32_t number,
               bool is_fraud);
/* Event `i` as it was; holds, has, values and texts of the workshop are its memory. */
struct event few_get(const struct plan *p, const struct entity *e, uint32_t i, struct workshop *w);

/* Finds the edges of all windows: how many events lie before each. */
void few_find(const struct entity_layout *l, const struct entity *e, const struct moment *at,
              uint8_t *places);
/* Counts a window between its edges into the totals of a large block. */
void few_count(const struct track *t, const struct span *s, const struct entity_layout *l,
               const struct entity *e, const uint8_t *places, const struct moment *at, unsigned char *view);
void few_count_distinct(const struct variety *v, const struct span *s, const struct entity_layout *l,
                        const struct entity *e, const uint8_t *places, const struct moment *at,
                        uint64_t current, unsigned char *view);

/* A column of all events, and how wide it is; for snapshots. */
size_t few_columns(const struct entity_layout *l);
unsigned char *few_column(const struct entity_layout *l, const struct entity *e, size_t column,
                          size_t *width);
/* Makes room for `count` events, whose columns and flags are then to be filled. */
void few_reserve(const struct entity_layout *l, struct entity *e, uint32_t count, struct workshop *w);
bool few_are_valid(const struct entity_layout *l, const struct entity *e);

/* Bytes of one event in all columns, and of the flags in the entity. */
static inline size_t few_event_bytes(const struct entity_layout *l)
{
    return 8 * (1 + l->events.value_count + l->events.text_count) + (l->has_fraud ? 4 : 0);
}

static inline size_t few_flag_count(const struct entity_layout *l)
{
    return l->events.flag_count + l->has_fraud;
}

/* Asks for the memory that counting will read. Where the page is not in the processor's tables a prefetch is
 * dropped, so one byte is really read first. */
static inline void few_prefetch(const struct entity_layout *l, const struct entity *e)
{
    size_t columns = 1 + l->events.value_count + l->events.text_count;

    if (!e->count)
        return;
    (void)*(const volatile unsigned char *)e->cells;
    for (size_t i = 0; i < columns; i++) {
        const unsigned char *from = e->cells + 8 * (i * e->room + e->first);

        for (size_t k = 0; k < 8 * (size_t)e->count; k += 64)
            __builtin_prefetch(from + k);
    }
}

#endif
