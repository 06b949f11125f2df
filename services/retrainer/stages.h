/* SPDX-License-Identifier: Apache-2.0
 * stages.h - what a candidate must pass, and how strictly: the settings of shared/lifecycle, by one JSON object.
 *
 *   ASSAY_RETRAINER_STAGES='{"ab": false, "shadow_days": 14, "watch_days": 3}'
 *
 * Every member may be left out; stages.c has the table. */
#ifndef ASSAY_RETRAINER_STAGES_H
#define ASSAY_RETRAINER_STAGES_H

#include "base/err.h"
#include "lifecycle/ab.h"
#include "lifecycle/controller.h"
#include "lifecycle/gates.h"
#include "lifecycle/guardrail.h"
#include "lifecycle/shadow.h"

struct stages {
    struct lifecycle_settings steps;
    struct gate_settings gates;
    struct shadow_settings shadow;
    struct ab_design ab;
    struct guardrail_settings guardrails;
    double ab_days;          /* as many as are planned for: planned_rows follows from it and the last week */
    double label_delay_days; /* until a row is matured */
    double look_hours;       /* between two looks, and between two at the guardrails */
};

/*   ERR_SYNTAX   no JSON object
 *   ERR_INVALID  a member that is not known, of another type or out of its bounds */
MUST_USE enum err stages_read(struct stages *out, const char *json, struct why *why);

#endif
