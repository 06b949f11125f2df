/* SPDX-License-Identifier: Apache-2.0
 * layout_impl.h - a layout's inside, for window.c which fills its bins. */
#ifndef ASSAY_DRIFT_LAYOUT_IMPL_H
#define ASSAY_DRIFT_LAYOUT_IMPL_H

#include "base/arena.h"
#include "base/hash.h"
#include "drift/layout.h"

/* Edges for a search without branches: 2^steps - 1 of them, the last ones +infinity. */
struct drift_cut {
    const double *edges;
    uint32_t steps;
    uint32_t offset; /* of the first bin in the array of counts */
    uint32_t bins;   /* the missing one is the last */
};

enum { DRIFT_SLOTS = 128 }; /* more than twice as many as categories */

struct drift_slots {
    struct slice names[DRIFT_CATEGORIES_MAX]; /* sorted as given */
    uint32_t count;
    uint8_t table[DRIFT_SLOTS]; /* 1 + category, by hash; 0: free */
    uint32_t offset;            /* of the field's bins */
    uint32_t segments; /* of its first category's bins: score, then action; then the next category's */
};

struct drift_layout {
    struct arena arena;
    uint64_t id;
    size_t columns, subject_count, counts;
    struct drift_subject *subjects;
    struct drift_cut *features; /* [columns] */
    struct drift_cut score;
    uint32_t action_offset;
    struct drift_slots fields[DRIFT_FIELD_COUNT];
};

/* The bin of a value: edges[bin - 1] <= value < edges[bin]. */
static inline size_t drift_cut_bin(const struct drift_cut *c, double value)
{
    size_t at = 0;

    for (size_t half = (size_t)1 << c->steps >> 1; half > 0; half >>= 1)
        at += value >= c->edges[at + half - 1] ? half : 0;
    at = at < c->bins - 2 ? at : c->bins - 2; /* +infinity passes the padding */
    return value != value ? c->bins - 1 : at; /* NaN is not itself */
}

/* The slot of a field's value: a known category, else count (unseen), else count + 1 (missing). */
size_t drift_slots_find(const struct drift_slots *f, struct slice value);

#endif
