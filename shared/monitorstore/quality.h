/* SPDX-License-Identifier: Apache-2.0
 * quality.h - decisions counted by day once labels come (quality/day.h), by lane and model version: the tables
 * `monitor_quality_models` and `monitor_quality`; and the report that is made of them, with Card Precision@k of each
 * day (`monitor_cards`), which whoever looks at a day's customers keeps.
 *
 * Days are numbers of days (quality_day_of()) of the lane's own time. A lane's "now" is the newest hour of which
 * anything was seen there (monitorstore/health.h); the day it lies in has not ended. A day has matured when the label
 * delay that the model's bundle says has passed since its end: what has no label then counts as legitimate.
 *
 * Nothing but the days is kept: figures, estimates and how far these were off are computed from them each time, by this
 * code alone, so that REST, the command line, metrics and conditions say the same.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_MONITORSTORE_QUALITY_H
#define ASSAY_MONITORSTORE_QUALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"
#include "quality/decay.h"
#include "quality/figures.h"
#include "quality/maturity.h"

struct pg_session;

/* A version whose decisions are counted. */
struct judged_model {
    int32_t lane;
    int64_t version;
    struct slice name;
    int64_t label_delay_days;
    struct quality_promise promise; /* of its bundle */
};
/* *is_there false: none yet. */
MUST_USE enum err judged_model_read(struct pg_session *s, int32_t lane, int64_t version,
                                    struct judged_model *out, bool *is_there, struct arena *arena,
                                    struct why *why);
MUST_USE enum err judged_model_add(struct pg_session *s, const struct judged_model *m, struct why *why);
/* Those with days, that with the newest first; of a lane, or of all (-1). *out is the arena's. */
MUST_USE enum err judged_model_list(struct pg_session *s, int32_t lane, struct judged_model **out,
                                    size_t *count, struct arena *arena, struct why *why);

/* A day that is not there is empty.
 *   ERR_SYNTAX  what is stored is damaged */
MUST_USE enum err judged_day_read(struct pg_session *s, int32_t lane, int64_t version, int64_t day,
                                  struct quality_day *out, struct why *why);
MUST_USE enum err judged_day_write(struct pg_session *s, int32_t lane, int64_t version, int64_t day,
                                   const struct quality_day *counts, struct why *why);
/* Forgets the days of a lane before, and what was found on them. */
MUST_USE enum err judged_day_forget(struct pg_session *s, int32_t lane, int64_t before_us, struct why *why);

/* ---- the report ---- */

enum { QUALITY_DAYS_DEFAULT = 30, QUALITY_DAYS_MAX = 400, QUALITY_RECENT_DAYS = 7 };

/* Card Precision@k (quality/cards.h) of a day; `k` is 0 while it has not been looked at. */
struct quality_report_cards {
    int64_t k, customers, found; /* wanted, looked at, and of them with fraud */
};
/* NaN when there is none. */
double quality_report_cards_precision(const struct quality_report_cards *c);

struct quality_report_day {
    int64_t day;
    bool is_matured;
    uint64_t decisions, unscored, frauds; /* frauds that are known so far, unweighted */
    double known; /* share of its eventual frauds that is known by now; NaN: nobody knows */
    struct quality_rate rate;
    struct quality_figures realised; /* of a day that has not matured: by what is known so far */
    struct quality_figures estimated;
    struct quality_report_cards cards; /* of a day that has matured, a while after that */
};

struct quality_report {
    struct judged_model model;
    int64_t until_day; /* the lane's today */
    struct quality_maturity maturity;
    struct quality_report_day *days; /* the oldest first; days without decisions are left out */
    size_t count, matured;
    struct quality_track track; /* of matured days: how far the estimates were off */
    /* All matured days together, and the QUALITY_RECENT_DAYS newest of them; NaN without any. */
    struct quality_figures whole, recent;
    struct quality_calibration calibration; /* of the recent ones */
    struct quality_figures coming;          /* estimated, of the days that have ended and not matured */
};

/* `days` back from the lane's now (1 to QUALITY_DAYS_MAX); the curve and the track are of the same days. *out is the
 * arena's. What counts as flagged is all that was not approved. */
MUST_USE enum err quality_report_read(struct pg_session *s, const struct judged_model *model, int64_t days,
                                      struct quality_report *out, struct arena *arena, struct why *why);
/* Those of [from, until) that there are, the oldest first: *out has *count of them and is the caller's, for mem_free(). */
MUST_USE enum err judged_days(struct pg_session *s, const struct judged_model *model, int64_t from_day,
                              int64_t until_day, struct quality_day **out, size_t *count, struct why *why);
/* A lane's today. ERR_NOT_FOUND: nothing was seen in it. */
MUST_USE enum err quality_today(struct pg_session *s, int32_t lane, int64_t *day, struct why *why);

/* As one JSON object, as REST and the command line show it. Figures that are not defined are null. */
void quality_report_write(struct json_out *o, const char *key, const struct quality_report *r);

#endif
