/* SPDX-License-Identifier: Apache-2.0
 * notice.h - from alerts to what is told of them: by group, not too often, and not what is silenced.
 *
 * Alerts with the same "alertname" are a group: what begins within group_us of the first is told in one notice.
 * An alert is told when it fires, again when its severity rises, again each repeat_us, and once when it is
 * resolved, if it was ever told. While a silence is on, or an alert that says the same better fires (it is
 * inhibited), it is not told that it fires; when that ends and it still fires, it is. */
#ifndef ASSAY_ALERTS_NOTICE_H
#define ASSAY_ALERTS_NOTICE_H

#include "alerts/alert.h"
#include "alerts/silence.h"
#include "base/arena.h"

enum { NOTICE_ALERTS_MAX = 100 }; /* of one notice; what is beyond is in the next one */

/* While an alert of the name `source` fires, those named `target` are not told if `equal` (NULL: nothing) has the same
 * value in both. */
struct alert_inhibition {
    const char *source, *target, *equal;
};

struct notice {
    enum alert_state state; /* ALERT_FIRING or ALERT_RESOLVED */
    struct slice group;     /* the alertname; the first alert's */
    struct alert **alerts;  /* of the caller's array; the list is the arena's */
    size_t count;
};

/* Marks each alert as silenced or inhibited, or not, and gathers what is to be told now; what is in a notice counts as
 * told. `alerts` are in any order; the notices are in the order of their first alert, firing before resolved. */
void notices_make(struct alert *alerts, size_t count, const struct silence *silences, size_t silence_count,
                  const struct alert_inhibition *inhibitions, size_t inhibition_count,
                  const struct alert_times *times, int64_t now_us, struct notice **out, size_t *out_count,
                  struct arena *arena);

#endif
