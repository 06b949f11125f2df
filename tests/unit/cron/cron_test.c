/* SPDX-License-Identifier: Apache-2.0 */
#include "cron/cron.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"
#include "stats/interval.h"
#include "unit/cron/fixture.h"

static struct cron parse(const char *text)
{
    struct cron cron;
    struct why why = { 0 };

    cr_assert(!cron_parse(&cron, slice_str(text), &why), "%s: %s", text, why.text);
    return cron;
}

static int64_t at(const char *text)
{
    int64_t at_us;

    cr_assert(rfc3339_parse(slice_str(text), &at_us), "%s", text);
    return at_us;
}

/* ---- expressions, each with what it means told a second time in C ---- */

static bool every_minute(const struct tm *t)
{
    return t != NULL;
}
static bool five_minutes(const struct tm *t)
{
    return t->tm_min % 5 == 0;
}
static bool at_2_30(const struct tm *t)
{
    return t->tm_hour == 2 && t->tm_min == 30;
}
static bool work_hours(const struct tm *t)
{
    return (t->tm_min == 0 || t->tm_min == 20 || t->tm_min == 40) && t->tm_hour >= 9 && t->tm_hour <= 17 &&
           t->tm_wday >= 1 && t->tm_wday <= 5;
}
static bool first_or_monday(const struct tm *t)
{
    return t->tm_hour == 4 && t->tm_min == 15 && (t->tm_mday == 1 || t->tm_mday == 15 || t->tm_wday == 1);
}
static bool odd_days_and_sunday(const struct tm *t)
{
    return t->tm_hour == 0 && t->tm_min == 0 && t->tm_mday % 2 == 1 && t->tm_wday == 0;
}
static bool spring(const struct tm *t)
{
    return t->tm_hour == 1 && t->tm_min == 59 && t->tm_mon >= 2 && t->tm_mon <= 4;
}
static bool last_minute(const struct tm *t)
{
    return t->tm_hour == 23 && t->tm_min == 59;
}
static bool weekend(const struct tm *t)
{
    return t->tm_hour % 6 == 1 && t->tm_min == 10 && (t->tm_wday == 0 || t->tm_wday >= 5);
}
static bool midnight(const struct tm *t)
{
    return t->tm_hour == 0 && t->tm_min == 0;
}

static const struct {
    const char *text;
    bool (*matches)(const struct tm *t);
} expressions[] = {
    { "* * * * *", every_minute },
    { "*/5 * * * *", five_minutes },
    { "30 2 * * *", at_2_30 },
    { " 0,20,40\t9-17 * *  mon-FRI ", work_hours },
    { "15 4 1,15 * 1", first_or_monday },
    { "0 0 */2 * 7", odd_days_and_sunday },
    { "59 1 * mar-5 *", spring },
    { "59 23 * * 0-7", last_minute },
    { "10 1/6 * * fri-sun", weekend },
    { "@daily", midnight },
};

/* Brute force: a year minute by minute with the C library's localtime. A time on the wall counts when it is first
 * shown, and those that are left out at the first minute after. */
static void walk(const char *name, int64_t start_s)
{
    struct zone *zone = fixture_zone(name);
    struct cron crons[ARRAY_LEN(expressions)];
    int64_t shown = INT64_MIN, due_us[ARRAY_LEN(expressions)];

    for (size_t e = 0; e < ARRAY_LEN(expressions); e++) {
        crons[e] = parse(expressions[e].text);
        due_us[e] = cron_next(&crons[e], zone, start_s * SECOND_US - 1);
    }
    for (time_t at_s = start_s; at_s < start_s + 366 * 86400; at_s += 60) {
        bool is_due[ARRAY_LEN(expressions)] = { false };
        struct tm tm;
        int64_t civil_s;

        localtime_r(&at_s, &tm);
        civil_s = at_s + tm.tm_gmtoff;
        if (shown == INT64_MIN)
            shown = civil_s - 60;
        for (; shown < civil_s; shown += 60) {
            time_t next = shown + 60;
            struct tm on_wall;

            gmtime_r(&next, &on_wall);
            for (size_t e = 0; e < ARRAY_LEN(expressions); e++)
                is_due[e] = is_due[e] || expressions[e].matches(&on_wall);
        }
        for (size_t e = 0; e < ARRAY_LEN(expressions); e++) {
            if (!is_due[e])
                continue;
            cr_assert_eq(due_us[e], at_s * SECOND_US, "%s in %s: %lld, not %lld", expressions[e].text, name,
                         (long long)(due_us[e] / SECOND_US), (long long)at_s);
            due_us[e] = cron_next(&crons[e], zone, due_us[e]);
        }
    }
    for (size_t e = 0; e < ARRAY_LEN(expressions); e++)
        cr_assert_geq(due_us[e], (start_s + 366 * 86400) * SECOND_US);
    zone_close(zone);
}

Test(cron, runs_when_the_wall_says_so)
{
    static const char *const names[] = { "UTC",          "Europe/Berlin",       "America/New_York",
                                         "Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo" };
    static const int64_t starts[] = { 1293840000, 2240524800 }; /* 2011, 2041 */

    for (size_t z = 0; z < ARRAY_LEN(names); z++) {
        setenv("TZ", names[z], 1);
        tzset();
        for (size_t s = 0; s < ARRAY_LEN(starts); s++)
            walk(names[z], starts[s]);
    }
    unsetenv("TZ");
    tzset();
}

