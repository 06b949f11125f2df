/* SPDX-License-Identifier: Apache-2.0
 * modelstore.h - the registry of models: bundles in PostgreSQL, the states they go through, and the aliases
 * that point to them.
 *
 *   registered ─▶ validated ─▶ shadow ─▶ ab ─▶ champion ─▶ retired
 *                     ▲           │       │        ▲          │
 *                     └───────────┴───────┘        └──────────┘  the way back: model_roll_back()
 *
 * Where there is no shadow stage a validated model goes to `ab` at once. Every state but champion may become
 * rejected, from which nothing leads away. A person may promote from any other. Two states have an alias, that exactly one model of a name can hold: `shadow` is alias shadow, `ab`
 * is alias challenger; champion and previous_champion are moved by promotion and rollback alone.
 *
 * Each change is one SQL transaction with its audit row; services hear of it by NOTIFY models. Changes are
 * compare-and-set: who expects something else than what is there gets ERR_CONFLICT and has changed nothing.
 *
 * Blocking (pg/session.h): for the command line, trainers and worker threads. Errors that are not named here
 * are those of pg/pg.h. */
#ifndef ASSAY_MODELSTORE_MODELSTORE_H
#define ASSAY_MODELSTORE_MODELSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "bundle/bundle.h"
#include "bundle/signature.h"

struct pg_session;

enum model_state {
    MODEL_REGISTERED,
    MODEL_VALIDATED,
    MODEL_SHADOW,
    MODEL_AB,
    MODEL_CHAMPION,
    MODEL_RETIRED,
    MODEL_REJECTED,
    MODEL_STATE_COUNT
};
/* As it stands in the table. */
const char *model_state_name(enum model_state state);
/* False when it is no state. */
bool model_state_parse(struct slice name, enum model_state *state);
/* Whether model_move() takes a model from one to the other. */
bool model_may_move(enum model_state from, enum model_state to);

/* ---- bundles ---- */

/* Stores a bundle, which is opened and checked first. The very same bundle is stored once: then *version is
 * that of the first time and *is_new (may be NULL) is false; a signature is added where there was none.
 *   signature  NULL: nobody signed      keys  whose signatures count; NULL: none is asked for
 *   actor      who says so, for the audit
 *   ERR_SYNTAX, ERR_INVALID, ERR_TOO_LARGE  as bundle_open() has them
 *   ERR_FORBIDDEN                           as bundle_signature_check() has it */
MUST_USE enum err model_register(struct pg_session *s, struct slice bundle,
                                 const struct bundle_signature *signature, const struct trusted_keys *keys,
                                 struct slice actor, int64_t *version, bool *is_new, struct why *why);

/* Signs what is stored, in the place of any signature before.
 *   ERR_NOT_FOUND  no such version      ERR_INTERNAL  the bytes are not what was stored */
MUST_USE enum err model_sign(struct pg_session *s, int64_t version, const struct signing_key *key,
                             struct slice actor, struct why *why);

/* Adds a version's bundle to `out`, after comparing it with its digest and its signature.
 *   keys           whose signatures count; NULL: none is asked for, but one that is there must be right
 *   ERR_NOT_FOUND  no such version      ERR_INTERNAL  the bytes are not what was stored
 *   ERR_FORBIDDEN  as bundle_signature_check() has it */
MUST_USE enum err model_read(struct pg_session *s, int64_t version, const struct trusted_keys *keys,
                             struct buf *out, struct why *why);

struct model_info {
    int64_t version, created_at_us;
    char name[BUNDLE_NAME_MAX + 1];
    enum model_state state;
    unsigned char sha256[SHA256_BYTES];
    bool is_signed;
    struct bundle_signature signature; /* where it is signed */
};
/* ERR_NOT_FOUND  no such version */
MUST_USE enum err model_find(struct pg_session *s, int64_t version, struct model_info *out, struct why *why);

/* What an alias of a name points to; MODEL_NONE when nothing. */
MUST_USE enum err model_find_alias(struct pg_session *s, struct slice name, const char *alias,
                                   int64_t *version, struct why *why);

/* ---- changes ---- */

/* What a caller of the functions below expects to find. */
#define MODEL_ANY  INT64_C(-1) /* whatever is there */
#define MODEL_NONE INT64_C(0)  /* nothing */

/* How a change is made, and what else belongs to it. */
struct model_change {
    struct slice actor, reason;      /* who says so and why, for the audit; the reason may be empty */
    int64_t now_us;                  /* on the caller's clock; 0: PostgreSQL's */
    const struct trusted_keys *keys; /* a promotion asks for one of their signatures; NULL: for none */
    /* Writes what belongs to the change (a verdict, the experiment's row) in the same SQL transaction, just
     * before the change itself is written; an error undoes everything and is what the caller gets. NULL:
     * nothing. It is not called when there is nothing to change. */
    enum err (*also)(void *ctx, struct pg_session *s, struct why *why);
    void *ctx;
};

/* Takes `version` from one state to the next, with the aliases of both. A rejected model loses the alias
 * previous_champion too.
 *   ERR_NOT_FOUND  no such version
 *   ERR_INVALID    model_may_move() says no
 *   ERR_CONFLICT   it is not in `from`, or another model of its name has the alias of `to` */
MUST_USE enum err model_move(struct pg_session *s, int64_t version, enum model_state from,
                             enum model_state to, const struct model_change *how, struct why *why);

/* Makes `version` the champion of its name and the one before it the previous champion, retired. Running
 * experiments of the name are against a champion that is no more: those that `also` has not ended become
 * 'stopped', and their candidates validated. It is fine, and no change, when it is the champion already.
 *   expected       the champion that should be there, MODEL_ANY or MODEL_NONE
 *   ERR_NOT_FOUND  no such version      ERR_CONFLICT  another champion, or a rejected model
 *   ERR_FORBIDDEN  as bundle_signature_check() has it */
MUST_USE enum err model_promote(struct pg_session *s, int64_t version, int64_t expected,
                                const struct model_change *how, struct why *why);

/* The way back: the previous champion of `name` is champion again; the one that was is the previous one,
 * retired, and no way back: so a second call does not swing back, but finds that what it wants holds.
 * Experiments are ended as by a promotion. No signature is asked for: it was when this one was promoted.
 *   expected       the champion to be taken back; MODEL_ANY: whichever is there
 *   version        out  the champion afterwards
 *   is_changed     out  false: it was so before; may be NULL
 *   ERR_NOT_FOUND  there is no previous champion      ERR_CONFLICT  `expected` is not the champion, nor what
 *                  the champion took over from by a rollback */
MUST_USE enum err model_roll_back(struct pg_session *s, struct slice name, int64_t expected,
                                  const struct model_change *how, int64_t *version, bool *is_changed,
                                  struct why *why);

/* ---- who serves what ---- */

/* How many processes serve `alias` of `name`, as they themselves wrote within the last ten seconds, and how
 * many of them by `version`. What a process wrote before the alias was moved last does not count: where a model goes
 * and comes back, it may never have written the one between. */
struct model_served {
    int64_t processes, with_version;
};
MUST_USE enum err model_served(struct pg_session *s, struct slice name, const char *alias, int64_t version,
                               struct model_served *out, struct why *why);

#endif
