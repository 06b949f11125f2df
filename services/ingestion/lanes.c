/* SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

void lanes_init(struct lanes *l)
{
    *l = (struct lanes){ 0 };
    l->last = &l->first;
    for (size_t i = 0; i < LANES; i++)
        l->lanes[i].tail = &l->lanes[i].head;
}

/* ---- the line of lanes ---- */

static void line_up(struct lanes *l, struct lane *lane)
{
    lane->next = NULL;
    *l->last = lane;
    l->last = &lane->next;
    l->used++;
}

static struct lane *next_lane(struct lanes *l)
{
    struct lane *lane = l->first;

    l->first = lane->next;
    if (!l->first)
        l->last = &l->first;
    l->used--;
    return lane;
}

/* ---- items ---- */

void lanes_add(struct lanes *l, uint64_t hash, struct laned *item)
{
    struct lane *lane = &l->lanes[hash % LANES];

    if (!lane->head)
        line_up(l, lane);
    item->next = NULL;
    *lane->tail = item;
    lane->tail = &item->next;
    lane->count++;
    l->waiting++;
}

static struct laned *first_of(struct lanes *l, struct lane *lane)
{
    struct laned *item = lane->head;

    lane->head = item->next;
    if (!lane->head)
        lane->tail = &lane->head;
    item->next = NULL;
    lane->count--;
    l->waiting--;
    return item;
}

struct laned *lanes_take(struct lanes *l)
{
    struct laned *item;
    struct lane *lane;

    if (!l->first)
        return NULL;
    lane = next_lane(l);
    item = first_of(l, lane);
    if (lane->head)
        line_up(l, lane);
    return item;
}

struct laned *lanes_take_if(struct lanes *l, bool (*goes)(void *ctx, void *owner), void *ctx)
{
    struct laned *taken = NULL, **last = &taken;

    for (size_t n = l->used; n > 0; n--) { /* once around: the order stays */
        struct lane *lane = next_lane(l);

        while (lane->head && goes(ctx, lane->head->owner)) {
            *last = first_of(l, lane);
            last = &(*last)->next;
        }
        if (lane->head)
            line_up(l, lane);
    }
    return taken;
}

size_t lanes_before(const struct lanes *l, uint64_t hash, size_t count)
{
    const struct lane *own = &l->lanes[hash % LANES];
    size_t turns = own->count + count - 1, before = turns;

    for (const struct lane *lane = l->first; lane; lane = lane->next)
        if (lane != own)
            before += lane->count < turns + 1 ? lane->count : turns + 1;
    return before;
}
