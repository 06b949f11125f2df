/* SPDX-License-Identifier: Apache-2.0
 * neighbours.h - which past rows a forest takes for most like a new one: those that come to the same leaf in the most
 * of its trees.
 *
 *   proximity of two rows = trees in which both come to the same leaf / trees
 *
 * That is the proximity of random forests (Breiman, "Random Forests", 2001), here for boosted trees: each counts alike.
 *
 * The index is bounded. When it is full a new row takes the place of the oldest ordinary one; rows that are to be kept
 * (frauds: there are few, and they tell the most) are passed over until they fill half of it, and then the oldest of
 * them goes.
 *
 *   cells:  block of 64 rows | tree 0: 64 leaves | tree 1: 64 leaves | ...     one or two bytes a leaf
 *
 * so that a search compares 64 rows with one instruction or a few, and reads memory in its order. The trees stand in an
 * order of their own, in which each beginning has trees from everywhere in the forest.
 *
 * Two ways to search. EXACT compares every leaf: 200,000 rows of 300 trees are 60 MB, read once. SKETCH compares the first
 * part of the trees, and counts all trees of the rows that did best there: each proximity that it gives is exact, and what
 * it can do is miss a neighbour. NEIGHBOURS_AUTO takes the first while rows x trees are few enough.
 *
 * Knows no I/O and no clock. One thread writes while none searches; any number may search. */
#ifndef ASSAY_NEIGHBOURS_NEIGHBOURS_H
#define ASSAY_NEIGHBOURS_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct neighbours;

enum {
    NEIGHBOURS_EXACT_CELLS = 128 << 20, /* rows x trees up to which NEIGHBOURS_AUTO is exact */
    NEIGHBOURS_SKETCH_TREES = 160,      /* that a sketch compares first, where there are more */
    NEIGHBOURS_SKETCH_ROWS = 2000,      /* the best by them, whose trees are all counted */
};

/* An index of up to `rows` rows over `trees` trees with at most `leaves` leaves each (up to 65,536). Memory comes as rows
 * do: neighbours_row_bytes() for each. */
struct neighbours *neighbours_new(size_t trees, size_t leaves, size_t rows);
void neighbours_free(struct neighbours *x);
/* About what a row takes. */
size_t neighbours_row_bytes(size_t trees, size_t leaves);

struct neighbours_item {
    uint64_t key;   /* the caller's name for the row; one row a key */
    uint32_t group; /* only rows of one group are compared */
    bool is_kept;   /* longer than the others */
};
/* Puts a row in; one that is there by its key is replaced, and as young as a new one if it becomes a kept one.
 *   leaves  in  uint16_t[trees], each below `leaves` */
void neighbours_put(struct neighbours *x, const struct neighbours_item *item, const uint16_t *leaves);

size_t neighbours_count(const struct neighbours *x);
size_t neighbours_kept(const struct neighbours *x);

enum neighbours_way { NEIGHBOURS_AUTO, NEIGHBOURS_EXACT, NEIGHBOURS_SKETCH };

struct neighbours_question {
    const uint16_t *leaves; /* [trees], each below `leaves` */
    uint32_t group;
    uint64_t except; /* a key that is no answer: the row's own */
    enum neighbours_way way;
};
struct neighbour {
    uint64_t key;
    size_t matches; /* trees */
};
/* The nearest rows, the nearest first; of equally near ones that with the larger key. Rows without any common leaf are
 * none. *was_exact (may be NULL) says which way was gone.
 *   out  [most]      returns how many there are */
size_t neighbours_search(const struct neighbours *x, const struct neighbours_question *q,
                         struct neighbour *out, size_t most, bool *was_exact);

#endif
