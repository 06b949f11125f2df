/* SPDX-License-Identifier: Apache-2.0
 * control.h - the control slice in the pipeline: settings as PostgreSQL has them, and a stage that asks for room.
 *
 * While an account has no slice, nothing is asked and nothing is paid. Else a payment that the score alone
 * declined goes through the stage CLAIM on its way to the commit: one call of claim_control_slice() for a group,
 * which needs no flush of its own. What is let through is approved, and its record says so: `is_control`, the
 * private reason "control_slice", and `score_action` decline. When the claim fails or is not answered in time,
 * the decline stands and p_allow is 0: that does not depend on the draw, so estimates stay unbiased
 * (policy/control.h); what the claim may have used up stays used. */
#ifndef ASSAY_INGESTION_CONTROL_H
#define ASSAY_INGESTION_CONTROL_H

#include <stdbool.h>

#include "policy/control.h"

struct control;
struct ingestion;
struct job;

struct control *control_new(struct ingestion *in);
void control_free(struct control *c);
/* Reads the settings now; for pg's on_up and on_notify. They are read every two seconds anyway. */
void control_read(struct control *c);

/* Whether the job, now decided, has to go through STAGE_CLAIM. */
bool control_is_asked(const struct control *c, const struct job *job);

#endif
