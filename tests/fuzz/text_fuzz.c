/* SPDX-License-Identifier: Apache-2.0
 * text_fuzz.c - the small texts that come from outside: times, durations, rates, numbers, keys, trace
 * contexts, settings. Each is refused or means what it says: written again, it reads the same. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "trace/context.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "dataset/mapping.h"
#include "fraud/api_key.h"
#include "fraud/country.h"
#include "fraud/money.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_times(struct slice text)
{
    char written[RFC3339_SIZE];
    int64_t at_us, again, duration_us;

    if (rfc3339_parse(text, &at_us)) {
        rfc3339_format(at_us, written);
        check(rfc3339_parse(slice_str(written), &again) && again == at_us);
    }
    if (duration_parse(text, &duration_us))
        check(duration_us >= 0);
}

static void try_numbers(struct slice text)
{
    char written[32];
    int64_t n, again;
    double number;

    if (slice_to_i64(text, &n)) {
        snprintf(written, sizeof written, "%lld", (long long)n);
        check(slice_to_i64(slice_str(written), &again) && again == n);
    }
    if (slice_to_double(text, &number))
        check(isfinite(number));
}

static void try_money(struct slice text)
{
    static struct fx fx;
    int64_t out;

    currency_exponent(text);
    if (fx_parse(&fx, text, &(struct why){ 0 }))
        return;
    for (size_t i = 0; i < fx.count; i++) {
        struct slice code = slice_str(fx.rates[i].code);

        check(fx.rates[i].worth_e12 > 0 && currency_exponent(code) == fx.rates[i].exponent);
        check(fx_convert(&fx, 1999, code, code, &out) == ERR_OK && out == 1999);
        check(fx_convert(&fx, INT64_MAX, slice_str(fx.rates[0].code), code, &out) < ERR_COUNT);
        check(fx_convert(&fx, INT64_MIN, code, slice_str(fx.rates[0].code), &out) < ERR_COUNT);
    }
}

static void try_headers(struct slice text)
{
    unsigned char random[24];
    struct trace trace, again;
    struct api_key key;

    memset(random, 1, sizeof random);
    trace_begin(&trace, text, random, 0);
    check(strlen(trace.parent) == 55);
    trace_begin(&again, slice_str(trace.parent), random, 0); /* what we send, we understand */
    check(slice_eq(trace_id(&again), trace_id(&trace)));
    if (api_key_read(&key, text))
        check(text.len == API_KEY_LEN && strlen(key.prefix) == API_KEY_PREFIX_LEN);
}

static void try_settings(struct slice text)
{
    struct settings {
        int64_t number, ms;
        bool flag;
        const char *text;
    } s = { 0 };
    static const struct conf_field fields[] = {
        { "FUZZ", CONF_INT, offsetof(struct settings, number), "1", "n", -5, 1000 },
        { "FUZZ", CONF_DURATION_MS, offsetof(struct settings, ms), "1", "d", 0, 1000000 },
        { "FUZZ", CONF_BOOL, offsetof(struct settings, flag), "no", "b", 0, 0 },
    };
    char *value = mem_alloc(text.len + 1, 1);

    memcpy(value, text.ptr, text.len);
    value[text.len] = '\0';
    setenv("ASSAY_FUZZ", value, 1);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct why why = { 0 };

        if (conf_load(&s, &fields[i], 1, &why))
            check(why.text[0]);
        else if (i == 0)
            check(s.number >= -5 && s.number <= 1000);
        else
            check(s.ms >= 0 && s.ms <= 1000000);
    }
    mem_free(value);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct slice text = slice_of(data, size);
    unsigned char bytes[64];
    char hex[2 * sizeof bytes + 1];

    if (!size || size > 4096)
        return 0;
    try_times(text);
    try_numbers(text);
    try_money(text);
    try_headers(text);
    try_settings(text);
    if (size <= 2 * sizeof bytes && hex_decode(text, bytes, size / 2)) {
        hex_encode(bytes, size / 2, hex);
        check(strncasecmp(hex, text.ptr, size) == 0);
    }
    return 0;
}
