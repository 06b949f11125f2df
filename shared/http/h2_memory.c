/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h2_memory.h"

#include <stdint.h>
#include <string.h>

static void *take(size_t bytes, void *user)
{
    return pieces_take(user, bytes);
}

static void give_back(void *piece, void *user)
{
    pieces_give(user, piece);
}

static void *take_zeroed(size_t n, size_t size, void *user)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return memset(pieces_take(user, bytes), 0, bytes);
}

static void *grow(void *piece, size_t bytes, void *user)
{
    return pieces_grow(user, piece, bytes);
}

nghttp2_mem h2_memory(struct pieces *p)
{
    return (nghttp2_mem){
        .mem_user_data = p, .malloc = take, .free = give_back, .calloc = take_zeroed, .realloc = grow
    };
}
