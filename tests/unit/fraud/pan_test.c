/* SPDX-License-Identifier: Apache-2.0
 * pan_test.c - published test card numbers in every spelling are found; ids, times and hashes are not. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "fraud/pan.h"

/* Numbers that payment processors publish for testing. */
static const char *const cards[] = {
    "4111111111111111", "4012888888881881",    "4222222222222",      "4242424242424242",
    "4000056655665556", "4917610000000000003", "4000000000000002",   "4005519200000004",
    "4500600000000061", "5555555555554444",    "5105105105105100",   "5454545454545454",
    "5200828282828210", "2223003122003222",    "2221000000000009",   "2720990000000007",
    "378282246310005",  "371449635398431",     "378734493671000",    "343434343434343",
    "6011111111111117", "6011000990139424",    "6011601160116611",   "6445644564456445",
    "6550000000000001", "30569309025904",      "38520000023237",     "36227206271667",
    "3056930009020004", "3530111333300000",    "3566002020360505",   "6200000000000005",
    "62123456789002",   "62123456789000003",   "621234567890000002", "6212345678900000003",
    "6759649826438453", "6799990100000000019", "501800000009",       "586824160825533338",
    "6304000000000000", "6331101999990016",    "5019717010103742",   "6334580500000000",
    "2200000000000053", "5066991111111118",    "6362970000457013",   "135410014004955",
    "122000000000003",  "5610591081018250",    "6771798021000008",
};

static bool found(const char *text)
{
    return pan_find(slice_str(text), NULL);
}

/* The number in groups of the given sizes (the last repeats) with `gap` between. */
static void spell(char *out, const char *card, const int *groups, const char *gap)
{
    int left = *groups;

    for (const char *c = card; *c; c++) {
        if (left-- == 0) {
            out = stpcpy(out, gap);
            if (groups[1])
                groups++;
            left = *groups - 1;
        }
        *out++ = *c;
    }
    *out = '\0';
}

Test(pan, finds_published_test_cards_in_every_spelling)
{
    static const int by_four[] = { 4, 0 }, amex[] = { 4, 6, 5, 0 }, halves[] = { 8, 0 }, pairs[] = { 2, 0 },
                     single[] = { 1, 0 }, six[] = { 6, 13, 0 };
    static const int *const groupings[] = { by_four, amex, halves, pairs, single, six };
    static const char *const gaps[] = { " ", "-", "\u00a0", "\u2011", "\u2013" };
    static const char *const around[] = {
        "%s",         " %s ",   "card %s",        "card:%s;",       "(%s)",     "my card is %s.",
        "%s, thanks", "\"%s\"", "tok_%s",         "pan=%s&cvv=123", "卡号%s",   "%s\n",
        "#%s#",       "a %s b", "https://x/%s/y", "2026-01-31 %s",  "%s 12/29",
    };
    char text[128], framed[256];

    for (size_t i = 0; i < ARRAY_LEN(cards); i++) {
        cr_assert(found(cards[i]), "%s", cards[i]);
        cr_assert(pan_in_integer(strtoll(cards[i], NULL, 10)), "%s", cards[i]);
        for (size_t g = 0; g < ARRAY_LEN(groupings); g++) {
            for (size_t s = 0; s < ARRAY_LEN(gaps); s++) {
                spell(text, cards[i], groupings[g], gaps[s]);
                cr_assert(found(text), "%s", text);
            }
        }
        for (size_t a = 0; a < ARRAY_LEN(around); a++) {
            snprintf(framed, sizeof framed, around[a], cards[i]);
            cr_assert(found(framed), "%s", framed);
        }
    }
}

Test(pan, finds_a_card_beside_other_digits)
{
    cr_assert(found("order 12 4111 1111 1111 1111"));
    cr_assert(found("4111-1111-1111-1111 12/29 123"));
    cr_assert(found("7 3782 822463 10005 99"));
    cr_assert(found("2026-11-20 4111111111111111 31"));
}

Test(pan, leaves_alone_what_is_not_one)
{
    static const char *const clean[] = {
        "",
        "4111111111111112",        /* Luhn */
        "411111111111111",         /* no Visa of 15 digits */
        "x4111111111111111",       /* touches a letter */
        "4111111111111111a",       /*  */
        "4111111111111111.5",      /* a fraction */
        "0.4111111111111111",      /*  */
        "4111  1111 1111 1111",    /* two spaces */
        "4111_1111_1111_1111",     /* no space or hyphen */
        "41111111111111110000000", /* too long */
        "48.85661400000000, 2.35222190000000",
        "9007199254740993",
        "2026-01-31T12:00:00.123456Z",
        "20260131120000",
        "+49 170 1234567",
    };

    for (size_t i = 0; i < ARRAY_LEN(clean); i++)
        cr_assert_not(found(clean[i]), "%s", clean[i]);
}

Test(pan, refuses_any_long_run_of_digits_where_a_card_is_meant)
{
    cr_assert(pan_find_digits(SLICE("123456789012")));
    cr_assert(pan_find_digits(SLICE("1234 5678 9012 3456 789")));
    cr_assert(pan_find_digits(SLICE("tok-1234567890123456")));
    cr_assert(pan_find_digits(SLICE("4111111111111111")));
    cr_assert_not(pan_find_digits(SLICE("12345678901")));
    cr_assert_not(pan_find_digits(SLICE("12345678901234567890")));
    cr_assert_not(pan_find_digits(SLICE("tok1234567890123456")));
    cr_assert_not(pan_find_digits(SLICE("550e8400-e29b-41d4-a71f-446655440000")));
}

