/* SPDX-License-Identifier: Apache-2.0
 * builtin.c - the functions that every expression has. Overloads of one name stand together. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/decimal.h"
#include "cel/ast.h"

#define UNUSED __attribute__((unused))
#define BUILTIN(name)                                                                                        \
    static struct cel_value name(UNUSED const struct cel_value *v, UNUSED size_t n,                          \
                                 UNUSED struct arena *arena)

/* ---- strings and lists ---- */

BUILTIN(size_string)
{
    int64_t points = 0;

    for (size_t i = 0; i < v[0].s.len; i++)
        points += ((unsigned char)v[0].s.ptr[i] & 0xc0) != 0x80;
    return cel_int(points);
}

BUILTIN(size_bytes)
{
    return cel_int((int64_t)v[0].s.len);
}

BUILTIN(size_list)
{
    return cel_int((int64_t)v[0].list.count);
}

BUILTIN(starts_with)
{
    return cel_bool(slice_starts_with(v[0].s, v[1].s));
}

BUILTIN(ends_with)
{
    struct slice s = v[0].s, end = v[1].s;

    return cel_bool(s.len >= end.len && slice_eq(slice_of(s.ptr + (s.len - end.len), end.len), end));
}

BUILTIN(contains)
{
    return cel_bool(v[1].s.len == 0 ||
                    (v[0].s.len && memmem(v[0].s.ptr, v[0].s.len, v[1].s.ptr, v[1].s.len)));
}

/* ---- conversions ---- */

BUILTIN(same)
{
    return v[0];
}

BUILTIN(int_of_uint)
{
    return v[0].u > INT64_MAX ? cel_error(CEL_FAULT_RANGE) : cel_int((int64_t)v[0].u);
}

/* Towards zero. The least int itself is excluded, as the specification has it: the range is open. */
BUILTIN(int_of_double)
{
    return v[0].d > -9223372036854775808.0 && v[0].d < 9223372036854775808.0 ? cel_int((int64_t)v[0].d)
                                                                             : cel_error(CEL_FAULT_RANGE);
}

BUILTIN(int_of_string)
{
    int64_t i;

    return slice_to_i64(v[0].s, &i) ? cel_int(i) : cel_error(CEL_FAULT_CONVERSION);
}

BUILTIN(uint_of_int)
{
    return v[0].i < 0 ? cel_error(CEL_FAULT_RANGE) : cel_uint((uint64_t)v[0].i);
}

BUILTIN(uint_of_double)
{
    return v[0].d >= 0 && v[0].d < 18446744073709551616.0 ? cel_uint((uint64_t)v[0].d)
                                                          : cel_error(CEL_FAULT_RANGE);
}

BUILTIN(uint_of_string)
{
    uint64_t u = 0;

    for (size_t i = 0; i < v[0].s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)v[0].s.ptr[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(u, 10u, &u) || __builtin_add_overflow(u, digit, &u))
            return cel_error(CEL_FAULT_CONVERSION);
    }
    return v[0].s.len ? cel_uint(u) : cel_error(CEL_FAULT_CONVERSION);
}

BUILTIN(double_of_int)
{
    return cel_double((double)v[0].i);
}

BUILTIN(double_of_uint)
{
    return cel_double((double)v[0].u);
}

BUILTIN(double_of_string)
{
    double d;

    if (slice_to_double(v[0].s, &d))
        return cel_double(d);
    if (slice_eq_str(v[0].s, "NaN"))
        return cel_double(NAN);
    if (slice_eq_str(v[0].s, "Infinity") || slice_eq_str(v[0].s, "+Infinity"))
        return cel_double(INFINITY);
    return slice_eq_str(v[0].s, "-Infinity") ? cel_double(-INFINITY) : cel_error(CEL_FAULT_CONVERSION);
}

BUILTIN(bool_of_string)
{
    static const char *const yes[] = { "1", "t", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "false", "FALSE", "False" };

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (slice_eq_str(v[0].s, yes[i]) || slice_eq_str(v[0].s, no[i]))
            return cel_bool(slice_eq_str(v[0].s, yes[i]));
    }
    return cel_error(CEL_FAULT_CONVERSION);
}

static struct cel_value string_in(struct arena *arena, const char *text)
{
    return arena ? cel_string(slice_str(arena_strndup(arena, text, strlen(text))))
                 : cel_error(CEL_FAULT_ROOM);
}

BUILTIN(string_of_int)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)v[0].i);
    return string_in(arena, text);
}

BUILTIN(string_of_uint)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)v[0].u);
    return string_in(arena, text);
}

/* The fewest digits that read back the same. */
BUILTIN(string_of_double)
{
    char text[DECIMAL_SIZE];

    if (!isfinite(v[0].d))
        return string_in(arena, isnan(v[0].d) ? "NaN" : v[0].d > 0 ? "Infinity" : "-Infinity");
    decimal_print(v[0].d, text);
    return string_in(arena, text);
}

