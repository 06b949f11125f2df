/* SPDX-License-Identifier: Apache-2.0
 * webhook_row.h - who is told: the table `webhooks`.
 *
 * Secrets are made here, told once, and lie sealed in the table (seal.h), bound to the webhook's name. Every change
 * leaves a row in `audit`, without the secret and without the URL, in which there may be one.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_ALERTSTORE_WEBHOOK_ROW_H
#define ASSAY_ALERTSTORE_WEBHOOK_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alerts/webhook.h"
#include "alertstore/seal.h"
#include "base/arena.h"
#include "json/json_out.h"

struct pg_session;

enum { WEBHOOKS_MAX = 64 };

/* How long messages are signed with the secret before the last one too. */
#define WEBHOOK_OVERLAP_US (24 * INT64_C(3600000000))

struct webhook_row {
    int64_t id;
    struct slice name, url; /* the arena's */
    bool is_enabled;
    struct slice disabled_because;
    int64_t created_us, old_until_us; /* old_until_us: INT64_MIN when one secret counts */
    int64_t waiting;                  /* messages on their way */
};
/* As one JSON object. Never with a secret. */
void webhook_row_write(struct json_out *o, const char *key, const struct webhook_row *w);

/* By name. */
MUST_USE enum err webhook_row_list(struct pg_session *s, struct webhook_row **out, size_t *count,
                                   struct arena *arena, struct why *why);
/* ERR_NOT_FOUND  there is none of that name */
MUST_USE enum err webhook_row_read(struct pg_session *s, struct slice name, struct webhook_row *out,
                                   struct arena *arena, struct why *why);

/* Adds one; its secret is made and left in *secret, for whoever receives its messages. What the URL must look like
 * is the caller's to see to (deliver/address.h).
 *   ERR_CONFLICT  the name is taken      ERR_INVALID  it is none ([a-z0-9][a-z0-9_-]{0,62}), or there is no key
 *   ERR_LIMIT     there are WEBHOOKS_MAX */
MUST_USE enum err webhook_row_add(struct pg_session *s, const struct seal_key *key, struct slice name,
                                  struct slice url, struct slice actor, struct webhook_secret *secret,
                                  struct why *why);
/* A new secret; the one before it signs along for WEBHOOK_OVERLAP_US.
 *   ERR_NOT_FOUND   ERR_INVALID  there is no key */
MUST_USE enum err webhook_row_rotate(struct pg_session *s, const struct seal_key *key, struct slice name,
                                     int64_t now_us, struct slice actor, struct webhook_secret *secret,
                                     struct why *why);
/* What waits for a disabled one is sent when it is enabled again; nothing new is added. `because` is for people, and
 * not looked at when it is enabled.   ERR_NOT_FOUND */
MUST_USE enum err webhook_row_enable(struct pg_session *s, struct slice name, bool is_enabled,
                                     struct slice because, struct slice actor, struct why *why);
/* With all that was on its way to it.   ERR_NOT_FOUND */
MUST_USE enum err webhook_row_remove(struct pg_session *s, struct slice name, struct slice actor,
                                     struct why *why);

#endif
