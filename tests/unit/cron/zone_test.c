/* SPDX-License-Identifier: Apache-2.0 */
#include "cron/zone.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "unit/cron/fixture.h"
#include "stats/interval.h"

static const char *const names[] = {
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe", /* half an hour of daylight saving, southern */
    "Pacific/Apia",        /* a day left out in 2011 */
    "Africa/Casablanca",   /* daylight saving but for Ramadan */
    "Asia/Kathmandu",
    "America/Sao_Paulo", /* gaps at midnight */
    "Europe/Dublin",     /* daylight saving that is negative */
    "America/Nuuk",      /* changes on Saturday by a rule of negative hours */
    "Asia/Gaza",
    "Etc/GMT+5",
};

static int64_t c_library_offset(int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;

    cr_assert(localtime_r(&at, &tm));
    return tm.tm_gmtoff;
}

/* 1850 to 2450: the file, and long after it the footer. */
Test(zone, offsets_are_those_of_the_c_library)
{
    struct random random = { 6 };

    for (size_t z = 0; z < ARRAY_LEN(names); z++) {
        struct zone *zone = fixture_zone(names[z]);

        setenv("TZ", names[z], 1);
        tzset();
        for (int i = 0; i < 40000; i++) {
            int64_t at_s = -3786825600 + (int64_t)random_below(&random, UINT64_C(18934128000));

            cr_assert_eq(zone_offset(zone, at_s), c_library_offset(at_s), "%s at %lld: %d, not %lld",
                         names[z], (long long)at_s, zone_offset(zone, at_s),
                         (long long)c_library_offset(at_s));
        }
        /* Around each quarter of an hour of some years, where changes are. */
        for (int64_t at_s = 1293840000; at_s < 1356998400; at_s += 900) {
            for (int64_t off = -1; off <= 1; off++)
                cr_assert_eq(zone_offset(zone, at_s + off), c_library_offset(at_s + off), "%s", names[z]);
        }
        zone_close(zone);
    }
    unsetenv("TZ");
    tzset();
}

/* Brute force over two years: each minute that passes shows a time on the wall; what is shown first counts, and
 * what is left out stands for the minute after the gap. */
Test(zone, instants_are_found_again_on_the_wall)
{
    for (size_t z = 0; z < ARRAY_LEN(names); z++) {
        static const int64_t starts[] = { 1293840000, 2208988800 }; /* 2011, 2040 */
        struct zone *zone = fixture_zone(names[z]);

        for (size_t s = 0; s < ARRAY_LEN(starts); s++) {
            int64_t shown = starts[s] + zone_offset(zone, starts[s]) - 60;

            for (int64_t at_s = starts[s]; at_s < starts[s] + 400 * 86400; at_s += 60) {
                int64_t civil_s = at_s + zone_offset(zone, at_s);

                while (shown < civil_s) {
                    shown += 60;
                    cr_assert_eq(zone_instant(zone, shown), at_s, "%s: %lld", names[z], (long long)shown);
                }
            }
        }
        zone_close(zone);
    }
}

Test(zone, without_a_zone_it_is_utc)
{
    cr_assert_eq(zone_offset(NULL, 1500000000), 0);
    cr_assert_eq(zone_instant(NULL, 1500000000), 1500000000);
}

/* Berlin, 2026: 02:30 on 29 March is left out, 02:30 on 25 October comes twice. */
Test(zone, a_gap_ends_and_a_doubled_time_comes_first)
{
    struct zone *zone = fixture_zone("Europe/Berlin");

    cr_assert_eq(zone_instant(zone, civil_days(2026, 3, 29) * 86400 + 9000),
                 civil_days(2026, 3, 29) * 86400 + 3600);
    cr_assert_eq(zone_instant(zone, civil_days(2026, 10, 25) * 86400 + 9000),
                 civil_days(2026, 10, 25) * 86400 + 1800);
    zone_close(zone);
}

/* ---- files made by hand ---- */

static void add_be(struct buf *b, int64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        buf_add_char(b, (char)(i < 8 ? (uint64_t)value >> 8 * i : 0));
}

