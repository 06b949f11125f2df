/* SPDX-License-Identifier: Apache-2.0
 * value.c - values: their names, order, equality and how a person reads them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/decimal.h"
#include "cel/ast.h"

static const char *const kind_names[] = {
    [CEL_DYN] = "dyn",     [CEL_ERROR] = "error", [CEL_NULL] = "null",     [CEL_BOOL] = "bool",
    [CEL_INT] = "int",     [CEL_UINT] = "uint",   [CEL_DOUBLE] = "double", [CEL_STRING] = "string",
    [CEL_BYTES] = "bytes", [CEL_LIST] = "list",
};
static_assert(ARRAY_LEN(kind_names) == CEL_KIND_COUNT, "every kind has a name");

static const char *const fault_texts[] = {
#define CEL_FAULT_TEXT(code, text) [code] = text,
    CEL_FAULTS(CEL_FAULT_TEXT)
#undef CEL_FAULT_TEXT
};

const char *cel_kind_name(enum cel_kind kind)
{
    return kind_names[kind];
}

const char *cel_fault_text(enum cel_fault fault)
{
    return fault_texts[fault];
}

static enum order order_of(bool is_below, bool is_above)
{
    return is_below ? ORDER_BELOW : is_above ? ORDER_ABOVE : ORDER_EQUAL;
}

/* 2^63 and 2^64: the first doubles past what an int and a uint hold. */
#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

static enum order order_int_double(int64_t i, double d)
{
    int64_t whole;

    if (isnan(d))
        return ORDER_NONE;
    if (d >= TWO_63)
        return ORDER_BELOW;
    if (d < -TWO_63)
        return ORDER_ABOVE;
    whole = (int64_t)d; /* towards zero; what was cut decides when the whole parts are equal */
    if (i != whole)
        return order_of(i < whole, true);
    return order_of(d > (double)whole, d < (double)whole);
}

static enum order order_uint_double(uint64_t u, double d)
{
    uint64_t whole;

    if (isnan(d))
        return ORDER_NONE;
    if (d >= TWO_64)
        return ORDER_BELOW;
    if (d < 0)
        return ORDER_ABOVE;
    whole = (uint64_t)d;
    if (u != whole)
        return order_of(u < whole, true);
    return order_of(d > (double)whole, false);
}

static enum order order_int_uint(int64_t i, uint64_t u)
{
    return i < 0 ? ORDER_BELOW : order_of((uint64_t)i<u, (uint64_t)i> u);
}

static enum order reverse(enum order order)
{
    return order == ORDER_BELOW ? ORDER_ABOVE : order == ORDER_ABOVE ? ORDER_BELOW : order;
}

static enum order order_numbers(const struct cel_value *a, const struct cel_value *b)
{
    if (a->kind == CEL_DOUBLE && b->kind == CEL_DOUBLE)
        return isunordered(a->d, b->d) ? ORDER_NONE : order_of(a->d<b->d, a->d> b->d);
    if (a->kind == CEL_INT && b->kind == CEL_INT)
        return order_of(a->i<b->i, a->i> b->i);
    if (a->kind == CEL_UINT && b->kind == CEL_UINT)
        return order_of(a->u<b->u, a->u> b->u);
    if (a->kind > b->kind) /* int, uint, double: the lesser kind on the left */
        return reverse(order_numbers(b, a));
    if (b->kind == CEL_UINT)
        return order_int_uint(a->i, b->u);
    return a->kind == CEL_INT ? order_int_double(a->i, b->d) : order_uint_double(a->u, b->d);
}

enum order value_order(const struct cel_value *a, const struct cel_value *b)
{
    int compared;

    if (kind_is_number(a->kind) && kind_is_number(b->kind))
        return order_numbers(a, b);
    if (a->kind != b->kind)
        return ORDER_OVERLOAD;
    if (a->kind == CEL_BOOL)
        return order_of(a->b<b->b, a->b> b->b);
    if (a->kind != CEL_STRING && a->kind != CEL_BYTES)
        return ORDER_OVERLOAD;
    compared = slice_compare(a->s, b->s); /* bytewise is code point order in UTF-8 */
    return order_of(compared<0, compared> 0);
}

bool value_equal(const struct cel_value *a, const struct cel_value *b)
{
    if (kind_is_number(a->kind) && kind_is_number(b->kind))
        return order_numbers(a, b) == ORDER_EQUAL;
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case CEL_NULL:
        return true;
    case CEL_BOOL:
        return a->b == b->b;
    case CEL_STRING:
    case CEL_BYTES:
        return slice_eq(a->s, b->s);
    case CEL_LIST:
        if (a->list.count != b->list.count)
            return false;
        for (size_t i = 0; i < a->list.count; i++) {
            if (!value_equal(&a->list.items[i], &b->list.items[i]))
                return false;
        }
        return true;
    default:
        return false;
    }
}

/* At most six digits that matter, no exponent where a person expects none, no zeros at the end. */
static void print_double(double d, struct buf *out)
{
    char text[64];
    size_t len;
    int decimals;

    if (fabs(d) < 1e15 && d == floor(d)) {
        buf_add(out, text, decimal_print_int((int64_t)d, text));
    } else if (fabs(d) < 1e15 && fabs(d) >= 1e-4) {
        decimals = 5 - (int)floor(log10(fabs(d)));
        decimals = decimals < 0 ? 0 : decimals;
        len = fabs(d) < DECIMAL_FIXED_BELOW ? decimal_print_fixed(d, decimals, text)
                                            : (size_t)snprintf(text, sizeof text, "%.*f", decimals, d);
        while (decimals && text[len - 1] == '0')
            len--;
        if (text[len - 1] == '.')
            len--;
        buf_add(out, text, len);
    } else {
        buf_printf(out, "%.6g", d);
    }
}

void cel_value_print(struct cel_value value, struct buf *out)
{
    switch (value.kind) {
    case CEL_BOOL:
        buf_add_str(out, value.b ? "true" : "false");
        break;
    case CEL_INT:
        buf_printf(out, "%lld", (long long)value.i);
        break;
    case CEL_UINT:
        buf_printf(out, "%llu", (unsigned long long)value.u);
        break;
    case CEL_DOUBLE:
        print_double(value.d, out);
        break;
    case CEL_STRING:
        buf_printf(out, "\"%.*s\"", SLICE_ARG(value.s));
        break;
    case CEL_BYTES:
        buf_printf(out, "%zu bytes", value.s.len);
        break;
    case CEL_LIST:
        buf_add_char(out, '[');
        for (size_t i = 0; i < value.list.count; i++) {
            if (i)
                buf_add_str(out, ", ");
            cel_value_print(value.list.items[i], out);
        }
        buf_add_char(out, ']');
        break;
    case CEL_ERROR:
        buf_printf(out, "error: %s", cel_fault_text(value.error.fault));
        break;
    case CEL_NULL:
    case CEL_DYN:
    case CEL_KIND_COUNT:
        buf_add_str(out, "null");
        break;
    }
}
