/* SPDX-License-Identifier: Apache-2.0
 * upkeep.h - whether what keeps models good goes on: labels come, retraining works, and those who follow the log keep
 * up with it. */
#ifndef ASSAY_MONITOR_UPKEEP_H
#define ASSAY_MONITOR_UPKEEP_H

#include "base/err.h"

struct pg_session;

/* Raises and clears conditions (monitorstore/condition.h) of the kinds
 *   labels      of a lane in whose last two days payments came and no label, though labels came every day before
 *   retraining  of a name whose last run failed
 *   behind      of a follower that has had entries to read for ten minutes and has not moved
 * Errors are those of pg/pg.h. */
MUST_USE enum err upkeep_look(struct pg_session *s, struct why *why);

#endif
