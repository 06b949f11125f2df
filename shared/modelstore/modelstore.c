/* SPDX-License-Identifier: Apache-2.0 */
#include "modelstore/modelstore.h"

#include <inttypes.h>
#include <stdio.h>

#include "bundle/bundle.h"
#include "pg/session.h"

/* ---- one SQL transaction ---- */

/* Changes of aliases are rare: they go one at a time, so that what was read still holds when it is written.
 */
static enum err begin(struct pg_session *s, struct why *why)
{
    return pg_exec_script(s, "BEGIN; LOCK TABLE aliases IN SHARE ROW EXCLUSIVE MODE", why);
}

/* Commits after ERR_OK and rolls back after anything else. */
static enum err end(struct pg_session *s, enum err err, struct why *why)
{
    struct why ignored = { 0 };

    if (!err)
        return pg_exec_script(s, "COMMIT", why);
    if (pg_exec_script(s, "ROLLBACK", &ignored) != ERR_OK)
        return err; /* the connection is gone, and with it the transaction */
    return err;
}

static enum err note(struct pg_session *s, struct slice actor, const char *action, int64_t subject,
                     int64_t before, struct slice name, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_text(&p, actor);
    pg_add_text(&p, slice_str(action));
    pg_add_i64(&p, subject);
    pg_add_text(&p, name);
    pg_add_i64(&p, before);
    err = pg_exec(s,
                  "INSERT INTO audit (actor, action, subject, detail) VALUES ($1::text, $2::text, "
                  "$3::int8::text, jsonb_build_object('name', $4::text, 'before', nullif($5::int8, 0)))",
                  &p, NULL, why);
    pg_params_release(&p);
    return err;
}

/* ---- bundles ---- */

/* *version stays 0 when it is there already. */
static enum err insert(struct pg_session *s, const struct bundle *b, struct slice bytes, struct slice actor,
                       int64_t *version, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, bundle_name(b));
    pg_add_bytes(&p, slice_of(bundle_hash(b), SHA256_BYTES));
    pg_add_bytes(&p, bytes);
    pg_add_text(&p, bundle_metrics(b));
    pg_add_text(&p, actor);
    err = pg_exec(s,
                  "WITH made AS (INSERT INTO models (name, sha256, bundle, metrics) VALUES ($1::text, "
                  "$2::bytea, $3::bytea, $4::text::jsonb) ON CONFLICT (name, sha256) DO NOTHING RETURNING "
                  "version), noted AS (INSERT INTO audit (actor, action, subject, detail) SELECT $5::text, "
                  "'model.register', version::text, jsonb_build_object('name', $1::text, 'sha256', "
                  "encode($2::bytea, 'hex')) FROM made) SELECT version FROM made",
                  &p, &r, why);
    if (!err && pg_rows(r) == 1)
        *version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err model_register(struct pg_session *s, struct slice bytes, struct slice actor, int64_t *version,
                        bool *is_new, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct bundle *b;
    enum err err = bundle_open(&b, bytes, why);

    *version = 0;
    if (err)
        return err;
    err = insert(s, b, bytes, actor, version, why);
    if (is_new)
        *is_new = *version != 0;
    if (!err && *version == 0) {
        pg_add_text(&p, bundle_name(b));
        pg_add_bytes(&p, slice_of(bundle_hash(b), SHA256_BYTES));
        err = pg_exec(s, "SELECT version FROM models WHERE name = $1::text AND sha256 = $2::bytea", &p, &r,
                      why);
        if (!err && pg_rows(r) == 1)
            *version = pg_get_int(r, 0, 0);
        else if (!err)
            err = err_set(why, ERR_CONFLICT, "the model was taken out of the registry just now");
        pg_result_free(r);
        pg_params_release(&p);
    }
    bundle_close(b);
    return err;
}

enum err model_read(struct pg_session *s, int64_t version, struct buf *out, struct why *why)
{
    unsigned char digest[SHA256_BYTES];
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct slice bytes;
    enum err err;

