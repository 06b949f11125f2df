/* SPDX-License-Identifier: Apache-2.0 */
#include "flip/axis.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/array.h"

#define FLOAT_WHOLE  16777216.0         /* 2^24: beyond, each float32 is whole */
#define DOUBLE_WHOLE 9007199254740992.0 /* 2^53 */
#define AMOUNT_MOST  1e15

/* ---- keys ---- */

/* The bits of floating point are in the order of their values, on either side of 0. */
static int64_t float_key(double value)
{
    float x = (float)fabs(value);
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return value < 0 ? -(int64_t)bits : (int64_t)bits;
}

static double float_value(int64_t key)
{
    uint32_t bits = (uint32_t)(key < 0 ? -key : key);
    float x;

    memcpy(&x, &bits, sizeof x);
    return key < 0 ? -(double)x : (double)x;
}

static int64_t double_key(double value)
{
    double x = fabs(value);
    int64_t bits;

    memcpy(&bits, &x, sizeof bits);
    return value < 0 ? -bits : bits;
}

static double double_value(int64_t key)
{
    int64_t bits = key < 0 ? -key : key;
    double x;

    memcpy(&x, &bits, sizeof x);
    return key < 0 ? -x : x;
}

/* A value of the axis. */
static int64_t key_of(const struct axis *axis, double value)
{
    double limit = axis->is_float ? FLOAT_WHOLE : DOUBLE_WHOLE, x = fabs(value);
    int64_t key;

    if (!axis->is_whole)
        return axis->is_float ? float_key(value) : double_key(value);
    if (x <= limit)
        return (int64_t)value;
    key = (int64_t)limit +
          (axis->is_float ? float_key(x) - float_key(limit) : double_key(x) - double_key(limit));
    return value < 0 ? -key : key;
}

double axis_value(const struct axis *axis, int64_t key)
{
    int64_t limit = (int64_t)(axis->is_float ? FLOAT_WHOLE : DOUBLE_WHOLE), k = key < 0 ? -key : key;
    double value;

    if (!axis->is_whole)
        return axis->is_float ? float_value(key) : double_value(key);
    if (k <= limit)
        return (double)key;
    value = axis->is_float ? float_value(float_key(FLOAT_WHOLE) + (k - limit))
                           : double_value(double_key(DOUBLE_WHOLE) + (k - limit));
    return key < 0 ? -value : value;
}

int64_t axis_ceil(const struct axis *axis, double value)
{
    double most = axis_value(axis, axis->most);
    int64_t key;

    if (value > most)
        return axis->most + 1;
    if (value < axis_value(axis, axis->least))
        return axis->least;
    key = key_of(axis, axis->is_whole ? ceil(value) : value);
    while (key <= axis->most && axis_value(axis, key) < value)
        key++;
    return key;
}

bool axis_has(const struct axis *axis, double value)
{
    int64_t key = isfinite(value) ? axis_ceil(axis, value) : axis->most + 1;

    return key <= axis->most && axis_value(axis, key) == value;
}

static struct axis axis_between(bool is_float, bool is_whole, double least, double most)
{
    struct axis axis = { .is_float = is_float, .is_whole = is_whole };

    axis.least = key_of(&axis, least);
    axis.most = key_of(&axis, most);
    return axis;
}

struct axis axis_of_any(void)
{
    return axis_between(true, false, -(double)FLT_MAX, (double)FLT_MAX);
}

/* ---- what a feature can be ---- */

/* Fields of the transaction that features are copies of. */
static const struct {
    const char *expr;
    double least, most;
    bool is_whole;
} copies[] = {
    { "tx.amount", 0, AMOUNT_MOST, true },
    { "tx.amount_local", 0, AMOUNT_MOST, true },
    { "tx.hour", 0, 23, true },
    { "tx.minute_of_day", 0, 1439, true },
    { "tx.weekday", 0, 6, true },
    { "tx.day_of_month", 1, 31, true },
    { "tx.month", 1, 12, true },
    { "tx.lat", -90, 90, false },
    { "tx.lon", -180, 180, false },
};

