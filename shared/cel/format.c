/* SPDX-License-Identifier: Apache-2.0 */
#include "cel/format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/decimal.h"
#include "base/hash.h"
#include "base/mem.h"

enum { PRECISION_MAX = 1000, NUMBER_MAX = PRECISION_MAX + 400 };

static bool add_special(double d, struct buf *out)
{
    if (isfinite(d))
        return false;
    buf_add_str(out, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
    return true;
}

static enum cel_fault add_plain(const struct cel_value *v, struct buf *out, struct machine *m);

/* A map's entry as it will stand: they are sorted by their keys' texts. */
struct entry {
    struct slice key;
    const struct cel_value *value;
};

static int by_key(const void *a, const void *b)
{
    return slice_compare(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static enum cel_fault add_map(const struct cel_value *map, struct buf *out, struct machine *m)
{
    size_t count = map->list.count;
    struct entry *entries = machine_take(m, count + 1, sizeof *entries);
    enum cel_fault fault = entries ? CEL_FAULT_COUNT : CEL_FAULT_ROOM;

    for (size_t i = 0; fault == CEL_FAULT_COUNT && i < count; i++) {
        struct cel_value key;
        struct buf text;

        buf_init(&text, machine_room(m) + 1);
        fault = add_plain(&map->list.items[2 * i], &text, m);
        key = text_from(m, &text, CEL_STRING);
        if (fault == CEL_FAULT_COUNT && key.kind == CEL_ERROR)
            fault = key.error.fault;
        entries[i] = (struct entry){ key.s, &map->list.items[2 * i + 1] };
    }
    if (fault != CEL_FAULT_COUNT)
        return fault;
    qsort(entries, count, sizeof *entries, by_key);
    buf_add_char(out, '{');
    for (size_t i = 0; fault == CEL_FAULT_COUNT && i < count; i++) {
        buf_printf(out, "%s%.*s: ", i ? ", " : "", SLICE_ARG(entries[i].key));
        fault = add_plain(entries[i].value, out, m);
    }
    buf_add_char(out, '}');
    return fault;
}

static enum cel_fault add_list(const struct cel_value *list, struct buf *out, struct machine *m)
{
    enum cel_fault fault = CEL_FAULT_COUNT;

    buf_add_char(out, '[');
    for (size_t i = 0; fault == CEL_FAULT_COUNT && i < list->list.count; i++) {
        if (i)
            buf_add_str(out, ", ");
        fault = add_plain(&list->list.items[i], out, m);
    }
    buf_add_char(out, ']');
    return fault;
}

/* %s */
static enum cel_fault add_plain(const struct cel_value *v, struct buf *out, struct machine *m)
{
    char text[DECIMAL_SIZE];

    if (!machine_spend(m, 1))
        return CEL_FAULT_STEPS;
    if (out->is_over)
        return CEL_FAULT_ROOM;
    switch (v->kind) {
    case CEL_STRING:
    case CEL_TYPE:
        buf_add_slice(out, v->s);
        break;
    case CEL_BYTES:
        if (!slice_is_utf8(v->s))
            return CEL_FAULT_CONVERSION;
        buf_add_slice(out, v->s);
        break;
    case CEL_NULL:
        buf_add_str(out, "null");
        break;
    case CEL_BOOL:
        buf_add_str(out, v->b ? "true" : "false");
        break;
    case CEL_INT:
        buf_printf(out, "%lld", (long long)v->i);
        break;
    case CEL_UINT:
        buf_printf(out, "%llu", (unsigned long long)v->u);
        break;
    case CEL_DOUBLE:
        if (!add_special(v->d, out))
            buf_add(out, text, decimal_print(v->d, text));
        break;
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        time_print(v, out);
        break;
    case CEL_IP:
    case CEL_CIDR:
        net_print(v, out);
        break;
    case CEL_LIST:
        return add_list(v, out, m);
    case CEL_MAP:
        return add_map(v, out, m);
    default:
        return CEL_FAULT_ARGUMENT;
    }
    return CEL_FAULT_COUNT;
}

/* %d */
static enum cel_fault add_decimal(const struct cel_value *v, struct buf *out)
{
    char text[DECIMAL_SIZE];

    switch (v->kind) {
    case CEL_INT:
        buf_printf(out, "%lld", (long long)v->i);
        return CEL_FAULT_COUNT;
    case CEL_UINT:
        buf_printf(out, "%llu", (unsigned long long)v->u);
        return CEL_FAULT_COUNT;
    case CEL_DOUBLE:
        if (!add_special(v->d, out))
            buf_add(out, text, decimal_print(v->d, text));
        return CEL_FAULT_COUNT;
    default:
        return CEL_FAULT_ARGUMENT;
    }
}

/* %f and %e */
static enum cel_fault add_fraction(const struct cel_value *v, char clause, int precision, struct buf *out)
{
    char text[NUMBER_MAX];
    double d = v->kind == CEL_INT ? (double)v->i : v->kind == CEL_UINT ? (double)v->u : v->d;

    if (!kind_is_number(v->kind))
        return CEL_FAULT_ARGUMENT;
    if (add_special(d, out))
        return CEL_FAULT_COUNT;
    if (clause == 'f')
        snprintf(text, sizeof text, "%.*f", precision, d);
    else
        snprintf(text, sizeof text, "%.*e", precision, d);
    buf_add_str(out, text);
    return CEL_FAULT_COUNT;
}

/* %b, %o, %x and %X of a number: the sign before the digits. */
static enum cel_fault add_based(const struct cel_value *v, unsigned base, bool is_upper, struct buf *out)
{
    char text[80];
    size_t at = sizeof text;
    bool is_negative = v->kind == CEL_INT && v->i < 0;
    uint64_t left = v->kind == CEL_BOOL ? v->b : is_negative ? 0 - v->u : v->u;

    do {
        text[--at] = (is_upper ? "0123456789ABCDEF" : "0123456789abcdef")[left % base];
        left /= base;
    } while (left);
    if (is_negative)
        text[--at] = '-';
    buf_add(out, text + at, sizeof text - at);
    return CEL_FAULT_COUNT;
}

/* %x and %X of a text or bytes. */
static enum cel_fault add_hex(const struct cel_value *v, bool is_upper, struct buf *out)
{
    for (size_t i = 0; i < v->s.len && !out->is_over; i++)
        buf_printf(out, is_upper ? "%02X" : "%02x", (unsigned)(unsigned char)v->s.ptr[i]);
    return CEL_FAULT_COUNT;
}

static enum cel_fault add_clause(char clause, int precision, const struct cel_value *v, struct buf *out,
                                 struct machine *m)
{
    bool is_whole = v->kind == CEL_INT || v->kind == CEL_UINT;

    switch (clause) {
    case 's':
        return add_plain(v, out, m);
    case 'd':
        return add_decimal(v, out);
    case 'f':
    case 'e':
        return add_fraction(v, clause, precision < 0 ? 6 : precision, out);
    case 'b':
        return is_whole || v->kind == CEL_BOOL ? add_based(v, 2, false, out) : CEL_FAULT_ARGUMENT;
    case 'o':
        return is_whole ? add_based(v, 8, false, out) : CEL_FAULT_ARGUMENT;
    case 'x':
    case 'X':
        if (is_whole)
            return add_based(v, 16, clause == 'X', out);
        return v->kind == CEL_STRING || v->kind == CEL_BYTES ? add_hex(v, clause == 'X', out)
                                                             : CEL_FAULT_ARGUMENT;
    default:
        return CEL_FAULT_ARGUMENT;
    }
}

/* ".3" behind the percent sign; -1 when there is none, -2 when it is too much. */
static int take_precision(struct slice pattern, size_t *at)
{
    int precision = 0;

    if (*at >= pattern.len || pattern.ptr[*at] != '.')
        return -1;
    for (++*at; *at < pattern.len && pattern.ptr[*at] >= '0' && pattern.ptr[*at] <= '9'; ++*at) {
        precision = precision * 10 + pattern.ptr[*at] - '0';
        if (precision > PRECISION_MAX)
            return -2;
    }
    return precision;
}

enum cel_fault text_format(struct slice pattern, const struct cel_value *list, struct buf *out,
                           struct machine *m)
{
    size_t used = 0;
    enum cel_fault fault = CEL_FAULT_COUNT;

    if (!machine_spend(m, pattern.len / 16))
        return CEL_FAULT_STEPS;
    for (size_t at = 0; at < pattern.len && fault == CEL_FAULT_COUNT; at++) {
        int precision;

        if (pattern.ptr[at] != '%') {
            buf_add_char(out, pattern.ptr[at]);
            continue;
        }
        if (++at < pattern.len && pattern.ptr[at] == '%') {
            buf_add_char(out, '%');
            continue;
        }
        precision = take_precision(pattern, &at);
        if (at >= pattern.len || precision == -2)
            return CEL_FAULT_ARGUMENT;
        if (used >= list->list.count)
            return CEL_FAULT_RANGE;
        fault = add_clause(pattern.ptr[at], precision, &list->list.items[used++], out, m);
    }
    return fault;
}
