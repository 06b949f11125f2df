/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/money.h"

#include <assert.h>

#include "base/array.h"

__extension__ typedef __int128 wide; /* gcc and clang have it on every 64-bit machine */

/* Active codes of ISO 4217:2015 with its amendments up to 176, without those of metals, tests and funds that
 * no card pays in. Sorted; the exponent is 2 where the list of exceptions does not say otherwise. */
static const char codes[][4] = {
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
    "BIF", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF",
    "CHW", "CLF", "CLP", "CNY", "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD",
    "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD",
    "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS",
    "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD", "MAD", "MDL",
    "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN",
    "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD",
    "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS", "SRD", "SSP", "STN",
    "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD",
    "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XCG", "XOF", "XPF",
    "YER", "ZAR", "ZMW", "ZWG", "ZWL",
};

static const struct {
    char code[4];
    int exponent;
} exceptions[] = {
    { "BHD", 3 }, { "BIF", 0 }, { "CLF", 4 }, { "CLP", 0 }, { "DJF", 0 }, { "GNF", 0 }, { "IQD", 3 },
    { "ISK", 0 }, { "JOD", 3 }, { "JPY", 0 }, { "KMF", 0 }, { "KRW", 0 }, { "KWD", 3 }, { "LYD", 3 },
    { "OMR", 3 }, { "PYG", 0 }, { "RWF", 0 }, { "TND", 3 }, { "UGX", 0 }, { "UYI", 0 }, { "UYW", 4 },
    { "VND", 0 }, { "VUV", 0 }, { "XAF", 0 }, { "XOF", 0 }, { "XPF", 0 },
};

int currency_exponent(struct slice code)
{
    size_t low = 0, high = ARRAY_LEN(codes);

    if (code.len != 3)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(exceptions); i++) {
        if (memcmp(exceptions[i].code, code.ptr, 3) == 0)
            return exceptions[i].exponent;
    }
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = memcmp(codes[middle], code.ptr, 3);

        if (order == 0)
            return 2;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static const struct fx_rate *rate_find(const struct fx *fx, struct slice code)
{
    for (size_t i = 0; i < fx->count; i++) {
        if (slice_eq_str(code, fx->rates[i].code))
            return &fx->rates[i];
    }
    return NULL;
}

static struct slice trim(struct slice s)
{
    while (s.len && s.ptr[0] == ' ')
        s = slice_of(s.ptr + 1, s.len - 1);
    while (s.len && s.ptr[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* A plain decimal, up to six digits before the point and twelve behind it. */
static bool rate_parse(struct slice text, int64_t *worth_e12)
{
    int64_t value = 0;
    size_t point = 0, digits_before = 0, digits_after = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '.' && !point++)
            continue;
        if (c < '0' || c > '9' || (point ? ++digits_after > 12 : ++digits_before > 6))
            return false;
        value = value * 10 + (c - '0');
    }
    if (!digits_before)
        return false;
    for (; digits_after < 12; digits_after++)
        value *= 10;
    *worth_e12 = value;
    return value > 0;
}

static enum err rate_add(struct fx *fx, struct slice item, struct why *why)
{
    struct fx_rate *r = &fx->rates[fx->count];
    struct slice code = slice_of(item.ptr, item.len < 3 ? item.len : 3);
    int exponent = currency_exponent(code);

    if (item.len < 5 || item.ptr[3] != '=' || exponent < 0)
        return err_set(why, ERR_INVALID, "\"%.*s\" is not like EUR=1.08", SLICE_ARG(item));
    if (rate_find(fx, code))
        return err_set(why, ERR_INVALID, "%.*s has two rates", SLICE_ARG(code));
    *r = (struct fx_rate){ .exponent = exponent };
    memcpy(r->code, code.ptr, 3);
    if (!rate_parse(trim(slice_of(item.ptr + 4, item.len - 4)), &r->worth_e12))
        return err_set(why, ERR_INVALID, "the rate of %s is not a positive decimal number", r->code);
    fx->count++;
    return ERR_OK;
}

enum err fx_parse(struct fx *fx, struct slice text, struct why *why)
{
    fx->count = 0;
    while (text.len) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t len = comma ? (size_t)(comma - text.ptr) : text.len;
        struct slice item = trim(slice_of(text.ptr, len));
        enum err err;

        if (item.len) {
            if (fx->count == FX_RATES_MAX)
                return err_set(why, ERR_INVALID, "more than %d rates", FX_RATES_MAX);
            err = rate_add(fx, item, why);
            if (err)
                return err;
        }
        text = comma ? slice_of(comma + 1, text.len - len - 1) : slice_of(text.ptr + len, 0);
    }
    return ERR_OK;
}

enum err fx_convert(const struct fx *fx, int64_t minor, struct slice from, struct slice to, int64_t *out)
{
    static const int64_t tens[] = { 1, 10, 100, 1000, 10000 };
    const struct fx_rate *source, *target;
    wide value, divisor;

    if (slice_eq(from, to)) {
        *out = minor;
        return ERR_OK;
    }
    source = rate_find(fx, from);
    target = rate_find(fx, to);
    if (!source || !target)
        return ERR_NOT_FOUND;
    /* |minor| < 2^63, a rate < 10^18 < 2^60; the exponents may take a product over 127 bits, so they come
     * last and are checked. */
    value = (wide)minor * source->worth_e12;
    divisor = (wide)target->worth_e12;
    if (target->exponent >= source->exponent) {
        if (__builtin_mul_overflow(value, (wide)tens[target->exponent - source->exponent], &value))
            return ERR_TOO_LARGE;
    } else {
        divisor *= tens[source->exponent - target->exponent];
    }
    value = (value + (value < 0 ? -(divisor / 2) : divisor / 2)) / divisor;
    if (value > INT64_MAX || value < -INT64_MAX)
        return ERR_TOO_LARGE;
    *out = (int64_t)value;
    return ERR_OK;
}
