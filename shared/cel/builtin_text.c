/* SPDX-License-Identifier: Apache-2.0
 * builtin_text.c - the string and encoder extensions. Places in a text are counted in code points. */
#include "base/array.h"
#include "cel/builtin.h"
#include "cel/format.h"

static struct slice behind(struct slice s, size_t at)
{
    return slice_of(s.ptr + at, s.len - at);
}

/* Where `what` is found first at or after byte `from`; SIZE_MAX when nowhere. */
static size_t find(struct slice s, struct slice what, size_t from)
{
    const char *found;

    if (what.len == 0)
        return from;
    if (from >= s.len)
        return SIZE_MAX;
    found = memmem(s.ptr + from, s.len - from, what.ptr, what.len);
    return found ? (size_t)(found - s.ptr) : SIZE_MAX;
}

/* What is made never grows past the room that is left. */
static void room_for(struct machine *m, struct buf *out)
{
    buf_init(out, machine_room(m) + 1);
}

/* ---- parts ---- */

BUILTIN(char_at)
{
    size_t from, to;

    if (!text_offset(v[0].s, v[1].i, &from))
        return cel_error(CEL_FAULT_RANGE);
    to = from;
    if (from < v[0].s.len)
        text_offset(behind(v[0].s, from), 1, &to);
    return cel_string(slice_of(v[0].s.ptr + from, from < v[0].s.len ? to : 0));
}

BUILTIN(index_of)
{
    size_t from = 0, at;

    if (n > 2 && !text_offset(v[0].s, v[2].i, &from))
        return cel_error(CEL_FAULT_RANGE);
    if (!machine_spend(m, (v[0].s.len + v[1].s.len) / 16))
        return cel_error(CEL_FAULT_STEPS);
    at = find(v[0].s, v[1].s, from);
    return cel_int(at == SIZE_MAX ? -1 : text_length(slice_of(v[0].s.ptr, at)));
}

/* The last place at or before code point number `limit`. */
BUILTIN(last_index_of)
{
    struct slice s = v[0].s, what = v[1].s;
    size_t limit = s.len, at;

    if (n > 2 && !text_offset(s, v[2].i, &limit))
        return cel_error(CEL_FAULT_RANGE);
    if (!machine_spend(m, s.len / 16 + s.len / 256 * what.len))
        return cel_error(CEL_FAULT_STEPS);
    if (what.len > s.len)
        return cel_int(-1);
    if (limit > s.len - what.len)
        limit = s.len - what.len;
    for (at = limit + 1; at-- > 0;) {
        if (what.len == 0 || memcmp(s.ptr + at, what.ptr, what.len) == 0)
            return cel_int(text_length(slice_of(s.ptr, at)));
    }
    return cel_int(-1);
}

BUILTIN(substring)
{
    size_t from, to = v[0].s.len;

    if (!text_offset(v[0].s, v[1].i, &from) || (n > 2 && !text_offset(v[0].s, v[2].i, &to)))
        return cel_error(CEL_FAULT_RANGE);
    return from > to ? cel_error(CEL_FAULT_RANGE) : cel_string(slice_of(v[0].s.ptr + from, to - from));
}

/* White space as Unicode has it. */
static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

BUILTIN(trim)
{
    struct slice s = v[0].s, rest;

    while (s.len) {
        rest = s;
        if (!is_space(text_next(&rest)))
            break;
        s = rest;
    }
    for (size_t at = s.len; at-- > 0;) {
        if (((unsigned char)s.ptr[at] & 0xc0) == 0x80)
            continue;
        rest = behind(s, at);
        if (!is_space(text_next(&rest)))
            break;
        s.len = at;
    }
    return cel_string(s);
}

/* ---- new texts ---- */

static struct cel_value map_ascii(struct machine *m, struct slice s, int (*change)(int))
{
    char *copy = machine_take(m, s.len + 1, 1);

    if (!copy)
        return cel_error(CEL_FAULT_ROOM);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = (unsigned char)s.ptr[i] < 0x80 ? (char)change(s.ptr[i]) : s.ptr[i];
    return machine_spend(m, s.len / 16) ? cel_string(slice_of(copy, s.len)) : cel_error(CEL_FAULT_STEPS);
}

static int lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int upper(int c)
{
    return c >= 'a' && c <= 'z' ? c - 32 : c;
}

BUILTIN(lower_ascii)
{
    return map_ascii(m, v[0].s, lower);
}

BUILTIN(upper_ascii)
{
    return map_ascii(m, v[0].s, upper);
}

BUILTIN(reverse)
{
    struct slice s = v[0].s;
    char *copy = machine_take(m, s.len + 1, 1);
    size_t at = s.len;

    if (!copy)
        return cel_error(CEL_FAULT_ROOM);
    if (!machine_spend(m, s.len / 16))
        return cel_error(CEL_FAULT_STEPS);
    while (s.len) {
        struct slice rest = s;

        text_next(&rest);
        at -= s.len - rest.len;
        memcpy(copy + at, s.ptr, s.len - rest.len);
        s = rest;
    }
    return cel_string(slice_of(copy, v[0].s.len));
}