Test(pan, redacts_each_card_number_and_nothing_else)
{
    struct buf out;

    buf_init(&out, 0);
    pan_redact(&out, SLICE("a=4111 1111 1111 1111 b=378282246310005. c=42"));
    cr_assert_str_eq(buf_str(&out), "a=[redacted] b=[redacted]. c=42");
    buf_clear(&out);
    pan_redact(&out, SLICE("111110 1111 11111 4111 1111 1111 1111"));
    cr_assert_not(pan_find(buf_slice(&out), NULL), "%s", buf_str(&out));
    buf_release(&out);
}

Test(pan, survives_runs_of_any_length)
{
    char text[4096];

    memset(text, '0', sizeof text);
    cr_assert_not(pan_find(slice_of(text, sizeof text), NULL));
    for (size_t i = 1; i < sizeof text; i += 2)
        text[i] = ' ';
    pan_find(slice_of(text, sizeof text), NULL);
    cr_assert_not(pan_find_digits(slice_of(text, sizeof text)));
}

/* ---- false alarms: at most 5 in a thousand of 100,000 each ---- */

static uint64_t random_state;

static uint64_t next_random(void) /* splitmix64 */
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t between(uint64_t low, uint64_t high)
{
    return low + next_random() % (high - low);
}

static const uint64_t from_2015_s = 1420070400, to_2030_s = 1893456000;

static void make_uuid(char *text)
{
    uint64_t a = next_random(), b = next_random();

    sprintf(text, "%08x-%04x-4%03x-%x%03x-%012" PRIx64, (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
            (unsigned)(a & 0xfff), (unsigned)(8 + b % 4), (unsigned)(b >> 2 & 0xfff), b >> 16);
}

static void make_uuid_bare(char *text)
{
    sprintf(text, "%016" PRIx64 "%016" PRIx64, next_random(), next_random());
}

static void make_seconds(char *text)
{
    sprintf(text, "%" PRIu64, between(from_2015_s, to_2030_s));
}

static void make_milliseconds(char *text)
{
    sprintf(text, "%" PRIu64, between(from_2015_s * 1000, to_2030_s * 1000));
}

static void make_microseconds(char *text)
{
    sprintf(text, "%" PRIu64, between(from_2015_s * 1000000, to_2030_s * 1000000));
}

static void make_nanoseconds(char *text)
{
    sprintf(text, "%" PRIu64, between(from_2015_s * 1000000000, to_2030_s * 1000000000));
}

/* 41 bits of milliseconds, 22 of machine and sequence, from the epoch of two well-known services. */
static void make_snowflake_2010(char *text)
{
    uint64_t ms = between(from_2015_s * 1000, to_2030_s * 1000) - UINT64_C(1288834974657);

    sprintf(text, "%" PRIu64, ms << 22 | next_random() >> 42);
}

static void make_snowflake_2015(char *text)
{
    uint64_t ms = between(0, UINT64_C(12) * 365 * 86400 * 1000);

    sprintf(text, "%" PRIu64, ms << 22 | next_random() >> 42);
}

static void make_snowflake_18(char *text)
{
    sprintf(text, "%" PRIu64, between(UINT64_C(100000000000000000), UINT64_C(1000000000000000000)));
}

static void make_coordinates(char *text)
{
    double lat = (double)(next_random() >> 11) / 9007199254740992.0 * 180 - 90;
    double lon = (double)(next_random() >> 11) / 9007199254740992.0 * 360 - 180;

    sprintf(text, next_random() % 2 ? "%.17g,%.17g" : "%.14f %.13f", lat, lon);
}

static void make_sha256(char *text)
{
    for (int i = 0; i < 4; i++)
        text += sprintf(text, "%016" PRIx64, next_random());
}

static void make_sha1(char *text)
{
    sprintf(text, "%016" PRIx64 "%016" PRIx64 "%08x", next_random(), next_random(), (unsigned)next_random());
}

Test(pan, raises_few_false_alarms_on_ids_times_places_and_hashes)
{
    static const struct {
        const char *what;
        void (*make)(char *text);
        bool in_card_id; /* also held against the stricter rule */
    } kinds[] = {
        { "uuid", make_uuid, true },
        { "uuid without hyphens", make_uuid_bare, true },
        { "epoch seconds", make_seconds, true },
        { "epoch milliseconds", make_milliseconds, false },
        { "epoch microseconds", make_microseconds, false },
        { "epoch nanoseconds", make_nanoseconds, false },
        { "snowflake, epoch 2010", make_snowflake_2010, false },
        { "snowflake, epoch 2015", make_snowflake_2015, false },
        { "snowflake of 18 digits", make_snowflake_18, false },
        { "coordinates", make_coordinates, true },
        { "sha-256", make_sha256, true },
        { "sha-1", make_sha1, true },
    };

    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        int alarms = 0, card_alarms = 0;
        char text[128];

        random_state = k;
        for (int i = 0; i < 100000; i++) {
            kinds[k].make(text);
            alarms += found(text);
            card_alarms += kinds[k].in_card_id && pan_find_digits(slice_str(text));
        }
        cr_log_info("%s: %d of 100000, as card_id %d", kinds[k].what, alarms, card_alarms);
        cr_expect_leq(alarms, 500, "%s: %d of 100000", kinds[k].what, alarms);
        cr_expect_leq(card_alarms, 500, "%s as card_id: %d of 100000", kinds[k].what, card_alarms);
    }
}
