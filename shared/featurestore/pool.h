/* SPDX-License-Identifier: Apache-2.0
 * pool.h - memory in sizes, reused: entities come and go, and the steady state asks nobody for memory.
 *
 * Whoever gives a block back says how large it was. Blocks above POOL_BLOCK_MAX go to the allocator. One
 * owner, one thread. Under AddressSanitizer (POOL_IS_CHECKED) every block is the allocator's, so that
 * overruns are seen, and has to be given back; else pool_release() takes all at once. */
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

enum { POOL_CLASSES = 56, POOL_BLOCK_MAX = 1 << 16 };

struct pool {
    struct pool_block *free[POOL_CLASSES];
    struct pool_chunk *chunks;
    size_t left;  /* in the newest chunk */
    size_t bytes; /* taken from the allocator */
};

void pool_release(struct pool *pool);
/* The size that a block for `size` bytes really has. */
size_t pool_round(size_t size);
/* At least `size` bytes, not zeroed, aligned for 16. */
void *pool_get(struct pool *pool, size_t size);
void pool_put(struct pool *pool, void *block, size_t size);

#endif
