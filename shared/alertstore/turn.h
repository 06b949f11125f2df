/* SPDX-License-Identifier: Apache-2.0
 * turn.h - one look at all conditions: alerts become what they are now, and what is to be told of them is written into
 * the outbox, in one SQL transaction.
 *
 * Only who holds the lock may take a turn or send: two would tell everything twice.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_ALERTSTORE_TURN_H
#define ASSAY_ALERTSTORE_TURN_H

#include "alerts/notice.h"

struct pg_session;

/* Takes the lock for as long as the session lives; *has_it false: somebody else has it. */
MUST_USE enum err turn_lock(struct pg_session *s, bool *has_it, struct why *why);

struct turn {
    const struct alert_condition *conditions; /* what is not true may be left out */
    size_t condition_count;
    const struct alert_inhibition *inhibitions;
    size_t inhibition_count;
    struct alert_times times;
    struct slice source; /* of events: a URI reference */
    int64_t now_us;
};

struct turn_result {
    size_t firing[ALERT_SEVERITY_COUNT]; /* alerts, after the turn */
    size_t pending, silenced;            /* silenced: of those that fire */
    size_t changes;                      /* alerts that began, fired or ended */
    size_t notices, messages;            /* made, and written: one for each webhook */
};

/* Two conditions with the same labels are one, the first that is true. */
MUST_USE enum err turn_take(struct pg_session *s, const struct turn *turn, struct turn_result *out,
                            struct why *why);

#endif
