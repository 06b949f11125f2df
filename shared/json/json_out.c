/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json_out.h"

#include <assert.h>
#include <math.h>

#include "base/clock.h"
#include "base/decimal.h"

struct json_out json_out_to(struct buf *to)
{
    return (struct json_out){ .to = to };
}

static bool bit(uint32_t bits, unsigned depth)
{
    return bits >> depth & 1u;
}

static void before_item(struct json_out *o, const char *key)
{
    size_t len = key ? strlen(key) : 0;
    bool has_comma = bit(o->has_items, o->depth);
    char *to;

    o->has_items |= UINT32_C(1) << o->depth;
    if (!key && !has_comma)
        return;
    to = buf_reserve(o->to, has_comma + (key ? len + 3 : 0));
    if (!to)
        return;
    if (has_comma)
        *to++ = ',';
    if (key) {
        *to++ = '"';
        to = mempcpy(to, key, len);
        memcpy(to, "\":", 2);
    }
    buf_commit(o->to, has_comma + (key ? len + 3 : 0));
}

static void open_level(struct json_out *o, const char *key, bool is_list)
{
    before_item(o, key);
    o->depth++;
    assert(o->depth < JSON_OUT_DEPTH_MAX);
    o->has_items &= ~(UINT32_C(1) << o->depth);
    o->is_list = (o->is_list & ~(UINT32_C(1) << o->depth)) | (uint32_t)is_list << o->depth;
    buf_add_char(o->to, is_list ? '[' : '{');
}

void json_out_open(struct json_out *o, const char *key)
{
    open_level(o, key, false);
}

void json_out_list(struct json_out *o, const char *key)
{
    open_level(o, key, true);
}

void json_out_end(struct json_out *o)
{
    assert(o->depth > 0);
    buf_add_char(o->to, bit(o->is_list, o->depth) ? ']' : '}');
    o->depth--;
}

/* How many bytes of well-formed UTF-8 start at `s`: 0 when none do. */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
    size_t need = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

    return need && need <= len && slice_is_utf8(slice_of(s, need)) ? need : 0;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Whether all eight bytes are plain. It may say no where they are, never yes where one is not: (x - 1) & ~x has a
 * byte's high bit where the byte is zero, and x - 0x20 borrows where it is a control character. */
static bool are_plain(uint64_t eight)
{
    uint64_t quote = eight ^ EACH_BYTE('"'), slash = eight ^ EACH_BYTE('\\'), del = eight ^ EACH_BYTE(0x7f);
    uint64_t odd = eight | ((eight - EACH_BYTE(0x20)) & ~eight) | ((quote - EACH_BYTE(1)) & ~quote) |
                   ((slash - EACH_BYTE(1)) & ~slash) | ((del - EACH_BYTE(1)) & ~del);

    return !(odd & EACH_BYTE(0x80));
}

/* How many bytes from `at` on can be copied as they are, but for what is not ASCII. */
static size_t plain_run(struct slice text, size_t at)
{
    size_t i = at;
    uint64_t eight;

    for (; text.len - i >= sizeof eight; i += sizeof eight) {
        memcpy(&eight, text.ptr + i, sizeof eight);
        if (!are_plain(eight))
            break;
    }
    while (i < text.len && is_plain((unsigned char)text.ptr[i]))
        i++;
    return i - at;
}

static void write_escape(struct buf *to, unsigned char c)
{
    if (c >= 0x80)
        buf_add_str(to, "\xef\xbf\xbd");
    else if (c == '"' || c == '\\')
        buf_printf(to, "\\%c", c);
    else if (c == '\n')
        buf_add(to, "\\n", 2);
    else if (c == '\t')
        buf_add(to, "\\t", 2);
    else
        buf_printf(to, "\\u%04x", c);
}

void json_write_text(struct buf *to, struct slice text)
{
    const unsigned char *s = (const unsigned char *)text.ptr;
    size_t plain = 0, i = plain_run(text, 0); /* start of what can be copied as it is, and its end */

    buf_add_char(to, '"');
    while (i < text.len) {
        size_t len = s[i] >= 0x80 ? utf8_sequence(s + i, text.len - i) : 0;

        if (!len) {
            buf_add(to, text.ptr + plain, i - plain);
            write_escape(to, s[i]);
            plain = i + 1;
        }
        i += len ? len : 1;
        i += plain_run(text, i);
    }
    if (plain < text.len)
        buf_add(to, text.ptr + plain, text.len - plain);
    buf_add_char(to, '"');
}

void json_write_number(struct buf *to, double value)
{
    char text[DECIMAL_SIZE];

    if (isfinite(value))
        buf_add(to, text, decimal_print(value, text));
    else
        buf_add(to, "null", 4);
}

void json_out_text(struct json_out *o, const char *key, struct slice text)
{
    before_item(o, key);
    json_write_text(o->to, text);
}

void json_out_str(struct json_out *o, const char *key, const char *text)
{
    if (text)
        json_out_text(o, key, slice_str(text));
    else
        json_out_null(o, key);
}

void json_out_int(struct json_out *o, const char *key, int64_t value)
{
    char text[DECIMAL_SIZE];

    before_item(o, key);
    buf_add(o->to, text, decimal_print_int(value, text));
}

void json_out_number(struct json_out *o, const char *key, double value)
{
    before_item(o, key);
    json_write_number(o->to, value);
}

void json_out_bool(struct json_out *o, const char *key, bool value)
{
    before_item(o, key);
    buf_add_str(o->to, value ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *key)
{
    before_item(o, key);
    buf_add(o->to, "null", 4);
}

void json_out_time(struct json_out *o, const char *key, int64_t at_us)
{
    char text[RFC3339_SIZE];

    rfc3339_format(at_us, text);
    json_out_str(o, key, text);
}

void json_out_hex(struct json_out *o, const char *key, struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *to;

    before_item(o, key);
    to = buf_reserve(o->to, 2 * bytes.len + 2);
    if (!to)
        return;
    *to++ = '"';
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];

        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    *to = '"';
    buf_commit(o->to, 2 * bytes.len + 2);
}

void json_out_json(struct json_out *o, const char *key, struct slice json)
{
    before_item(o, key);
    buf_add_slice(o->to, json.len ? json : SLICE("null"));
}

void json_out_text_key(struct json_out *o, struct slice key)
{
    before_item(o, NULL);
    json_write_text(o->to, key);
    buf_add_char(o->to, ':');
    o->has_items &= ~(UINT32_C(1) << o->depth); /* the value follows without a comma, and sets it again */
}
