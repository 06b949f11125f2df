/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *ptr, size_t bytes)
{
    if (ptr)
        return ptr;
    fprintf(stderr, "out of memory: %zu bytes\n", bytes);
    abort();
}

void *mem_alloc(size_t n, size_t size)
{
    if (n == 0)
        n = 1;
    return or_die(calloc(n, size), n * size);
}

void *mem_grow(void *ptr, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n ? n : 1, size, &bytes))
        return or_die(NULL, SIZE_MAX);
    return or_die(realloc(ptr, bytes), bytes);
}

char *mem_strndup(const char *bytes, size_t len)
{
    char *copy = mem_alloc(len + 1, 1);

    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

void mem_free(void *ptr)
{
    free(ptr);
}
