/* SPDX-License-Identifier: Apache-2.0
 * lanes.h - a queue in which keys take turns, one item each, so that however many one key has waiting, another's
 * next is at most a turn away. Within a lane the first comes first.
 *
 * Keys share a fixed number of lanes, by their hash: whoever shares a lane with a flood waits with it, which a
 * keyed hash makes rare and not for others to choose. Source: McKenney, "Stochastic fairness queueing",
 * INFOCOM 1990. */
#ifndef ASSAY_INGESTION_LANES_H
#define ASSAY_INGESTION_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 256 };

/* In whatever waits; its memory is the caller's. */
struct laned {
    struct laned *next;
    void *owner;
};

struct lanes {
    struct lane {
        struct laned *head, **tail;
        size_t count;
        struct lane *next; /* whose turn it is after this one's */
    } lanes[LANES];
    struct lane *first, **last; /* those in which someone waits */
    size_t waiting, used;
};

void lanes_init(struct lanes *l);
void lanes_add(struct lanes *l, uint64_t hash, struct laned *item);
/* Whose turn it is; NULL when nobody waits. */
struct laned *lanes_take(struct lanes *l);
/* Takes from the head of each lane as long as `goes` says so; a list by `next`. */
struct laned *lanes_take_if(struct lanes *l, bool (*goes)(void *ctx, void *owner), void *ctx);
/* How many are taken before the last of `count` more with this hash, if nobody else comes. */
size_t lanes_before(const struct lanes *l, uint64_t hash, size_t count);

#endif
