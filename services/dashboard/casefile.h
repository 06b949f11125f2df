/* SPDX-License-Identifier: Apache-2.0
 * casefile.h - all that is known of a case over REST: the payment, its decision with reasons and values, what happened
 * since, and what its entities did before. */
#ifndef ASSAY_DASHBOARD_CASEFILE_H
#define ASSAY_DASHBOARD_CASEFILE_H

#include "base/err.h"

struct call;
struct pg_session;

enum err case_get(struct call *c, struct pg_session *s, struct why *why);
enum err case_velocity(struct call *c, struct pg_session *s, struct why *why);
enum err overview_get(struct call *c, struct pg_session *s, struct why *why);

#endif
