/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/cells.h"

static void deque_move(struct deque *d, uint32_t cell_bytes, uint32_t room, struct workshop *w)
{
    unsigned char *cells = pool_get(&w->pool, (size_t)room * cell_bytes);

    if (d->count)
        memcpy(cells, cell_at(d, cell_bytes, 0), (size_t)d->count * cell_bytes);
    pool_put(&w->pool, d->cells, (size_t)d->room * cell_bytes);
    d->cells = cells;
    d->first = 0;
    d->room = room;
}

void deque_reserve(struct deque *d, uint32_t cell_bytes, uint32_t count, struct workshop *w)
{
    if (d->room < count)
        deque_move(d, cell_bytes, count, w);
}

void deque_release(struct deque *d, uint32_t cell_bytes, struct workshop *w)
{
    pool_put(&w->pool, d->cells, (size_t)d->room * cell_bytes);
    w->cells -= d->count;
    *d = (struct deque){ 0 };
}

/* Makes room for one more cell at place `i` and returns it, unset. */
unsigned char *deque_insert(struct deque *d, uint32_t cell_bytes, uint32_t i, struct workshop *w)
{
    if (d->first + d->count == d->room) {
        if (d->first > 0 && d->first >= d->room / 8) { /* what is moved was paid for by what was dropped */
            memmove(d->cells, cell_at(d, cell_bytes, 0), (size_t)d->count * cell_bytes);
            d->first = 0;
        } else {
            deque_move(d, cell_bytes, d->count + d->count / 8 + 2, w);
        }
    }
    if (i < d->count)
        memmove(cell_at(d, cell_bytes, i + 1), cell_at(d, cell_bytes, i),
                (size_t)(d->count - i) * cell_bytes);
    d->count++;
    w->cells++;
    return cell_at(d, cell_bytes, i);
}

void deque_drop_front(struct deque *d, uint32_t cell_bytes, struct workshop *w)
{
    d->first++;
    d->count--;
    w->cells--;
    if (d->room > 8 && d->count < d->room / 2)
        deque_move(d, cell_bytes, d->count + d->count / 8 + 2, w);
}
