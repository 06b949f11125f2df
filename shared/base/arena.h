/* SPDX-License-Identifier: Apache-2.0
 * arena.h - memory with one lifetime: everything made for a request, released at once after the reply.
 *
 *   [chunk: used ......| free]  ->  [older chunk]  ->  NULL
 *
 * An arena is used by one thread. It has no cap of its own: what fills it is capped where it comes in. */
#ifndef ASSAY_BASE_ARENA_H
#define ASSAY_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

struct arena_chunk;

/* Zero-initialise; `struct arena a = {0}` is an empty arena. */
struct arena {
    struct arena_chunk *chunk; /* the newest, which is filled */
    size_t total;              /* bytes held in all chunks */
};

/* Zeroed memory for `n` of `type`, aligned for it. */
#define arena_new(a, type, n) ((type *)arena_alloc((a), (n), sizeof(type)))

void *arena_alloc(struct arena *a, size_t n, size_t size);
/* A NUL-terminated copy; the slice form does not count the NUL. */
char *arena_strndup(struct arena *a, const char *bytes, size_t len);
struct slice arena_slice(struct arena *a, struct slice bytes);
struct slice arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

/* Forgets everything and keeps the newest chunk, so that a steady state allocates nothing. */
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

#endif