Test(cron, a_time_in_a_gap_runs_at_its_end_and_a_doubled_one_once)
{
    struct zone *berlin = fixture_zone("Europe/Berlin");
    struct cron cron = parse("30 2 * * *"), often = parse("*/10 * * * *");
    int64_t us;

    us = cron_next(&cron, berlin, at("2026-03-28T12:00:00Z"));
    cr_assert_eq(us, at("2026-03-29T01:00:00Z"), "03:00 in Berlin");
    us = cron_next(&cron, berlin, us);
    cr_assert_eq(us, at("2026-03-30T00:30:00Z"));
    us = cron_next(&cron, berlin, at("2026-10-24T12:00:00Z"));
    cr_assert_eq(us, at("2026-10-25T00:30:00Z"), "02:30 in summer time");
    us = cron_next(&cron, berlin, us);
    cr_assert_eq(us, at("2026-10-26T01:30:00Z"));
    us = cron_next(&often, berlin, at("2026-10-25T00:50:00Z"));
    cr_assert_eq(us, at("2026-10-25T02:00:00Z"), "the second pass of the hour rests");
    us = cron_next(&often, berlin, at("2026-10-25T01:17:00Z"));
    cr_assert_eq(us, at("2026-10-25T02:00:00Z"));
    zone_close(berlin);
}

Test(cron, next_is_after_and_not_at)
{
    struct cron cron = parse("0 12 * * *"), leap = parse("0 0 29 2 *"), rare = parse("0 0 29 2 */7");

    cr_assert_eq(cron_next(&cron, NULL, at("2026-01-01T12:00:00Z") - 1), at("2026-01-01T12:00:00Z"));
    cr_assert_eq(cron_next(&cron, NULL, at("2026-01-01T12:00:00Z")), at("2026-01-02T12:00:00Z"));
    cr_assert_eq(cron_next(&cron, NULL, at("1969-12-31T11:59:59.9Z")), at("1969-12-31T12:00:00Z"));
    cr_assert_eq(cron_next(&leap, NULL, at("2096-02-29T00:00:00Z")), at("2104-02-29T00:00:00Z"));
    cr_assert_eq(cron_next(&rare, NULL, at("2088-02-29T00:00:00Z")), at("2128-02-29T00:00:00Z"), "a Sunday");
    cr_assert(cron_matches(&leap, at("2104-02-29T00:00:30Z") / SECOND_US));
    cr_assert(!cron_matches(&leap, at("2104-02-28T00:00:00Z") / SECOND_US));
}

Test(cron, nicknames_are_their_fields)
{
    static const char *const pairs[][2] = {
        { "@yearly", "0 0 1 jan *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
        { "@weekly", "0 0 * * sun" }, { "@midnight", "0 0 * * *" }, { "@hourly", "0 * * * *" },
    };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct cron a = parse(pairs[i][0]), b = parse(pairs[i][1]);

        cr_expect(a.minutes == b.minutes && a.hours == b.hours && a.days == b.days && a.months == b.months &&
                      a.weekdays == b.weekdays && a.is_either_day == b.is_either_day,
                  "%s", pairs[i][0]);
    }
}

Test(cron, what_is_no_expression_is_refused)
{
    static const struct {
        const char *text;
        enum err err;
    } bad[] = {
        { "", ERR_SYNTAX },
        { "* * * *", ERR_SYNTAX },
        { "* * * * * *", ERR_SYNTAX },
        { "@never", ERR_SYNTAX },
        { "@daily *", ERR_SYNTAX },
        { "60 * * * *", ERR_INVALID },
        { "* 24 * * *", ERR_INVALID },
        { "* * 0 * *", ERR_INVALID },
        { "* * 32 * *", ERR_INVALID },
        { "* * * 13 *", ERR_INVALID },
        { "* * * 0 *", ERR_INVALID },
        { "* * * * 8", ERR_INVALID },
        { "*/0 * * * *", ERR_INVALID },
        { "*/99 * * * *", ERR_INVALID },
        { "5-3 * * * *", ERR_INVALID },
        { "-3 * * * *", ERR_SYNTAX },
        { "1- * * * *", ERR_SYNTAX },
        { "1,,2 * * * *", ERR_SYNTAX },
        { "1, * * * *", ERR_SYNTAX },
        { "*5 * * * *", ERR_SYNTAX },
        { "*/ * * * *", ERR_SYNTAX },
        { "*-5 * * * *", ERR_SYNTAX },
        { "1-2-3 * * * *", ERR_SYNTAX },
        { "1/2/3 * * * *", ERR_SYNTAX },
        { "jan * * * *", ERR_SYNTAX },
        { "* * * mon *", ERR_SYNTAX },
        { "* * * january *", ERR_SYNTAX },
        { "99999999999999999999 * * * *", ERR_INVALID },
        { "0 0 30 2 *", ERR_INVALID },
        { "0 0 31 4,6,9,11 *", ERR_INVALID },
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cron cron;
        struct why why = { 0 };
        enum err err = cron_parse(&cron, slice_str(bad[i].text), &why);

        cr_expect_eq(err, bad[i].err, "'%s': %s, %s", bad[i].text, err_name(err), why.text);
        cr_expect(why.text[0]);
    }
    parse("0 0 30 2 1"); /* Mondays in February: a weekday is enough */
}
