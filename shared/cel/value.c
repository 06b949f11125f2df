/* SPDX-License-Identifier: Apache-2.0
 * value.c - values: their names, order, equality and how a person reads them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/decimal.h"
#include "cel/ast.h"

static const struct {
    const char *name, *type_name;
} kinds[CEL_KIND_COUNT] = {
    [CEL_DYN] = { "dyn", "dyn" },
    [CEL_ERROR] = { "error", "*error*" },
    [CEL_NULL] = { "null", "null_type" },
    [CEL_BOOL] = { "bool", "bool" },
    [CEL_INT] = { "int", "int" },
    [CEL_UINT] = { "uint", "uint" },
    [CEL_DOUBLE] = { "double", "double" },
    [CEL_STRING] = { "string", "string" },
    [CEL_BYTES] = { "bytes", "bytes" },
    [CEL_LIST] = { "list", "list" },
    [CEL_MAP] = { "map", "map" },
    [CEL_TIMESTAMP] = { "timestamp", "google.protobuf.Timestamp" },
    [CEL_DURATION] = { "duration", "google.protobuf.Duration" },
    [CEL_TYPE] = { "type", "type" },
    [CEL_OPTIONAL] = { "optional", "optional_type" },
    [CEL_IP] = { "ip", "net.IP" },
    [CEL_CIDR] = { "cidr", "net.CIDR" },
};

static const char *const fault_texts[] = {
#define CEL_FAULT_TEXT(code, text) [code] = text,
    CEL_FAULTS(CEL_FAULT_TEXT)
#undef CEL_FAULT_TEXT
};

const char *cel_kind_name(enum cel_kind kind)
{
    return kind < CEL_KIND_COUNT ? kinds[kind].name : "abstract";
}

const char *kind_type_name(enum cel_kind kind)
{
    return kinds[kind].type_name;
}

bool kind_is_key(enum cel_kind kind)
{
    return kind == CEL_BOOL || kind == CEL_INT || kind == CEL_UINT || kind == CEL_STRING;
}

const char *cel_fault_text(enum cel_fault fault)
{
    return fault_texts[fault];
}

static enum order order_of(bool is_below, bool is_above)
{
    return is_below ? ORDER_BELOW : is_above ? ORDER_ABOVE : ORDER_EQUAL;
}

/* An int or uint beside a double is taken for the nearest double. */
static enum order order_doubles(double a, double b)
{
    return isunordered(a, b) ? ORDER_NONE : order_of(a<b, a> b);
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
        return order_doubles(a->d, b->d);
    if (a->kind == CEL_INT && b->kind == CEL_INT)
        return order_of(a->i<b->i, a->i> b->i);
    if (a->kind == CEL_UINT && b->kind == CEL_UINT)
        return order_of(a->u<b->u, a->u> b->u);
    if (a->kind > b->kind) /* int, uint, double: the lesser kind on the left */
        return reverse(order_numbers(b, a));
    if (b->kind == CEL_UINT)
        return order_int_uint(a->i, b->u);
    return order_doubles(a->kind == CEL_INT ? (double)a->i : (double)a->u, b->d);
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
    if (a->kind == CEL_DURATION)
        return order_of(a->i<b->i, a->i> b->i);
    if (a->kind == CEL_TIMESTAMP && a->time.s != b->time.s)
        return order_of(a->time.s < b->time.s, true);
    if (a->kind == CEL_TIMESTAMP)
        return order_of(a->time.ns<b->time.ns, a->time.ns> b->time.ns);
    if (a->kind != CEL_STRING && a->kind != CEL_BYTES)
        return ORDER_OVERLOAD;
    compared = slice_compare(a->s, b->s); /* bytewise is code point order in UTF-8 */
    return order_of(compared<0, compared> 0);
}

/* Any number of a key's kind; 1, 1u and 1.0 are one key. */
const struct cel_value *map_find(const struct cel_value *map, const struct cel_value *key)
{
    size_t budget = SIZE_MAX; /* keys have no insides */

    if (!kind_is_key(key->kind) && key->kind != CEL_DOUBLE)
        return NULL;
    for (size_t i = 0; i < map->list.count; i++) {
        if (value_equal(&map->list.items[2 * i], key, &budget))
            return &map->list.items[2 * i + 1];
    }
    return NULL;
}

static bool lists_equal(const struct cel_value *a, const struct cel_value *b, size_t *budget)
{
    if (a->list.count != b->list.count)
        return false;
    for (size_t i = 0; i < a->list.count; i++) {
        if (!value_equal(&a->list.items[i], &b->list.items[i], budget))
            return false;
    }
    return true;
}

