/* SPDX-License-Identifier: Apache-2.0
 * slice_report.h - what the declines are worth, told from those that the control slice let through: precision, recall
 * and money of the policy in force and of other thresholds (policystore/outcomes.h, stats/weighting.h).
 *
 * Blocking (pg/session.h). */
#ifndef ASSAY_POLICYSTORE_SLICE_REPORT_H
#define ASSAY_POLICYSTORE_SLICE_REPORT_H

#include <stdbool.h>

#include "base/slice.h"
#include "json/json_out.h"
#include "policystore/outcomes.h"
#include "stats/weighting.h"

struct pg_session;

enum { SLICE_THRESHOLDS_MAX = 32, SLICE_FIGURES = 7 };
#define SLICE_THRESHOLDS "0.05,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
/* The figures of a line that are told, in this order. */
extern const enum weighted_figure slice_figures[SLICE_FIGURES];

/* One line: the policy that was in force, or a threshold. */
struct slice_line {
    bool is_policy;
    double threshold;
    struct weighted w;
};

struct slice_report {
    struct outcomes outcomes;
    struct slice_line lines[SLICE_THRESHOLDS_MAX + 1];
    size_t count; /* the first is the policy */
};

/* Thresholds with commas between them, from 0 to 1, behind the line of the policy; false when they are not. */
bool slice_thresholds_read(struct slice_report *r, struct slice text);

/* When the newest decision of an account (0: any) was made, which is "now" where a clock is simulated.
 *   ERR_NOT_FOUND  there is none */
MUST_USE enum err slice_newest(struct pg_session *s, uint32_t account, int64_t *at_us, struct why *why);

/* Reads the outcomes and fills the lines. *r is to be released, also after an error.
 *   rounds         of the bootstrap; 0: no intervals
 *   ERR_NOT_FOUND  the score decided nothing in the span
 * others are those of outcomes_read() and weighted_estimate(). */
MUST_USE enum err slice_report_read(struct slice_report *r, struct pg_session *s,
                                    const struct outcomes_query *query, size_t rounds, struct why *why);
void slice_report_release(struct slice_report *r);

/* Its members, into the open object. */
void slice_report_write(struct json_out *o, const struct slice_report *r, const struct outcomes_query *query);

#endif
