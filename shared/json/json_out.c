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
    if (bit(o->has_items, o->depth))
        buf_add_char(o->to, ',');
    o->has_items |= UINT32_C(1) << o->depth;
    if (key) {
        buf_add_char(o->to, '"');
        buf_add_str(o->to, key);
        buf_add(o->to, "\":", 2);
    }
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

void json_write_text(struct buf *to, struct slice text)
{
    const unsigned char *s = (const unsigned char *)text.ptr;
    size_t plain = 0; /* start of what can be copied as it is */

    buf_add_char(to, '"');
    for (size_t i = 0; i < text.len;) {
        size_t len = 1;

        if (s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\') {
            i++;
            continue;
        }
        if (s[i] >= 0x80 && (len = utf8_sequence(s + i, text.len - i)) > 0) {
            i += len;
            continue;
        }
        buf_add(to, text.ptr + plain, i - plain);
        if (s[i] >= 0x80)
            buf_add_str(to, "\xef\xbf\xbd");
        else if (s[i] == '"' || s[i] == '\\')
            buf_printf(to, "\\%c", s[i]);
        else if (s[i] == '\n')
            buf_add(to, "\\n", 2);
        else if (s[i] == '\t')
            buf_add(to, "\\t", 2);
        else
            buf_printf(to, "\\u%04x", s[i]);
        plain = ++i;
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

    before_item(o, key);
    buf_add_char(o->to, '"');
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];

        buf_add_char(o->to, digits[c >> 4]);
        buf_add_char(o->to, digits[c & 15]);
    }
    buf_add_char(o->to, '"');
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
