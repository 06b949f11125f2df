/* SPDX-License-Identifier: Apache-2.0 */
#include "base/decimal.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum {
    DIGITS_MAX = 17,
    FIVES_MAX = 27, /* 5^27 < 2^63 */
    TENS_MAX = 19,
    FRACTION_BITS = 52,
    EXPONENT_BIAS = 1075,
    WIDE_BITS = 128,
    INTEGER_SIZE = 20,
};
#define IMPLICIT_BIT     (UINT64_C(1) << FRACTION_BITS)
#define MAX_SAFE_INTEGER 0x1p53

/* 0.d1d2d3... * 10^point */
struct digits {
    char text[24];
    int count, point;
};

/* 5^i and 10^i. */
static const uint64_t fives[] = {
    UINT64_C(1),
    UINT64_C(5),
    UINT64_C(25),
    UINT64_C(125),
    UINT64_C(625),
    UINT64_C(3125),
    UINT64_C(15625),
    UINT64_C(78125),
    UINT64_C(390625),
    UINT64_C(1953125),
    UINT64_C(9765625),
    UINT64_C(48828125),
    UINT64_C(244140625),
    UINT64_C(1220703125),
    UINT64_C(6103515625),
    UINT64_C(30517578125),
    UINT64_C(152587890625),
    UINT64_C(762939453125),
    UINT64_C(3814697265625),
    UINT64_C(19073486328125),
    UINT64_C(95367431640625),
    UINT64_C(476837158203125),
    UINT64_C(2384185791015625),
    UINT64_C(11920928955078125),
    UINT64_C(59604644775390625),
    UINT64_C(298023223876953125),
    UINT64_C(1490116119384765625),
    UINT64_C(7450580596923828125),
};
static const uint64_t tens[] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

/* 00 to 99. */
static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

static int print_integer(uint64_t number, char *to)
{
    char text[INTEGER_SIZE];
    int at = INTEGER_SIZE;

    for (; number >= 100; number /= 100)
        memcpy(text + (at -= 2), pairs + 2 * (number % 100), 2);
    if (number >= 10)
        memcpy(text + (at -= 2), pairs + 2 * number, 2);
    else
        text[--at] = (char)('0' + number);
    memcpy(to, text + at, (size_t)(INTEGER_SIZE - at));
    return INTEGER_SIZE - at;
}

/* number * 10^exponent */
static void put_digits(struct digits *out, uint64_t number, int exponent)
{
    out->count = print_integer(number, out->text);
    out->point = out->count + exponent;
}

/* A double stands for all numbers between the midpoints to its neighbours. Times a power of ten that gives it 17
 * or 18 digits, each integer of that interval is a candidate; the one with the most zeros at its end is the
 * shortest. With value = m * 2^e, value * 10^d = m * 5^d * 2^(e+d): exact in 128 bits while d <= 27.
 *
 * False where this does not reach: below 1e-10, and from 2^52 on. */
static bool shortest_exactly(double value, struct digits *out)
{
    uint64_t bits, m, low, high, nearest, unit;
    int e, d, shift, zeros = 0;
    wide scaled;

    memcpy(&bits, &value, sizeof bits);
    m = (bits & (IMPLICIT_BIT - 1)) | IMPLICIT_BIT;
    e = (int)(bits >> FRACTION_BITS) - EXPONENT_BIAS;
    d = DIGITS_MAX - 1 - (int)floor((e + FRACTION_BITS) * 0.30103 /* log10(2) */);
    shift = 2 - (e + d); /* of four times the value, whose midpoints are integers as well */
    if (d > FIVES_MAX || shift < 2)
        return false;

    scaled = (wide)fives[d] * 4 * m;
    low = (uint64_t)((scaled - (m == IMPLICIT_BIT ? 1u : 2u) * (wide)fives[d]) >> shift) +
          1; /* denser below 2^n */
    high = (uint64_t)((scaled + 2 * (wide)fives[d] - 1) >> shift);
    /* How many of them are a multiple of ten, of a hundred, ...: quotients that are rounded up and down. */
    for (uint64_t l = (low + 9) / 10, h = high / 10; l <= h; l = (l + 9) / 10, h /= 10)
        zeros++;
    unit = tens[zeros];
    nearest = (uint64_t)((scaled + ((wide)unit << (shift - 1))) >> shift) / unit;
    if (nearest * unit < low)
        nearest++;
    else if (nearest * unit > high)
        nearest--;
    put_digits(out, nearest, zeros - d);
    return true;
}

