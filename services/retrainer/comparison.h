/* SPDX-License-Identifier: Apache-2.0
 * comparison.h - two versions on the very same decisions whose outcome is known: precision and recall, calibration,
 * money by threshold.
 *
 * Both score the vectors that were served then, so neither need have been served. A decision counts where its vector has
 * the features of both, it is old enough that its label has come, and its payment went through (weight 1 / p_allow):
 * what was declined has no outcome. Of the span the newest COMPARISON_ROWS decisions are read, so that an answer takes
 * a few seconds at most.
 *
 * Blocking (pg/session.h). */
#ifndef ASSAY_RETRAINER_COMPARISON_H
#define ASSAY_RETRAINER_COMPARISON_H

#include <stdint.h>

#include "base/err.h"
#include "json/json_out.h"

struct pg_session;

enum { COMPARISON_ROWS = 50000 };

struct comparison_query {
    int64_t versions[2];       /* champion, challenger */
    int64_t from_us, until_us; /* of known_at */
    int64_t now_us;            /* labels that became known from then on are not there yet */
    double decline_cost;       /* of a good payment's amount */
};

/* Writes its members into the open object.
 *   ERR_NOT_FOUND  no such version
 * others are those of pg_copy_out() and bundle_open(). */
MUST_USE enum err comparison_write(struct json_out *o, struct pg_session *s,
                                   const struct comparison_query *query, struct why *why);

#endif
