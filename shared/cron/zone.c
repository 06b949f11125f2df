/* SPDX-License-Identifier: Apache-2.0
 * zone.c - see zone.h. */
#include "cron/zone.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    DAY_S = 86400,
    OFFSET_MAX = 26 * 3600,
    HEADER_BYTES = 44,
    TYPES_MAX = 256,
    RULE_HOURS_MAX = 167,
};

/* When in each year a change comes: the day, and the seconds of the wall's time since its midnight. */
struct change {
    enum { BY_MONTH, BY_JULIAN, BY_DAY } kind; /* Mm.w.d, Jn (29 February never counted), n */
    int month, week, weekday, day;
    int32_t time_s;
};

/* The footer. Without daylight saving there are no changes. */
struct rule {
    bool is_there, has_saving;
    int32_t standard, saving; /* offsets */
    struct change start, end; /* of daylight saving; start by the standard wall, end by the other */
};

struct zone {
    size_t count;
    int64_t *times;   /* [count], rising */
    int32_t *offsets; /* [count], in force from times[i] on */
    int32_t first;    /* before times[0] */
    struct rule rule; /* from the last time on */
};

/* ---- the footer ---- */

struct reader {
    const char *at, *end;
};

static bool take(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool take_number(struct reader *r, int most, int *out)
{
    int n = 0;

    if (r->at == r->end || !is_digit(*r->at))
        return false;
    for (; r->at < r->end && is_digit(*r->at); r->at++) {
        n = 10 * n + (*r->at - '0');
        if (n > most)
            return false;
    }
    *out = n;
    return true;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct reader *r, int hours_max, int32_t *out)
{
    int sign = take(r, '-') ? -1 : 1, hours, minutes = 0, seconds = 0;

    if (sign == 1)
        take(r, '+');
    if (!take_number(r, hours_max, &hours))
        return false;
    if (take(r, ':')) {
        if (!take_number(r, 59, &minutes))
            return false;
        if (take(r, ':') && !take_number(r, 59, &seconds))
            return false;
    }
    *out = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

/* Three letters or more, or anything of letters, digits and signs in angle brackets. */
static bool take_name(struct reader *r)
{
    const char *start = r->at;
    bool is_quoted = take(r, '<');

    for (; r->at < r->end; r->at++) {
        bool is_letter = (*r->at >= 'a' && *r->at <= 'z') || (*r->at >= 'A' && *r->at <= 'Z');

        if (!is_letter && !(is_quoted && (is_digit(*r->at) || *r->at == '+' || *r->at == '-')))
            break;
    }
    if (r->at - start < 3 + is_quoted)
        return false;
    return !is_quoted || take(r, '>');
}

static bool take_change(struct reader *r, struct change *c)
{
    *c = (struct change){ .time_s = 2 * 3600 };
    if (!take(r, ','))
        return false;
    if (take(r, 'M')) {
        if (!take_number(r, 12, &c->month) || !take(r, '.') || !take_number(r, 5, &c->week) ||
            !take(r, '.') || !take_number(r, 6, &c->weekday) || c->month == 0 || c->week == 0)
            return false;
    } else {
        c->kind = take(r, 'J') ? BY_JULIAN : BY_DAY;
        if (!take_number(r, 365, &c->day) || (c->kind == BY_JULIAN && c->day == 0))
            return false;
    }
    return !take(r, '/') || take_time(r, RULE_HOURS_MAX, &c->time_s);
}

static bool read_rule(struct rule *rule, struct slice text)
{
    struct reader r = { text.ptr, text.ptr + text.len };
    int32_t west;

    *rule = (struct rule){ .is_there = text.len > 0 };
    if (text.len == 0)
        return true;
    if (!take_name(&r) || !take_time(&r, 24, &west))
        return false;
    rule->standard = -west;
    if (r.at == r.end)
        return true;
    rule->has_saving = true;
    rule->saving = rule->standard + 3600;
    if (!take_name(&r))
        return false;
    if (r.at < r.end && *r.at != ',') {
        if (!take_time(&r, 24, &west))
            return false;
        rule->saving = -west;
    }
    return take_change(&r, &rule->start) && take_change(&r, &rule->end) && r.at == r.end;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int weekday_of(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7);
}

/* The wall's time of a change in a year, in civil seconds. */
static int64_t change_civil(const struct change *c, int year)
{
    int64_t first, days;

    if (c->kind != BY_MONTH) {
        days = civil_days(year, 1, 1) + c->day;
        if (c->kind == BY_JULIAN)
            days += (is_leap(year) && c->day >= 60) - 1;
        return days * DAY_S + c->time_s;
    }
    first = civil_days(year, c->month, 1);
    days = first + (c->weekday - weekday_of(first) + 7) % 7 + 7 * (c->week - 1);
    while (days >= (c->month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, c->month + 1, 1)))
        days -= 7;
    return days * DAY_S + c->time_s;
}

struct step {
    int64_t at;
    int32_t offset; /* from then on */
};

enum { STEPS = 6 };

/* The changes of three years around a time, in their order. */
static void rule_steps(const struct rule *rule, int64_t at_s, struct step steps[STEPS])
{
    int year, month, day;
    int64_t local = at_s + rule->standard;

    civil_from_days(local / DAY_S - (local % DAY_S < 0), &year, &month, &day);
    for (int i = 0; i < 3; i++) {
        struct step start = { change_civil(&rule->start, year - 1 + i) - rule->standard, rule->saving };
        struct step end = { change_civil(&rule->end, year - 1 + i) - rule->saving, rule->standard };
        bool is_south = end.at < start.at;

        steps[2 * i] = is_south ? end : start;
        steps[2 * i + 1] = is_south ? start : end;
    }
}

static int32_t rule_offset(const struct rule *rule, int64_t at_s)
{
    struct step steps[STEPS];
    int32_t offset = rule->standard;
    int64_t latest = INT64_MIN;

    if (!rule->has_saving)
        return offset;
    rule_steps(rule, at_s, steps);
    for (int i = 0; i < STEPS; i++) { /* of two at once the later year's holds: saving all year round */
        if (steps[i].at <= at_s && steps[i].at >= latest) {
            latest = steps[i].at;
            offset = steps[i].offset;
        }
    }
    return offset;
}

/* ---- the file ---- */

struct header {
    int version;
    uint64_t utc_flags, standard_flags, leaps, times, types, letters;
};

static uint64_t read_be(const char *at, size_t bytes)
{
    uint64_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | (unsigned char)at[i];
    return n;
}

static enum err read_header(struct header *h, struct slice *bytes, struct why *why)
{
    const char *at = bytes->ptr;

    if (bytes->len < HEADER_BYTES || memcmp(at, "TZif", 4) != 0)
        return err_set(why, ERR_SYNTAX, "no TZif file");
    if (at[4] != '\0' && (at[4] < '2' || at[4] > '4'))
        return err_set(why, ERR_SYNTAX, "TZif of an unknown version");
    *h = (struct header){
        .version = at[4] ? at[4] - '0' : 1,
        .utc_flags = read_be(at + 20, 4),
        .standard_flags = read_be(at + 24, 4),
        .leaps = read_be(at + 28, 4),
        .times = read_be(at + 32, 4),
        .types = read_be(at + 36, 4),
        .letters = read_be(at + 40, 4),
    };
    *bytes = slice_of(at + HEADER_BYTES, bytes->len - HEADER_BYTES);
    return ERR_OK;
}

/* The block's length, or more than any file has. */
static uint64_t block_bytes(const struct header *h, size_t time_bytes)
{
    return h->times * time_bytes + h->times + h->types * 6 + h->letters + h->leaps * (time_bytes + 4) +
           h->standard_flags + h->utc_flags;
}

static enum err read_block(struct zone *zone, const struct header *h, const char *at, size_t time_bytes,
                           struct why *why)
{
    const char *kinds = at + h->times * time_bytes, *types = kinds + h->times;
    int32_t offsets[TYPES_MAX];

    if (h->leaps)
        return err_set(why, ERR_INVALID, "leap seconds are counted in this file");
    if (h->types == 0 || h->types > TYPES_MAX)
        return err_set(why, ERR_INVALID, "%llu local time types", (unsigned long long)h->types);
    for (size_t i = 0; i < h->types; i++) {
        offsets[i] = (int32_t)(uint32_t)read_be(types + 6 * i, 4);
        if (offsets[i] < -OFFSET_MAX || offsets[i] > OFFSET_MAX)
            return err_set(why, ERR_INVALID, "an offset of %d s", offsets[i]);
    }
    zone->first = offsets[0];
    zone->times = mem_new_n(int64_t, h->times + 1);
    zone->offsets = mem_new_n(int32_t, h->times + 1);
    for (size_t i = 0; i < h->times; i++) {
        uint64_t raw = read_be(at + i * time_bytes, time_bytes);
        size_t kind = (unsigned char)kinds[i];

        zone->times[i] = time_bytes == 4 ? (int32_t)(uint32_t)raw : (int64_t)raw;
        if (i && zone->times[i] <= zone->times[i - 1])
            return err_set(why, ERR_INVALID, "transition %zu does not come after the one before", i);
        if (kind >= h->types)
            return err_set(why, ERR_INVALID, "transition %zu is to a type that is not there", i);
        zone->offsets[i] = offsets[kind];
    }
    zone->count = h->times;
    return ERR_OK;
}

static enum err read_file(struct zone *zone, struct slice bytes, struct why *why)
{
    struct header h;
    size_t time_bytes = 4;
    uint64_t block;
    const char *start, *end;
    enum err err = read_header(&h, &bytes, why);

    if (err)
        return err;
    block = block_bytes(&h, 4);
    if (h.version > 1 && block <= bytes.len) { /* everything stands there again with more digits */
        bytes = slice_of(bytes.ptr + block, bytes.len - block);
        err = read_header(&h, &bytes, why);
        if (err)
            return err;
        time_bytes = 8;
        block = block_bytes(&h, 8);
    }
    if (block > bytes.len)
        return err_set(why, ERR_SYNTAX, "a TZif file that is cut short");
    err = read_block(zone, &h, bytes.ptr, time_bytes, why);
    if (err || time_bytes == 4)
        return err;
    start = bytes.ptr + block;
    bytes = slice_of(start, bytes.len - block);
    if (bytes.len < 2 || *start != '\n' || !(end = memchr(start + 1, '\n', bytes.len - 1)))
        return err_set(why, ERR_SYNTAX, "a TZif file without a footer");
    if (!read_rule(&zone->rule, slice_of(start + 1, (size_t)(end - start - 1))))
        return err_set(why, ERR_SYNTAX, "the footer of a TZif file cannot be read");
    return ERR_OK;
}

enum err zone_open(struct zone **out, struct slice bytes, struct why *why)
{
    struct zone *zone;
    enum err err;

    *out = NULL;
    if (bytes.len > ZONE_BYTES_MAX)
        return err_set(why, ERR_TOO_LARGE, "a zone of %zu bytes", bytes.len);
    zone = mem_new(struct zone);
    err = read_file(zone, bytes, why);
    if (err)
        zone_close(zone);
    else
        *out = zone;
    return err;
}

void zone_close(struct zone *zone)
{
    if (!zone)
        return;
    mem_free(zone->times);
    mem_free(zone->offsets);
    mem_free(zone);
}

bool zone_name_is_safe(struct slice name)
{
    size_t part = 0;

    if (name.len == 0 || name.len > ZONE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (c == '/' && part > 0)
            part = 0;
        else if (is_letter || is_digit(c) || c == '_' || c == '+' || c == '-')
            part++;
        else
            return false;
    }
    return part > 0;
}

/* ---- questions ---- */

/* How many of the file's transitions are at or before a time. */
static size_t passed(const struct zone *zone, int64_t at_s)
{
    size_t low = 0, high = zone->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (zone->times[middle] <= at_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset(const struct zone *zone, int64_t at_s)
{
    size_t place;

    if (!zone)
        return 0;
    place = passed(zone, at_s);
    if (place == zone->count && zone->rule.is_there)
        return rule_offset(&zone->rule, at_s);
    return place ? zone->offsets[place - 1] : zone->first;
}

/* The first change after a time; false when there is none. */
static bool next_change(const struct zone *zone, int64_t after_s, int64_t *at_s)
{
    struct step steps[STEPS];
    size_t place = passed(zone, after_s);

    if (place < zone->count) {
        *at_s = zone->times[place];
        return true;
    }
    *at_s = INT64_MAX;
    if (zone->rule.has_saving)
        rule_steps(&zone->rule, after_s, steps);
    for (int i = 0; i < STEPS && zone->rule.has_saving; i++) {
        if (steps[i].at > after_s && steps[i].at < *at_s)
            *at_s = steps[i].at;
    }
    return *at_s < INT64_MAX;
}

int64_t zone_instant(const struct zone *zone, int64_t civil_s)
{
    /* No offset is larger: what the wall shows at `from` lies before, and at `until` behind. */
    int64_t from = civil_s - OFFSET_MAX - 1, until = civil_s + OFFSET_MAX + 1, change;
    int32_t offset = zone_offset(zone, from);

    while (zone && next_change(zone, from, &change) && change <= until) {
        int32_t next = zone_offset(zone, change);

        if (civil_s < change + offset) /* shown before the change */
            break;
        if (civil_s < change + next)
            return change;
        from = change;
        offset = next;
    }
    return civil_s - offset;
}
