/* SPDX-License-Identifier: Apache-2.0
 * verifier.h - computes a sample of the vectors that were served again, from the log alone, and compares them: in a
 * thread of its own, with a connection of its own. A feature that differs in one bit is a fault of Assay's or of its
 * data, so it is a critical condition.
 *
 * The log is read from its beginning for it, so it is done seldom: the next one comes after the time in the settings,
 * or after 50 times as long as it took. Of several monitors whoever is free does it; results are rows of
 * `monitor_checks`. Imported transactions and decisions made without features have no vector to compare.
 *
 * The same thread does what else is seldom and reads much: Card Precision@k of days that have matured (cards.h). */
#ifndef ASSAY_MONITOR_VERIFIER_H
#define ASSAY_MONITOR_VERIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct metrics;
struct monitor_settings;
struct verifier;

/* `cards`: how many customers are looked at of a day; 0: none. Errors are those of watch_open(). */
MUST_USE enum err verifier_open(struct verifier **out, struct metrics *metrics,
                                const struct monitor_settings *conf, int64_t cards, struct why *why);
/* Ends what is under way. */
void verifier_close(struct verifier *v);

#endif
