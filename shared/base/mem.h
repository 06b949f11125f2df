/* SPDX-License-Identifier: Apache-2.0
 * mem.h - memory that is there or ends the process.
 *
 * A service that cannot get a few bytes cannot answer either; its supervisor starts it again. So no caller
 * checks for NULL. What a peer can make grow is capped where it grows (buf.h, arena.h), not here. */
#ifndef ASSAY_BASE_MEM_H
#define ASSAY_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory for one `type`, or for `n` of them (an overflowing product ends the process). */
#define mem_new(type)      ((type *)mem_alloc(1, sizeof(type)))
#define mem_new_n(type, n) ((type *)mem_alloc((n), sizeof(type)))

void *mem_alloc(size_t n, size_t size);
/* Like realloc() for `n` items of `size`; what is new is not zeroed. */
void *mem_grow(void *ptr, size_t n, size_t size);
char *mem_strdup(const char *text);
/* A NUL-terminated copy of `len` bytes. */
char *mem_strndup(const char *bytes, size_t len);
void mem_free(void *ptr);

/* Zeroed memory straight from the system, aligned to MEM_LARGE_PAGE, a multiple of which `bytes` is; for what
 * is large and read all over. With `is_dense` the system is asked for large pages: then the processor finds
 * any place in it without walking tables, but the first byte that is written takes a whole large page. */
enum { MEM_LARGE_PAGE = 1 << 21 };
void *mem_map(size_t bytes, bool is_dense);
void mem_unmap(void *ptr, size_t bytes);

#endif
