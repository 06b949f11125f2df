/* SPDX-License-Identifier: Apache-2.0 */
#include "forest/reader.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"

void reader_open(struct reader *r, struct slice bytes, struct why *why)
{
    if (bytes.ptr == NULL)
        bytes = SLICE("");
    *r = (struct reader){ .p = bytes.ptr, .start = bytes.ptr, .end = bytes.ptr + bytes.len, .why = why };
    /* '{' then a length type, a counted or typed container: JSON has white space, '"' or '}' there. */
    r->is_ubj = bytes.len >= 2 && bytes.ptr[0] == '{' && strchr("iUIlL#$", bytes.ptr[1]) != NULL &&
                bytes.ptr[1] != '\0';
}

bool reader_fail(struct reader *r, enum err err, const char *format, ...)
{
    char text[200];
    va_list args;

    if (r->err != ERR_OK)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->err = err_set(r->why, err, "byte %zu: %s", (size_t)(r->p - r->start), text);
    r->end = r->p; /* nothing more is read */
    return false;
}

static bool bad_syntax(struct reader *r, const char *what)
{
    reader_fail(r, ERR_SYNTAX, "%s", what);
    return false;
}

static void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

enum err reader_close(struct reader *r)
{
    if (r->err != ERR_OK)
        return r->err;
    if (!r->is_ubj)
        skip_space(r);
    if (r->depth != 0 || r->p != r->end)
        bad_syntax(r, r->depth ? "it ends too early" : "something follows the document");
    return r->err;
}

/* ---- UBJSON scalars ---- */