/* The very small and the very large, which are rare. */
static void shortest_by_trying(double value, struct digits *out)
{
    char text[40];
    int count = 0;

    for (int digits = 1; digits <= DIGITS_MAX; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (const char *p = text; *p != 'e'; p++) {
        if (*p != '.')
            out->text[count++] = *p;
    }
    out->count = count;
    out->point = atoi(strchr(text, 'e') + 1) + 1;
}

static char *add(char *to, const char *bytes, int count)
{
    memcpy(to, bytes, (size_t)count);
    return to + count;
}

static char *add_zeros(char *to, int count)
{
    memset(to, '0', (size_t)count);
    return to + count;
}

/* ECMA-262, Number::toString, steps 6 to 10; its n is our point. */
static char *spell(const struct digits *d, char *to)
{
    int count = d->count, n = d->point;

    if (count <= n && n <= 21) {
        to = add(to, d->text, count);
        return add_zeros(to, n - count);
    }
    if (0 < n && n <= 21) {
        to = add(to, d->text, n);
        *to++ = '.';
        return add(to, d->text + n, count - n);
    }
    if (-6 < n && n <= 0) {
        to = add(to, "0.", 2);
        to = add_zeros(to, -n);
        return add(to, d->text, count);
    }
    *to++ = d->text[0];
    if (count > 1) {
        *to++ = '.';
        to = add(to, d->text + 1, count - 1);
    }
    return to + snprintf(to, 6, "e%+d", n - 1);
}

size_t decimal_print(double value, char out[DECIMAL_SIZE])
{
    struct digits digits = { 0 };
    char *to = out;

    assert(isfinite(value));
    if (signbit(value))
        *to++ = '-';
    value = fabs(value);
    if (value <= MAX_SAFE_INTEGER && value == floor(value)) {
        to += print_integer((uint64_t)value, to);
    } else {
        if (!shortest_exactly(value, &digits))
            shortest_by_trying(value, &digits);
        to = spell(&digits, to);
    }
    *to = '\0';
    return (size_t)(to - out);
}

/* With value = m * 2^e, value * 10^places = m * 10^places * 2^e: exact in 128 bits, and so is what the rounding
 * cuts off. */
size_t decimal_print_fixed(double value, int places, char out[DECIMAL_SIZE])
{
    uint64_t bits, m, whole = 0;
    char *to = out;
    int e, shift;

    assert(places >= 0 && places <= DECIMAL_PLACES_MAX && fabs(value) < DECIMAL_FIXED_BELOW);
    memcpy(&bits, &value, sizeof bits);
    e = (int)(bits >> FRACTION_BITS & 0x7ff);
    m = (bits & (IMPLICIT_BIT - 1)) | (e ? IMPLICIT_BIT : 0);
    shift = EXPONENT_BIAS - (e ? e : 1); /* above 0, the value being below 2^52 */
    if (shift < WIDE_BITS) {
        wide scaled = (wide)m * tens[places], half = (wide)1 << (shift - 1), cut = scaled & (2 * half - 1);

        whole = (uint64_t)(scaled >> shift);
        whole += cut > half || (cut == half && whole % 2); /* between two the even one, as printf has it */
    }
    if (signbit(value))
        *to++ = '-';
    to += print_integer(whole / tens[places], to);
    if (places) {
        *to++ = '.';
        whole %= tens[places];
        for (int i = places - 1; i >= 0; i--, whole /= 10)
            to[i] = (char)('0' + whole % 10);
        to += places;
    }
    *to = '\0';
    return (size_t)(to - out);
}

size_t decimal_print_int(int64_t value, char out[DECIMAL_SIZE])
{
    char *to = out;

    if (value < 0)
        *to++ = '-';
    to += print_integer(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, to);
    *to = '\0';
    return (size_t)(to - out);
}
