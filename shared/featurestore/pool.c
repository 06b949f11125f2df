/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 1 << 18 };

struct pool_thing {
    struct pool_thing *next;
};
struct pool_chunk {
    struct pool_chunk *next;
    size_t size;
    _Alignas(16) unsigned char bytes[];
};

/* 16, 32, ... 512: entities are of such sizes, and there are many; then four sizes between each two powers of
 * two. */
enum { FINE_LOG = 9, FINE_CLASSES = (1 << FINE_LOG) / 16 };

static size_t class_of(size_t size)
{
    unsigned log;

    if (size <= 1 << FINE_LOG)
        return size ? (size - 1) / 16 : 0;
    log = 63u - (unsigned)__builtin_clzll(size - 1);
    return FINE_CLASSES + 4 * (log - FINE_LOG) + (((size - 1) >> (log - 2)) & 3);
}

static size_t size_of(size_t class)
{
    if (class < FINE_CLASSES)
        return 16 * (class + 1);
    class -= FINE_CLASSES;
    return ((size_t)1 << (FINE_LOG + class / 4)) / 4 * (5 + class % 4);
}

size_t pool_round(size_t size)
{
    return size > POOL_THING_MAX ? size : size_of(class_of(size));
}

void pool_release(struct pool *pool)
{
    while (pool->chunks) {
        struct pool_chunk *next = pool->chunks->next;

        mem_free(pool->chunks);
        pool->chunks = next;
    }
    *pool = (struct pool){ 0 };
}

void *pool_get(struct pool *pool, size_t size)
{
    size_t class = class_of(size);
    size_t rounded = pool_round(size);
    struct pool_thing *thing;

    if (size > POOL_THING_MAX || POOL_IS_CHECKED) {
        pool->bytes += rounded;
        return mem_alloc(1, rounded);
    }
    thing = pool->free[class];
    if (thing) {
        pool->free[class] = thing->next;
        return thing;
    }
    if (pool->left < rounded) {
        struct pool_chunk *chunk = mem_alloc(1, sizeof *chunk + CHUNK_BYTES);

        chunk->next = pool->chunks;
        pool->chunks = chunk;
        pool->left = CHUNK_BYTES;
        pool->bytes += sizeof *chunk + CHUNK_BYTES;
    }
    pool->left -= rounded;
    return pool->chunks->bytes + pool->left;
}

void pool_put(struct pool *pool, void *thing, size_t size)
{
    size_t class = class_of(size);
    struct pool_thing *free_thing = thing;

    if (!thing)
        return;
    if (size > POOL_THING_MAX || POOL_IS_CHECKED) {
        pool->bytes -= pool_round(size);
        mem_free(thing);
        return;
    }
    free_thing->next = pool->free[class];
    pool->free[class] = free_thing;
}

/* What the allocator adds, near enough. */
static size_t block_bytes(size_t size)
{
    return ((size + 8 + 15) & ~(size_t)15);
}

void *pool_block_get(struct pool *pool, size_t size)
{
    pool->bytes += block_bytes(size);
    return mem_grow(NULL, size, 1);
}

void pool_block_put(struct pool *pool, void *block, size_t size)
{
    if (!block)
        return;
    pool->bytes -= block_bytes(size);
    mem_free(block);
}
