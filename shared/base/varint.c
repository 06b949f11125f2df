/* SPDX-License-Identifier: Apache-2.0
 * varint.c - see varint.h. */
#include "base/varint.h"

#include <endian.h>

enum { BITS = 7, MORE = 1 << BITS, LONGEST = 10 };

void varint_add(struct buf *out, uint64_t number)
{
    char bytes[LONGEST];
    size_t len = 0;

    while (number >= MORE) {
        bytes[len++] = (char)(unsigned char)(number | MORE);
        number >>= BITS;
    }
    bytes[len++] = (char)(unsigned char)number;
    buf_add(out, bytes, len);
}

void varint_add_signed(struct buf *out, int64_t number)
{
    varint_add(out, (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0));
}

void varint_add_counts(struct buf *out, const uint64_t *counts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        varint_add(out, counts[i]);
        if (counts[i] == 0) {
            size_t first = i;

            while (i + 1 < n && counts[i + 1] == 0)
                i++;
            varint_add(out, i - first);
        }
    }
}

void varint_add_slice(struct buf *out, struct slice bytes)
{
    varint_add(out, bytes.len);
    buf_add_slice(out, bytes);
}

void varint_add_double(struct buf *out, double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    bits = htole64(bits);
    buf_add(out, &bits, sizeof bits);
}

static uint64_t bad(struct varint_reader *r)
{
    r->is_bad = true;
    r->rest = (struct slice){ 0 };
    return 0;
}

uint64_t varint_read(struct varint_reader *r)
{
    uint64_t number = 0;

    for (size_t i = 0; i < r->rest.len && i < LONGEST; i++) {
        uint64_t byte = (unsigned char)r->rest.ptr[i];

        number |= (byte & (MORE - 1)) << BITS * i;
        if (byte & MORE)
            continue;
        if ((i > 0 && byte == 0) || (i == LONGEST - 1 && byte > 1))
            break; /* a longer form than needed, or more than 64 bits */
        r->rest = slice_of(r->rest.ptr + i + 1, r->rest.len - i - 1);
        return number;
    }
    return bad(r);
}

int64_t varint_read_signed(struct varint_reader *r)
{
    uint64_t number = varint_read(r);

    return (int64_t)(number >> 1 ^ (number & 1 ? UINT64_MAX : 0));
}

void varint_read_counts(struct varint_reader *r, uint64_t *counts, size_t n, uint64_t most)
{
    bool was_zero = false;

    for (size_t i = 0; i < n; i++) {
        uint64_t more;

        counts[i] = varint_read(r);
        if (counts[i] > most || (counts[i] == 0 && was_zero))
            counts[i] = bad(r);
        was_zero = counts[i] == 0;
        if (!was_zero)
            continue;
        more = varint_read(r);
        if (more > n - i - 1)
            more = bad(r);
        for (; more > 0; more--)
            counts[++i] = 0;
    }
}

struct slice varint_read_slice(struct varint_reader *r, size_t most)
{
    uint64_t len = varint_read(r);
    struct slice bytes;

    if (len > most || len > r->rest.len)
        bad(r);
    if (r->is_bad)
        return (struct slice){ 0 };
    bytes = slice_of(r->rest.ptr, (size_t)len);
    r->rest = slice_of(r->rest.ptr + len, r->rest.len - (size_t)len);
    return bytes;
}

double varint_read_double(struct varint_reader *r)
{
    uint64_t bits;
    double number;

    if (r->rest.len < sizeof bits) {
        bad(r);
        return 0;
    }
    memcpy(&bits, r->rest.ptr, sizeof bits);
    bits = le64toh(bits);
    memcpy(&number, &bits, sizeof number);
    r->rest = slice_of(r->rest.ptr + sizeof bits, r->rest.len - sizeof bits);
    return number;
}

bool varint_is_done(const struct varint_reader *r)
{
    return !r->is_bad && r->rest.len == 0;
}
