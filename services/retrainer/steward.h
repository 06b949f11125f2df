/* SPDX-License-Identifier: Apache-2.0
 * steward.h - keeps watch: fires schedules that are due, has one run trained after the other, and takes each
 * candidate a step further. In a thread of its own, with a connection of its own. */
#ifndef ASSAY_RETRAINER_STEWARD_H
#define ASSAY_RETRAINER_STEWARD_H

#include <stdbool.h>

#include "base/err.h"

struct metrics;
struct retrainer_settings;
struct steward;

/* Errors are those of watch_open(). */
MUST_USE enum err steward_open(struct steward **out, struct metrics *metrics,
                               const struct retrainer_settings *conf, struct why *why);
/* Tells a training under way to stop, and waits for it. */
void steward_close(struct steward *st);

/* Something changed: look now. Any thread. */
void steward_wake(struct steward *st);
bool steward_is_well(struct steward *st, struct why *trouble);

#endif