static void add_header(struct buf *b, char version, int times, int types, int leaps)
{
    buf_add(b, "TZif", 4);
    buf_add_char(b, version);
    buf_add(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
    add_be(b, 0, 4);
    add_be(b, 0, 4);
    add_be(b, leaps, 4);
    add_be(b, times, 4);
    add_be(b, types, 4);
    add_be(b, 4, 4);
}

struct made {
    int64_t times[3];
    int kinds[3], count;
    int32_t offsets[2];
    int leaps;
    const char *footer;
};

static void make(struct buf *b, const struct made *m)
{
    buf_clear(b);
    add_header(b, '3', 0, 1, 0); /* the version 1 block holds next to nothing */
    add_be(b, 0, 6);
    buf_add(b, "UTC", 4);
    add_header(b, '3', m->count, 2, m->leaps);
    for (int i = 0; i < m->count; i++)
        add_be(b, m->times[i], 8);
    for (int i = 0; i < m->count; i++)
        buf_add_char(b, (char)m->kinds[i]);
    for (int i = 0; i < 2; i++) {
        add_be(b, m->offsets[i], 4);
        add_be(b, 0, 2);
    }
    buf_add(b, "AAA", 4);
    for (int i = 0; i < m->leaps; i++)
        add_be(b, 0, 12);
    buf_add_str(b, m->footer);
}

/* RFC 8536, 3.3: "EST5EDT,0/0,J365/25" is daylight saving all year round; and appendix B.2's Jerusalem, whose
 * rule has 26 hours. */
Test(zone, footers_follow_the_rfc)
{
    struct zone *zone;
    struct buf b;
    struct why why = { 0 };

    buf_init(&b, 0);
    make(&b, &(struct made){ .offsets = { -18000, 0 }, .footer = "\nEST5EDT,0/0,J365/25\n" });
    cr_assert(!zone_open(&zone, buf_slice(&b), &why), "%s", why.text);
    for (int64_t at_s = 0; at_s < 20 * 31557600LL; at_s += 3600)
        cr_assert_eq(zone_offset(zone, at_s), -14400, "%lld", (long long)at_s);
    zone_close(zone);
    make(&b, &(struct made){ .offsets = { 7200, 0 }, .footer = "\nIST-2IDT,M3.4.4/26,M10.5.0\n" });
    cr_assert(!zone_open(&zone, buf_slice(&b), &why), "%s", why.text);
    /* 2026: the fourth Thursday of March is the 26th, so Friday the 27th, 02:00; the last Sunday of October is
     * the 25th. */
    int64_t start = civil_days(2026, 3, 27) * 86400, end = civil_days(2026, 10, 24) * 86400 + 23 * 3600;
    cr_assert_eq(zone_offset(zone, start - 1), 7200);
    cr_assert_eq(zone_offset(zone, start), 10800);
    cr_assert_eq(zone_offset(zone, end - 1), 10800);
    cr_assert_eq(zone_offset(zone, end), 7200);
    zone_close(zone);
    make(&b, &(struct made){
                 .times = { 100 }, .kinds = { 1 }, .count = 1, .offsets = { 60, 120 }, .footer = "\n\n" });
    cr_assert(!zone_open(&zone, buf_slice(&b), &why), "%s", why.text);
    cr_assert_eq(zone_offset(zone, 99), 60);
    cr_assert_eq(zone_offset(zone, 1 << 30), 120);
    zone_close(zone);
    buf_release(&b);
}

Test(zone, what_is_no_zone_is_refused)
{
    static const struct made bad[] = {
        { .times = { 5, 5 }, .count = 2, .footer = "\n\n" },
        { .times = { 5 }, .kinds = { 2 }, .count = 1, .footer = "\n\n" },
        { .offsets = { 100000 }, .footer = "\n\n" },
        { .leaps = 1, .footer = "\n\n" },
        { .footer = "" },
        { .footer = "\nCET" },
        { .footer = "\nCE1\n" },
        { .footer = "\nCET-1CEST\n" },
        { .footer = "\nCET-1CEST,M13.1.0,M10.5.0\n" },
        { .footer = "\nCET-1CEST,M3.6.0,M10.5.0\n" },
        { .footer = "\nCET-1CEST,J0,M10.5.0\n" },
        { .footer = "\nCET-1CEST,M3.5.0/168,M10.5.0\n" },
        { .footer = "\nCET-1CEST,M3.5.0,M10.5.0,\n" },
        { .footer = "\nCET-99\n" },
    };
    struct zone *zone;
    struct buf b;

    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = { 0 };

        make(&b, &bad[i]);
        cr_expect(zone_open(&zone, buf_slice(&b), &why) && why.text[0], "%zu", i);
        cr_expect_null(zone);
    }
    /* Every real file, cut short anywhere. */
    buf_clear(&b);
    fixture_zone_bytes("Europe/Berlin", &b);
    for (size_t len = 0; len < b.len; len++)
        cr_expect(zone_open(&zone, slice_of(buf_slice(&b).ptr, len), NULL), "%zu", len);
    buf_release(&b);
}

Test(zone, names_stay_within_their_directory)
{
    static const char *const good[] = { "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires",
                                        "Etc/GMT+5" };
    static const char *const bad[] = {
        "", "/etc/passwd", "../UTC", "Europe/../UTC", "Europe//Berlin", "UTC/", "a.b", "Europe/Ber lin"
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        cr_expect(zone_name_is_safe(slice_str(good[i])), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect(!zone_name_is_safe(slice_str(bad[i])), "%s", bad[i]);
}
