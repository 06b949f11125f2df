/* SPDX-License-Identifier: Apache-2.0
 * runbook.h - where the manual says what to look at and what to do, by what an alert is called. */
#ifndef ASSAY_ALERTS_RUNBOOK_H
#define ASSAY_ALERTS_RUNBOOK_H

#include "base/slice.h"

/* "docs/operations.md#featuredrifted" of "Drift", in the form that Prometheus' rules have it in too; an empty slice for
 * a name that the manual does not know. */
struct slice alert_runbook(struct slice name);

#endif
