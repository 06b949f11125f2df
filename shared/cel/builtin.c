/* SPDX-License-Identifier: Apache-2.0
 * builtin.c - the functions that every expression has. Overloads of one name stand together. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/decimal.h"
#include "cel/builtin.h"

/* ---- strings and lists ---- */

BUILTIN(size_string)
{
    return cel_int(text_length(v[0].s));
}

BUILTIN(size_bytes)
{
    return cel_int((int64_t)v[0].s.len);
}

BUILTIN(size_list) /* and of a map: pairs */
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

BUILTIN(int_of_timestamp)
{
    return cel_int(v[0].time.s);
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

static struct cel_value string_in(struct machine *m, const char *text)
{
    size_t len = strlen(text);
    char *copy = machine_take(m, len + 1, 1);

    if (!copy)
        return cel_error(CEL_FAULT_ROOM);
    memcpy(copy, text, len);
    return cel_string(slice_of(copy, len));
}

BUILTIN(string_of_int)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)v[0].i);
    return string_in(m, text);
}

BUILTIN(string_of_uint)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)v[0].u);
    return string_in(m, text);
}

/* The fewest digits that read back the same. */
BUILTIN(string_of_double)
{
    char text[DECIMAL_SIZE];

    if (!isfinite(v[0].d))
        return string_in(m, isnan(v[0].d) ? "NaN" : v[0].d > 0 ? "Infinity" : "-Infinity");
    decimal_print(v[0].d, text);
    return string_in(m, text);
}

BUILTIN(string_of_bool)
{
    return cel_string(v[0].b ? SLICE("true") : SLICE("false"));
}

BUILTIN(string_of_bytes)
{
    return slice_is_utf8(v[0].s) ? cel_string(v[0].s) : cel_error(CEL_FAULT_CONVERSION);
}

BUILTIN(string_of_time)
{
    struct buf text;

    buf_init(&text, 64);
    time_print(&v[0], &text);
    return text_from(m, &text, CEL_STRING);
}

BUILTIN(string_of_address)
{
    struct buf text;

    buf_init(&text, 64);
    net_print(&v[0], &text);
    return text_from(m, &text, CEL_STRING);
}

BUILTIN(type_of_value)
{
    return (struct cel_value){ .kind = CEL_TYPE, .s = slice_str(kind_type_name(v[0].kind)) };
}

BUILTIN(matches)
{
    struct regex *regex;
    struct arena arena = { 0 };
    struct cel_value result = cel_error(CEL_FAULT_REGEX);
    const char *what;

    bool is_pattern;

    if (!machine_spend(m, 16 * v[1].s.len))
        return cel_error(CEL_FAULT_STEPS);
    is_pattern = regex_compile(&regex, v[1].s, &arena, &what);
    if (!machine_spend(m, arena.total / 16)) /* what classes make of a short pattern */
        result = cel_error(CEL_FAULT_STEPS);
    else if (is_pattern)
        result = regex_search(regex, v[0].s, m);
    arena_release(&arena);
    return result;
}

BUILTIN(bytes_of_string)
{
    struct cel_value bytes = v[0];

    bytes.kind = CEL_BYTES;
    return bytes;
}

/* ---- optionals ---- */

static struct cel_value optional_of(const struct cel_value *value, struct machine *m)
{
    struct cel_value *copy = machine_take(m, 1, sizeof *copy);

    if (!copy)
        return cel_error(CEL_FAULT_ROOM);
    *copy = *value;
    return (struct cel_value){ .kind = CEL_OPTIONAL, .optional = copy };
}

static bool is_zero(const struct cel_value *v)
{
    switch (v->kind) {
    case CEL_NULL:
        return true;
    case CEL_BOOL:
        return !v->b;
    case CEL_INT:
    case CEL_DURATION:
        return v->i == 0;
    case CEL_UINT:
        return v->u == 0;
    case CEL_DOUBLE:
        return v->d == 0;
    case CEL_STRING:
    case CEL_BYTES:
        return v->s.len == 0;
    case CEL_LIST:
    case CEL_MAP:
        return v->list.count == 0;
    case CEL_TIMESTAMP:
        return v->time.s == 0 && v->time.ns == 0;
    case CEL_OPTIONAL:
        return !v->optional;
    default:
        return false;
    }
}

BUILTIN(some)
{
    return optional_of(&v[0], m);
}

BUILTIN(none)
{
    return (struct cel_value){ .kind = CEL_OPTIONAL };
}

BUILTIN(some_unless_zero)
{
    return is_zero(&v[0]) ? none(v, n, m) : optional_of(&v[0], m);
}

BUILTIN(has_value)
{
    return cel_bool(v[0].optional != NULL);
}

BUILTIN(value_of)
{
    return v[0].optional ? *v[0].optional : cel_error(CEL_FAULT_MISSING);
}

BUILTIN(or_optional)
{
    return v[0].optional ? v[0] : v[1];
}

BUILTIN(or_value)
{
    return v[0].optional ? *v[0].optional : v[1];
}

