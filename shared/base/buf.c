/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){ .cap = cap };
}

void buf_release(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){ .cap = b->cap };
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->taken = 0;
    b->is_over = false;
}

char *buf_make_room(struct buf *b, size_t len)
{
    size_t need;

    if (__builtin_add_overflow(b->len, len, &need) || (b->cap && need > b->cap)) {
        b->is_over = true;
        return NULL;
    }
    if (b->data && b->taken && b->room - b->taken <= need) {
        memmove(b->data, b->data + b->taken, b->len);
        b->taken = 0;
    }
    if (b->room <= need) {
        size_t room = b->room ? b->room : 64;

        while (room <= need)
            room *= 2;
        b->data = mem_grow(b->data, room, 1);
        b->room = room;
    }
    return b->data + b->taken + b->len;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    char *to = buf_reserve(b, 0);
    size_t room = to ? b->room - b->taken - b->len : 0;
    int len;

    if (b->cap && room > b->cap - b->len)
        room = b->cap - b->len + 1;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(to, room, format, args);
    va_end(args);
    assert(len >= 0);
    if ((size_t)len >= room) { /* only now is it known how much it takes */
        to = buf_reserve(b, (size_t)len);
        if (to)
            vsnprintf(to, (size_t)len + 1, format, again);
    }
    va_end(again);
    if (to)
        buf_commit(b, (size_t)len);
    return to != NULL;
}

void buf_take(struct buf *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        b->taken = 0;
        return;
    }
    b->taken += len;
    b->len -= len;
}

struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data ? b->data + b->taken : "", b->len);
}

const char *buf_str(struct buf *b)
{
    if (!b->data)
        return "";
    b->data[b->taken + b->len] = '\0';
    return b->data + b->taken;
}
