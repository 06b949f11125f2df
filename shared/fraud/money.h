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

/* What one unit of each currency was worth in US dollars, in round figures: for features it is the order of
 * magnitude that matters. Set ASSAY_FX_RATES where it matters more. */
#define FX_RATES_DEFAULT                                                                                     \
    "USD=1,EUR=1.08,GBP=1.27,CHF=1.12,JPY=0.0067,CNY=0.14,CAD=0.73,AUD=0.66,NZD=0.6,SEK=0.095,NOK=0.093,"    \
    "DKK=0.145,PLN=0.25,CZK=0.043,HUF=0.0028,RON=0.217,BGN=0.55,TRY=0.03,ILS=0.27,ZAR=0.055,INR=0.012,"      \
    "BRL=0.18,MXN=0.055,ARS=0.001,CLP=0.0011,COP=0.00025,PEN=0.27,SGD=0.75,HKD=0.128,TWD=0.031,KRW=0.00073," \
    "THB=0.028,MYR=0.22,IDR=0.000063,PHP=0.0175,VND=0.00004,AED=0.272,SAR=0.267,QAR=0.275,KWD=3.25,BHD=2."   \
    "65,"                                                                                                    \
    "OMR=2.6,JOD=1.41,EGP=0.02,MAD=0.1,NGN=0.00065,KES=0.0077,GHS=0.066,XOF=0.00165,XAF=0.00165,UAH=0.024,"  \
    "KZT=0.002,GEL=0.37,RSD=0.0092,ISK=0.0072"
#define BASE_CURRENCY_DEFAULT "USD"

#endif
