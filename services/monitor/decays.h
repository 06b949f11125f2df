/* SPDX-License-Identifier: Apache-2.0
 * decays.h - looks whether models are as good as their bundles promised, now that labels have come; raises and clears
 * conditions of the kind `quality`, and asks for a new model.
 *
 *   .../average_precision  below what was promised in several windows of matured days running (quality/decay.h)
 *   .../calibration        frauds differ from what the scores said by more than a share, and by more than chance, in as
 *                          many windows running
 *
 * Windows do not overlap; the newest ends with the newest matured day. All of it is told from the stored days: nothing
 * is remembered, so it does not matter who looks, and how often. */
#ifndef ASSAY_MONITOR_DECAYS_H
#define ASSAY_MONITOR_DECAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "findings.h"
#include "quality/decay.h"

struct pg_session;

struct decays_conf {
    struct quality_decay_settings judging;
    int64_t window_days;
    uint32_t windows;   /* running; at most DECAYS_WINDOWS_MAX */
    double calibration; /* share by which frauds may differ from what was expected */
};
enum { DECAYS_WINDOWS_MAX = 8, DECAYS_WINDOW_DAYS_MAX = 31, DECAYS_MODELS_MAX = 64 };
#define DECAYS_CONF_DEFAULT                                                                                  \
    ((struct decays_conf){                                                                                   \
        .judging = quality_decay_default, .window_days = 7, .windows = 2, .calibration = 0.25 })

/* What the metrics show: of the live model that decided last, or where none does of the first of all lanes. NaN: not
 * known (yet). */
struct decays_shown {
    bool is_known;
    double matured_after_days, known_yesterday;           /* maturity */
    double promised, realised, estimated, estimate_error; /* average precision */
    double recall, false_positive_rate;                   /* realised */
    double calibration_error, calibration_ratio;
};

/* In the caller's transaction. `asking` asks for models, when its settings say so. Errors are those of pg/pg.h. */
MUST_USE enum err decays_look(const struct decays_conf *conf, struct findings *asking, struct pg_session *s,
                              struct decays_shown *shown, struct why *why);

#endif
