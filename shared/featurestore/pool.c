/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/pool.h"

#include <assert.h>
#include <stdint.h>

#include "base/array.h"
#include "base/mem.h"

enum { SLAB_BYTES = 1 << 13, CHUNK_SLABS = MEM_LARGE_PAGE / SLAB_BYTES, SMALL_CHUNKS = 4 };

struct thing {
    struct thing *next;
};
struct slab {
    struct slab *next, *before; /* among the open ones, or the empty ones (next only) */
    struct thing *back;         /* given back */
    uint16_t used, fresh;       /* things that are out; that never were */
    uint16_t room, class;
    _Alignas(64) unsigned char things[];
};

static size_t class_of(size_t size)
{
    return size ? (size - 1) / POOL_GRAIN : 0;
}

static size_t size_of(size_t class)
{
    return POOL_GRAIN * (class + 1);
}

void pool_release(struct pool *pool)
{
    for (size_t i = 0; i < pool->chunk_count; i++)
        mem_unmap(pool->chunks[i], MEM_LARGE_PAGE);
    mem_free(pool->chunks);
    *pool = (struct pool){ 0 };
}

static bool is_full(const struct slab *slab)
{
    return slab->used == slab->room;
}

static struct slab **list_of(struct pool *pool, const struct slab *slab)
{
    return &pool->open[slab->class][slab->used * POOL_QUARTERS / slab->room];
}

static void open_link(struct pool *pool, struct slab *slab)
{
    struct slab **list = list_of(pool, slab);

    slab->before = NULL;
    slab->next = *list;
    if (slab->next)
        slab->next->before = slab;
    *list = slab;
}

static void open_unlink(struct pool *pool, struct slab *slab)
{
    if (slab->before)
        slab->before->next = slab->next;
    else
        *list_of(pool, slab) = slab->next;
    if (slab->next)
        slab->next->before = slab->before;
}

static struct slab *slab_new(struct pool *pool, size_t class)
{
    struct slab *slab = pool->empty;
    uint16_t room = (uint16_t)((SLAB_BYTES - sizeof *slab) / size_of(class));

    if (slab) {
        pool->empty = slab->next;
    } else {
        if (pool->slabs_left == 0) {
            ARRAY_RESERVE_ONE(pool->chunks, pool->chunk_count, pool->chunk_cap);
            pool->chunks[pool->chunk_count] = mem_map(MEM_LARGE_PAGE, pool->chunk_count >= SMALL_CHUNKS);
            pool->chunk_count++;
            pool->slabs_left = CHUNK_SLABS;
        }
        slab = (struct slab *)(pool->chunks[pool->chunk_count - 1] +
                               (CHUNK_SLABS - pool->slabs_left--) * (size_t)SLAB_BYTES);
        pool->bytes += SLAB_BYTES;
    }
    *slab = (struct slab){ .fresh = room, .room = room, .class = (uint16_t) class };
    open_link(pool, slab);
    return slab;
}

/* One more or one less of its things is out. */
static void slab_use(struct pool *pool, struct slab *slab, int change)
{
    struct slab **before = is_full(slab) ? NULL : list_of(pool, slab), **after;

    slab->used = (uint16_t)(slab->used + change);
    after = is_full(slab) ? NULL : list_of(pool, slab);
    if (before == after)
        return;
    slab->used = (uint16_t)(slab->used - change);
    if (before)
        open_unlink(pool, slab);
    slab->used = (uint16_t)(slab->used + change);
    if (after)
        open_link(pool, slab);
}

static struct slab *fullest(struct pool *pool, size_t class)
{
    for (int i = POOL_QUARTERS; i-- > 0;) {
        if (pool->open[class][i])
            return pool->open[class][i];
    }
    return slab_new(pool, class);
}

void *pool_get(struct pool *pool, size_t size)
{
    size_t class = class_of(size);
    struct slab *slab;
    struct thing *thing;

    if (size > POOL_THING_MAX || POOL_IS_CHECKED) {
        pool->bytes += size;
        return mem_grow(NULL, size, 1);
    }
    slab = fullest(pool, class);
    thing = slab->back;
    if (thing)
        slab->back = thing->next;
    else
        thing = (struct thing *)(slab->things + --slab->fresh * size_of(class));
    slab_use(pool, slab, 1);
    return thing;
}

void pool_put(struct pool *pool, void *thing, size_t size)
{
    struct thing *back = thing;
    struct slab *slab;

    if (!thing)
        return;
    if (size > POOL_THING_MAX || POOL_IS_CHECKED) {
        pool->bytes -= size;
        mem_free(thing);
        return;
    }
    slab = (struct slab *)((char *)thing - (uintptr_t)thing % SLAB_BYTES);
    back->next = slab->back;
    slab->back = back;
    slab_use(pool, slab, -1);
    if (slab->used == 0) {
        open_unlink(pool, slab);
        slab->next = pool->empty;
        pool->empty = slab;
    }
}
