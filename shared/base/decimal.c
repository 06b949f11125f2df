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

enum { DIGITS_MAX = 17, FIVES_MAX = 27 /* 5^27 < 2^63 */, FRACTION_BITS = 52, EXPONENT_BIAS = 1075 };
#define IMPLICIT_BIT     (UINT64_C(1) << FRACTION_BITS)
#define MAX_SAFE_INTEGER 0x1p53

/* 0.d1d2d3... * 10^point */
struct digits {
    char text[24];
    int count, point;
};

static int print_integer(uint64_t number, char *to)
{
    char reversed[24];
    int count = 0;

    do {
        reversed[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    for (int i = 0; i < count; i++)
        to[i] = reversed[count - 1 - i];
    return count;
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
    uint64_t bits, m, low, high, nearest, unit = 1;
    int e, d, shift, zeros = 0;
    wide fives = 1, scaled;

    memcpy(&bits, &value, sizeof bits);
    m = (bits & (IMPLICIT_BIT - 1)) | IMPLICIT_BIT;
    e = (int)(bits >> FRACTION_BITS) - EXPONENT_BIAS;
    d = DIGITS_MAX - 1 - (int)floor((e + FRACTION_BITS) * 0.30103 /* log10(2) */);
    shift = 2 - (e + d); /* of four times the value, whose midpoints are integers as well */
    if (d > FIVES_MAX || shift < 2)
        return false;

    for (int i = 0; i < d; i++)
        fives *= 5;
    scaled = 4 * m * fives;
    low = (uint64_t)((scaled - (m == IMPLICIT_BIT ? 1 : 2) * fives) >> shift) + 1; /* denser below 2^n */
    high = (uint64_t)((scaled + 2 * fives - 1) >> shift);
    while (high / (10 * unit) * (10 * unit) >= low) {
        unit *= 10;
        zeros++;
    }
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

size_t decimal_print_int(int64_t value, char out[DECIMAL_SIZE])
{
    char *to = out;

    if (value < 0)
        *to++ = '-';
    to += print_integer(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, to);
    *to = '\0';
    return (size_t)(to - out);
}
