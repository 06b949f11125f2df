/* SPDX-License-Identifier: Apache-2.0
 * builtin_time.c - timestamps and durations: how they are read, written and taken apart. */
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "cel/builtin.h"

#define NS INT64_C(1000000000)

__extension__ typedef __int128 wide;

/* ---- reading and writing ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of "2009-02-13T23:31:30.123456789Z" the digits behind the point, as nanoseconds. */
static int32_t fraction_of(struct slice text)
{
    int32_t ns = 0;
    size_t i = 20, digits = 0;

    if (text.len < 21 || text.ptr[19] != '.')
        return 0;
    for (; i < text.len && is_digit(text.ptr[i]) && digits < 9; i++, digits++)
        ns = ns * 10 + (text.ptr[i] - '0');
    for (; digits < 9; digits++)
        ns *= 10;
    return ns;
}

static struct cel_value timestamp(int64_t s, int32_t ns)
{
    if (s < -INT64_C(62135596800) || s > INT64_C(253402300799))
        return cel_error(CEL_FAULT_RANGE);
    return (struct cel_value){ .kind = CEL_TIMESTAMP, .time = { s, ns } };
}

BUILTIN(timestamp_of_string)
{
    int64_t at_us, s;

    if (!rfc3339_parse(v[0].s, &at_us))
        return cel_error(CEL_FAULT_CONVERSION);
    s = at_us / SECOND_US - (at_us % SECOND_US < 0);
    return timestamp(s, fraction_of(v[0].s));
}

BUILTIN(timestamp_of_int)
{
    return timestamp(v[0].i, 0);
}

BUILTIN(same)
{
    return v[0];
}

static int64_t unit_ns(struct slice *text)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = { { "ns", 1 },       { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 },
                  { "ms", 1000000 }, { "s", NS },    { "m", 60 * NS },      { "h", 3600 * NS } };

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct slice name = slice_str(units[i].name);

        if (slice_starts_with(*text, name)) {
            *text = slice_of(text->ptr + name.len, text->len - name.len);
            return units[i].ns;
        }
    }
    return 0;
}

/* One "1.5h" off the front, added to *ns. What is too much stays too much: see LEAST_TOO_MUCH. */
#define LEAST_TOO_MUCH ((wide)1 << 64)

static bool take_part(struct slice *text, wide *ns)
{
    wide whole = 0, fraction = 0, unit;
    int64_t scale = 1;
    size_t i = 0, digits = 0;

    for (; i < text->len && is_digit(text->ptr[i]); i++, digits++)
        whole = whole < LEAST_TOO_MUCH ? whole * 10 + (text->ptr[i] - '0') : whole;
    if (i < text->len && text->ptr[i] == '.') {
        for (i++; i < text->len && is_digit(text->ptr[i]); i++, digits++) {
            if (scale < INT64_C(100000000000000)) { /* what is finer than any unit's nanosecond is cut */
                fraction = fraction * 10 + (text->ptr[i] - '0');
                scale *= 10;
            }
        }
    }
    *text = slice_of(text->ptr + i, text->len - i);
    unit = unit_ns(text);
    if (*ns < LEAST_TOO_MUCH)
        *ns += whole * unit + fraction * unit / scale;
    return digits && unit;
}

BUILTIN(duration_of_string)
{
    struct slice text = v[0].s;
    bool is_negative = text.len && text.ptr[0] == '-';
    wide ns = 0;

    if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        text = slice_of(text.ptr + 1, text.len - 1);
    if (slice_eq_str(text, "0"))
        return (struct cel_value){ .kind = CEL_DURATION };
    if (text.len == 0)
        return cel_error(CEL_FAULT_CONVERSION);
    while (text.len) {
        if (!take_part(&text, &ns))
            return cel_error(CEL_FAULT_CONVERSION);
    }
    if (ns > (wide)INT64_MAX + is_negative)
        return cel_error(CEL_FAULT_RANGE);
    return (struct cel_value){ .kind = CEL_DURATION, .i = (int64_t)(is_negative ? -ns : ns) };
}

static void print_fraction(int64_t ns, struct buf *out)
{
    char digits[16];
    int len = snprintf(digits, sizeof digits, ".%09lld", (long long)ns);

    if (ns == 0)
        return;
    while (digits[len - 1] == '0')
        len--;
    buf_add(out, digits, (size_t)len);
}

static void print_timestamp(const struct cel_value *value, struct buf *out)
{
    int64_t days = value->time.s / 86400 - (value->time.s % 86400 < 0), second = value->time.s - days * 86400;
    int year, month, day;

    civil_from_days(days, &year, &month, &day);
    buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day, (int)(second / 3600),
               (int)(second / 60 % 60), (int)(second % 60));
    print_fraction(value->time.ns, out);
    buf_add_char(out, 'Z');
}

bool time_print(const struct cel_value *value, struct buf *out)
{
    uint64_t magnitude;

    if (value->kind == CEL_TIMESTAMP) {
        print_timestamp(value, out);
        return true;
    }
    if (value->kind != CEL_DURATION)
        return false;
    magnitude = value->i < 0 ? 0 - (uint64_t)value->i : (uint64_t)value->i;
    buf_printf(out, "%s%llu", value->i < 0 ? "-" : "", (unsigned long long)(magnitude / (uint64_t)NS));
    print_fraction((int64_t)(magnitude % (uint64_t)NS), out);
    buf_add_char(out, 's');
    return true;
}

/* ---- parts ---- */

