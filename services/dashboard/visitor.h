/* SPDX-License-Identifier: Apache-2.0
 * visitor.h - who asks: log-in, sessions, and whether a route may be asked.
 *
 * A session is 256 random bits in a cookie; the database has their SHA-256. The CSRF token is another hash of the same
 * bits, so it belongs to the session and needs no place of its own; a page of another site can read neither.
 *
 * Over TLS, its own or a proxy's (dashboard_settings.is_behind_tls), the cookies are Secure and their names have the
 * prefixes that say so. Who changes his password gets another session in place of all he had.
 *
 * Wrong passwords are counted, and from some number on each further one doubles the wait, up to a quarter of an hour:
 *
 *   name and address  from 5 on          so a stranger keeps himself waiting, and not the name's owner elsewhere;
 *   address           from 30 on         of all names together; IPv6 by networks of 64 bits;
 *   name              from 100 on        from all addresses; one is forgotten in three minutes. It bounds what many
 *                                        addresses try: 100, then some 600 in a day;
 *   known browser     from 5 on          instead of the others. Who logs in leaves a cookie there of 256 random bits
 *                                        (90 days, a new one each time), so nothing that strangers do, from wherever, keeps
 *                                        a person out of the browser that he uses.
 *
 * The first two and the last begin anew after an hour of rest, and name with address at a log-in. */
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
