/* SPDX-License-Identifier: Apache-2.0
 * modelstore.h - the registry of models: bundles in PostgreSQL, and the aliases that point to them.
 *
 *   models   version, name, sha256, bundle, state: registered validated shadow ab champion retired rejected
 *   aliases  (name, alias) -> version: champion challenger shadow previous_champion
 *
 * Each change is one SQL transaction with its audit row; services hear of it by NOTIFY models. Aliases are
 * moved by compare-and-set: who expects another version than the one that is there gets ERR_CONFLICT and has
 * changed nothing.
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

struct pg_session;

/* Stores a bundle, which is opened and checked first. The very same bundle is stored once: then *version is
 * that of the first time and *is_new (may be NULL) is false. `actor` is who says so, for the audit.
 *   ERR_SYNTAX, ERR_INVALID, ERR_TOO_LARGE  as bundle_open() has them */
MUST_USE enum err model_register(struct pg_session *s, struct slice bundle, struct slice actor,
                                 int64_t *version, bool *is_new, struct why *why);

/* Adds a version's bundle to `out`, after comparing it with its digest.
 *   ERR_NOT_FOUND  no such version      ERR_INTERNAL  the bytes are not what was stored */
MUST_USE enum err model_read(struct pg_session *s, int64_t version, struct buf *out, struct why *why);

/* What a caller of the functions below expects to find. */
#define MODEL_ANY  INT64_C(-1) /* whatever is there */
#define MODEL_NONE INT64_C(0)  /* nothing */

/* Makes `version` the champion of its name and the one before it the previous champion; states follow. It is
 * fine when it is the champion already.
 *   expected       the champion that should be there, MODEL_ANY or MODEL_NONE
 *   ERR_NOT_FOUND  no such version      ERR_CONFLICT  another champion, or a rejected model */
MUST_USE enum err model_promote(struct pg_session *s, int64_t version, int64_t expected, struct slice actor,
                                struct why *why);

/* The way back: the previous champion of `name` is champion again, the one that was is the previous.
 *   ERR_NOT_FOUND  there is no previous champion
 *   ERR_CONFLICT   `expected` is not the champion */
MUST_USE enum err model_roll_back(struct pg_session *s, struct slice name, int64_t expected,
                                  struct slice actor, int64_t *version, struct why *why);

/* Points any other alias ("challenger", "shadow") of the version's name to it; `version` MODEL_NONE takes the
 * alias of `name` away.
 *   ERR_NOT_FOUND  no such version, or of another name      ERR_CONFLICT  not as expected
 *   ERR_INVALID    no such alias, or "champion": that is model_promote() */
MUST_USE enum err model_alias(struct pg_session *s, struct slice name, struct slice alias, int64_t version,
                              int64_t expected, struct slice actor, struct why *why);

#endif
