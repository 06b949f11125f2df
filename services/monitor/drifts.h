/* SPDX-License-Identifier: Apache-2.0
 * drifts.h - counts decisions in windows, by lane and model version: hours, and windows of so many decisions.
 *
 * A model is watched from its first decision behind the first `learn_entries` of the log on: those teach which
 * channels, countries and merchant categories there are. Its first `baseline_rows` decisions are the reference for what
 * its bundle knows nothing of. A window by count is closed when it is full, or when it is old and not quite small.
 *
 * What is held in memory is a copy of what is stored, for DRIFTS_HELD models at most: drifts_drop() forgets it. The
 * caller holds the lock of who works, and calls drifts_store() in the transaction in which it moves its place. */
#ifndef ASSAY_MONITOR_DRIFTS_H
#define ASSAY_MONITOR_DRIFTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "drift/verdict.h"
#include "intake.h"

struct drifts;
struct pg_session;

enum { DRIFTS_HELD = 32 };

struct drifts_conf {
    uint64_t learn_entries;
    uint64_t baseline_rows;
    uint64_t window_rows; /* of a window by count */
    uint64_t least_rows;  /* of one that is closed for its age */
    int64_t oldest_us;    /* the age */
    struct drift_settings judging;
};

/* A window by count that is full and was judged. Everything is borrowed for the call. */
struct drifts_closed {
    int32_t lane;
    int64_t version;
    struct slice name; /* of the model */
    int64_t number;    /* of the window, from 1 */
    struct slice arm;  /* of the decision that filled it */
    const struct drift_layout *layout;
    const struct drift_window *window;
    const struct drift_verdict *verdicts; /* [drift_layout_subjects()] */
    const struct drift_alarms *alarms;    /* after this window */
    const struct drift_alarm *changes;    /* by this window */
    size_t change_count;
    bool has_histograms;
};
typedef enum err drifts_closed_fn(void *ctx, struct pg_session *s, const struct drifts_closed *closed,
                                  struct why *why);

struct drifts *drifts_new(const struct drifts_conf *conf, drifts_closed_fn *on_closed, void *ctx);
void drifts_free(struct drifts *d);

/* Counts one decision. Those of models that the registry does not hold are left out and counted. */
MUST_USE enum err drifts_add(struct drifts *d, struct pg_session *s, const struct decided *decision,
                             struct why *why);
/* Writes what has changed. */
MUST_USE enum err drifts_store(struct drifts *d, struct pg_session *s, struct why *why);
/* Forgets what is held: it was not committed, or somebody else may have changed it. */
void drifts_drop(struct drifts *d);

/* Decisions that were not counted, since the start. */
uint64_t drifts_left_out(const struct drifts *d);

#endif