/* ---- the table ---- */

static const struct builtin rows[] = {
    /* name, as a method, as a function, result, arguments */
    { "size", true, true, CEL_INT, 1, { CEL_STRING }, size_string, NULL, false },
    { "size", true, true, CEL_INT, 1, { CEL_BYTES }, size_bytes, NULL, false },
    { "size", true, true, CEL_INT, 1, { CEL_LIST }, size_list, NULL, false },
    { "size", true, true, CEL_INT, 1, { CEL_MAP }, size_list, NULL, false },
    { "matches", true, true, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, matches, NULL, false },
    { "type", false, true, CEL_TYPE, 1, { CEL_DYN }, type_of_value, "YAA", false },
    { "startsWith", true, false, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, starts_with, NULL, false },
    { "endsWith", true, false, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, ends_with, NULL, false },
    { "contains", true, false, CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, contains, NULL, false },
    { "dyn", false, true, CEL_DYN, 1, { CEL_DYN }, same, NULL, false },
    { "int", false, true, CEL_INT, 1, { CEL_INT }, same, NULL, false },
    { "int", false, true, CEL_INT, 1, { CEL_UINT }, int_of_uint, NULL, false },
    { "int", false, true, CEL_INT, 1, { CEL_DOUBLE }, int_of_double, NULL, false },
    { "int", false, true, CEL_INT, 1, { CEL_STRING }, int_of_string, NULL, false },
    { "int", false, true, CEL_INT, 1, { CEL_TIMESTAMP }, int_of_timestamp, NULL, false },
    { "uint", false, true, CEL_UINT, 1, { CEL_UINT }, same, NULL, false },
    { "uint", false, true, CEL_UINT, 1, { CEL_INT }, uint_of_int, NULL, false },
    { "uint", false, true, CEL_UINT, 1, { CEL_DOUBLE }, uint_of_double, NULL, false },
    { "uint", false, true, CEL_UINT, 1, { CEL_STRING }, uint_of_string, NULL, false },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, same, NULL, false },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_INT }, double_of_int, NULL, false },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_UINT }, double_of_uint, NULL, false },
    { "double", false, true, CEL_DOUBLE, 1, { CEL_STRING }, double_of_string, NULL, false },
    { "bool", false, true, CEL_BOOL, 1, { CEL_BOOL }, same, NULL, false },
    { "bool", false, true, CEL_BOOL, 1, { CEL_STRING }, bool_of_string, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_STRING }, same, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_INT }, string_of_int, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_UINT }, string_of_uint, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_DOUBLE }, string_of_double, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_BOOL }, string_of_bool, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_BYTES }, string_of_bytes, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_TIMESTAMP }, string_of_time, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_DURATION }, string_of_time, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_IP }, string_of_address, NULL, false },
    { "string", false, true, CEL_STRING, 1, { CEL_CIDR }, string_of_address, NULL, false },
    { "bytes", false, true, CEL_BYTES, 1, { CEL_BYTES }, same, NULL, false },
    { "bytes", false, true, CEL_BYTES, 1, { CEL_STRING }, bytes_of_string, NULL, false },
    { "optional.of", false, true, CEL_OPTIONAL, 1, { CEL_DYN }, some, "?AA", false },
    { "optional.none", false, true, CEL_OPTIONAL, 0, { CEL_DYN }, none, "?A", false },
    { "optional.ofNonZeroValue", false, true, CEL_OPTIONAL, 1, { CEL_DYN }, some_unless_zero, "?AA", false },
    { "hasValue", true, false, CEL_BOOL, 1, { CEL_OPTIONAL }, has_value, NULL, false },
    { "value", true, false, CEL_DYN, 1, { CEL_OPTIONAL }, value_of, "A?A", false },
    { "or", true, false, CEL_OPTIONAL, 2, { CEL_OPTIONAL, CEL_OPTIONAL }, or_optional, "?A?A?A", false },
    { "orValue", true, false, CEL_DYN, 2, { CEL_OPTIONAL, CEL_DYN }, or_value, "A?AA", false },
};

/* What the Assay dialect calls differently than "math." and the name. */
static const struct {
    const char *name, *meant;
} short_names[] = {
    { "min", "math.least" },
    { "max", "math.greatest" },
};

const struct builtin_table core_builtins = { rows, ARRAY_LEN(rows) };

static const struct builtin_table *const tables[] = { &core_builtins, &math_builtins, &text_builtins,
                                                      &time_builtins, &net_builtins };

static size_t find(struct slice name, struct slice prefix, const struct builtin **first)
{
    size_t count = 0;

    for (size_t t = 0; t < ARRAY_LEN(tables) && count == 0; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            struct slice full = slice_str(tables[t]->items[i].name);

            if (full.len == prefix.len + name.len && slice_starts_with(full, prefix) &&
                slice_eq(slice_of(full.ptr + prefix.len, name.len), name)) {
                if (count++ == 0)
                    *first = &tables[t]->items[i];
            }
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
