/* SPDX-License-Identifier: Apache-2.0
 * alert_row.h - alerts and silences in PostgreSQL: the tables `alerts` and `alert_silences`.
 *
 * Who changes a silence leaves a row in `audit`. Blocking (pg/session.h). Errors that are not named here are those of
 * pg/pg.h. What is read is the arena's. */
#ifndef ASSAY_ALERTSTORE_ALERT_ROW_H
#define ASSAY_ALERTSTORE_ALERT_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alerts/alert.h"
#include "alerts/silence.h"

struct pg_session;

/* ---- alerts ---- */

struct alert_filter {
    bool is_open;       /* only those that are not resolved */
    struct slice state; /* of these names (alert.h); empty: any */
    struct slice severity;
    int64_t before; /* only with smaller numbers; 0: all */
    size_t most;
};

/* The newest first. */
MUST_USE enum err alert_row_list(struct pg_session *s, const struct alert_filter *filter, struct alert **out,
                                 size_t *count, struct arena *arena, struct why *why);
/* ERR_NOT_FOUND  no such alert */
MUST_USE enum err alert_row_read(struct pg_session *s, int64_t alert, struct alert *out, struct arena *arena,
                                 struct why *why);
/* Makes it (id 0: then it gets one), or puts what has changed. */
MUST_USE enum err alert_row_put(struct pg_session *s, struct alert *a, struct why *why);
MUST_USE enum err alert_row_forget(struct pg_session *s, int64_t alert, struct why *why);

/* Those that fire and are neither silenced nor inhibited, and those that were resolved after `since_us`. */
MUST_USE enum err alert_row_current(struct pg_session *s, int64_t since_us, struct alert **out, size_t *count,
                                    struct arena *arena, struct why *why);

/* ---- silences ---- */

/* Stores it, after silence_check(); s->id is its number from then on. */
MUST_USE enum err silence_row_add(struct pg_session *s, struct silence *silence, struct slice actor,
                                  struct why *why);
/* Ends it now. Fine when it is over.   ERR_NOT_FOUND  no such silence */
MUST_USE enum err silence_row_expire(struct pg_session *s, int64_t silence, int64_t now_us,
                                     struct slice actor, struct why *why);
/* The newest first; `now_us`: only those that are not over then; INT64_MIN: all. */
MUST_USE enum err silence_row_list(struct pg_session *s, int64_t now_us, size_t most, struct silence **out,
                                   size_t *count, struct arena *arena, struct why *why);
/* As one JSON object. */
void silence_row_write(struct json_out *o, const char *key, const struct silence *silence, int64_t now_us);

#endif
