/* SPDX-License-Identifier: Apache-2.0
 * apikeys.h - API keys, for admins; auditors may look. */
#ifndef ASSAY_DASHBOARD_APIKEYS_H
#define ASSAY_DASHBOARD_APIKEYS_H

#include "base/err.h"

struct call;
struct pg_session;

enum err keys_list(struct call *c, struct pg_session *s, struct why *why);
enum err keys_add(struct call *c, struct pg_session *s, struct why *why);
enum err keys_rotate(struct call *c, struct pg_session *s, struct why *why);
enum err keys_revoke(struct call *c, struct pg_session *s, struct why *why);

#endif