static uint64_t big_endian(const char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* Bytes that a fixed-size scalar takes; 0 for what is not one. */
static size_t scalar_size(char type)
{
    switch (type) {
    case 'i':
    case 'U':
    case 'C':
        return 1;
    case 'I':
        return 2;
    case 'l':
    case 'd':
        return 4;
    case 'L':
    case 'D':
        return 8;
    default:
        return 0;
    }
}

static bool is_integer(char type)
{
    return type == 'i' || type == 'U' || type == 'I' || type == 'l' || type == 'L';
}

static int64_t integer_at(char type, const char *p)
{
    switch (type) {
    case 'i':
        return (int8_t)big_endian(p, 1);
    case 'U':
        return (uint8_t)big_endian(p, 1);
    case 'I':
        return (int16_t)big_endian(p, 2);
    case 'l':
        return (int32_t)big_endian(p, 4);
    default:
        return (int64_t)big_endian(p, 8);
    }
}

static float float_at(char type, const char *p)
{
    uint64_t bits = big_endian(p, scalar_size(type));
    uint32_t bits32 = (uint32_t)bits;
    double d;
    float f;

    if (type == 'd') {
        memcpy(&f, &bits32, sizeof f);
        return f;
    }
    if (type == 'D') {
        memcpy(&d, &bits, sizeof d);
        return (float)d;
    }
    return (float)integer_at(type, p);
}

static bool ubj_marker(struct reader *r, char *type)
{
    while (r->p < r->end && *r->p == 'N') /* a no-op */
        r->p++;
    if (r->p == r->end)
        return bad_syntax(r, "it ends too early");
    *type = *r->p++;
    return true;
}

/* The type of the value that comes next: its own marker, or that of its container. */
static bool ubj_type(struct reader *r, char *type)
{
    if (r->depth > 0 && r->levels[r->depth - 1].type) {
        *type = r->levels[r->depth - 1].type;
        return true;
    }
    return ubj_marker(r, type);
}

static bool ubj_length(struct reader *r, int64_t *length)
{
    char type = '\0';

    if (!ubj_marker(r, &type))
        return false;
    if (!is_integer(type) || left(r) < scalar_size(type))
        return bad_syntax(r, "not a length");
    *length = integer_at(type, r->p);
    r->p += scalar_size(type);
    if (*length < 0)
        return bad_syntax(r, "a negative length");
    return true;
}

static bool ubj_bytes(struct reader *r, struct slice *text)
{
    int64_t length = 0;

    if (!ubj_length(r, &length))
        return false;
    if ((uint64_t)length > left(r))
        return bad_syntax(r, "a text longer than the document");
    *text = slice_of(r->p, (size_t)length);
    r->p += length;
    return true;
}

/* ---- JSON scalars ---- */

static bool json_text(struct reader *r, struct slice *text)
{
    const char *start;

    skip_space(r);
    if (r->p == r->end || *r->p != '"')
        return bad_syntax(r, "expected a text");
    start = ++r->p;
    for (; r->p < r->end && *r->p != '"'; r->p++) {
        if ((unsigned char)*r->p < 0x20)
            return bad_syntax(r, "a control character in a text");
        if (*r->p == '\\' && ++r->p == r->end)
            break;
    }
    if (r->p == r->end)
        return bad_syntax(r, "a text without an end");
    *text = slice_of(start, (size_t)(r->p - start));
    r->p++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One number's decimal form: sign, up to 19 digits of mantissa, power of ten; and its bytes. */
struct decimal {
    const char *start;
    size_t len;
    uint64_t mantissa;
    int power;
    bool is_negative, is_integer;
    bool is_cut; /* more digits than `mantissa` holds, or a power out of range: `start` is to be read */
};

static bool json_decimal(struct reader *r, struct decimal *d)
{
    const char *p, *digits;
    int64_t power = 0;
    int count = 0;

    skip_space(r);
    *d = (struct decimal){ .start = r->p, .is_integer = true };
    p = r->p;
    if (p < r->end && *p == '-') {
        d->is_negative = true;
        p++;
    }
    digits = p;
    for (; p < r->end && is_digit(*p); p++) {
        count += count > 0 || *p != '0';
        if (count <= 19)
            d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
        else
            d->is_cut = true;
    }
    if (p == digits || (*digits == '0' && p - digits > 1))
        return bad_syntax(r, "expected a number");
    if (p < r->end && *p == '.') {
        d->is_integer = false;
        digits = ++p;
        for (; p < r->end && is_digit(*p); p++) {
            count += count > 0 || *p != '0';
            if (count <= 19) {
                d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
                power--;
            } else {
                d->is_cut = true;
            }
        }
        if (p == digits)
            return bad_syntax(r, "a number without digits behind its point");
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        bool is_down = false;
        int64_t e = 0;

        d->is_integer = false;
        p++;
        if (p < r->end && (*p == '+' || *p == '-'))
            is_down = *p++ == '-';
        digits = p;
        for (; p < r->end && is_digit(*p); p++)
            if (e < 100000)
                e = e * 10 + (*p - '0');
        if (p == digits)
            return bad_syntax(r, "a number without digits in its exponent");
        power += is_down ? -e : e;
    }
    if (power < -400 || power > 400) {
        d->is_cut = true;
        power = 0;
    }
    d->power = (int)power;
    d->len = (size_t)(p - r->p);
    r->p = p;
    return true;
}

/* The nearest float, correctly rounded. A mantissa below 2^53 times or over a power of ten up to 10^22 is one
 * rounding to double (Clinger 1990); the second, to float, can go wrong only from next to the middle between
 * two floats: those few go the slow way. */
static float decimal_to_float(const struct decimal *d)
{
    static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const uint64_t below_float = (UINT64_C(1) << 29) - 1, middle = UINT64_C(1) << 28;
    char text[64], *copy = text;
    uint64_t bits, rest;
    double v;
    float f;

    if (!d->is_cut && d->mantissa < (UINT64_C(1) << 53) && d->power >= -22 && d->power <= 22) {
        v = (double)d->mantissa;
        v = d->power < 0 ? v / tens[-d->power] : v * tens[d->power];
        memcpy(&bits, &v, sizeof bits);
        rest = bits & below_float;
        if ((v == 0.0 || (v > 1e-37 && v < 3e38)) && (rest + 2 < middle || rest > middle + 2))
            return (float)(d->is_negative ? -v : v);
    }
    if (d->len >= sizeof text)
        copy = mem_new_n(char, d->len + 1);
    memcpy(copy, d->start, d->len);
    copy[d->len] = '\0';
    f = strtof(copy, NULL);
    if (copy != text)
        mem_free(copy);
    return f;
}

/* The word at the cursor, and past it. */
static bool json_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);

    if (left(r) < len || memcmp(r->p, word, len) != 0)
        return false;
    r->p += len;
    return true;
}

