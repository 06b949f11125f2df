/* SPDX-License-Identifier: Apache-2.0
 * clock.h - the one module that reads a clock. Everything else takes the time as an argument.
 *
 * Event times are int64_t microseconds since 1970-01-01T00:00:00Z (`_at_us`); waiting is measured on the
 * monotonic clock (`_mono_us`). */
#ifndef ASSAY_BASE_CLOCK_H
#define ASSAY_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define MS_US     INT64_C(1000)
#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)

int64_t clock_wall_us(void);
int64_t clock_mono_us(void);

/* RFC 3339 with an offset or 'Z', up to nine fractional digits (cut to microseconds), years 0001 to 9999.
 * False when `text` is not exactly one such time. A leap second (:60) is read as the second after it. */
bool rfc3339_parse(struct slice text, int64_t *at_us);

enum { RFC3339_SIZE = 32 };
/* Writes UTC with microseconds, "2018-04-01T00:00:31.000000Z", and a NUL; without a fraction when it is zero.
 */
void rfc3339_format(int64_t at_us, char text[RFC3339_SIZE]);

/* The civil calendar (proleptic Gregorian) without time zones: days since 1970-01-01. */
int64_t civil_days(int year, int month, int day);
void civil_from_days(int64_t days, int *year, int *month, int *day);

#endif
