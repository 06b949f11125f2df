/* SPDX-License-Identifier: Apache-2.0
 * zone.h - a time zone from the bytes of a TZif file (RFC 8536 versions 1 to 3, RFC 9636 version 4).
 *
 * The caller reads the file (/usr/share/zoneinfo/Europe/Berlin); the bytes are hostile input. After the last
 * transition of the file its footer holds, a POSIX TZ string with RFC 8536's extensions (hours -167..167), so
 * far years are right too. Seconds since 1970 do not count leap seconds: files that do ("right/") are
 * refused. A zone never changes once open; any number of threads may use it.
 *
 * Local time is told as "civil seconds": the seconds since 1970-01-01T00:00:00 on that wall, by the
 * proleptic Gregorian calendar (base/clock.h's civil_days()). */
#ifndef ASSAY_CRON_ZONE_H
#define ASSAY_CRON_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    ZONE_BYTES_MAX = 1 << 18,
    ZONE_NAME_MAX = 64,
};

struct zone;

/* On success *out is the caller's, to give to zone_close(); on failure it is NULL.
 *   ERR_SYNTAX     not a TZif file, cut short, or a footer that cannot be read
 *   ERR_INVALID    well-formed, but its figures break a rule: times that fall, types that are not there,
 *                  offsets beyond 26 hours, leap seconds
 *   ERR_TOO_LARGE  more than ZONE_BYTES_MAX */
MUST_USE enum err zone_open(struct zone **out, struct slice bytes, struct why *why);
void zone_close(struct zone *zone);

/* Whether `name` is shaped as an IANA name and names no place outside the zone directory: letters, digits,
 * '_', '+', '-' in parts joined by single '/', no part of dots, at most ZONE_NAME_MAX bytes. */
bool zone_name_is_safe(struct slice name);

/* `zone` may be NULL below: UTC. */

/* Seconds east of Greenwich in force at a time. */
int32_t zone_offset(const struct zone *zone, int64_t at_s);

/* The first instant at which the wall shows `civil_s`, if it ever does; where it is skipped (a gap), the
 * instant of the gap's end; of a doubled time the first. So it never falls when civil_s rises. Times beyond
 * the years -9999..9999 are not to be asked for. */
int64_t zone_instant(const struct zone *zone, int64_t civil_s);

#endif
