/* SPDX-License-Identifier: Apache-2.0
 * base_test.c - errors, memory, slices, buffers, times and hashes. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/pieces.h"
#include "stats/interval.h"

Test(err, wraps_a_reason_in_its_context)
{
    struct why why = { 0 };

    cr_assert_eq(err_set(&why, ERR_NOT_FOUND, "no file %s", "x"), ERR_NOT_FOUND);
    err_wrap(&why, ERR_NOT_FOUND, "open model");
    cr_assert_str_eq(why.text, "open model: no file x");
    cr_assert_eq(err_http_status(ERR_NOT_FOUND), 404);
}

Test(arena, gives_zeroed_aligned_memory_and_keeps_a_chunk_over_a_reset)
{
    struct arena a = { 0 };
    size_t total;

    for (int i = 0; i < 1000; i++) {
        int64_t *p = arena_new(&a, int64_t, 13);

        cr_assert_eq((uintptr_t)p % sizeof(int64_t), 0);
        cr_assert_eq(p[12], 0);
        p[12] = -1;
    }
    arena_reset(&a);
    total = a.total;
    arena_new(&a, char, 1000);
    cr_assert_eq(a.total, total);
    arena_release(&a);
    cr_assert_eq(a.total, 0);
}

Test(buf, refuses_what_would_pass_its_cap_and_keeps_the_rest)
{
    struct buf b;

    buf_init(&b, 10);
    cr_assert(buf_add_str(&b, "12345678"));
    cr_assert_not(buf_add_str(&b, "abc"));
    cr_assert(b.is_over);
    cr_assert_str_eq(buf_str(&b), "12345678");
    buf_take(&b, 6);
    cr_assert(buf_add_str(&b, "abcdefgh"));
    cr_assert_str_eq(buf_str(&b), "78abcdefgh");
    buf_release(&b);
}

Test(slice, reads_integers_to_the_last_one_and_no_further)
{
    int64_t v;

    cr_assert(slice_to_i64(SLICE("-9223372036854775808"), &v) && v == INT64_MIN);
    cr_assert(slice_to_i64(SLICE("9223372036854775807"), &v) && v == INT64_MAX);
    cr_assert_not(slice_to_i64(SLICE("9223372036854775808"), &v));
    cr_assert_not(slice_to_i64(SLICE("1 "), &v));
    cr_assert_not(slice_to_i64(SLICE("-"), &v));
}

Test(slice, knows_well_formed_utf8)
{
    cr_assert(slice_is_utf8(SLICE("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x92\xB3")));
    cr_assert_not(slice_is_utf8(SLICE("\xC0\x80")), "overlong");
    cr_assert_not(slice_is_utf8(SLICE("\xED\xA0\x80")), "surrogate");
    cr_assert_not(slice_is_utf8(SLICE("\xF4\x90\x80\x80")), "past U+10FFFF");
    cr_assert_not(slice_is_utf8(SLICE("\xE2\x82")), "cut short");
}

Test(clock, reads_and_writes_rfc3339)
{
    static const struct {
        const char *text;
        const char *again; /* NULL: refused */
    } cases[] = {
        { "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z" },
        { "2018-04-01T00:00:31.5Z", "2018-04-01T00:00:31.500000Z" },
        { "2018-04-01T02:00:31+02:00", "2018-04-01T00:00:31Z" },
        { "2000-02-29T23:59:59.999999999-00:30", "2000-03-01T00:29:59.999999Z" },
        { "1969-12-31T23:59:59.000001Z", "1969-12-31T23:59:59.000001Z" },
        { "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z" },
        { "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z" },
        { "2019-02-29T00:00:00Z", NULL },
        { "2018-04-01T00:00:31", NULL },
        { "2018-04-01T24:00:00Z", NULL },
        { "2018-4-01T00:00:00Z", NULL },
        { "2018-04-01T00:00:00.Z", NULL },
        { "2018-04-01T00:00:00Zx", NULL },
        { "", NULL },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t at_us;
        char text[RFC3339_SIZE];
        bool is_read = rfc3339_parse(slice_str(cases[i].text), &at_us);

        cr_assert_eq(is_read, cases[i].again != NULL, "%s", cases[i].text);
        if (!is_read)
            continue;
        rfc3339_format(at_us, text);
        cr_assert_str_eq(text, cases[i].again);
    }
}

Test(clock, agrees_with_itself_on_every_day_of_eight_centuries)
{
    for (int64_t day = -146097; day < 146097; day++) {
        int y, m, d;

        civil_from_days(day, &y, &m, &d);
        cr_assert_eq(civil_days(y, m, d), day);
    }
}

Test(hash, equals_the_published_vectors)
{
    char hex[SHA256_HEX_SIZE];
    struct hash_key key;
    char message[15];

    sha256_hex(SLICE("abc"), hex); /* FIPS 180-2, appendix B.1 */
    cr_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t i = 0; i < sizeof key.bytes; i++)
        key.bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (char)i;
    /* Aumasson and Bernstein, "SipHash: a fast short-input PRF", appendix A */
    cr_assert_eq(hash64(&key, slice_of(message, sizeof message)), UINT64_C(0xa129ca6149be45e5));
}

