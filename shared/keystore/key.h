/* SPDX-License-Identifier: Apache-2.0
 * key.h - API keys in PostgreSQL: made, listed, ended and replaced, by the command line and by the dashboard.
 *
 * A secret is told once, by the function that makes it, and is nowhere else: neither in a table nor in a log. Each
 * change has a row of `audit` in the same SQL transaction. Services that run hear of it at once.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_KEYSTORE_KEY_H
#define ASSAY_KEYSTORE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "fraud/api_key.h"
#include "json/json_out.h"
#include "pg/session.h"

enum { KEY_RATE_MOST = 1000000, KEY_DAYS_MOST = 36500, KEY_TEXT_MOST = 200 };

/* X(scope, what a key with it may do) */
#define KEY_SCOPES(X)                                                                                        \
    X("decide", "send transactions and get decisions")                                                       \
    X("read", "get stored decisions")                                                                        \
    X("explain", "see features, contributions and rule texts too")                                           \
    X("import", "send history")                                                                              \
    X("admin", "manage what belongs to the account")                                                         \
    X("rules:write", "write rule sets and lists, over REST of the rules service")                            \
    X("rules:approve", "publish and roll back rule sets that others wrote")                                  \
    X("label:customer", "send labels as a customer")                                                         \
    X("label:analyst", "send labels as an analyst")                                                          \
    X("label:issuer", "send labels as an issuer")                                                            \
    X("label:chargeback", "send labels of chargebacks")
extern const struct key_scope {
    const char *name, *may;
} key_scopes[];
extern const size_t key_scope_count;

struct key_wish {
    struct slice account, owner, note;
    struct slice scopes; /* "decide read", commas or spaces between; "all": every one */
    int64_t rate_per_s;  /* 0: no limit */
    int64_t burst;       /* 0: as the rate */
    int64_t days;        /* until it expires; 0: never */
};

struct key_row {
    char prefix[API_KEY_PREFIX_LEN + 1];
    struct slice account, owner, note;
    struct slice scopes; /* commas between */
    const char *state;   /* "valid", "expired" or "revoked" */
    int64_t rate_per_s, burst;
    int64_t created_at_us, expires_at_us, revoked_at_us, used_at_us; /* 0: never */
};

/* Makes a key; *key has its whole text, which is the caller's to show and to forget (api_key_forget()).
 *   ERR_INVALID    an unknown scope, or a number or text beyond its limit
 *   ERR_NOT_FOUND  there is no such account */
MUST_USE enum err key_make(struct pg_session *s, const struct key_wish *wish, struct slice actor,
                           struct api_key *key, struct why *why);
/* Makes one with all that `prefix` has, for as long as that had from its making on, and has the old one expire
 * `grace_s` from now, unless it does so before; 0: it ends at once.
 *   ERR_NOT_FOUND  there is no such key
 *   ERR_CONFLICT   it is revoked or has expired */
MUST_USE enum err key_rotate(struct pg_session *s, struct slice prefix, int64_t grace_s, struct slice actor,
                             struct api_key *key, struct why *why);
/* Ends it at once; again it changes nothing.   ERR_NOT_FOUND  there is no such key */
MUST_USE enum err key_revoke(struct pg_session *s, struct slice prefix, struct slice actor, struct why *why);

/* The oldest first, of one account or of all (empty). */
MUST_USE enum err key_list(struct pg_session *s, struct slice account, struct key_row **out, size_t *count,
                           struct arena *arena, struct why *why);
void key_write(struct json_out *o, const char *name, const struct key_row *row);

/* Overwrites what is secret in it. */
void api_key_forget(struct api_key *key);

#endif
