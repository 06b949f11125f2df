/* SPDX-License-Identifier: Apache-2.0
 * settings.h - what the service was started with, and what thresholds would have done with the last month.
 *
 * The second is a histogram: payments by edges of their score, by what is known of them, with their amounts. So a page
 * can move a threshold from edge to edge and have exact figures at each without asking again. */
#ifndef ASSAY_DASHBOARD_SETTINGS_H
#define ASSAY_DASHBOARD_SETTINGS_H

#include "base/err.h"

struct call;
struct pg_session;

enum err settings_get(struct call *c, struct pg_session *s, struct why *why);
enum err thresholds_get(struct call *c, struct pg_session *s, struct why *why);

#endif
