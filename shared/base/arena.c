/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_CHUNK_BYTES = 4096, LARGEST_DOUBLING_BYTES = 1 << 20 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t cap, used;
    alignas(max_align_t) char bytes[];
};

static struct arena_chunk *chunk_new(struct arena *a, size_t at_least)
{
    size_t cap = a->chunk ? a->chunk->cap * 2 : FIRST_CHUNK_BYTES;
    struct arena_chunk *c;

    if (cap > LARGEST_DOUBLING_BYTES)
        cap = LARGEST_DOUBLING_BYTES;
    if (cap < at_least)
        cap = at_least;
    c = mem_grow(NULL, 1, sizeof *c + cap);
    c->older = a->chunk;
    c->cap = cap;
    c->used = 0;
    a->chunk = c;
    a->total += cap;
    return c;
}

/* Not zeroed; `bytes` is a multiple of the alignment. */
static void *take(struct arena *a, size_t bytes)
{
    struct arena_chunk *c = a->chunk;
    void *p;

    if (!c || c->cap - c->used < bytes)
        c = chunk_new(a, bytes);
    p = c->bytes + c->used;
    c->used += bytes;
    return p;
}

static size_t aligned(size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        mem_alloc(SIZE_MAX, SIZE_MAX); /* ends the process */
    return (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        bytes = SIZE_MAX;
    bytes = aligned(bytes);
    return memset(take(a, bytes), 0, bytes);
}

char *arena_strndup(struct arena *a, const char *bytes, size_t len)
{
    char *copy = take(a, aligned(len + 1));

    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

struct slice arena_slice(struct arena *a, struct slice bytes)
{
    return slice_of(arena_strndup(a, bytes.ptr, bytes.len), bytes.len);
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    char most[256], *text;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(most, sizeof most, format, args);
    va_end(args);
    assert(len >= 0);
    text = arena_alloc(a, (size_t)len + 1, 1);
    if ((size_t)len < sizeof most)
        memcpy(text, most, (size_t)len);
    else
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return slice_of(text, (size_t)len);
}

static void free_older_than(struct arena *a, struct arena_chunk *keep)
{
    struct arena_chunk *c = keep ? keep->older : a->chunk;

    while (c) {
        struct arena_chunk *older = c->older;

        a->total -= c->cap;
        mem_free(c);
        c = older;
    }
    if (keep)
        keep->older = NULL;
    a->chunk = keep;
}

void arena_reset(struct arena *a)
{
    free_older_than(a, a->chunk);
    if (a->chunk)
        a->chunk->used = 0;
}

void arena_release(struct arena *a)
{
    free_older_than(a, NULL);
}
