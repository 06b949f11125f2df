/* SPDX-License-Identifier: Apache-2.0
 * shadow.h - follows the log and scores each decision with the versions of the aliases `shadow` and `challenger`.
 *
 *   log ─▶ the decision of each entry ─▶ shadow_scores      with the place of the follower, in one SQL transaction
 *
 * Decisions become visible in no order, but the log has one: its single writer commits one append after another.
 * So the follower reads the log, and looks up the decision of each transaction by its key. An entry whose
 * decision is not there yet (it is on its way, or waits for a retry) is remembered in the follower's place and
 * looked up again, until it is. Each version has a follower of its own, which begins with what is logged after the
 * version got its alias. */
#ifndef ASSAY_SHADOW_SHADOW_H
#define ASSAY_SHADOW_SHADOW_H

#include <stdint.h>

#include "base/err.h"

struct service;
struct shadow;

struct shadow_conf {
    const char *pg_url, *pg_role;
    const char *model_keys; /* path of those whose signatures are asked for; empty: none is */
    int64_t turn_ms;
};

/* Ready when its last turn went well.   Errors are those of watch_open() and model_keys_read() */
MUST_USE enum err shadow_open(struct shadow **out, struct service *app, const struct shadow_conf *conf,
                              struct why *why);
void shadow_close(struct shadow *s);

#endif
