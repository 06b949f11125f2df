/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json_in.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "json/json.h"

enum {
    FEW_MEMBERS = 24,  /* compared one by one; more are sorted */
    EXACT_DIGITS = 19, /* fit in 64 bits */
    EXACT_POWER = 22,  /* 10^22 is a double */
    NUMBER_BYTES = 64, /* that are copied to the stack */
};
#define EXACT_MANTISSA (UINT64_C(1) << 53)

struct reader {
    const char *at, *end;
    size_t depth; /* that is left */
    struct arena *arena;
};

static bool read_value(struct reader *r, struct json_value *v);

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* ---- texts ---- */

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* None of eight bytes ends a text, escapes, controls or is beyond ASCII. May say no without need (json_out.c). */
static bool are_plain(uint64_t eight)
{
    uint64_t quote = eight ^ EACH_BYTE('"'), slash = eight ^ EACH_BYTE('\\');
    uint64_t odd = eight | ((eight - EACH_BYTE(0x20)) & ~eight) | ((quote - EACH_BYTE(1)) & ~quote) |
                   ((slash - EACH_BYTE(1)) & ~slash);

    return !(odd & EACH_BYTE(0x80));
}

/* The end of what may stand in a text as it is: its quote, an escape, or what may not; NULL: no end is there. */
static const char *find_odd(const char *at, const char *end, bool *is_ascii)
{
    uint64_t eight;

    while ((size_t)(end - at) >= sizeof eight) {
        memcpy(&eight, at, sizeof eight);
        if (!are_plain(eight))
            break;
        at += sizeof eight;
    }
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;

        if (c < 0x20 || c == '"' || c == '\\')
            return at;
        *is_ascii = *is_ascii && c < 0x80;
    }
    return NULL;
}

