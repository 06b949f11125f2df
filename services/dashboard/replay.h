/* SPDX-License-Identifier: Apache-2.0
 * replay.h - a case's decision made again over REST: whether it comes out bit for bit, and how each rule that spoke came to
 * what it said. For dashboard_ask_past(). */
#ifndef ASSAY_DASHBOARD_REPLAY_H
#define ASSAY_DASHBOARD_REPLAY_H

#include "base/err.h"

struct call;
struct pg_session;

/* {"replay": as replay_write() has it, "explanation": as explanation_write() has it or null,
 *  "shadow": the same of the rule set in shadow, or null} */
enum err case_replay(struct call *c, struct pg_session *s, struct why *why);

#endif