static bool is_comparison(struct slice expr)
{
    static const char *const signs[] = {
        " == ", " != ", " < ", " <= ", " > ", " >= ", " && ", " || ", " in "
    };

    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        size_t len = strlen(signs[i]);

        for (size_t at = 0; at + len <= expr.len; at++) {
            if (memcmp(expr.ptr + at, signs[i], len) == 0)
                return memchr(expr.ptr, '?', expr.len) == NULL && memchr(expr.ptr, '(', expr.len) == NULL;
        }
    }
    return false;
}

/* Sums, products and ratios of what is at least 0 are too: nothing is taken away, and no function is asked that goes
 * below 0. */
static bool is_never_negative(struct slice expr)
{
    static const char *const below[] = { "-", "log", "sign", "tx.lat", "tx.lon", "tx.attributes" };

    for (size_t i = 0; i < ARRAY_LEN(below); i++) {
        size_t len = strlen(below[i]);

        for (size_t at = 0; at + len <= expr.len; at++) {
            if (memcmp(expr.ptr + at, below[i], len) == 0)
                return false;
        }
    }
    return true;
}

static struct axis axis_of_expression(const struct feature *f)
{
    for (size_t i = 0; i < ARRAY_LEN(copies); i++) {
        if (slice_eq_str(f->expr, copies[i].expr))
            return axis_between(true, copies[i].is_whole, copies[i].least, copies[i].most);
    }
    if (is_comparison(f->expr))
        return axis_between(true, true, 0, 1);
    return axis_between(true, false, is_never_negative(f->expr) ? 0 : -(double)FLT_MAX, (double)FLT_MAX);
}

struct axis axis_of_feature(const struct feature *f)
{
    bool is_amount = slice_eq_str(f->field, "amount");
    bool is_default_odd =
        f->has_default && (f->default_value != floor(f->default_value) || f->default_value < 0);

    if (f->has_default && f->default_value < 0)
        return axis_of_any();
    switch (f->aggregate) {
    case AGGREGATE_EXPR:
        return axis_of_expression(f);
    case AGGREGATE_COUNT:
    case AGGREGATE_DISTINCT:
    case AGGREGATE_FRAUD_COUNT:
        return axis_between(true, !is_default_odd, 0, (double)FLT_MAX);
    case AGGREGATE_SUM:
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
        return axis_between(true, is_amount && !is_default_odd, is_amount ? 0 : -(double)FLT_MAX,
                            (double)FLT_MAX);
    case AGGREGATE_MEAN:
        return axis_between(true, false, is_amount ? 0 : -(double)FLT_MAX, (double)FLT_MAX);
    case AGGREGATE_FRAUD_RATE:
        return axis_between(true, false, 0, f->has_default ? (double)FLT_MAX : 1);
    case AGGREGATE_STD:
    case AGGREGATE_SINCE_LAST:
    case AGGREGATE_FIRST_SEEN:
    case AGGREGATE_SPEED:
    case AGGREGATE_DISTANCE:
    case AGGREGATE_SINCE_FRAUD:
    case AGGREGATE_SINCE_LEGIT:
        return axis_between(true, false, 0, (double)FLT_MAX);
    case AGGREGATE_COUNT_OF:
        break;
    }
    return axis_of_any();
}

bool axis_of_field(struct axis *axis, const struct txn_field *field, double now)
{
    static const struct {
        const char *name;
        double least, most;
        bool is_whole;
    } rows[] = { { "amount", 0, AMOUNT_MOST, true },
                 { "amount_local", 0, AMOUNT_MOST, true },
                 { "lat", -90, 90, false },
                 { "lon", -180, 180, false } };
    struct txn_field known;

    if (field->kind == TXN_FIELD_ATTRIBUTE) {
        bool is_whole = now == floor(now) && fabs(now) < DOUBLE_WHOLE;

        *axis = is_whole ? axis_between(false, true, -DOUBLE_WHOLE, DOUBLE_WHOLE)
                         : axis_between(false, false, -DBL_MAX, DBL_MAX);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows) && field->kind == TXN_FIELD_NUMBER; i++) {
        if (txn_field_find(slice_str(rows[i].name), &known) && known.index == field->index) {
            *axis = axis_between(false, rows[i].is_whole, rows[i].least, rows[i].most);
            return true;
        }
    }
    return false;
}