    pg_add_i64(&p, version);
    err = pg_exec(s, "SELECT bundle, sha256 FROM models WHERE version = $1::int8", &p, &r, why);
    if (err)
        goto out;
    if (pg_rows(r) == 0) {
        err = err_set(why, ERR_NOT_FOUND, "no model %" PRId64, version);
        goto out;
    }
    bytes = pg_get_bytes(r, 0, 0);
    sha256(bytes, digest);
    if (!slice_eq(pg_get_bytes(r, 0, 1), slice_of(digest, sizeof digest)))
        err = err_set(why, ERR_INTERNAL, "model %" PRId64 " is not what was stored: its digest is another",
                      version);
    else if (!buf_add_slice(out, bytes))
        err = err_set(why, ERR_TOO_LARGE, "model %" PRId64 " has %zu bytes", version, bytes.len);
out:
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* ---- aliases ---- */

enum { NAME_SIZE = BUNDLE_NAME_MAX + 1 };

/* The name of a version, as text in `name`. */
static enum err find_name(struct pg_session *s, int64_t version, char name[NAME_SIZE], struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, version);
    err = pg_exec(s, "SELECT name, state FROM models WHERE version = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "no model %" PRId64, version);
    else if (!err && slice_eq_str(pg_get_text(r, 0, 1), "rejected"))
        err = err_set(why, ERR_CONFLICT, "model %" PRId64 " was rejected", version);
    if (!err)
        snprintf(name, NAME_SIZE, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* What an alias points to, or MODEL_NONE. */
static enum err find_alias(struct pg_session *s, struct slice name, struct slice alias, int64_t *version,
                           struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    pg_add_text(&p, alias);
    err = pg_exec(s, "SELECT version FROM aliases WHERE name = $1::text AND alias = $2::text", &p, &r, why);
    *version = !err && pg_rows(r) ? pg_get_int(r, 0, 0) : MODEL_NONE;
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err put_alias(struct pg_session *s, struct slice name, struct slice alias, int64_t version,
                          struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_text(&p, name);
    pg_add_text(&p, alias);
    pg_add_i64(&p, version);
    if (version == MODEL_NONE)
        err = pg_exec(s, "DELETE FROM aliases WHERE name = $1::text AND alias = $2::text AND $3::int8 = 0",
                      &p, NULL, why);
    else
        err = pg_exec(s,
                      "INSERT INTO aliases (name, alias, version) VALUES ($1::text, $2::text, $3::int8) "
                      "ON CONFLICT (name, alias) DO UPDATE SET version = $3::int8, updated_at = now()",
                      &p, NULL, why);
    pg_params_release(&p);
    return err;
}

static enum err put_state(struct pg_session *s, int64_t version, const char *state, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i64(&p, version);
    pg_add_text(&p, slice_str(state));
    err = pg_exec(s, "UPDATE models SET state = $2::text WHERE version = $1::int8", &p, NULL, why);
    pg_params_release(&p);
    return err;
}

static enum err compare(int64_t there, int64_t expected, struct why *why)
{
    if (expected == MODEL_ANY || expected == there)
        return ERR_OK;
    if (there == MODEL_NONE)
        return err_set(why, ERR_CONFLICT, "there is none, not %" PRId64, expected);
    return err_set(why, ERR_CONFLICT, "it is %" PRId64 ", not %" PRId64, there, expected);
}

/* Within a transaction: `version` takes the place of `before`. */
static enum err enthrone(struct pg_session *s, struct slice name, int64_t version, int64_t before,
                         const char *action, struct slice actor, struct why *why)
{
    enum err err = put_alias(s, name, SLICE("champion"), version, why);

    if (!err && before != MODEL_NONE)
        err = put_alias(s, name, SLICE("previous_champion"), before, why);
    if (!err && before != MODEL_NONE)
        err = put_state(s, before, "retired", why);
    if (!err)
        err = put_state(s, version, "champion", why);
    return err ? err : note(s, actor, action, version, before, name, why);
}

enum err model_promote(struct pg_session *s, int64_t version, int64_t expected, struct slice actor,
                       struct why *why)
{
    char name[NAME_SIZE];
    int64_t before;
    enum err err = begin(s, why);

    if (!err)
        err = find_name(s, version, name, why);
    if (!err)
        err = find_alias(s, slice_str(name), SLICE("champion"), &before, why);
    if (!err)
        err = compare(before, expected, why);
    if (!err && before != version)
        err = enthrone(s, slice_str(name), version, before, "model.promote", actor, why);
    return end(s, err, why);
}

enum err model_roll_back(struct pg_session *s, struct slice name, int64_t expected, struct slice actor,
                         int64_t *version, struct why *why)
{
    int64_t before;
    enum err err = begin(s, why);

    if (!err)
        err = find_alias(s, name, SLICE("champion"), &before, why);
    if (!err)
        err = compare(before, expected, why);
    if (!err)
        err = find_alias(s, name, SLICE("previous_champion"), version, why);
    if (!err && *version == MODEL_NONE)
        err = err_set(why, ERR_NOT_FOUND, "%.*s has no previous champion", SLICE_ARG(name));
    if (!err)
        err = enthrone(s, name, *version, before, "model.roll_back", actor, why);
    return end(s, err, why);
}

enum err model_alias(struct pg_session *s, struct slice name, struct slice alias, int64_t version,
                     int64_t expected, struct slice actor, struct why *why)
{
    char found[NAME_SIZE];
    int64_t before;
    enum err err;

    if (!slice_eq_str(alias, "challenger") && !slice_eq_str(alias, "shadow"))
        return err_set(why, ERR_INVALID, "\"%.*s\" is not challenger or shadow", SLICE_ARG(alias));
    err = begin(s, why);
    if (!err && version != MODEL_NONE)
        err = find_name(s, version, found, why);
    if (!err && version != MODEL_NONE && !slice_eq_str(name, found))
        err = err_set(why, ERR_NOT_FOUND, "model %" PRId64 " is of %s", version, found);
    if (!err)
        err = find_alias(s, name, alias, &before, why);
    if (!err)
        err = compare(before, expected, why);
    if (!err)
        err = put_alias(s, name, alias, version, why);
    if (!err)
        err = note(s, actor, slice_eq_str(alias, "shadow") ? "model.shadow" : "model.challenger", version,
                   before, name, why);
    return end(s, err, why);
}
