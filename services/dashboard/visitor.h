/* SPDX-License-Identifier: Apache-2.0
 * visitor.h - who asks: log-in, sessions, and whether a route may be asked.
 *
 * A session is 256 random bits in a cookie; the database has their SHA-256. The CSRF token is another hash of the same
 * bits, so it belongs to the session and needs no place of its own; a page of another site can read neither. */
#ifndef ASSAY_DASHBOARD_VISITOR_H
#define ASSAY_DASHBOARD_VISITOR_H

#include <stdbool.h>

#include "base/err.h"
#include "base/hash.h"

struct call;
struct pg_session;

/* For desk_conf.admit; call.scope has the roles.
 *   ERR_UNAUTHORIZED  no valid session      ERR_SYNTAX  a body that is not declared as call.body_type
 *   ERR_FORBIDDEN     without the token, for all but GET; or none of the roles */
MUST_USE enum err visitor_admit(struct call *c, struct pg_session *s, struct why *why);

/* The SHA-256 of the session's token, which is its key in the table. False: there is none. */
bool visitor_token(const struct call *c, unsigned char digest[SHA256_BYTES]);

enum err session_begin(struct call *c, struct pg_session *s, struct why *why);
enum err session_get(struct call *c, struct pg_session *s, struct why *why);
enum err session_end(struct call *c, struct pg_session *s, struct why *why);
enum err session_password(struct call *c, struct pg_session *s, struct why *why);

#endif
