/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * SECOND_US + ts.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* Years are counted from March, so that the leap day is the last of its year and month lengths follow one
 * line: (153 m + 2) / 5 is the day of the year on which month m (March = 0) begins. */
int64_t civil_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = (month + 9) % 12;
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * m + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468; /* 719468 days from 0000-03-01 to 1970-01-01 */
}

void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t shifted = days + 719468;
    int64_t era = floor_div(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

static bool digits(struct slice text, size_t at, size_t count, int *out)
{
    int value = 0;

    if (at + count > text.len)
        return false;
    for (size_t i = at; i < at + count; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

static bool is_at(struct slice text, size_t at, const char *one_of)
{
    return at < text.len && text.ptr[at] && strchr(one_of, text.ptr[at]);
}

static int days_in_month(int year, int month)
{
    int next_year = month == 12 ? year + 1 : year, next_month = month == 12 ? 1 : month + 1;

    return (int)(civil_days(next_year, next_month, 1) - civil_days(year, month, 1));
}

bool rfc3339_parse(struct slice text, int64_t *at_us)
{
    int year, month, day, hour, minute, second, micros = 0, offset_minutes = 0;
    size_t at = 19;

    if (!digits(text, 0, 4, &year) || !is_at(text, 4, "-") || !digits(text, 5, 2, &month) ||
        !is_at(text, 7, "-") || !digits(text, 8, 2, &day) || !is_at(text, 10, "Tt ") ||
        !digits(text, 11, 2, &hour) || !is_at(text, 13, ":") || !digits(text, 14, 2, &minute) ||
        !is_at(text, 16, ":") || !digits(text, 17, 2, &second))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    if (is_at(text, at, ".")) {
        int scale = 100000;
        size_t first = ++at;

        for (; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++, scale /= 10)
            micros += (text.ptr[at] - '0') * scale;
        if (at == first || at - first > 9)
            return false;
    }
    if (is_at(text, at, "Zz")) {
        at++;
    } else {
        int h, m;

        if (!is_at(text, at, "+-") || !digits(text, at + 1, 2, &h) || !is_at(text, at + 3, ":") ||
            !digits(text, at + 4, 2, &m) || h > 23 || m > 59)
            return false;
        offset_minutes = (text.ptr[at] == '-' ? -1 : 1) * (h * 60 + m);
        at += 6;
    }
    if (at != text.len)
        return false;
    *at_us = civil_days(year, month, day) * DAY_US + hour * HOUR_US + (minute - offset_minutes) * MINUTE_US +
             second * SECOND_US + micros;
    return true;
}

static char *put_number(char *to, int value, int digits, char behind)
{
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
    to[digits] = behind;
    return to + digits + 1;
}

void rfc3339_format(int64_t at_us, char text[RFC3339_SIZE])
{
    int64_t days = floor_div(at_us, DAY_US);
    int64_t in_day = at_us - days * DAY_US;
    int micros = (int)(in_day % SECOND_US);
    int year, month, day;

    civil_from_days(days, &year, &month, &day);
    text = put_number(text, (year % 10000 + 10000) % 10000, 4, '-');
    text = put_number(text, month, 2, '-');
    text = put_number(text, day, 2, 'T');
    text = put_number(text, (int)(in_day / HOUR_US), 2, ':');
    text = put_number(text, (int)(in_day / MINUTE_US % 60), 2, ':');
    text = put_number(text, (int)(in_day / SECOND_US % 60), 2, micros ? '.' : 'Z');
    if (micros)
        text = put_number(text, micros, 6, 'Z');
    *text = '\0';
}
