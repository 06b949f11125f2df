/* SPDX-License-Identifier: Apache-2.0
 * nodes.h - how a forest lies in memory. Private to shared/forest.
 *
 * A row becomes `slots`, so that a split is one comparison without a special case for NaN:
 *
 *   slots: [-inf | value 0, missing goes right | value 0, missing goes left | value 1, ... | categorical splits]
 *           ^ leaves look here
 *
 * Where a value is missing its two slots hold +inf (right of any threshold) and -inf (left of any). A
 * categorical split has a slot of its own, -inf or +inf, decided once a row. A leaf keeps its value as its
 * threshold and compares with -inf: "left", zero nodes away; it stays where it is, so that trees of any depth
 * take the same number of steps. Children are neighbours, and the child that more training rows went to lies
 * behind its parent: a usual path reads few cache lines. */
#ifndef ASSAY_FOREST_NODES_H
#define ASSAY_FOREST_NODES_H

#include <assert.h>

#include "forest/forest.h"

struct node {
    float threshold; /* a leaf's value */
    uint16_t slot;   /* SLOT_LEAF in a leaf */
    uint16_t step;   /* from here to the left child; the right one is next to it; 0 in a leaf */
};
static_assert(sizeof(struct node) == 8, "eight nodes a cache line");

enum { SLOT_LEAF = 0, SLOT_FIRST = 1 };

static inline uint16_t slot_of(size_t column, bool is_missing_left)
{
    return (uint16_t)(SLOT_FIRST + 2 * column + is_missing_left);
}

/* Trees walked side by side: enough to hide the latency of one comparison behind the others. */
enum { GROUP = 8 };

/* Goes left unless the value is in the set of categories. */
struct category_split {
    uint32_t column;
    bool is_missing_left;
    uint16_t slot;
    uint32_t words;
    size_t first; /* of `words` in category_bits; bit c of the set is word c / 32, bit c % 32 */
    size_t node;  /* one that splits like this */
};

struct forest {
    size_t columns, trees, node_count, depth, slots;
    float base_margin;
    struct node *nodes;
    float *change;       /* per node: how far its expected margin is from its parent's; 0 in a root */
    float *cover;        /* per node: the training rows that reached it, weighted */
    size_t *roots;       /* [trees rounded up to GROUP]; what fills it up points to the last tree */
    uint8_t *tree_depth; /* [trees] */
    uint8_t *group_depth;
    double bias; /* base margin and the trees' expected margins */
    struct category_split *categories;
    size_t category_count;
    uint32_t *category_bits;
};

static inline const struct node *node_next(const struct node *n, const float *slots)
{
    return n + n->step + !(slots[n->slot] < n->threshold);
}

static inline bool node_is_leaf(const struct node *n)
{
    return n->slot == SLOT_LEAF;
}

/* Fills slots[f->slots] from a row. */
void forest_fill_slots(const struct forest *f, const float *row, float *slots);
#endif
