/* SPDX-License-Identifier: Apache-2.0
 * run.h - runs of training, as the table `training_runs` has them.
 *
 *   queued ─▶ running ─▶ succeeded | failed | cancelled
 *
 * Who trains holds the lock of run_lock() on the session by which it writes, so that one run is under way at a
 * time, however many retrainers there are, and whoever lost its session can write no more. A run that is
 * running while nobody holds the lock was interrupted: it is taken up again, from its checkpoint.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_LIFESTORE_RUN_H
#define ASSAY_LIFESTORE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"

struct pg_session;

#define RUN_NO_TIME INT64_MIN

enum run_state { RUN_QUEUED, RUN_RUNNING, RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELLED, RUN_STATE_COUNT };
const char *run_state_name(enum run_state state);

/* A row; texts are the arena's that it was read into. */
struct run {
    int64_t run;
    struct slice name, cause, reason, requested_by;
    int64_t requested_at_us, as_of_us; /* as_of_us: RUN_NO_TIME before the run has begun, when nobody said */
    struct slice settings;             /* JSON, as whoever asked wrote it */
    enum run_state state;
    bool is_cancelled; /* somebody asked for it */
    int64_t attempts;
    struct slice stage;
    double progress;         /* 0..1 */
    struct slice checkpoint; /* JSON */
    int64_t started_at_us, ended_at_us;
    int64_t version; /* of the model that it made; 0: none */
    struct slice message;
};

/* As one JSON object, without its checkpoint: what REST and `assay retrain --status` show. */
void run_write(struct json_out *o, const char *key, const struct run *run);

/* ---- asking ---- */

struct run_wish {
    struct slice name;                 /* of the model */
    const char *cause;                 /* "schedule", "request" or "drift" */
    struct slice reason, requested_by; /* the reason may be empty */
    int64_t as_of_us;                  /* the run's "now"; RUN_NO_TIME: when it begins */
    struct slice settings; /* a JSON object; empty: {}. Of "drift": the schedule's, when the name has one */
};
/* Queues a run. One of the same name that waits already is the answer instead, and *is_new (may be NULL) is
 * false: two that begin one after the other would learn the same.
 *   ERR_INVALID  the settings are no JSON object, or the name is no model's
 *   ERR_CONFLICT  others come and go in between, again and again */
MUST_USE enum err run_request(struct pg_session *s, const struct run_wish *wish, int64_t *run, bool *is_new,
                              struct why *why);

/* A run that waits is cancelled at once; one under way is told to stop, which its trainer sees within seconds.
 * Fine when it was cancelled before.
 *   ERR_NOT_FOUND  no such run      ERR_CONFLICT  it has ended otherwise */
MUST_USE enum err run_cancel(struct pg_session *s, int64_t run, struct slice actor, struct why *why);

/* ERR_NOT_FOUND  no such run */
MUST_USE enum err run_read(struct pg_session *s, int64_t run, struct run *out, struct arena *arena,
                           struct why *why);
/* The newest first, at most `most`; `before` 0: from the newest on, else older than that run. *out is the
 * arena's. */
MUST_USE enum err run_list(struct pg_session *s, int64_t before, size_t most, struct run **out, size_t *count,
                           struct arena *arena, struct why *why);

/* ---- training ---- */

/* The run to be worked on now: one that was interrupted before those that wait, the oldest first; 0 when there
 * is none, or when somebody holds the lock. */
MUST_USE enum err run_next(struct pg_session *s, int64_t *run, struct why *why);

/* Takes the lock for as long as the session lives; *is_taken false: somebody else has it. */
MUST_USE enum err run_lock(struct pg_session *s, bool *is_taken, struct why *why);

/* Begins a run, or takes it up again, with the lock held. `now_us` becomes its "now" where nobody said one. A
 * run that was begun `attempts_most` times already becomes failed, one that is to be cancelled, cancelled:
 * *is_begun is then false.
 *   ERR_NOT_FOUND  no such run      ERR_CONFLICT  it has ended */
MUST_USE enum err run_begin(struct pg_session *s, int64_t run, int64_t attempts_most, int64_t now_us,
                            bool *is_begun, struct why *why);

/* What is being done and how far it has come; *is_cancelled says whether somebody wants it to end. */
MUST_USE enum err run_progress(struct pg_session *s, int64_t run, const char *stage, double progress,
                               bool *is_cancelled, struct why *why);
/* What need not be done again, a JSON object. */
MUST_USE enum err run_keep(struct pg_session *s, int64_t run, struct slice checkpoint, struct why *why);

/* The end. `version` 0: no model. */
MUST_USE enum err run_end(struct pg_session *s, int64_t run, enum run_state state, int64_t version,
                          struct slice message, struct why *why);
/* It stops here, because its process is told to, and is not held against it: it will be taken up again. */
MUST_USE enum err run_leave(struct pg_session *s, int64_t run, struct why *why);

#endif