/* The next code point's end, or the text's. */
static size_t point_end(struct slice s, size_t at)
{
    struct slice rest = behind(s, at);

    if (at < s.len)
        text_next(&rest);
    return s.len - rest.len;
}

/* Puts `by` for `what`, `times` times at most (below zero: everywhere). An empty `what` is before every code
 * point and at the end. */
BUILTIN(replace)
{
    struct slice s = v[0].s, what = v[1].s, by = v[2].s;
    int64_t times = n > 3 ? v[3].i : -1;
    size_t from = 0;
    struct buf out;

    room_for(m, &out);
    for (; times != 0 && !out.is_over; times -= times > 0) {
        size_t at = find(s, what, from), next;

        if (at == SIZE_MAX || from > s.len)
            break;
        buf_add(&out, s.ptr + from, at - from);
        buf_add_slice(&out, by);
        next = at + what.len;
        if (what.len == 0) {
            if (at == s.len) {
                from = at;
                break;
            }
            next = point_end(s, at);
            buf_add(&out, s.ptr + at, next - at);
        }
        from = next;
        if (!machine_spend(m, 1))
            break;
    }
    buf_add(&out, s.ptr + from, s.len - from);
    if (m->steps == 0) {
        buf_release(&out);
        return cel_error(CEL_FAULT_STEPS);
    }
    return text_from(m, &out, CEL_STRING);
}

/* How many pieces, and the pieces when `items` is there. */
static size_t pieces(struct slice s, struct slice by, int64_t most, struct cel_value *items)
{
    size_t count = 0, from = 0;

    if (by.len == 0) {
        while (from < s.len) {
            size_t next = most > 0 && (int64_t)count + 1 == most ? s.len : point_end(s, from);

            if (items)
                items[count] = cel_string(slice_of(s.ptr + from, next - from));
            count++;
            from = next;
        }
        return count;
    }
    for (;;) {
        size_t at = most > 0 && (int64_t)count + 1 >= most ? SIZE_MAX : find(s, by, from);
        size_t end = at == SIZE_MAX ? s.len : at;

        if (items)
            items[count] = cel_string(slice_of(s.ptr + from, end - from));
        count++;
        if (at == SIZE_MAX)
            return count;
        from = at + by.len;
    }
}

BUILTIN(split)
{
    int64_t most = n > 2 ? v[2].i : -1;
    size_t count = most == 0 ? 0 : pieces(v[0].s, v[1].s, most, NULL);
    struct cel_value *items = machine_take(m, count + 1, sizeof *items);

    if (!items)
        return cel_error(CEL_FAULT_ROOM);
    if (!machine_spend(m, v[0].s.len / 8 + count))
        return cel_error(CEL_FAULT_STEPS);
    if (most != 0)
        pieces(v[0].s, v[1].s, most, items);
    return (struct cel_value){ .kind = CEL_LIST, .list = { items, count } };
}

BUILTIN(join)
{
    struct buf out;

    room_for(m, &out);
    for (size_t i = 0; i < v[0].list.count; i++) {
        const struct cel_value *item = &v[0].list.items[i];

        if (item->kind != CEL_STRING || !machine_spend(m, 1)) {
            buf_release(&out);
            return cel_error(item->kind != CEL_STRING ? CEL_FAULT_OVERLOAD : CEL_FAULT_STEPS);
        }
        if (i && n > 1)
            buf_add_slice(&out, v[1].s);
        buf_add_slice(&out, item->s);
    }
    return text_from(m, &out, CEL_STRING);
}

BUILTIN(quote)
{
    static const char plain[] = "\aa\bb\ff\nn\rr\tt\vv\\\\\"\"";
    struct buf out;

    room_for(m, &out);
    buf_add_char(&out, '"');
    for (size_t i = 0; i < v[0].s.len; i++) {
        const char *found = v[0].s.ptr[i] ? plain : NULL;

        for (; found && *found && *found != v[0].s.ptr[i];)
            found += 2;
        if (found && *found) {
            buf_add_char(&out, '\\');
            buf_add_char(&out, found[1]);
        } else {
            buf_add_char(&out, v[0].s.ptr[i]);
        }
    }
    buf_add_char(&out, '"');
    return text_from(m, &out, CEL_STRING);
}

BUILTIN(format)
{
    struct buf out;
    enum cel_fault fault;

    room_for(m, &out);
    fault = text_format(v[0].s, &v[1], &out, m);
    if (fault == CEL_FAULT_COUNT)
        return text_from(m, &out, CEL_STRING);
    buf_release(&out);
    return cel_error(fault);
}

