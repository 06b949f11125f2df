/* SPDX-License-Identifier: Apache-2.0
 * verdicts.h - what closed windows said of each subject (drift/verdict.h), and the new models that were asked for:
 * tables `monitor_verdicts` and `monitor_requests`.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_MONITORSTORE_VERDICTS_H
#define ASSAY_MONITORSTORE_VERDICTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"

struct pg_session;

/* Figures are NaN where there is none. */
struct found {
    int32_t lane;
    int64_t version, number; /* of the window */
    struct slice kind;       /* drift_kind_name() */
    struct slice field;      /* drift_field_name() of fields and segments; else empty */
    struct slice name;
    int64_t at_us; /* of the window's last decision */
    int64_t rows, reference_rows;
    double psi, psi_critical;
    double js, js_critical; /* bits */
    double missing, missing_reference, missing_critical;
    double unseen, unseen_reference, unseen_critical;
    bool is_beyond; /* in this window */
    bool is_alarm;  /* in as many running as it takes */
    struct slice text;
};

MUST_USE enum err found_add(struct pg_session *s, const struct found *all, size_t count, struct why *why);
/* Of the newest judged window of a version; *out is the arena's. */
MUST_USE enum err found_newest(struct pg_session *s, int32_t lane, int64_t version, struct found **out,
                               size_t *count, struct arena *arena, struct why *why);
/* Of one subject, the newest window first, at most `most`. An empty kind or field: any. */
MUST_USE enum err found_history(struct pg_session *s, int32_t lane, int64_t version, struct slice kind,
                                struct slice field, struct slice name, size_t most, struct found **out,
                                size_t *count, struct arena *arena, struct why *why);
MUST_USE enum err found_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why);
void found_write(struct json_out *o, const char *key, const struct found *f);

struct asked {
    int64_t request;
    struct slice name;
    int32_t lane;
    int64_t version, run;
    struct slice reason;
    int64_t at_us, requested_at_us;
};

/* Asks for a new model of a name (lifestore/run.h) and keeps that, unless one was asked for in the lane less than
 * `cooldown_us` before `asked->at_us`: then *is_made is false. `as_of_us` is the run's "now". Of `asked`, `request`,
 * `run` and `requested_at_us` are not looked at. */
MUST_USE enum err asked_make(struct pg_session *s, const struct asked *asked, int64_t as_of_us,
                             int64_t cooldown_us, bool *is_made, struct why *why);
/* The newest first, at most `most`. */
MUST_USE enum err asked_list(struct pg_session *s, size_t most, struct asked **out, size_t *count,
                             struct arena *arena, struct why *why);
void asked_write(struct json_out *o, const char *key, const struct asked *a);

#endif