BUILTIN(string_of_bool)
{
    return cel_string(v[0].b ? SLICE("true") : SLICE("false"));
}

BUILTIN(string_of_bytes)
{
    return slice_is_utf8(v[0].s) ? cel_string(v[0].s) : cel_error(CEL_FAULT_CONVERSION);
}

BUILTIN(bytes_of_string)
{
    struct cel_value bytes = v[0];

    bytes.kind = CEL_BYTES;
    return bytes;
}

/* ---- mathematics ---- */

BUILTIN(abs_int)
{
    return v[0].i == INT64_MIN ? cel_error(CEL_FAULT_OVERFLOW) : cel_int(v[0].i < 0 ? -v[0].i : v[0].i);
}

BUILTIN(sign_int)
{
    return cel_int((v[0].i > 0) - (v[0].i < 0));
}

BUILTIN(sign_uint)
{
    return cel_uint(v[0].u > 0);
}

BUILTIN(sign_double)
{
    return cel_double(isnan(v[0].d) ? v[0].d : (double)((v[0].d > 0) - (v[0].d < 0)));
}

#define DOUBLE_FUNCTION(name, expression)                                                                    \
    BUILTIN(name)                                                                                            \
    {                                                                                                        \
        double x = v[0].d;                                                                                   \
        return cel_double(expression);                                                                       \
    }
DOUBLE_FUNCTION(abs_double, fabs(x))
DOUBLE_FUNCTION(ceil_double, ceil(x))
DOUBLE_FUNCTION(floor_double, floor(x))
DOUBLE_FUNCTION(round_double, round(x)) /* halves away from zero */
DOUBLE_FUNCTION(trunc_double, trunc(x))
DOUBLE_FUNCTION(sqrt_double, sqrt(x))
DOUBLE_FUNCTION(log_double, log(x))
DOUBLE_FUNCTION(log1p_double, log1p(x))
DOUBLE_FUNCTION(exp_double, exp(x))

BUILTIN(pow_double)
{
    return cel_double(pow(v[0].d, v[1].d));
}

BUILTIN(is_nan)
{
    return cel_bool(isnan(v[0].d));
}

BUILTIN(is_inf)
{
    return cel_bool(isinf(v[0].d));
}

BUILTIN(is_finite)
{
    return cel_bool(isfinite(v[0].d));
}

static struct cel_value extreme(const struct cel_value *v, size_t n, enum order wanted)
{
    struct cel_value best = v[0];

    for (size_t i = 1; i < n; i++) {
        enum order order = value_order(&v[i], &best);

        if (order == ORDER_OVERLOAD)
            return cel_error(CEL_FAULT_OVERLOAD);
        if (order == wanted)
            best = v[i];
    }
    return best;
}

BUILTIN(greatest)
{
    return extreme(v, n, ORDER_ABOVE);
}

BUILTIN(least)
{
    return extreme(v, n, ORDER_BELOW);
}

static struct cel_value extreme_of_list(const struct cel_value *list, enum order wanted)
{
    if (list->list.count == 0)
        return cel_error(CEL_FAULT_ARGUMENT);
    for (size_t i = 0; i < list->list.count; i++) {
        if (!kind_is_number(list->list.items[i].kind))
            return cel_error(CEL_FAULT_OVERLOAD);
    }
    return extreme(list->list.items, list->list.count, wanted);
}

BUILTIN(greatest_of_list)
{
    return extreme_of_list(v, ORDER_ABOVE);
}

BUILTIN(least_of_list)
{
    return extreme_of_list(v, ORDER_BELOW);
}

/* ---- the table ---- */