/* ---- base64 (RFC 4648, section 4; reading takes it without padding too) ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

BUILTIN(base64_encode)
{
    struct slice s = v[0].s;
    char *out = machine_take(m, s.len / 3 * 4 + 5, 1);
    size_t len = 0;

    if (!out)
        return cel_error(CEL_FAULT_ROOM);
    if (!machine_spend(m, s.len / 16))
        return cel_error(CEL_FAULT_STEPS);
    for (size_t i = 0; i < s.len; i += 3) {
        uint32_t bits = (uint32_t)(unsigned char)s.ptr[i] << 16;

        bits |= i + 1 < s.len ? (uint32_t)(unsigned char)s.ptr[i + 1] << 8 : 0;
        bits |= i + 2 < s.len ? (unsigned char)s.ptr[i + 2] : 0;
        out[len++] = digits[bits >> 18];
        out[len++] = digits[bits >> 12 & 63];
        out[len++] = i + 1 < s.len ? digits[bits >> 6 & 63] : '=';
        out[len++] = i + 2 < s.len ? digits[bits & 63] : '=';
    }
    return cel_string(slice_of(out, len));
}

BUILTIN(base64_decode)
{
    struct slice s = v[0].s;
    char *out = machine_take(m, s.len / 4 * 3 + 4, 1);
    size_t len = 0, count = s.len;
    uint32_t bits = 0;

    if (!out)
        return cel_error(CEL_FAULT_ROOM);
    if (!machine_spend(m, s.len / 16))
        return cel_error(CEL_FAULT_STEPS);
    for (int padding = 0; s.len % 4 == 0 && padding < 2 && count && s.ptr[count - 1] == '='; padding++)
        count--;
    if (count % 4 == 1)
        return cel_error(CEL_FAULT_CONVERSION);
    for (size_t i = 0; i < count; i++) {
        const char *digit = s.ptr[i] ? strchr(digits, s.ptr[i]) : NULL;

        if (!digit)
            return cel_error(CEL_FAULT_CONVERSION);
        bits = bits << 6 | (uint32_t)(digit - digits);
        if (i % 4)
            out[len++] = (char)(bits >> (6 - i % 4 * 2) & 0xff);
    }
    return (struct cel_value){ .kind = CEL_BYTES, .s = slice_of(out, len) };
}

static const struct builtin rows[] = {
    { "charAt", true, false, CEL_STRING, 2, { CEL_STRING, CEL_INT }, char_at, NULL, false },
    { "indexOf", true, false, CEL_INT, 2, { CEL_STRING, CEL_STRING }, index_of, NULL, false },
    { "indexOf", true, false, CEL_INT, 3, { CEL_STRING, CEL_STRING, CEL_INT }, index_of, NULL, false },
    { "lastIndexOf", true, false, CEL_INT, 2, { CEL_STRING, CEL_STRING }, last_index_of, NULL, false },
    { "lastIndexOf",
      true,
      false,
      CEL_INT,
      3,
      { CEL_STRING, CEL_STRING, CEL_INT },
      last_index_of,
      NULL,
      false },
    { "lowerAscii", true, false, CEL_STRING, 1, { CEL_STRING }, lower_ascii, NULL, false },
    { "upperAscii", true, false, CEL_STRING, 1, { CEL_STRING }, upper_ascii, NULL, false },
    { "replace", true, false, CEL_STRING, 3, { CEL_STRING, CEL_STRING, CEL_STRING }, replace, NULL, false },
    { "replace",
      true,
      false,
      CEL_STRING,
      4,
      { CEL_STRING, CEL_STRING, CEL_STRING, CEL_INT },
      replace,
      NULL,
      false },
    { "split", true, false, CEL_LIST, 2, { CEL_STRING, CEL_STRING }, split, "[sss", false },
    { "split", true, false, CEL_LIST, 3, { CEL_STRING, CEL_STRING, CEL_INT }, split, "[sssi", false },
    { "substring", true, false, CEL_STRING, 2, { CEL_STRING, CEL_INT }, substring, NULL, false },
    { "substring", true, false, CEL_STRING, 3, { CEL_STRING, CEL_INT, CEL_INT }, substring, NULL, false },
    { "trim", true, false, CEL_STRING, 1, { CEL_STRING }, trim, NULL, false },
    { "reverse", true, false, CEL_STRING, 1, { CEL_STRING }, reverse, NULL, false },
    { "join", true, false, CEL_STRING, 1, { CEL_LIST }, join, "s[s", false },
    { "join", true, false, CEL_STRING, 2, { CEL_LIST, CEL_STRING }, join, "s[ss", false },
    { "strings.quote", false, true, CEL_STRING, 1, { CEL_STRING }, quote, NULL, false },
    { "format", true, false, CEL_STRING, 2, { CEL_STRING, CEL_LIST }, format, "ss[*", false },
    { "base64.encode", false, true, CEL_STRING, 1, { CEL_BYTES }, base64_encode, NULL, false },
    { "base64.decode", false, true, CEL_BYTES, 1, { CEL_STRING }, base64_decode, NULL, false },
};

const struct builtin_table text_builtins = { rows, ARRAY_LEN(rows) };
