/* SPDX-License-Identifier: Apache-2.0
 * follower.h - how far those who follow a growing table have come: the table `followers`.
 *
 * A follower reads, writes what it made of it, and moves its place in one SQL transaction, between
 * follower_begin() and follower_commit(): so each row counts once, whatever dies in between, and of two with
 * the same name one waits for the other.
 *
 * Blocking (pg/session.h). Errors are those of pg/pg.h. */
#ifndef ASSAY_LIFESTORE_FOLLOWER_H
#define ASSAY_LIFESTORE_FOLLOWER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct pg_session;

/* As it stands, without a lock or a transaction; *position as below. */
MUST_USE enum err follower_look(struct pg_session *s, const char *follower, json_t **position,
                                struct why *why);
/* Begins a transaction and takes the follower's row in it. *position is its JSON, the caller's, for
 * json_decref(); NULL when it has no place yet. After an error the transaction is no more. */
MUST_USE enum err follower_begin(struct pg_session *s, const char *follower, json_t **position,
                                 struct why *why);
/* Writes the place and commits. */
MUST_USE enum err follower_commit(struct pg_session *s, const char *follower, const json_t *position,
                                  struct why *why);
/* Undoes what the transaction did; its failures do not matter. */
void follower_abandon(struct pg_session *s);

#endif
