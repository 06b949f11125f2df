/* SPDX-License-Identifier: Apache-2.0
 * cron.h - when something is to be done: five-field cron expressions in a time zone.
 *
 *   minute 0-59 | hour 0-23 | day of month 1-31 | month 1-12 or jan-dec | day of week 0-7 or sun-sat
 *
 * as crontab(5) of Vixie cron has it: fields are lists of *, n, n-m, each with an optional /step (n/step is
 * n-last/step); names of three letters in either case wherever a number may stand; 0 and 7 are Sunday. Where
 * both day fields are restricted (neither begins with '*'), a day matches if either does; otherwise both must
 * match. Instead of the fields: @yearly or @annually, @monthly, @weekly, @daily or @midnight, @hourly.
 * Fields are separated by blanks or tabs; blanks around are allowed.
 *
 * Daylight saving: each wall-clock time that matches runs exactly once. One that is skipped runs when the gap
 * ends (several skipped ones of one gap are that one run); one that comes twice runs the first time. So an
 * expression for every five minutes rests for the second pass of a doubled hour.
 *
 * No clock is read, no state is kept. */
#ifndef ASSAY_CRON_CRON_H
#define ASSAY_CRON_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "cron/zone.h"

enum { CRON_TEXT_MAX = 256 };

/* A bit for each value that matches. Plain figures; may be copied. */
struct cron {
    uint64_t minutes;
    uint32_t hours, days; /* days: bits 1..31 */
    uint16_t months;      /* bits 1..12 */
    uint8_t weekdays;     /* bits 0..6, 0 is Sunday */
    bool is_either_day;   /* both day fields are restricted: one of them is enough */
};

/*   ERR_SYNTAX   not five fields, or one that cannot be read; *why says which and where
 *   ERR_INVALID  a value out of its range, a range that falls, a step of 0, or days that no month has
 *                ("0 0 30 2 *") */
MUST_USE enum err cron_parse(struct cron *cron, struct slice text, struct why *why);

/* Whether the wall-clock minute matches; civil_s as in zone.h. */
bool cron_matches(const struct cron *cron, int64_t civil_s);

/* The first time after `after_us` (not at it) at which the expression is due in the zone (NULL: UTC), in
 * microseconds, a whole minute of the wall or a gap's end. after_us: years 0001 to 9950. There always is one: at
 * most eight years later (29 February over the turn of 2100), or forty where a weekday by steps must fall on that
 * day too. */
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_us);

#endif
