/* SPDX-License-Identifier: Apache-2.0
 * condition.h - what is wrong, as the monitor has found it: the table `monitor_conditions`.
 *
 * This is where what was found is handed over to whoever tells people: each raising and each clearing of a
 * condition gets the next `change`, in the SQL transaction in which it was found. Who has seen all up to a change asks
 * condition_list() for those after it. A condition that is raised again is a new change of the same row.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_MONITORSTORE_CONDITION_H
#define ASSAY_MONITORSTORE_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json_out.h"

struct pg_session;

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_CRITICAL, SEVERITY_COUNT };
const char *severity_name(enum severity severity);

struct condition {
    struct slice id;      /* "drift/0/handbook/7/amount": the same thing has the same id for ever */
    struct slice kind;    /* "drift", "quality", "degraded", "late", ...: see services/monitor/README.md */
    struct slice subject; /* what it is about: a feature, a model, the data of a lane */
    enum severity severity;
    int32_t lane;
    double value, threshold; /* NaN: there is none */
    struct slice text;       /* in plain words, with what to do */
    bool is_raised;
    int64_t since_us; /* server's clock; of the last change of is_raised */
    int64_t change;
};

/* Says how a condition stands, `since_us` and `change` left to the table. A condition that was never raised and is not
 * raised now leaves no row. *is_change (may be NULL): it was raised or cleared by this. */
MUST_USE enum err condition_report(struct pg_session *s, const struct condition *c, bool *is_change,
                                   struct why *why);

/* Those with a change above `after`, in the order of their changes, at most `most`; `is_raised`: only those that hold
 * now. *out is the arena's. */
MUST_USE enum err condition_list(struct pg_session *s, int64_t after, bool is_raised, size_t most,
                                 struct condition **out, size_t *count, struct arena *arena, struct why *why);

/* As one JSON object, as REST shows it. */
void condition_write(struct json_out *o, const char *key, const struct condition *c);

#endif
