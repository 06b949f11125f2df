/* SPDX-License-Identifier: Apache-2.0
 * cron.c - see cron.h. */
#include "cron/cron.h"

#include <assert.h>
#include <strings.h>

#include "base/array.h"
#include "base/clock.h"

enum { DAY_S = 86400, DAYS_AHEAD = 41 * 366 };

static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char weekdays[] = "sunmontuewedthufrisat";

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };
static const struct field {
    const char *name;
    int low, high;
    const char *names; /* three letters each, the first stands for `low` */
} fields[FIELDS] = {
    [MINUTE] = { "minute", 0, 59, "" },
    [HOUR] = { "hour", 0, 23, "" },
    [DAY] = { "day of month", 1, 31, "" },
    [MONTH] = { "month", 1, 12, months },
    [WEEKDAY] = { "day of week", 0, 7, weekdays },
};

static const struct {
    const char *name, *fields;
} nicknames[] = {
    { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
    { "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
    { "@hourly", "0 * * * *" },
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next word from the front; empty at the end. */
static struct slice take_word(struct slice *text)
{
    size_t start = 0, end;

    while (start < text->len && is_blank(text->ptr[start]))
        start++;
    for (end = start; end < text->len && !is_blank(text->ptr[end]); end++)
        ;
    struct slice word = slice_of(text->ptr + start, end - start);
    *text = slice_of(text->ptr + end, text->len - end);
    return word;
}

/* Takes what stands before the first `mark`, and the mark; all of it where there is none. */
static struct slice take_until(struct slice *text, char mark, bool *is_found)
{
    const char *at = text->len ? memchr(text->ptr, mark, text->len) : NULL;
    struct slice part = at ? slice_of(text->ptr, (size_t)(at - text->ptr)) : *text;

    *is_found = at != NULL;
    *text = at ? slice_of(at + 1, text->len - part.len - 1) : slice_of(text->ptr + text->len, 0);
    return part;
}

static enum err read_value(const struct field *f, struct slice text, int *out, struct why *why)
{
    int n = 0;

    for (size_t i = 0; text.len == 3 && f->names[3 * i]; i++) {
        if (strncasecmp(f->names + 3 * i, text.ptr, 3) == 0) {
            *out = f->low + (int)i;
            return ERR_OK;
        }
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return err_set(why, ERR_SYNTAX, "%s: '%.*s' is no value", f->name, SLICE_ARG(text));
        n = n > 999 ? n : 10 * n + (text.ptr[i] - '0');
    }
    if (text.len == 0)
        return err_set(why, ERR_SYNTAX, "%s: a value is missing", f->name);
    *out = n;
    return ERR_OK;
}

/* One of a list: *, n or n-m, with or without /step. */
static enum err read_item(const struct field *f, struct slice item, uint64_t *bits, struct why *why)
{
    bool has_step, has_range;
    struct slice range = take_until(&item, '/', &has_step), first;
    int low = f->low, high = f->names == weekdays ? 6 : f->high, step = 1;
    enum err err = ERR_OK;

    if (!slice_eq_str(range, "*")) {
        first = take_until(&range, '-', &has_range);
        err = read_value(f, first, &low, why);
        if (!err && has_range)
            err = read_value(f, range, &high, why);
        else if (!err && !has_step)
            high = low;
        if (!err && has_range && f->names == weekdays && high == 0 && low > 0)
            high = 7; /* fri-sun */
    }
    if (!err && has_step)
        err = read_value(&(struct field){ f->name, 0, 0, "" }, item, &step, why);
    if (err)
        return err;
    if (low < f->low || low > f->high || high < f->low || high > f->high)
        return err_set(why, ERR_INVALID, "%s: %d is not within %d-%d", f->name,
                       low < f->low || low > f->high ? low : high, f->low, f->high);
    if (high < low)
        return err_set(why, ERR_INVALID, "%s: the range %d-%d falls", f->name, low, high);
    if (step < 1 || step > f->high)
        return err_set(why, ERR_INVALID, "%s: a step of %d", f->name, step);
    for (int n = low; n <= high; n += step)
        *bits |= UINT64_C(1) << n;
    return ERR_OK;
}

static enum err read_field(const struct field *f, struct slice text, uint64_t *bits, struct why *why)
{
    bool has_more = true;
    enum err err = ERR_OK;

    *bits = 0;
    while (has_more && !err) {
        struct slice item = take_until(&text, ',', &has_more);

        err = read_item(f, item, bits, why);
    }
    return err;
}

/* Whether some month of those asked for has one of the days asked for. */
static bool days_exist(const struct cron *cron)
{
    static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    for (int month = 1; month <= 12; month++) {
        if (cron->months >> month & 1 && cron->days & ((UINT64_C(2) << lengths[month - 1]) - 1))
            return true;
    }
    return false;
}

enum err cron_parse(struct cron *cron, struct slice text, struct why *why)
{
    struct slice words[FIELDS + 1];
    uint64_t bits[FIELDS];
    enum err err;

    *cron = (struct cron){ 0 };
    if (text.len > CRON_TEXT_MAX)
        return err_set(why, ERR_SYNTAX, "a cron expression of %zu bytes", text.len);
    for (size_t i = 0; i <= FIELDS; i++)
        words[i] = take_word(&text);
    if (words[0].len && words[0].ptr[0] == '@' && words[1].len == 0) {
        for (size_t i = 0; i < ARRAY_LEN(nicknames); i++) {
            if (slice_eq_str(words[0], nicknames[i].name))
                return cron_parse(cron, slice_str(nicknames[i].fields), why);
        }
        return err_set(why, ERR_SYNTAX, "no such cron nickname: '%.*s'", SLICE_ARG(words[0]));
    }
    if (words[FIELDS - 1].len == 0 || words[FIELDS].len)
        return err_set(why, ERR_SYNTAX,
                       "a cron expression has five fields: minute, hour, day, month, weekday");
    for (size_t i = 0; i < FIELDS; i++) {
        err = read_field(&fields[i], words[i], &bits[i], why);
        if (err)
            return err;
    }
    bits[WEEKDAY] |= bits[WEEKDAY] >> 7; /* 7 is Sunday too */
    *cron = (struct cron){
        .minutes = bits[MINUTE],
        .hours = (uint32_t)bits[HOUR],
        .days = (uint32_t)bits[DAY],
        .months = (uint16_t)bits[MONTH],
        .weekdays = bits[WEEKDAY] & 0x7f,
        .is_either_day = words[DAY].ptr[0] != '*' && words[WEEKDAY].ptr[0] != '*',
    };
    if (!cron->is_either_day && !days_exist(cron)) {
        *cron = (struct cron){ 0 };
        return err_set(why, ERR_INVALID, "no month of those has such a day");
    }
    return ERR_OK;
}

static bool day_matches(const struct cron *cron, int64_t days)
{
    int year, month, day;
    bool by_day, by_weekday;

    civil_from_days(days, &year, &month, &day);
    by_day = cron->days >> day & 1;
    by_weekday = cron->weekdays >> ((days + 4) % 7 + 7) % 7 & 1;
    return cron->months >> month & 1 && (cron->is_either_day ? by_day || by_weekday : by_day && by_weekday);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

bool cron_matches(const struct cron *cron, int64_t civil_s)
{
    int64_t days = floor_div(civil_s, DAY_S);
    int minute = (int)((civil_s - days * DAY_S) / 60);

    return day_matches(cron, days) && cron->hours >> minute / 60 & 1 && cron->minutes >> minute % 60 & 1;
}

/* The first wall-clock minute that matches, from `civil_s` (a whole minute) on. */
static int64_t next_civil(const struct cron *cron, int64_t civil_s)
{
    int64_t days = floor_div(civil_s, DAY_S);
    int minute = (int)((civil_s - days * DAY_S) / 60);

    for (int ahead = 0; ahead <= DAYS_AHEAD; ahead++, days++, minute = 0) {
        if (!day_matches(cron, days))
            continue;
        for (; minute < 24 * 60; minute++) {
            if (!(cron->hours >> minute / 60 & 1))
                minute += 59 - minute % 60;
            else if (cron->minutes >> minute % 60 & 1)
                return days * DAY_S + minute * 60;
        }
    }
    assert(!"a parsed expression has a day within forty years");
    return INT64_MAX / SECOND_US;
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_us)
{
    int64_t after_s = floor_div(after_us, SECOND_US), at_s;
    int64_t civil_s = floor_div(after_s + zone_offset(zone, after_s), 60) * 60;

    /* What the wall showed up to now has run: at its first showing, or at the end of its gap. What it shows a
     * second time lies behind. */
    do {
        civil_s = next_civil(cron, civil_s + 60);
        at_s = zone_instant(zone, civil_s);
    } while (at_s <= after_s);
    return at_s * SECOND_US;
}
