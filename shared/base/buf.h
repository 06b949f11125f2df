/* SPDX-License-Identifier: Apache-2.0
 * buf.h - a growing byte buffer with a cap, for whatever is built or received piece by piece.
 *
 *   data: [taken | len bytes of content | room]
 *
 * Bytes are added at the end and may be taken from the front. One owner, one thread. */
#ifndef ASSAY_BASE_BUF_H
#define ASSAY_BASE_BUF_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/slice.h"

struct buf {
    char *data; /* the allocation; content starts at data + taken */
    size_t len; /* bytes of content */
    size_t taken;
    size_t room;  /* bytes allocated in all */
    size_t cap;   /* content never grows past this; 0 means no limit (for what no peer feeds) */
    bool is_over; /* an addition did not fit and was dropped whole; stays until buf_clear() */
};

void buf_init(struct buf *b, size_t cap);
void buf_release(struct buf *b);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);

/* Add at the end. False (and `is_over`) when the cap would be passed: then nothing was added. Writers that
 * add many pieces may check `is_over` once at the end. */
static inline bool buf_add(struct buf *b, const void *bytes, size_t len);
static inline bool buf_add_slice(struct buf *b, struct slice bytes);
static inline bool buf_add_str(struct buf *b, const char *text);
static inline bool buf_add_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Room for `len` more bytes to be written at the returned place, then made content by buf_commit(). NULL when
 * over the cap. */
static inline char *buf_reserve(struct buf *b, size_t len);
static inline void buf_commit(struct buf *b, size_t len);
/* Takes `len` bytes (at most what is there) from the front. */
void buf_take(struct buf *b, size_t len);

/* The content, valid until the next change. */
struct slice buf_slice(const struct buf *b);
/* The same as a C string: a NUL stands behind the content. */
const char *buf_str(struct buf *b);

/* ---- where the room is there already, adding is a few instructions ---- */

/* buf_reserve() when there is no room yet. */
char *buf_make_room(struct buf *b, size_t len);

/* One byte more than asked, so that buf_str() always has a place for its NUL. */
static inline char *buf_reserve(struct buf *b, size_t len)
{
    if (len < b->room - b->taken - b->len && (!b->cap || len <= b->cap - b->len))
        return b->data + b->taken + b->len;
    return buf_make_room(b, len);
}

static inline void buf_commit(struct buf *b, size_t len)
{
    assert(len < b->room - b->taken - b->len);
    b->len += len;
}

static inline bool buf_add(struct buf *b, const void *bytes, size_t len)
{
    char *to = buf_reserve(b, len);

    if (!to)
        return false;
    if (len)
        memcpy(to, bytes, len);
    b->len += len;
    return true;
}

static inline bool buf_add_slice(struct buf *b, struct slice bytes)
{
    return buf_add(b, bytes.ptr, bytes.len);
}

static inline bool buf_add_str(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

static inline bool buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

#endif