static bool json_float(struct reader *r, float *value)
{
    struct decimal d;

    skip_space(r);
    if (json_word(r, "NaN"))
        *value = NAN;
    else if (json_word(r, "Infinity"))
        *value = INFINITY;
    else if (json_word(r, "-Infinity"))
        *value = -INFINITY;
    else if (json_decimal(r, &d))
        *value = decimal_to_float(&d);
    else
        return false;
    return true;
}

/* ---- containers ---- */

static bool enter(struct reader *r, bool is_object)
{
    struct reader_level level = { .is_object = is_object };
    char mark = is_object ? '{' : '[';

    if (r->err)
        return false;
    if (r->depth == READER_DEPTH_MAX)
        return bad_syntax(r, "nested too deeply");
    if (!r->is_ubj) {
        skip_space(r);
        if (r->p == r->end || *r->p != mark)
            return bad_syntax(r, is_object ? "expected an object" : "expected an array");
        r->p++;
    } else {
        char type = '\0';

        if (!ubj_type(r, &type))
            return false;
        if (type != mark)
            return bad_syntax(r, is_object ? "expected an object" : "expected an array");
        if (left(r) >= 2 && *r->p == '$') {
            level.type = r->p[1];
            r->p += 2;
            /* What takes no byte could be there any number of times. */
            if (scalar_size(level.type) == 0 && !strchr("S[{H", level.type))
                return bad_syntax(r, "an array of nothing");
            if (level.type == '\0')
                return bad_syntax(r, "an array of nothing");
            if (left(r) == 0 || *r->p != '#')
                return bad_syntax(r, "a typed container without a count");
        }
        if (left(r) >= 1 && *r->p == '#') {
            r->p++;
            level.is_counted = true;
            if (!ubj_length(r, &level.left))
                return false;
            if ((uint64_t)level.left > left(r) || (level.type && scalar_size(level.type) &&
                                                   (uint64_t)level.left > left(r) / scalar_size(level.type)))
                return bad_syntax(r, "a count larger than the document");
        }
    }
    r->levels[r->depth++] = level;
    return true;
}

/* Whether the current container has one more item or member; leaves the container when not. */
static bool has_more(struct reader *r)
{
    struct reader_level *level;
    char close;

    if (r->err)
        return false;
    level = &r->levels[r->depth - 1];
    close = level->is_object ? '}' : ']';
    if (r->is_ubj) {
        if (level->is_counted) {
            if (level->left == 0) {
                r->depth--;
                return false;
            }
            level->left--;
            return true;
        }
        while (r->p < r->end && *r->p == 'N')
            r->p++;
    } else {
        skip_space(r);
    }
    if (r->p == r->end)
        return bad_syntax(r, "it ends too early");
    if (*r->p == close) {
        r->p++;
        r->depth--;
        return false;
    }
    if (!r->is_ubj && level->is_started) {
        if (*r->p != ',')
            return bad_syntax(r, "expected a comma");
        r->p++;
    }
    level->is_started = true;
    return true;
}

bool reader_object(struct reader *r)
{
    return enter(r, true);
}

bool reader_array(struct reader *r)
{
    return enter(r, false);
}

bool reader_key(struct reader *r, struct slice *key)
{
    if (!has_more(r))
        return false;
    if (r->is_ubj)
        return ubj_bytes(r, key);
    if (!json_text(r, key))
        return false;
    skip_space(r);
    if (r->p == r->end || *r->p != ':')
        return bad_syntax(r, "expected a colon");
    r->p++;
    return true;
}

bool reader_item(struct reader *r)
{
    return has_more(r);
}

/* ---- values ---- */