static const struct builtin builtins[] = {
    /* name, as a method, as a function, result, arguments */
    { "size", true, true, CEL_INT, 1, { CEL_STRING }, size_string },
    { "size", true, true, CEL_INT, 1, { CEL_BYTES }, size_bytes },
    { "size", true, true, CEL_INT, 1, { CEL_LIST }, size_list },
    { "startsWith", true, false, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, starts_with },
    { "endsWith", true, false, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, ends_with },
    { "contains", true, false, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, contains },
    { "dyn", false, true, CEL_DYN, 1, { CEL_DYN }, same },
    { "int", false, true, CEL_INT, 1, { CEL_INT }, same },
    { "int", false, true, CEL_INT, 1, { CEL_UINT }, int_of_uint },
    { "int", false, true, CEL_INT, 1, { CEL_DOUBLE }, int_of_double },
    { "int", false, true, CEL_INT, 1, { CEL_STRING }, int_of_string },
    { "uint", false, true, CEL_UINT, 1, { CEL_UINT }, same },
    { "uint", false, true, CEL_UINT, 1, { CEL_INT }, uint_of_int },
    { "uint", false, true, CEL_UINT, 1, { CEL_DOUBLE }, uint_of_double },
    { "uint", false, true, CEL_UINT, 1, { CEL_STRING }, uint_of_string },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, same },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_INT }, double_of_int },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_UINT }, double_of_uint },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_STRING }, double_of_string },
    { "bool", false, true, CEL_BOOL, 1, { CEL_BOOL }, same },
    { "bool", false, true, CEL_BOOL, 1, { CEL_STRING }, bool_of_string },
    { "string", false, true, CEL_STRING, 1, { CEL_STRING }, same },
    { "string", false, true, CEL_STRING, 1, { CEL_INT }, string_of_int },
    { "string", false, true, CEL_STRING, 1, { CEL_UINT }, string_of_uint },
    { "string", false, true, CEL_STRING, 1, { CEL_DOUBLE }, string_of_double },
    { "string", false, true, CEL_STRING, 1, { CEL_BOOL }, string_of_bool },
    { "string", false, true, CEL_STRING, 1, { CEL_BYTES }, string_of_bytes },
    { "bytes", false, true, CEL_BYTES, 1, { CEL_BYTES }, same },
    { "bytes", false, true, CEL_BYTES, 1, { CEL_STRING }, bytes_of_string },
    /* the math extension */
    { "math.abs", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, abs_double },
    { "math.abs", false, true, CEL_INT, 1, { CEL_INT }, abs_int },
    { "math.abs", false, true, CEL_UINT, 1, { CEL_UINT }, same },
    { "math.sign", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, sign_double },
    { "math.sign", false, true, CEL_INT, 1, { CEL_INT }, sign_int },
    { "math.sign", false, true, CEL_UINT, 1, { CEL_UINT }, sign_uint },
    { "math.ceil", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, ceil_double },
    { "math.floor", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, floor_double },
    { "math.round", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, round_double },
    { "math.trunc", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, trunc_double },
    { "math.sqrt", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, sqrt_double },
    { "math.isNaN", false, true, CEL_BOOL, 1, { CEL_DOUBLE }, is_nan },
    { "math.isInf", false, true, CEL_BOOL, 1, { CEL_DOUBLE }, is_inf },
    { "math.isFinite", false, true, CEL_BOOL, 1, { CEL_DOUBLE }, is_finite },
    { "math.greatest", false, true, CEL_DOUBLE, VARIADIC, { CEL_DOUBLE }, greatest },
    { "math.greatest", false, true, CEL_INT, VARIADIC, { CEL_INT }, greatest },
    { "math.greatest", false, true, CEL_UINT, VARIADIC, { CEL_UINT }, greatest },
    { "math.greatest", false, true, CEL_DYN, 1, { CEL_LIST }, greatest_of_list },
    { "math.least", false, true, CEL_DOUBLE, VARIADIC, { CEL_DOUBLE }, least },
    { "math.least", false, true, CEL_INT, VARIADIC, { CEL_INT }, least },
    { "math.least", false, true, CEL_UINT, VARIADIC, { CEL_UINT }, least },
    { "math.least", false, true, CEL_DYN, 1, { CEL_LIST }, least_of_list },
    /* ours */
    { "math.log", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, log_double },
    { "math.log1p", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, log1p_double },
    { "math.exp", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, exp_double },
    { "math.pow", false, true, CEL_DOUBLE, 2, { CEL_DOUBLE, CEL_DOUBLE }, pow_double },
};

/* What the Assay dialect calls differently than "math." and the name. */
static const struct {
    const char *name, *meant;
} short_names[] = {
    { "min", "math.least" },
    { "max", "math.greatest" },
};

static size_t find(struct slice name, struct slice prefix, const struct builtin **first)
{
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        struct slice full = slice_str(builtins[i].name);

        if (full.len == prefix.len + name.len && slice_starts_with(full, prefix) &&
            slice_eq(slice_of(full.ptr + prefix.len, name.len), name)) {
            if (count++ == 0)
                *first = &builtins[i];
        }
    }
    return count;
}

size_t builtin_find(struct slice name, enum cel_dialect dialect, const struct builtin **first)
{
    size_t count = find(name, SLICE(""), first);

    if (count || dialect != CEL_ASSAY)
        return count;
    for (size_t i = 0; i < ARRAY_LEN(short_names); i++) {
        if (slice_eq_str(name, short_names[i].name))
            return find(slice_str(short_names[i].meant), SLICE(""), first);
    }
    return find(name, SLICE("math."), first);
}

bool builtin_takes(const struct builtin *builtin, size_t arg, enum cel_kind kind)
{
    enum cel_kind want = builtin->args[builtin->arg_count == VARIADIC ? 0 : arg];

    return want == CEL_DYN || want == kind;
}
