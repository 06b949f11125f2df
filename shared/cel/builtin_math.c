/* SPDX-License-Identifier: Apache-2.0
 * builtin_math.c - numbers: the math extension, and logarithms and powers beside it. */
#include <math.h>

#include "base/array.h"
#include "cel/builtin.h"

BUILTIN(same)
{
    return v[0];
}

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

        if (order == ORDER_OVERLOAD || !kind_is_number(best.kind))
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
BUILTIN(sqrt_int)
{
    return cel_double(sqrt((double)v[0].i));
}

BUILTIN(sqrt_uint)
{
    return cel_double(sqrt((double)v[0].u));
}

#define BIT_FUNCTION(name, operator)                                                                         \
    BUILTIN(name##_int)                                                                                      \
    {                                                                                                        \
        return cel_int((int64_t)((uint64_t)v[0].i operator(uint64_t) v[1].i));                               \
    }                                                                                                        \
    BUILTIN(name##_uint)                                                                                     \
    {                                                                                                        \
        return cel_uint(v[0].u operator v[1].u);                                                             \
    }
BIT_FUNCTION(and, &)
BIT_FUNCTION(or, |)
BIT_FUNCTION(xor, ^)

BUILTIN(not_int)
{
    return cel_int(~v[0].i);
}

BUILTIN(not_uint)
{
    return cel_uint(~v[0].u);
}

/* Bits that are pushed out are gone; to the right too an int is taken for its bits. */
static struct cel_value shift(uint64_t bits, int64_t by, bool is_left, bool is_int)
{
    if (by < 0)
        return cel_error(CEL_FAULT_ARGUMENT);
    bits = by >= 64 ? 0 : is_left ? bits << by : bits >> by;
    return is_int ? cel_int((int64_t)bits) : cel_uint(bits);
}

BUILTIN(left_int)
{
    return shift((uint64_t)v[0].i, v[1].i, true, true);
}

BUILTIN(left_uint)
{
    return shift(v[0].u, v[1].i, true, false);
}

BUILTIN(right_int)
{
    return shift((uint64_t)v[0].i, v[1].i, false, true);
}

BUILTIN(right_uint)
{
    return shift(v[0].u, v[1].i, false, false);
}

static const struct builtin rows[] = {
    /* name, as a method, as a function, result, arguments */
    { "math.abs", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, abs_double, NULL, false },
    { "math.abs", false, true, CEL_INT, 1, { CEL_INT }, abs_int, NULL, false },
    { "math.abs", false, true, CEL_UINT, 1, { CEL_UINT }, same, NULL, false },
    { "math.sign", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, sign_double, NULL, false },
    { "math.sign", false, true, CEL_INT, 1, { CEL_INT }, sign_int, NULL, false },
    { "math.sign", false, true, CEL_UINT, 1, { CEL_UINT }, sign_uint, NULL, false },
    { "math.ceil", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, ceil_double, NULL, false },
    { "math.floor", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, floor_double, NULL, false },
    { "math.round", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, round_double, NULL, false },
    { "math.trunc", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, trunc_double, NULL, false },
    { "math.sqrt", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, sqrt_double, NULL, false },
    { "math.sqrt", false, true, CEL_DOUBLE, 1, { CEL_INT }, sqrt_int, NULL, false },
    { "math.sqrt", false, true, CEL_DOUBLE, 1, { CEL_UINT }, sqrt_uint, NULL, false },
    { "math.bitAnd", false, true, CEL_INT, 2, { CEL_INT, CEL_INT }, and_int, NULL, false },
    { "math.bitAnd", false, true, CEL_UINT, 2, { CEL_UINT, CEL_UINT }, and_uint, NULL, false },
    { "math.bitOr", false, true, CEL_INT, 2, { CEL_INT, CEL_INT }, or_int, NULL, false },
    { "math.bitOr", false, true, CEL_UINT, 2, { CEL_UINT, CEL_UINT }, or_uint, NULL, false },
    { "math.bitXor", false, true, CEL_INT, 2, { CEL_INT, CEL_INT }, xor_int, NULL, false },
    { "math.bitXor", false, true, CEL_UINT, 2, { CEL_UINT, CEL_UINT }, xor_uint, NULL, false },
    { "math.bitNot", false, true, CEL_INT, 1, { CEL_INT }, not_int, NULL, false },
    { "math.bitNot", false, true, CEL_UINT, 1, { CEL_UINT }, not_uint, NULL, false },
    { "math.bitShiftLeft", false, true, CEL_INT, 2, { CEL_INT, CEL_INT }, left_int, NULL, false },
    { "math.bitShiftLeft", false, true, CEL_UINT, 2, { CEL_UINT, CEL_INT }, left_uint, NULL, false },
    { "math.bitShiftRight", false, true, CEL_INT, 2, { CEL_INT, CEL_INT }, right_int, NULL, false },
    { "math.bitShiftRight", false, true, CEL_UINT, 2, { CEL_UINT, CEL_INT }, right_uint, NULL, false },
    { "math.isNaN", false, true, CEL_BOOL, 1, { CEL_DOUBLE }, is_nan, NULL, false },
    { "math.isInf", false, true, CEL_BOOL, 1, { CEL_DOUBLE }, is_inf, NULL, false },
    { "math.isFinite", false, true, CEL_BOOL, 1, { CEL_DOUBLE }, is_finite, NULL, false },
    { "math.greatest", false, true, CEL_DOUBLE, VARIADIC, { CEL_DOUBLE }, greatest, NULL, false },
    { "math.greatest", false, true, CEL_INT, VARIADIC, { CEL_INT }, greatest, NULL, false },
    { "math.greatest", false, true, CEL_UINT, VARIADIC, { CEL_UINT }, greatest, NULL, false },
    { "math.greatest", false, true, CEL_DYN, 1, { CEL_LIST }, greatest_of_list, "A[A", false },
    { "math.greatest", false, true, CEL_DYN, VARIADIC, { CEL_DYN }, greatest, NULL, true },
    { "math.least", false, true, CEL_DOUBLE, VARIADIC, { CEL_DOUBLE }, least, NULL, false },
    { "math.least", false, true, CEL_INT, VARIADIC, { CEL_INT }, least, NULL, false },
    { "math.least", false, true, CEL_UINT, VARIADIC, { CEL_UINT }, least, NULL, false },
    { "math.least", false, true, CEL_DYN, 1, { CEL_LIST }, least_of_list, "A[A", false },
    { "math.least", false, true, CEL_DYN, VARIADIC, { CEL_DYN }, least, NULL, true },
    /* ours */
    { "math.log", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, log_double, NULL, false },
    { "math.log1p", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, log1p_double, NULL, false },
    { "math.exp", false, true, CEL_DOUBLE, 1, { CEL_DOUBLE }, exp_double, NULL, false },
    { "math.pow", false, true, CEL_DOUBLE, 2, { CEL_DOUBLE, CEL_DOUBLE }, pow_double, NULL, false },
};

const struct builtin_table math_builtins = { rows, ARRAY_LEN(rows) };