static bool maps_equal(const struct cel_value *a, const struct cel_value *b, size_t *budget)
{
    if (a->list.count != b->list.count)
        return false;
    for (size_t i = 0; i < a->list.count; i++) {
        const struct cel_value *pair = &a->list.items[2 * i], *other;

        if (*budget < b->list.count / 8 + 1) {
            *budget = 0;
            return false;
        }
        *budget -= b->list.count / 8;
        other = map_find(b, pair);
        if (!other || !value_equal(&pair[1], other, budget))
            return false;
    }
    return true;
}

/* An IPv4 address and the IPv6 address that stands for it are one. */
static bool addresses_equal(const struct cel_value *a, const struct cel_value *b)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    const unsigned char *x = a->address, *y = b->address;
    bool x_short = (a->extra & 0xff) == 4, y_short = (b->extra & 0xff) == 4;

    if (x_short == y_short)
        return memcmp(x, y, x_short ? 4 : 16) == 0;
    return x_short ? memcmp(y, mapped, 12) == 0 && memcmp(x, y + 12, 4) == 0
                   : memcmp(x, mapped, 12) == 0 && memcmp(y, x + 12, 4) == 0;
}

bool value_equal(const struct cel_value *a, const struct cel_value *b, size_t *budget)
{
    if (kind_is_number(a->kind) && kind_is_number(b->kind))
        return order_numbers(a, b) == ORDER_EQUAL;
    if (a->kind != b->kind)
        return false;
    if (*budget < 2) {
        *budget = 0;
        return false;
    }
    --*budget;
    switch (a->kind) {
    case CEL_NULL:
        return true;
    case CEL_BOOL:
        return a->b == b->b;
    case CEL_STRING:
    case CEL_BYTES:
    case CEL_TYPE:
        return slice_eq(a->s, b->s);
    case CEL_LIST:
        return lists_equal(a, b, budget);
    case CEL_MAP:
        return maps_equal(a, b, budget);
    case CEL_TIMESTAMP:
        return a->time.s == b->time.s && a->time.ns == b->time.ns;
    case CEL_DURATION:
        return a->i == b->i;
    case CEL_OPTIONAL:
        return a->optional && b->optional ? value_equal(a->optional, b->optional, budget)
                                          : a->optional == b->optional;
    case CEL_IP:
        return addresses_equal(a, b);
    case CEL_CIDR:
        return a->extra == b->extra && addresses_equal(a, b);
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

enum { PRINTED_MAX = 10000 }; /* values inside each other may be the same ones many times over */

static void print_value(const struct cel_value *value, struct buf *out, size_t *budget);

static void print_values(const struct cel_value *value, bool is_map, struct buf *out, size_t *budget)
{
    size_t count = value->list.count * (is_map ? 2 : 1);

    buf_add_char(out, is_map ? '{' : '[');
    for (size_t i = 0; i < count && *budget; i++) {
        if (i)
            buf_add_str(out, is_map && i % 2 ? ": " : ", ");
        print_value(&value->list.items[i], out, budget);
    }
    buf_add_str(out, *budget ? "" : " ...");
    buf_add_char(out, is_map ? '}' : ']');
}

static void print_value(const struct cel_value *value, struct buf *out, size_t *budget)
{
    *budget -= *budget > 0;
    switch (value->kind) {
    case CEL_BOOL:
        buf_add_str(out, value->b ? "true" : "false");
        break;
    case CEL_INT:
        buf_printf(out, "%lld", (long long)value->i);
        break;
    case CEL_UINT:
        buf_printf(out, "%llu", (unsigned long long)value->u);
        break;
    case CEL_DOUBLE:
        print_double(value->d, out);
        break;
    case CEL_STRING:
        buf_printf(out, "\"%.*s\"", SLICE_ARG(value->s));
        break;
    case CEL_BYTES:
        buf_printf(out, "%zu bytes", value->s.len);
        break;
    case CEL_LIST:
    case CEL_MAP:
        print_values(value, value->kind == CEL_MAP, out, budget);
        break;
    case CEL_TYPE:
        buf_add_slice(out, value->s);
        break;
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        time_print(value, out);
        break;
    case CEL_IP:
    case CEL_CIDR:
        net_print(value, out);
        break;
    case CEL_OPTIONAL:
        buf_add_str(out, value->optional ? "optional(" : "none");
        if (value->optional) {
            print_value(value->optional, out, budget);
            buf_add_char(out, ')');
        }
        break;
    case CEL_ERROR:
        buf_printf(out, "error: %s", cel_fault_text(value->error.fault));
        break;
    default:
        buf_add_str(out, "null");
        break;
    }
}

void cel_value_print(struct cel_value value, struct buf *out)
{
    size_t budget = PRINTED_MAX;

    print_value(&value, out, &budget);
}