bool reader_text(struct reader *r, struct slice *text)
{
    char type = '\0';

    if (r->err)
        return false;
    if (!r->is_ubj)
        return json_text(r, text);
    if (!ubj_type(r, &type))
        return false;
    if (type != 'S')
        return bad_syntax(r, "expected a text");
    return ubj_bytes(r, text);
}

static bool ubj_number(struct reader *r, char *type, const char **at)
{
    if (!ubj_type(r, type))
        return false;
    if (scalar_size(*type) == 0 || *type == 'C')
        return bad_syntax(r, "expected a number");
    if (left(r) < scalar_size(*type))
        return bad_syntax(r, "it ends too early");
    *at = r->p;
    r->p += scalar_size(*type);
    return true;
}

static bool i64(struct reader *r, int64_t *value)
{
    struct decimal d;
    const char *at = NULL;
    char type = '\0';

    if (r->err)
        return false;
    if (r->is_ubj) {
        if (!ubj_number(r, &type, &at))
            return false;
        if (!is_integer(type))
            return bad_syntax(r, "expected an integer");
        *value = integer_at(type, at);
        return true;
    }
    if (!json_decimal(r, &d))
        return false;
    if (!d.is_integer || d.is_cut || d.mantissa > INT64_MAX)
        return bad_syntax(r, "expected an integer");
    *value = d.is_negative ? -(int64_t)d.mantissa : (int64_t)d.mantissa;
    return true;
}

bool reader_i32(struct reader *r, int32_t *value)
{
    int64_t v = 0;

    if (!i64(r, &v))
        return false;
    if (v < INT32_MIN || v > INT32_MAX)
        return bad_syntax(r, "an integer out of range");
    *value = (int32_t)v;
    return true;
}

bool reader_f32(struct reader *r, float *value)
{
    const char *at = NULL;
    char type = '\0';

    if (r->err)
        return false;
    if (!r->is_ubj)
        return json_float(r, value);
    if (!ubj_number(r, &type, &at))
        return false;
    *value = float_at(type, at);
    return true;
}

bool reader_bool(struct reader *r, bool *value)
{
    const char *back = r->p;
    int64_t number = 0;
    char type = '\0';

    if (r->err)
        return false;
    if (r->is_ubj) {
        if (!ubj_type(r, &type))
            return false;
        if (type == 'T' || type == 'F') {
            *value = type == 'T';
            return true;
        }
        r->p = back;
    } else {
        skip_space(r);
        if (json_word(r, "true")) {
            *value = true;
            return true;
        }
        if (json_word(r, "false")) {
            *value = false;
            return true;
        }
    }
    if (!i64(r, &number))
        return false;
    if (number != 0 && number != 1)
        return bad_syntax(r, "neither true nor false");
    *value = number == 1;
    return true;
}

static bool skip_scalar(struct reader *r, char type)
{
    struct slice text;
    float number;

    if (r->is_ubj) {
        if (type == 'S' || type == 'H')
            return ubj_bytes(r, &text);
        if (type == 'Z' || type == 'T' || type == 'F')
            return true;
        if (scalar_size(type) == 0)
            return bad_syntax(r, "an unknown type");
        if (left(r) < scalar_size(type))
            return bad_syntax(r, "it ends too early");
        r->p += scalar_size(type);
        return true;
    }
    if (type == '"')
        return json_text(r, &text);
    return json_word(r, "true") || json_word(r, "false") || json_word(r, "null") || json_float(r, &number);
}

/* The first byte of the value that comes next, which stays unread. */
static bool peek(struct reader *r, char *type)
{
    const char *back;

    if (!r->is_ubj) {
        skip_space(r);
        if (r->p == r->end)
            return bad_syntax(r, "it ends too early");
        *type = *r->p;
        return true;
    }
    if (!ubj_type(r, type))
        return false;
    back = r->p - 1;
    if (r->depth == 0 || !r->levels[r->depth - 1].type)
        r->p = back;
    return true;
}