/* "+11:00", "-02:30", "02:00": seconds east. */
static bool fixed_offset(struct slice zone, int32_t *offset)
{
    bool has_sign = zone.len && (zone.ptr[0] == '+' || zone.ptr[0] == '-');
    const char *c = zone.ptr + has_sign;

    if (zone.len != 5u + has_sign || !is_digit(c[0]) || !is_digit(c[1]) || c[2] != ':' || !is_digit(c[3]) ||
        !is_digit(c[4]) || c[3] > '5')
        return false;
    *offset = ((c[0] - '0') * 10 + c[1] - '0') * 3600 + ((c[3] - '0') * 10 + c[4] - '0') * 60;
    if (zone.ptr[0] == '-')
        *offset = -*offset;
    return *offset > -86400 && *offset < 86400;
}

static bool offset_of(const struct cel_value *v, size_t n, const struct machine *m, int32_t *offset)
{
    *offset = 0;
    if (n < 2 || slice_eq_str(v[1].s, "UTC") || fixed_offset(v[1].s, offset))
        return true;
    return m->input->zone && m->input->zone(m->input->zone_context, v[1].s, v[0].time.s, offset) &&
           *offset > -4 * 86400 && *offset < 4 * 86400;
}

enum part { YEAR, DAY_OF_YEAR, MONTH, DATE, DAY_OF_MONTH, DAY_OF_WEEK, HOURS, MINUTES, SECONDS };

static struct cel_value part_of(const struct cel_value *v, size_t n, const struct machine *m, enum part part)
{
    int year, month, day;
    int64_t local, days, second;
    int32_t offset;

    if (!offset_of(v, n, m, &offset))
        return cel_error(CEL_FAULT_ARGUMENT);
    local = v[0].time.s + offset;
    days = local / 86400 - (local % 86400 < 0);
    second = local - days * 86400;
    civil_from_days(days, &year, &month, &day);
    switch (part) {
    case YEAR:
        return cel_int(year);
    case DAY_OF_YEAR:
        return cel_int(days - civil_days(year, 1, 1));
    case MONTH:
        return cel_int(month - 1);
    case DATE:
        return cel_int(day);
    case DAY_OF_MONTH:
        return cel_int(day - 1);
    case DAY_OF_WEEK: /* 1970 began on a Thursday; Sunday is 0 */
        return cel_int((days % 7 + 7 + 4) % 7);
    case HOURS:
        return cel_int(second / 3600);
    case MINUTES:
        return cel_int(second / 60 % 60);
    default:
        return cel_int(second % 60);
    }
}

#define PART_FUNCTION(name, part)                                                                            \
    BUILTIN(name)                                                                                            \
    {                                                                                                        \
        return part_of(v, n, m, part);                                                                       \
    }
PART_FUNCTION(get_year, YEAR)
PART_FUNCTION(get_day_of_year, DAY_OF_YEAR)
PART_FUNCTION(get_month, MONTH)
PART_FUNCTION(get_date, DATE)
PART_FUNCTION(get_day_of_month, DAY_OF_MONTH)
PART_FUNCTION(get_day_of_week, DAY_OF_WEEK)
PART_FUNCTION(get_hours, HOURS)
PART_FUNCTION(get_minutes, MINUTES)
PART_FUNCTION(get_seconds, SECONDS)

BUILTIN(get_milliseconds)
{
    int32_t offset;

    return offset_of(v, n, m, &offset) ? cel_int(v[0].time.ns / 1000000) : cel_error(CEL_FAULT_ARGUMENT);
}

BUILTIN(whole_hours)
{
    return cel_int(v[0].i / (3600 * NS));
}

BUILTIN(whole_minutes)
{
    return cel_int(v[0].i / (60 * NS));
}

BUILTIN(whole_seconds)
{
    return cel_int(v[0].i / NS);
}

BUILTIN(rest_milliseconds)
{
    return cel_int(v[0].i % NS / 1000000);
}

/* Of a timestamp in UTC, and in a zone. */
#define PART_ROWS(name, call)                                                                                \
    { name, true, false, CEL_INT, 1, { CEL_TIMESTAMP }, call, NULL, false },                                 \
    {                                                                                                        \
        name, true, false, CEL_INT, 2, { CEL_TIMESTAMP, CEL_STRING }, call, NULL, false                      \
    }

static const struct builtin rows[] = {
    { "timestamp", false, true, CEL_TIMESTAMP, 1, { CEL_STRING }, timestamp_of_string, NULL, false },
    { "timestamp", false, true, CEL_TIMESTAMP, 1, { CEL_INT }, timestamp_of_int, NULL, false },
    { "timestamp", false, true, CEL_TIMESTAMP, 1, { CEL_TIMESTAMP }, same, NULL, false },
    { "duration", false, true, CEL_DURATION, 1, { CEL_STRING }, duration_of_string, NULL, false },
    { "duration", false, true, CEL_DURATION, 1, { CEL_DURATION }, same, NULL, false },
    PART_ROWS("getFullYear", get_year),
    PART_ROWS("getDayOfYear", get_day_of_year),
    PART_ROWS("getMonth", get_month),
    PART_ROWS("getDate", get_date),
    PART_ROWS("getDayOfMonth", get_day_of_month),
    PART_ROWS("getDayOfWeek", get_day_of_week),
    PART_ROWS("getHours", get_hours),
    { "getHours", true, false, CEL_INT, 1, { CEL_DURATION }, whole_hours, NULL, false },
    PART_ROWS("getMinutes", get_minutes),
    { "getMinutes", true, false, CEL_INT, 1, { CEL_DURATION }, whole_minutes, NULL, false },
    PART_ROWS("getSeconds", get_seconds),
    { "getSeconds", true, false, CEL_INT, 1, { CEL_DURATION }, whole_seconds, NULL, false },
    PART_ROWS("getMilliseconds", get_milliseconds),
    { "getMilliseconds", true, false, CEL_INT, 1, { CEL_DURATION }, rest_milliseconds, NULL, false },
};

const struct builtin_table time_builtins = { rows, ARRAY_LEN(rows) };
