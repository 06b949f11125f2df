/* SPDX-License-Identifier: Apache-2.0
 * state.h - whether the data itself is well: conditions about what comes, how late, how often twice, and what was
 * decided while a part was missing. By the counts of a lane's last hours (monitorstore/health.h).
 *
 *   silent      nothing came for so many minutes, though at least one a minute did in the day before; live lane only
 *   degraded, unscored, duplicates
 *               their share of the last hour and the one that is under way
 *   late        the share that became known more than an hour after it happened
 *
 * A share is judged from STATE_ROWS_LEAST on. */
#ifndef ASSAY_MONITOR_STATE_H
#define ASSAY_MONITOR_STATE_H

#include <stdint.h>

#include "base/err.h"

struct pg_session;

enum { STATE_ROWS_LEAST = 200 };

struct state_conf {
    int64_t silent_minutes;
    double degraded, unscored, late, duplicates; /* shares */
};
#define STATE_CONF_DEFAULT                                                                                   \
    ((struct state_conf){                                                                                    \
        .silent_minutes = 30, .degraded = 0.05, .unscored = 0.05, .late = 0.05, .duplicates = 0.01 })

/* Looks at all lanes and reports their conditions, in the caller's transaction. Errors are those of pg/pg.h. */
MUST_USE enum err state_look(const struct state_conf *conf, struct pg_session *s, struct why *why);

#endif
