/* SPDX-License-Identifier: Apache-2.0
 * watching.h - how windows are cut and judged, and when a new model is asked for: the setting ASSAY_MONITOR_DRIFT, a
 * JSON object of which every member may be left out.
 *
 *   learn_entries 1000     the first entries of the log teach which categories there are
 *   baseline_rows 5000     the first decisions of a model: the reference for what its bundle knows nothing of
 *   window_rows 10000      decisions of a window
 *   window_rows_least 500  of one that is closed for its age,
 *   window_days 7          which is this
 *   windows 2              running, that make an alarm
 *   alpha 0.05  js 0.002  missing 0.01  unseen 0.005  design_effect 1  rows_least 50  segment_rows_least 200
 *                          see drift/verdict.h
 *   asks_for_models true   whether a new model is asked for
 *   cooldown_days 7        between two requests for the same name, by the lane's clock
 *   silent_minutes 30, degraded 0.05, unscored 0.05, late 0.05, duplicates 0.01
 *                          the state of the data: see state.h
 *   quality_days 7         a window of matured days, for decay; quality_windows 2 running make an alarm
 *   quality_alpha 0.01, quality_loss 0.1, quality_frauds_least 50
 *                          see quality/decay.h
 *   quality_cards 100      customers that could be looked at in a day, for Card Precision@k; 0: it is not computed
 *   calibration 0.25       share by which frauds may differ from what the scores said */
#ifndef ASSAY_MONITOR_WATCHING_H
#define ASSAY_MONITOR_WATCHING_H

#include "base/err.h"
#include "decays.h"
#include "drifts.h"
#include "findings.h"
#include "state.h"

struct watching {
    struct drifts_conf drifts;
    struct findings_conf findings;
    struct state_conf state;
    struct decays_conf decays;
    int64_t cards;
};

/*   ERR_SYNTAX, ERR_INVALID  no such JSON, a member that is not known or out of its bounds; *why says which */
MUST_USE enum err watching_read(struct watching *out, const char *json, struct why *why);

#endif
