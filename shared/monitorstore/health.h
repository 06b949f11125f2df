/* SPDX-License-Identifier: Apache-2.0
 * health.h - the state of the data, by lane and hour: the table `monitor_health`.
 *
 * A lane is a clock: 0 is all accounts on the live clock together, else the number of one account on a simulated
 * clock. Hours are whole ones of UTC, by known_at.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_MONITORSTORE_HEALTH_H
#define ASSAY_MONITORSTORE_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "json/json_out.h"

struct pg_session;

/* known_at - occurred_at: up to and with 1 s, 10 s, 1 min, 10 min, 1 h, 1 day, 7 days, and what is beyond. */
enum { HEALTH_LATE_BOUNDS = 7, HEALTH_LATE_BINS = HEALTH_LATE_BOUNDS + 1 };
extern const int64_t health_late_bounds_us[HEALTH_LATE_BOUNDS];
/* Which bin; of what is ahead of its time, the first. */
size_t health_late_bin(int64_t late_us);

struct health_hour {
    int32_t lane;
    int64_t hour_us;
    int64_t transactions; /* entries of the log */
    int64_t decisions;
    int64_t unscored;   /* decided without a model's score */
    int64_t degraded;   /* decided while a part was missing */
    int64_t duplicates; /* equal another payment but for the id */
    int64_t labels, frauds;
    int64_t ahead; /* happened after they became known */
    int64_t late[HEALTH_LATE_BINS];
};

/* Adds the counts to what is stored of their hours. */
MUST_USE enum err health_add(struct pg_session *s, const struct health_hour *hours, size_t count,
                             struct why *why);
/* The hours of a lane in [from, until), the oldest first. *out is the arena's. */
MUST_USE enum err health_read(struct pg_session *s, int32_t lane, int64_t from_us, int64_t until_us,
                              struct health_hour **out, size_t *count, struct arena *arena, struct why *why);
/* The sum of all their counts; lane and hour are those of the first. */
struct health_hour health_sum(const struct health_hour *hours, size_t count);
/* Forgets hours of a lane that began before. */
MUST_USE enum err health_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why);

void health_write(struct json_out *o, const char *key, const struct health_hour *h);

#endif
