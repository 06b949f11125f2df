/* SPDX-License-Identifier: Apache-2.0
 * schedule.h - when models are retrained: the table `retrain_schedules`.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_LIFESTORE_SCHEDULE_H
#define ASSAY_LIFESTORE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"

struct pg_session;

#define SCHEDULE_NEVER INT64_MIN

/* A row; texts are the arena's. */
struct schedule {
    struct slice name, cron, zone, settings;
    bool is_enabled;
    int64_t fired_at_us;   /* the scheduled time that made the last run; SCHEDULE_NEVER */
    int64_t updated_at_us; /* by PostgreSQL's clock */
};

/* As one JSON object. `next_us` is when it is due next; SCHEDULE_NEVER: null. */
void schedule_write(struct json_out *o, const char *key, const struct schedule *schedule, int64_t next_us);

/* By name; *out is the arena's. */
MUST_USE enum err schedule_list(struct pg_session *s, struct schedule **out, size_t *count,
                                struct arena *arena, struct why *why);

/* Makes or replaces the schedule of `schedule->name`. When it fired last is forgotten: it is due from the moment
 * on at which somebody begins to keep it (schedule_begin()). Whether cron and zone can be read is the caller's to
 * see to (due.h).
 *   ERR_INVALID  the settings are no JSON object, or the name is no model's */
MUST_USE enum err schedule_put(struct pg_session *s, const struct schedule *schedule, struct slice actor,
                               struct why *why);
/* Counts the due times of a schedule that never fired from `now_us` on; nothing when it has begun. */
MUST_USE enum err schedule_begin(struct pg_session *s, const struct schedule *schedule, int64_t now_us,
                                 struct why *why);
/* ERR_NOT_FOUND  there is none */
MUST_USE enum err schedule_remove(struct pg_session *s, struct slice name, struct slice actor,
                                  struct why *why);

/* Queues the run of one due time, once: whoever comes second, here or in another process, finds that
 * `fired_at_us` is another, and *run is 0; so it is when a run of that name waits already. */
MUST_USE enum err schedule_fire(struct pg_session *s, const struct schedule *schedule, int64_t due_us,
                                int64_t *run, struct why *why);

#endif