/* Four hex digits behind "\u", or -1. */
static int read_unit(const char *at, const char *end)
{
    int unit = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* Behind "\u": one unit, or a pair of surrogates. U+0000 is refused. */
static bool unescape_unit(const char **at, const char *end, char **to)
{
    int unit = read_unit(*at, end), low;

    if (unit <= 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return false;
    *at += 4;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (end - *at < 2 || (*at)[0] != '\\' || (*at)[1] != 'u')
            return false;
        low = read_unit(*at + 2, end);
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        *at += 6;
        *to = put_utf8(*to, 0x10000u + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
    } else {
        *to = put_utf8(*to, (uint32_t)unit);
    }
    return true;
}

/* Behind a backslash. */
static bool unescape(const char **at, const char *end, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (*at == end || !**at)
        return false;
    if (**at == 'u') {
        ++*at;
        return unescape_unit(at, end, to);
    }
    found = strchr(from, *(*at)++);
    if (!found)
        return false;
    *(*to)++ = into[found - from];
    return true;
}

/* The end of a text that may have escapes: its quote. NULL when there is none. */
static const char *find_quote(const char *at, const char *end)
{
    for (; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at : NULL;
}

/* A text with escapes takes no more room than it is long. */
static bool read_escaped(struct reader *r, const char *start, struct slice *out)
{
    const char *at = start, *quote = find_quote(start, r->end);
    bool is_ascii = true;
    char *text, *to;

    if (!quote)
        return false;
    to = text = arena_alloc(r->arena, (size_t)(quote - start) + 1, 1);
    while (at < quote) {
        const char *odd = find_odd(at, quote, &is_ascii);
        size_t plain = (size_t)((odd ? odd : quote) - at);

        to = mempcpy(to, at, plain);
        at += plain;
        if (!odd)
            break;
        if (*at++ != '\\' || !unescape(&at, quote, &to))
            return false;
    }
    *out = slice_of(text, (size_t)(to - text));
    r->at = quote + 1;
    return is_ascii || slice_is_utf8(slice_of(start, (size_t)(quote - start)));
}

static bool read_text(struct reader *r, struct slice *out)
{
    const char *start, *odd;
    bool is_ascii = true;

    if (!take(r, '"'))
        return false;
    start = r->at;
    odd = find_odd(start, r->end, &is_ascii);
    if (!odd)
        return false;
    if (*odd == '\\')
        return read_escaped(r, start, out);
    if (*odd != '"')
        return false;
    *out = slice_of(start, (size_t)(odd - start));
    r->at = odd + 1;
    return is_ascii || slice_is_utf8(*out);
}

/* ---- numbers ---- */

static bool is_digit(const struct reader *r)
{
    return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

/* What the digits of a number say, as far as it is exact. */
struct digits {
    uint64_t mantissa;
    int count, power; /* digits in it, and the power of ten it is to be taken times */
};

static void take_digits(struct reader *r, struct digits *d, int power)
{
    for (; is_digit(r); r->at++) {
        d->count += d->mantissa || *r->at != '0';
        if (d->count <= EXACT_DIGITS)
            d->mantissa = d->mantissa * 10 + (uint64_t)(*r->at - '0');
        d->power += power;
    }
}

static bool take_exponent(struct reader *r, struct digits *d)
{
    bool is_negative = false;
    int power = 0;

    r->at++;
    if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
        is_negative = *r->at++ == '-';
    if (!is_digit(r))
        return false;
    for (; is_digit(r); r->at++)
        power = power < 10000 ? power * 10 + (*r->at - '0') : power;
    d->power += is_negative ? -power : power;
    return true;
}

static bool read_inexact(struct reader *r, const char *start, double *out)
{
    char few[NUMBER_BYTES], *text = few;
    size_t len = (size_t)(r->at - start);

    if (len >= sizeof few)
        text = arena_alloc(r->arena, len + 1, 1);
    memcpy(text, start, len);
    text[len] = '\0';
    *out = strtod(text, NULL); /* the programs never call setlocale(), so the point is '.' */
    return isfinite(*out);
}

/* A mantissa and a power of ten that are doubles both give the nearest double with one rounding.
 * Source: Clinger, "How to read floating point numbers accurately", PLDI 1990. */
static bool read_real(struct reader *r, const char *start, const struct digits *d, double *out)
{
    static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    double value = (double)d->mantissa;

    if (d->count > EXACT_DIGITS || d->mantissa > EXACT_MANTISSA || d->power > EXACT_POWER ||
        d->power < -EXACT_POWER)
        return read_inexact(r, start, out);
    value = d->power < 0 ? value / tens[-d->power] : value * tens[d->power];
    *out = *start == '-' ? -value : value;
    return true;
}

static bool read_integer(const struct digits *d, bool is_negative, int64_t *out)
{
    uint64_t most = (uint64_t)INT64_MAX + is_negative;

    if (d->count > EXACT_DIGITS || d->mantissa > most)
        return false;
    *out = is_negative ? (int64_t)(0 - d->mantissa) : (int64_t)d->mantissa;
    return true;
}

static bool read_number(struct reader *r, struct json_value *v)
{
    const char *start = r->at, *first;
    struct digits d = { 0 };
    bool is_real = false;

    r->at += *r->at == '-';
    first = r->at;
    take_digits(r, &d, 0);
    if (r->at == first || (*first == '0' && r->at - first > 1))
        return false;
    if (r->at < r->end && *r->at == '.') {
        is_real = true;
        r->at++;
        if (!is_digit(r))
            return false;
        take_digits(r, &d, -1);
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        is_real = true;
        if (!take_exponent(r, &d))
            return false;
    }
    v->kind = is_real ? JSON_IN_REAL : JSON_IN_INTEGER;
    return is_real ? read_real(r, start, &d, &v->real) : read_integer(&d, *start == '-', &v->integer);
}

/* ---- arrays and objects ---- */

static bool read_array(struct reader *r, struct json_value *array)
{
    struct json_value **last = &array->children.first;

    array->kind = JSON_IN_ARRAY;
    array->children.first = NULL;
    array->children.count = 0;
    if (take(r, ']'))
        return true;
    do {
        struct json_value *v = arena_new(r->arena, struct json_value, 1);

        if (!read_value(r, v))
            return false;
        *last = v;
        last = &v->next;
        array->children.count++;
    } while (take(r, ','));
    return take(r, ']');
}

static int by_key(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;

    return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->ptr, y->ptr, x->len);
}

/* Sorted, so that no choice of names makes it slow. */
static bool many_are_distinct(const struct json_value *object)
{
    struct slice *keys = mem_new_n(struct slice, object->children.count);
    bool are_distinct = true;
    size_t n = 0;

    for (const struct json_value *v = object->children.first; v; v = v->next)
        keys[n++] = v->key;
    qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 1; i < n && are_distinct; i++)
        are_distinct = by_key(&keys[i - 1], &keys[i]) != 0;
    mem_free(keys);
    return are_distinct;
}

static bool is_new(const struct json_value *object, struct slice key)
{
    for (const struct json_value *v = object->children.first; v; v = v->next)
        if (slice_eq(v->key, key))
            return false;
    return true;
}

static bool read_object(struct reader *r, struct json_value *object)
{
    struct json_value **last = &object->children.first;

    object->kind = JSON_IN_OBJECT;
    object->children.first = NULL;
    object->children.count = 0;
    if (take(r, '}'))
        return true;
    do {
        struct json_value *v = arena_new(r->arena, struct json_value, 1);

        if (!read_text(r, &v->key) || (object->children.count < FEW_MEMBERS && !is_new(object, v->key)) ||
            !take(r, ':') || !read_value(r, v))
            return false;
        *last = v;
        last = &v->next;
        object->children.count++;
    } while (take(r, ','));
    return take(r, '}') && (object->children.count <= FEW_MEMBERS || many_are_distinct(object));
}

static bool read_word(struct reader *r, const char *word, enum json_kind kind, struct json_value *v)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    v->kind = kind;
    return true;
}

static bool read_nested(struct reader *r, struct json_value *v)
{
    bool is_read;

    if (r->depth == 0)
        return false;
    r->depth--;
    is_read = *r->at++ == '{' ? read_object(r, v) : read_array(r, v);
    r->depth++;
    return is_read;
}

static bool read_value(struct reader *r, struct json_value *v)
{
    skip_space(r);
    if (r->at == r->end)
        return false;
    switch (*r->at) {
    case '{':
    case '[':
        return read_nested(r, v);
    case '"':
        v->kind = JSON_IN_TEXT;
        return read_text(r, &v->text);
    case 't':
        return read_word(r, "true", JSON_IN_TRUE, v);
    case 'f':
        return read_word(r, "false", JSON_IN_FALSE, v);
    case 'n':
        return read_word(r, "null", JSON_IN_NULL, v);
    default:
        return read_number(r, v);
    }
}

enum err json_read(struct json_value **out, struct slice text, size_t depth, struct arena *arena,
                   struct why *why)
{
    struct reader r = { .at = text.ptr, .end = text.ptr + text.len, .depth = depth, .arena = arena };
    struct json_value *v = arena_new(arena, struct json_value, 1);
    json_t *tree;
    enum err err;

    *out = NULL;
    if (text.len) {
        skip_space(&r);
        if (r.at < r.end && (*r.at == '{' || *r.at == '[') && read_value(&r, v)) {
            skip_space(&r);
            if (r.at == r.end) {
                *out = v;
                return ERR_OK;
            }
        }
    }
    /* What is wrong, and where, is told by the other reader: mistakes are rare, and words should be the same. */
    err = json_parse(&tree, text, depth, why);
    json_decref(tree);
    return err ? err : err_set(why, ERR_SYNTAX, "not valid JSON");
}

/* ---- values ---- */

struct json_value *json_member(const struct json_value *object, const char *name)
{
    struct json_value *v = object && object->kind == JSON_IN_OBJECT ? object->children.first : NULL;

    while (v && !slice_eq_str(v->key, name))
        v = v->next;
    return v;
}

struct json_value *json_take_member(struct json_value *object, const char *name)
{
    struct json_value *v = json_member(object, name), **at;

    if (!v)
        return NULL;
    for (at = &object->children.first; *at != v; at = &(*at)->next)
        ;
    *at = v->next;
    object->children.count--;
    return v;
}

struct slice json_text(const struct json_value *value)
{
    return value && value->kind == JSON_IN_TEXT ? value->text : slice_of("", 0);
}
