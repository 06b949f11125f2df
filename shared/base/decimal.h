/* SPDX-License-Identifier: Apache-2.0
 * decimal.h - numbers as decimal text, without printf.
 *
 * A double becomes the shortest decimal that reads back as the same double, and of several of that length the
 * nearest one. It is spelled as ECMAScript spells numbers (ECMA-262, Number::toString; RFC 8785 asks JSON for
 * it), except that -0 stays "-0", so that no bit is lost. */
#ifndef ASSAY_BASE_DECIMAL_H
#define ASSAY_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_SIZE = 32, DECIMAL_PLACES_MAX = 9 };
#define DECIMAL_FIXED_BELOW 1e9

/* Both write the text and a NUL, and return the length without it. `value` must be finite. */
size_t decimal_print(double value, char out[DECIMAL_SIZE]);
size_t decimal_print_int(int64_t value, char out[DECIMAL_SIZE]);

/* The same as printf's "%.*f" writes, for what lies between -DECIMAL_FIXED_BELOW and DECIMAL_FIXED_BELOW. `places` is
 * 0 to DECIMAL_PLACES_MAX. */
size_t decimal_print_fixed(double value, int places, char out[DECIMAL_SIZE]);

#endif
