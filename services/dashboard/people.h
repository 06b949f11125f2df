/* SPDX-License-Identifier: Apache-2.0
 * people.h - users and the audit trail over REST. */
#ifndef ASSAY_DASHBOARD_PEOPLE_H
#define ASSAY_DASHBOARD_PEOPLE_H

#include "base/err.h"

struct call;
struct pg_session;

enum err users_list(struct call *c, struct pg_session *s, struct why *why);
enum err users_add(struct call *c, struct pg_session *s, struct why *why);
enum err users_password(struct call *c, struct pg_session *s, struct why *why);
enum err users_roles(struct call *c, struct pg_session *s, struct why *why);
enum err users_disable(struct call *c, struct pg_session *s, struct why *why);
enum err users_enable(struct call *c, struct pg_session *s, struct why *why);
enum err audit_get(struct call *c, struct pg_session *s, struct why *why);
enum err audit_post_verify(struct call *c, struct pg_session *s, struct why *why);

#endif
