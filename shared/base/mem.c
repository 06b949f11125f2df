/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

void *mem_map(size_t bytes, bool is_dense)
{
    size_t more = bytes + MEM_LARGE_PAGE;
    char *raw = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;

    if (raw == MAP_FAILED)
        or_die(NULL, bytes);
    at = raw + (MEM_LARGE_PAGE - (uintptr_t)raw % MEM_LARGE_PAGE) % MEM_LARGE_PAGE;
    if (at > raw)
        munmap(raw, (size_t)(at - raw));
    munmap(at + bytes, (size_t)(raw + more - (at + bytes)));
    if (is_dense)
        madvise(at, bytes, MADV_HUGEPAGE); /* where there are none, small ones do */
    return at;
}

void mem_unmap(void *ptr, size_t bytes)
{
    if (ptr)
        munmap(ptr, bytes);
}
