/* SPDX-License-Identifier: Apache-2.0
 * delegate.h - one service speaks to another for a person whom it has let in.
 *
 *   dashboard  makes a key when it needs one: 256 random bits, in its memory only; the table `delegates` has the SHA-256
 *   dashboard  asks with the key as bearer and "X-Assay-Actor: user:ann"
 *   rules      finds the key in the table, and takes ann for who asks
 *
 * So the right to speak for others is the right to write that table. Nothing is configured, and a key that gets out is
 * of no use after a day.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_USERSTORE_DELEGATE_H
#define ASSAY_USERSTORE_DELEGATE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "pg/session.h"

enum { DELEGATE_KEY_SIZE = 68, DELEGATE_HOURS = 24 };

/* A new key, good for DELEGATE_HOURS; those that have expired go. */
MUST_USE enum err delegate_make(struct pg_session *s, const char *service, char key[DELEGATE_KEY_SIZE],
                                struct why *why);
/* Whether a bearer's text looks like one ("dk_" and 64 hex digits), so that it is to be looked up as one. */
bool delegate_looks_like(struct slice key);
/*   ERR_UNAUTHORIZED  it is none, or has expired */
MUST_USE enum err delegate_check(struct pg_session *s, struct slice key, struct why *why);
/* The name in "user:ann".   ERR_INVALID  there is none */
MUST_USE enum err delegate_actor(struct slice said, struct slice *name, struct why *why);

#endif
