/* SPDX-License-Identifier: Apache-2.0
 * money.h - the currencies of ISO 4217, and amounts of one in another's.
 *
 * Amounts are integers in minor units. Features add up amounts of many currencies in one base currency, at a
 * rate that is stored with the transaction by storing the result: so sums stay exact whatever the rates do
 * later. */
#ifndef ASSAY_FRAUD_MONEY_H
#define ASSAY_FRAUD_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* Digits behind the point of an active ISO 4217 currency ("EUR" 2, "JPY" 0, "KWD" 3); -1 for anything else.
 */
int currency_exponent(struct slice code);

enum { FX_RATES_MAX = 256 };

/* What one major unit of each currency is worth in some one currency, all the same. Fill with fx_parse(). */
struct fx {
    size_t count;
    struct fx_rate {
        char code[4];
        int exponent;
        int64_t worth_e12; /* times 10^12 */
    } rates[FX_RATES_MAX];
};

/* Reads "USD=1,EUR=1.08,JPY=0.0067": sorted or not, spaces allowed around each. Replaces what was there.
 *   ERR_INVALID  an unknown or repeated currency, or a rate that is not a positive decimal number */
MUST_USE enum err fx_parse(struct fx *fx, struct slice text, struct why *why);

/* `minor` of `from` in minor units of `to`, rounded half away from zero. The same currency needs no rate.
 *   ERR_NOT_FOUND  no rate for one of them
 *   ERR_TOO_LARGE  the result does not fit */
MUST_USE enum err fx_convert(const struct fx *fx, int64_t minor, struct slice from, struct slice to,
                             int64_t *out);

#endif
