/* SPDX-License-Identifier: Apache-2.0
 * caseflip.h - the smallest changes that would have flipped a case's decision (flip/flip.h), over REST: by the model, the
 * rule set and the lists that it was made with. */
#ifndef ASSAY_DASHBOARD_CASEFLIP_H
#define ASSAY_DASHBOARD_CASEFLIP_H

#include "base/err.h"

struct call;
struct pg_session;

/* On the desk of past decisions (dashboard_ask_past()). */
enum err case_flip(struct call *c, struct pg_session *s, struct why *why);

#endif
