/* SPDX-License-Identifier: Apache-2.0
 * places.h - where a case's payment was made, and the payments of its card before it, where they carry coordinates. */
#ifndef ASSAY_DASHBOARD_PLACES_H
#define ASSAY_DASHBOARD_PLACES_H

#include "base/err.h"

struct call;
struct pg_session;

enum err case_places(struct call *c, struct pg_session *s, struct why *why);

#endif