bool reader_skip(struct reader *r)
{
    size_t floor = r->depth;
    struct slice key;
    char type = '\0';

    if (r->err)
        return false;
    do {
        bool is_container;

        if (!peek(r, &type))
            return false;
        is_container = type == '{' || type == '[';
        if (is_container) {
            struct reader_level *level;

            if (!enter(r, type == '{'))
                return false;
            level = &r->levels[r->depth - 1];
            if (!level->is_object && scalar_size(level->type)) { /* its length is known */
                r->p += (size_t)level->left * scalar_size(level->type);
                level->left = 0;
            }
        } else {
            if (r->is_ubj && !ubj_type(r, &type))
                return false;
            if (!skip_scalar(r, type))
                return false;
        }
        /* To the next value: through the ends of what is finished. */
        while (r->depth > floor &&
               !(r->levels[r->depth - 1].is_object ? reader_key(r, &key) : reader_item(r)))
            if (r->err)
                return false;
    } while (r->depth > floor);
    return true;
}

/* A UBJSON array whose items have one fixed size: its bytes, passed at once; NULL otherwise. */
static const char *typed_items(struct reader *r, char *type, size_t *count)
{
    struct reader_level *level = &r->levels[r->depth - 1];
    const char *at = r->p;

    if (!scalar_size(level->type) || level->type == 'C')
        return NULL;
    *type = level->type;
    *count = (size_t)level->left;
    r->p += *count * scalar_size(level->type);
    r->depth--;
    return at;
}

bool reader_i32_array(struct reader *r, struct reader_i32s *out, size_t most)
{
    const char *at = NULL;
    size_t count = 0;
    char type = '\0';

    out->count = 0;
    if (!reader_array(r))
        return false;
    at = typed_items(r, &type, &count);
    if (at != NULL) {
        if (!is_integer(type))
            return bad_syntax(r, "expected integers");
        if (count > most)
            return reader_fail(r, ERR_TOO_LARGE, "more than %zu items", most);
        if (count > out->cap) {
            out->items = mem_grow(out->items, count, sizeof *out->items);
            out->cap = count;
        }
        for (size_t i = 0; i < count; i++) {
            int64_t v = integer_at(type, at + i * scalar_size(type));

            if (v < INT32_MIN || v > INT32_MAX)
                return bad_syntax(r, "an integer out of range");
            out->items[i] = (int32_t)v;
        }
        out->count = count;
        return true;
    }
    while (reader_item(r)) {
        bool flag = false;

        if (out->count == most)
            return reader_fail(r, ERR_TOO_LARGE, "more than %zu items", most);
        ARRAY_RESERVE_ONE(out->items, out->count, out->cap);
        if (!r->is_ubj)
            skip_space(r);
        /* default_left was written as true and false before XGBoost 1.6 */
        if (r->p < r->end && strchr(r->is_ubj ? "TF" : "tf", *r->p) && *r->p != '\0') {
            if (!reader_bool(r, &flag))
                return false;
            out->items[out->count] = flag;
        } else if (!reader_i32(r, &out->items[out->count])) {
            return false;
        }
        out->count++;
    }
    return r->err == ERR_OK;
}

bool reader_f32_array(struct reader *r, struct reader_f32s *out, size_t most)
{
    const char *at = NULL;
    size_t count = 0;
    char type = '\0';

    out->count = 0;
    if (!reader_array(r))
        return false;
    at = typed_items(r, &type, &count);
    if (at != NULL) {
        if (count > most)
            return reader_fail(r, ERR_TOO_LARGE, "more than %zu items", most);
        if (count > out->cap) {
            out->items = mem_grow(out->items, count, sizeof *out->items);
            out->cap = count;
        }
        for (size_t i = 0; i < count; i++)
            out->items[i] = float_at(type, at + i * scalar_size(type));
        out->count = count;
        return true;
    }
    while (reader_item(r)) {
        if (out->count == most)
            return reader_fail(r, ERR_TOO_LARGE, "more than %zu items", most);
        ARRAY_RESERVE_ONE(out->items, out->count, out->cap);
        if (!reader_f32(r, &out->items[out->count]))
            return false;
        out->count++;
    }
    return r->err == ERR_OK;
}
