/* SPDX-License-Identifier: Apache-2.0 */
#include "http/h1_lines.h"

#include <string.h>

#include "base/hash.h"

/* Of all chunk extensions of a body together; nobody has a use for them. */
enum { EXTENSIONS_MAX = 4096, SIZE_DIGITS_MAX = 15 };

enum verdict { GOES_ON, ENDS_PART, IS_BAD };

static void begin_line(struct h1_lines *l)
{
    l->has_cr = false;
    l->line_bytes = 0;
}

/* One byte of a line: whether the line has ended by it. */
static enum verdict take_line_byte(struct h1_lines *l, char c)
{
    if (l->has_cr)
        return c == '\n' ? ENDS_PART : IS_BAD;
    if (c == '\r') {
        l->has_cr = true;
        return GOES_ON;
    }
    if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
        return IS_BAD;
    l->line_bytes++;
    return GOES_ON;
}

/* "GET /path HTTP/1.1": the parser is left the method, the path and the digits. */
static bool fits_request_line(struct h1_lines *l, char c)
{
    static const char version[] = "HTTP/";

    if (c == '\r' || c == '\n')
        return true;
    if (c == ' ')
        return ++l->spaces <= 2;
    if (l->spaces < 2)
        return true;
    return ++l->version_bytes >= sizeof version || c == version[l->version_bytes - 1];
}

/* Lines up to an empty one. */
static enum verdict take_field_byte(struct h1_lines *l, char c)
{
    bool was_empty = l->line_bytes == 0;
    enum verdict v;

    if (was_empty && (c == ' ' || c == '\t'))
        return IS_BAD; /* the line before would go on */
    if (l->part == H1_HEAD && !l->has_begun && !fits_request_line(l, c))
        return IS_BAD;
    v = take_line_byte(l, c);
    if (v != ENDS_PART)
        return v;
    begin_line(l);
    l->has_begun = l->has_begun || !was_empty;
    return was_empty && l->has_begun ? ENDS_PART : GOES_ON;
}

static enum verdict take_size_byte(struct h1_lines *l, char c)
{
    int digit = hex_digit(c);
    enum verdict v;

    if (l->part == H1_CHUNK_SIZE && !l->has_cr && digit >= 0) {
        l->chunk_bytes = l->chunk_bytes * 16 + (unsigned)digit;
        return ++l->line_bytes > SIZE_DIGITS_MAX ? IS_BAD : GOES_ON;
    }
    if (!l->line_bytes)
        return IS_BAD;
    if (l->part == H1_CHUNK_SIZE && c == ';')
        l->part = H1_CHUNK_EXTENSION;
    else if (l->part == H1_CHUNK_SIZE && !l->has_cr && c != '\r')
        return IS_BAD;
    if (l->part == H1_CHUNK_EXTENSION && ++l->extension_bytes > EXTENSIONS_MAX)
        return IS_BAD;
    v = take_line_byte(l, c);
    if (v != ENDS_PART)
        return v;
    begin_line(l);
    l->part = l->chunk_bytes ? H1_CHUNK_DATA : H1_TRAILERS;
    return GOES_ON;
}

static enum verdict take_chunk_end(struct h1_lines *l, char c)
{
    enum verdict v = take_line_byte(l, c);

    if (l->line_bytes)
        return IS_BAD;
    if (v == ENDS_PART) {
        h1_lines_begin_body(l, true);
        return GOES_ON;
    }
    return v;
}

static enum verdict take_byte(struct h1_lines *l, char c)
{
    switch (l->part) {
    case H1_HEAD:
    case H1_TRAILERS:
        return take_field_byte(l, c);
    case H1_CHUNK_SIZE:
    case H1_CHUNK_EXTENSION:
        return take_size_byte(l, c);
    case H1_CHUNK_END:
        return take_chunk_end(l, c);
    default:
        return GOES_ON;
    }
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* How many bytes in the midst of a field's line are nothing but part of it, eight at a time: a byte below 0x20 borrows
 * from its high bit, and so does DEL's difference to DEL. It may be fewer than there are. */
static size_t plain_bytes(const struct h1_lines *l, const char *bytes, size_t len)
{
    bool is_field = l->part == H1_TRAILERS || (l->part == H1_HEAD && l->has_begun);
    size_t at = 0;
    uint64_t eight;

    if (!is_field || !l->line_bytes || l->has_cr)
        return 0;
    for (; len - at >= sizeof eight; at += sizeof eight) {
        uint64_t del;

        memcpy(&eight, bytes + at, sizeof eight);
        del = eight ^ EACH_BYTE(0x7f);
        if ((((eight - EACH_BYTE(0x20)) & ~eight) | ((del - EACH_BYTE(1)) & ~del)) & EACH_BYTE(0x80))
            break;
    }
    return at;
}

size_t h1_lines_take(struct h1_lines *l, const char *bytes, size_t len, bool *is_bad)
{
    size_t at = 0;

    *is_bad = false;
    if (l->part == H1_LENGTH)
        return len;
    while (at < len) {
        size_t plain;
        enum verdict v;

        if (l->part == H1_CHUNK_DATA) {
            size_t n = len - at < l->chunk_bytes ? len - at : (size_t)l->chunk_bytes;

            at += n;
            l->chunk_bytes -= n;
            if (!l->chunk_bytes)
                l->part = H1_CHUNK_END;
            continue;
        }
        plain = plain_bytes(l, bytes + at, len - at);
        l->line_bytes += plain;
        at += plain;
        if (at == len)
            break;
        v = take_byte(l, bytes[at]);
        *is_bad = v == IS_BAD;
        if (*is_bad)
            return at;
        at++;
        if (v == ENDS_PART)
            break;
    }
    return at;
}

void h1_lines_begin_body(struct h1_lines *l, bool is_chunked)
{
    begin_line(l);
    l->part = is_chunked ? H1_CHUNK_SIZE : H1_LENGTH;
    l->chunk_bytes = 0;
}
