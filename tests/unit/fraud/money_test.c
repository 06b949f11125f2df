/* SPDX-License-Identifier: Apache-2.0
 * money_test.c - currencies, countries and conversion. */
#include <criterion/criterion.h>

#include "fraud/country.h"
#include "fraud/money.h"

static struct fx fx;
static struct why why;

static int64_t converted(int64_t minor, const char *from, const char *to)
{
    int64_t out;

    cr_assert_eq(fx_convert(&fx, minor, slice_str(from), slice_str(to), &out), ERR_OK);
    return out;
}

Test(money, knows_the_minor_units_of_each_currency)
{
    cr_assert_eq(currency_exponent(SLICE("EUR")), 2);
    cr_assert_eq(currency_exponent(SLICE("JPY")), 0);
    cr_assert_eq(currency_exponent(SLICE("KWD")), 3);
    cr_assert_eq(currency_exponent(SLICE("AED")), 2);
    cr_assert_eq(currency_exponent(SLICE("ZWL")), 2);
    cr_assert_eq(currency_exponent(SLICE("eur")), -1);
    cr_assert_eq(currency_exponent(SLICE("XYZ")), -1);
    cr_assert_eq(currency_exponent(SLICE("EURO")), -1);
    cr_assert_eq(currency_exponent(SLICE("")), -1);
}

Test(money, converts_between_currencies_of_different_minor_units)
{
    cr_assert_eq(fx_parse(&fx, SLICE(" USD=1, EUR=1.08,JPY=0.0067,KWD=3.25 "), &why), ERR_OK, "%s", why.text);
    cr_assert_eq(converted(10000, "EUR", "USD"), 10800);
    cr_assert_eq(converted(10000, "USD", "EUR"), 9259);
    cr_assert_eq(converted(10000, "JPY", "USD"), 6700);
    cr_assert_eq(converted(1000, "KWD", "USD"), 325);
    cr_assert_eq(converted(325, "USD", "KWD"), 1000);
    cr_assert_eq(converted(1, "USD", "JPY"), 1); /* 1.49 yen */
    cr_assert_eq(converted(0, "EUR", "USD"), 0);
    cr_assert_eq(converted(-10000, "EUR", "USD"), -10800);
}

Test(money, needs_no_rate_for_the_same_currency)
{
    int64_t out;

    cr_assert_eq(fx_parse(&fx, SLICE(""), &why), ERR_OK);
    cr_assert_eq(converted(5, "CHF", "CHF"), 5);
    cr_assert_eq(fx_convert(&fx, 5, SLICE("CHF"), SLICE("USD"), &out), ERR_NOT_FOUND);
}

Test(money, says_when_a_result_does_not_fit)
{
    int64_t out;

    cr_assert_eq(fx_parse(&fx, SLICE("USD=1,IRR=0.000001,UYW=900000"), &why), ERR_OK);
    cr_assert_eq(fx_convert(&fx, INT64_MAX, SLICE("UYW"), SLICE("IRR"), &out), ERR_TOO_LARGE);
    cr_assert_eq(fx_convert(&fx, INT64_MAX, SLICE("USD"), SLICE("UYW"), &out), ERR_OK);
}

Test(money, refuses_rates_that_are_none)
{
    static const char *const bad[] = {
        "EUR",       "EUR=",   "EUR=0", "EUR=-1", "XYZ=1",       "EUR=1,EUR=2",        "EUR=1e3",
        "EUR=1.0.0", "EUR=.5", "=1",    "eur=1",  "EUR=1234567", "EUR=0.1234567890123"
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(fx_parse(&fx, slice_str(bad[i]), &why), ERR_INVALID, "%s", bad[i]);
}

Test(country, knows_the_250_codes_and_no_others)
{
    int count = 0;
    char code[2];

    for (code[0] = 'A'; code[0] <= 'Z'; code[0]++) {
        for (code[1] = 'A'; code[1] <= 'Z'; code[1]++)
            count += country_is_known(slice_of(code, 2));
    }
    cr_assert_eq(count, 250);
    cr_assert(country_is_known(SLICE("DE")));
    cr_assert(country_is_known(SLICE("XK")));
    cr_assert_not(country_is_known(SLICE("UK")));
    cr_assert_not(country_is_known(SLICE("EU")));
    cr_assert_not(country_is_known(SLICE("de")));
    cr_assert_not(country_is_known(SLICE("D")));
}
