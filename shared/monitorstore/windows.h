/* SPDX-License-Identifier: Apache-2.0
 * windows.h - the counts of decisions (drift/window.h) by lane and model version: tables `monitor_models`,
 * `monitor_hours` and `monitor_windows`.
 *
 *   by time    an hour of known_at each, added to by whoever reads a decision of it, also a late one
 *   by count   one that is open, with the model; closed ones, numbered from 1
 *
 * Layouts and windows are packed bytes of the kernel. Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_MONITORSTORE_WINDOWS_H
#define ASSAY_MONITORSTORE_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct pg_session;

/* A version that decides in a lane. */
struct watched_model {
    int32_t lane;
    int64_t version;
    struct slice name;         /* of the model */
    struct slice layout;       /* drift_layout_pack() */
    struct slice baseline;     /* its first decisions; packed, as `open` */
    struct slice open;         /* the window by count that is being filled */
    struct slice alarms;       /* drift_alarms_pack() */
    int64_t number;            /* of the open one, from 1 */
    int64_t first_us, last_us; /* known_at of its decisions, least and greatest */
    bool has_histograms;       /* of its bundle: else drift of its features cannot be told */
};

/* *is_there false: none yet. Slices are the arena's. */
MUST_USE enum err watched_model_read(struct pg_session *s, int32_t lane, int64_t version,
                                     struct watched_model *out, bool *is_there, struct arena *arena,
                                     struct why *why);
/* Adds it or writes it anew. */
MUST_USE enum err watched_model_write(struct pg_session *s, const struct watched_model *m, struct why *why);
/* The lane to look at when nobody said which: 0 when models decide there, else that of the least number; 0 without any. */
MUST_USE enum err watched_lane(struct pg_session *s, int32_t *lane, struct why *why);
/* All of a lane, that which decided last first; the packed ones are left empty. */
MUST_USE enum err watched_model_list(struct pg_session *s, int32_t lane, struct watched_model **out,
                                     size_t *count, struct arena *arena, struct why *why);

/* The packed window of an hour; empty when there is none. */
MUST_USE enum err watched_hour_read(struct pg_session *s, int32_t lane, int64_t version, int64_t hour_us,
                                    struct slice *out, struct arena *arena, struct why *why);
MUST_USE enum err watched_hour_write(struct pg_session *s, int32_t lane, int64_t version, int64_t hour_us,
                                     int64_t rows, struct slice window, struct why *why);
/* Hours in [from, until), the oldest first. */
MUST_USE enum err watched_hours(struct pg_session *s, int32_t lane, int64_t version, int64_t from_us,
                                int64_t until_us, struct slice **out, size_t *count, struct arena *arena,
                                struct why *why);

struct watched_window {
    int64_t number, rows, first_us, last_us;
    struct slice window; /* packed */
};
MUST_USE enum err watched_window_add(struct pg_session *s, int32_t lane, int64_t version,
                                     const struct watched_window *w, struct why *why);
/* The newest first, at most `most`, with numbers up to `upto`. */
MUST_USE enum err watched_windows(struct pg_session *s, int32_t lane, int64_t version, int64_t upto,
                                  size_t most, struct watched_window **out, size_t *count,
                                  struct arena *arena, struct why *why);

/* Forgets hours and windows of the lane that ended before. */
MUST_USE enum err watched_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why);

#endif
