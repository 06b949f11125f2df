/* SPDX-License-Identifier: Apache-2.0
 * cases.h - the review queue over REST: found, taken, decided, one or many.
 *
 * A case says its version, and whoever changes it says which one was seen. Taking the next one is a single statement
 * that passes over rows that others hold at that moment (FOR UPDATE SKIP LOCKED), so no case goes to two people. Each
 * change has a row of `audit`, whose subject is the case's number, in the same SQL transaction. */
#ifndef ASSAY_DASHBOARD_CASES_H
#define ASSAY_DASHBOARD_CASES_H

#include "base/err.h"

struct call;
struct pg_session;

enum err cases_list(struct call *c, struct pg_session *s, struct why *why);
enum err cases_next(struct call *c, struct pg_session *s, struct why *why);
enum err case_assign(struct call *c, struct pg_session *s, struct why *why);
enum err case_extend(struct call *c, struct pg_session *s, struct why *why);
enum err case_snooze(struct call *c, struct pg_session *s, struct why *why);
enum err case_decide(struct call *c, struct pg_session *s, struct why *why);
enum err case_undo(struct call *c, struct pg_session *s, struct why *why);
enum err case_note(struct call *c, struct pg_session *s, struct why *why);
enum err cases_preview(struct call *c, struct pg_session *s, struct why *why);
enum err cases_decide(struct call *c, struct pg_session *s, struct why *why);
enum err views_list(struct call *c, struct pg_session *s, struct why *why);
enum err view_put(struct call *c, struct pg_session *s, struct why *why);
enum err view_delete(struct call *c, struct pg_session *s, struct why *why);

#endif
