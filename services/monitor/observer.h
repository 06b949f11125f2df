/* SPDX-License-Identifier: Apache-2.0
 * observer.h - follows the log and its decisions, counts them, and says what is wrong: in a thread of its own, with a
 * connection of its own.
 *
 * What is counted and the place up to which it was read move in one SQL transaction: nothing is lost or counted
 * twice, whatever dies. Of several monitors one works, which holds an advisory lock; the others wait for it. */
#ifndef ASSAY_MONITOR_OBSERVER_H
#define ASSAY_MONITOR_OBSERVER_H

#include <stdbool.h>

#include "base/err.h"

struct metrics;
struct monitor_settings;
struct observer;

/* Errors are those of watch_open(). */
MUST_USE enum err observer_open(struct observer **out, struct metrics *metrics,
                                const struct monitor_settings *conf, struct why *why);
void observer_close(struct observer *o);

/* Whether the last turn went well, also one that found another at work; else why not. */
bool observer_is_well(struct observer *o, struct why *trouble);

#endif
