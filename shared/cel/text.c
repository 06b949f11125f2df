/* SPDX-License-Identifier: Apache-2.0
 * text.c - UTF-8 by code points. What comes in was checked to be UTF-8, or is read without running over its
 * end. */
#include "cel/ast.h"

int64_t text_length(struct slice s)
{
    int64_t points = 0;

    for (size_t i = 0; i < s.len; i++)
        points += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return points;
}

static bool is_inside(struct slice s, size_t i)
{
    return i < s.len && ((unsigned char)s.ptr[i] & 0xc0) == 0x80;
}

bool text_offset(struct slice s, int64_t n, size_t *offset)
{
    size_t at = 0;

    if (n < 0)
        return false;
    for (; n > 0 && at < s.len; n--) {
        at++;
        while (is_inside(s, at))
            at++;
    }
    *offset = at;
    return n == 0;
}

uint32_t text_next(struct slice *s)
{
    unsigned char first = (unsigned char)s->ptr[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t c = first < 0x80 ? first : first & (0x7fu >> len);
    size_t used = 1;

    for (; used < len && is_inside(*s, used); used++)
        c = c << 6 | ((unsigned char)s->ptr[used] & 0x3f);
    *s = slice_of(s->ptr + used, s->len - used);
    return c;
}

struct cel_value text_from(struct machine *m, struct buf *buf, enum cel_kind kind)
{
    struct slice made = buf_slice(buf);
    char *copy = buf->is_over ? NULL : machine_take(m, made.len + 1, 1);
    struct cel_value value = cel_error(CEL_FAULT_ROOM);

    if (copy) {
        if (made.len)
            memcpy(copy, made.ptr, made.len);
        value = (struct cel_value){ .kind = kind, .s = slice_of(copy, made.len) };
        if (!machine_spend(m, made.len / 16))
            value = cel_error(CEL_FAULT_STEPS);
    }
    buf_release(buf);
    return value;
}