static uint64_t next_random(uint64_t *state)
{
    return *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static int significant(const char *text)
{
    int count = 0, zeros = 0;

    for (; *text && *text != 'e'; text++) {
        if (*text == '0')
            zeros += count > 0;
        else if (*text >= '1' && *text <= '9')
            count += 1 + zeros, zeros = 0;
    }
    return count;
}

/* Reads back the same, and nothing that printf could say in fewer digits would. */
static void check_decimal(double value)
{
    char text[DECIMAL_SIZE], shorter[48];
    double back;

    cr_assert_eq(decimal_print(value, text), strlen(text));
    back = strtod(text, NULL);
    cr_assert_eq(memcmp(&back, &value, sizeof value), 0, "%a became %s", value, text);
    if (significant(text) > 1) {
        snprintf(shorter, sizeof shorter, "%.*e", significant(text) - 2, value);
        cr_assert_neq(strtod(shorter, NULL), value, "%s is longer than %s", text, shorter);
    }
}

Test(decimal, is_the_shortest_that_reads_back_the_same)
{
    uint64_t state = 7, bits;
    double value;

    for (int e = -1074; e < 1024; e++) {
        value = ldexp(1, e);
        check_decimal(value);
        check_decimal(-nextafter(value, 0));
        check_decimal(nextafter(value, INFINITY));
    }
    for (int i = 0; i < 20000; i++) {
        bits = next_random(&state);
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            check_decimal(value);
        check_decimal(ldexp((double)(next_random(&state) >> 11), -(int)(next_random(&state) >> 58)));
        check_decimal((double)(float)((double)(next_random(&state) >> 40) / 1000));
        check_decimal((double)(next_random(&state) >> 34) / 1e5);
    }
}

Test(decimal, is_spelled_as_ecmascript_does)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 0.1, "0.1" },
        { -2.5, "-2.5" },
        { 100, "100" },
        { 0.000001, "0.000001" },
        { 1e-7, "1e-7" },
        { 1.5e-9, "1.5e-9" },
        { 9007199254740991, "9007199254740991" },
        { 123456789012345680000.0, "123456789012345680000" },
        { 1e20, "100000000000000000000" },
        { 1e21, "1e+21" },
        { 5e-324, "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
    };
    char text[DECIMAL_SIZE];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        decimal_print(cases[i].value, text);
        cr_assert_str_eq(text, cases[i].text);
    }
}

static void check_fixed(double value)
{
    char text[DECIMAL_SIZE], printed[DECIMAL_SIZE];

    for (int places = 0; places <= DECIMAL_PLACES_MAX; places++) {
        snprintf(printed, sizeof printed, "%.*f", places, value);
        cr_assert_eq(decimal_print_fixed(value, places, text), strlen(printed));
        cr_assert_str_eq(text, printed);
    }
}

Test(decimal, rounds_to_fixed_places_as_printf_does)
{
    static const double some[] = { 0,      -0.0,   0.5,   1.5,   2.5, 0.125, 0.005, 1.005, 999999999.9999999,
                                   5e-324, 1e-300, 1e-38, 0.9999 };
    uint64_t state = 11;

    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        check_fixed(some[i]);
        check_fixed(-some[i]);
    }
    for (int i = 0; i < 20000; i++) {
        double half = (double)(next_random(&state) >> 44) / 8; /* exactly between two, now and then */

        check_fixed(half);
        check_fixed(nextafter(half, -1));
        check_fixed(half / 1000);
        check_fixed(ldexp((double)(next_random(&state) >> 11), -24 - (int)(next_random(&state) >> 58)));
    }
}

Test(decimal, spells_integers_to_the_last_one)
{
    char text[DECIMAL_SIZE];

    cr_assert_eq(decimal_print_int(INT64_MIN, text), 20u);
    cr_assert_str_eq(text, "-9223372036854775808");
    decimal_print_int(INT64_MAX, text);
    cr_assert_str_eq(text, "9223372036854775807");
    decimal_print_int(0, text);
    cr_assert_str_eq(text, "0");
}

Test(pieces, keep_contents_as_pieces_grow_and_come_back)
{
    enum { PIECES = 300 };
    struct pieces p = { 0 };
    unsigned char *pieces[PIECES] = { 0 };
    size_t sizes[PIECES] = { 0 };
    struct random r = { 5 };

    for (int round = 0; round < 20000; round++) {
        size_t i = (size_t)random_below(&r, PIECES), wanted = (size_t)random_below(&r, 2000);

        for (size_t b = 0; b < sizes[i]; b++)
            cr_assert(pieces[i][b] == (unsigned char)(i + b), "piece %zu, byte %zu", i, b);
        if (wanted % 3 == 0) {
            pieces_give(&p, pieces[i]);
            pieces[i] = NULL;
            sizes[i] = 0;
            continue;
        }
        pieces[i] = pieces_grow(&p, pieces[i], wanted);
        cr_assert((uintptr_t)pieces[i] % alignof(max_align_t) == 0);
        for (size_t b = 0; b < wanted && b < sizes[i]; b++)
            cr_assert(pieces[i][b] == (unsigned char)(i + b), "piece %zu grew, byte %zu", i, b);
        sizes[i] = wanted;
        for (size_t b = 0; b < wanted; b++)
            pieces[i][b] = (unsigned char)(i + b);
        cr_assert(p.kept_bytes <= PIECES_KEEPS_BYTES);
    }
    for (size_t i = 0; i < PIECES; i++)
        pieces_give(&p, pieces[i]);
    pieces_release(&p);
    cr_assert(p.kept_bytes == 0);
}
