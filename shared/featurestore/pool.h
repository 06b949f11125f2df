/* SPDX-License-Identifier: Apache-2.0
 * pool.h - memory for entities, which come and go and grow, and of which there are many. Counts all of it.
 * Internal to featurestore/.
 *
 *   chunks from the system, aligned, with large pages once there are several:
 *     [ slab | slab | slab ... ]     a slab has things of one size
 *       [ head | thing | thing | thing ... ]
 *
 * Whoever gives something back says how large it was; the slab is found by its address. Things come from the
 * fullest slab that has room, so that others empty; a slab whose things are all back may be one of another
 * size next. So what many entities left behind when they grew is used again. What is larger than
 * POOL_THING_MAX is the allocator's.
 *
 * One owner, one thread. Under AddressSanitizer (POOL_IS_CHECKED) all is the allocator's, so that overruns
 * are seen, and has to be given back; else pool_release() takes the slabs. */
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

enum {
    POOL_THING_MAX = 4096,
    POOL_GRAIN = 16,
    POOL_CLASSES = POOL_THING_MAX / POOL_GRAIN,
    POOL_QUARTERS = 4
};

struct pool {
    struct slab *open[POOL_CLASSES][POOL_QUARTERS]; /* those with room, by size and how full they are */
    struct slab *empty;                             /* of no size */
    char **chunks;
    size_t chunk_count, chunk_cap;
    size_t slabs_left; /* in the newest chunk */
    size_t bytes;      /* of slabs that were used, and of what is larger */
};

void pool_release(struct pool *pool);
/* At least `size` bytes, not zeroed, aligned for 16. */
void *pool_get(struct pool *pool, size_t size);
void pool_put(struct pool *pool, void *thing, size_t size);

#endif
