/* SPDX-License-Identifier: Apache-2.0
 * learner.h - keeps the online model of the name whose champion was promoted last up with the log (teacher.h),
 * and shows how it does. What it said of each payment before it learned is the canary for drift. */
#ifndef ASSAY_RETRAINER_LEARNER_H
#define ASSAY_RETRAINER_LEARNER_H

#include <stdbool.h>

#include "base/err.h"

struct learner;
struct metrics;
struct retrainer_settings;

/* Errors are those of watch_open(). */
MUST_USE enum err learner_open(struct learner **out, struct metrics *metrics,
                               const struct retrainer_settings *conf, struct why *why);
void learner_close(struct learner *l);
bool learner_is_well(struct learner *l, struct why *trouble);

#endif
