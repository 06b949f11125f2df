/* SPDX-License-Identifier: Apache-2.0
 * pool.h - memory for entities, which come and go: things of one size from lists of their own, and blocks
 * that grow from the allocator, which alone can join what small ones left behind. Counts all of it.
 *
 * Whoever gives something back says how large it was. One owner, one thread. Under AddressSanitizer
 * (POOL_IS_CHECKED) all is the allocator's, so that overruns are seen, and has to be given back; else
 * pool_release() takes the things. */
#ifndef ASSAY_FEATURESTORE_POOL_H
#define ASSAY_FEATURESTORE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_IS_CHECKED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_IS_CHECKED true
#endif
#endif
#ifndef POOL_IS_CHECKED
#define POOL_IS_CHECKED false
#endif

enum { POOL_CLASSES = 60, POOL_THING_MAX = 1 << 16 };

struct pool {
    struct pool_thing *free[POOL_CLASSES];
    struct pool_chunk *chunks;
    size_t left;  /* in the newest chunk */
    size_t bytes; /* taken from the allocator */
};

void pool_release(struct pool *pool);
/* At least `size` bytes for a thing of one of few sizes, not zeroed, aligned for 16. */
void *pool_get(struct pool *pool, size_t size);
void pool_put(struct pool *pool, void *thing, size_t size);
/* The size that a thing of `size` bytes really takes. */
size_t pool_round(size_t size);

/* A block of exactly `size` bytes that will be exchanged for a larger one some day. */
void *pool_block_get(struct pool *pool, size_t size);
void pool_block_put(struct pool *pool, void *block, size_t size);

#endif
