/* SPDX-License-Identifier: Apache-2.0
 * due.h - when a schedule is due: its cron expression (cron/cron.h) in its time zone, whose file is read from
 * where the system keeps them (TZDIR, else /usr/share/zoneinfo). */
#ifndef ASSAY_LIFESTORE_DUE_H
#define ASSAY_LIFESTORE_DUE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "lifestore/schedule.h"

struct due;

/* On success *out is the caller's, for due_close().
 *   ERR_SYNTAX, ERR_INVALID  as cron_parse() and zone_open() have them
 *   ERR_NOT_FOUND            the system knows no such zone, or none at all (Debian: package tzdata) */
MUST_USE enum err due_open(struct due **out, struct slice cron, struct slice zone, struct why *why);
void due_close(struct due *d);

/* The first due time after `after_us`. */
int64_t due_next(const struct due *d, int64_t after_us);
/* The last due time after `after_us` and not after `now_us`; INT64_MIN when none has come yet. */
int64_t due_last(const struct due *d, int64_t after_us, int64_t now_us);

/* When a schedule is due next, seen at `now_us`; SCHEDULE_NEVER when it is not enabled or cannot be read. */
int64_t due_of(const struct schedule *schedule, int64_t now_us);

#endif
