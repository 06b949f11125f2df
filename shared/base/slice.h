/* SPDX-License-Identifier: Apache-2.0
 * slice.h - a view of somebody's bytes. Whoever hands one out says whose they are and how long they live. */
#ifndef ASSAY_BASE_SLICE_H
#define ASSAY_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal, and the two arguments that printf's "%.*s" takes. */
#define SLICE(literal) ((struct slice){ ("" literal), sizeof(literal) - 1 })
#define SLICE_ARG(s)   (int)(s).len, (s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){ (const char *)ptr, len };
}

static inline struct slice slice_str(const char *text)
{
    return (struct slice){ text, text ? strlen(text) : 0 };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *text)
{
    return slice_eq(a, slice_str(text));
}

static inline bool slice_starts_with(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

/* Bytewise order, a shorter prefix first: below, equal to or above zero as memcmp() has it. */
int slice_compare(struct slice a, struct slice b);

/* A decimal integer that is the whole slice: an optional sign, no space. False when it is not one or
 * overflows. */
bool slice_to_i64(struct slice a, int64_t *out);
/* A finite decimal number that is the whole slice ('.' as the point whatever the locale). */
bool slice_to_double(struct slice a, double *out);
/* Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool slice_is_utf8(struct slice a);

#endif
