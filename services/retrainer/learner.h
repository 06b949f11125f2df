/* SPDX-License-Identifier: Apache-2.0
 * learner.h - teaches the online model of the name whose champion was promoted last from each label as it arrives.
 *
 * Labels are taken in the order of the log, which their one writer commits in. One teaches when it changes what
 * holds of its payment (the first does; one of a weaker source does not), by the vector that was stored with the
 * decision. The model and the follower's place are one SQL transaction: so a label counts once, whatever dies. What
 * it said of each payment before it learned is exported, and is the canary for drift. */
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
