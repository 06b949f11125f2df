/* SPDX-License-Identifier: Apache-2.0 */
#include "modelstore/modelstore.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "pg/session.h"

/* ---- states ---- */

/* Who moves a model from one state to another: `m` model_move(), `p` a promotion, `r` what another model's
 * promotion or a rollback leaves behind, which a promotion or a rollback takes up again. */
static const char moves[MODEL_STATE_COUNT][MODEL_STATE_COUNT + 1] = {
    /* to:                 registered, validated, shadow, ab, champion, retired, rejected */
    [MODEL_REGISTERED] = ".m..p.m", /* */
    [MODEL_VALIDATED] = "..mmp.m",  [MODEL_SHADOW] = ".m.mp.m",  [MODEL_AB] = ".m..p.m",
    [MODEL_CHAMPION] = ".....r.",   [MODEL_RETIRED] = "....p.m", [MODEL_REJECTED] = ".......",
};

static const struct {
    const char *name, *alias; /* that the model of a name in this state has; NULL: none */
} states[] = {
    [MODEL_REGISTERED] = { "registered", NULL },   [MODEL_VALIDATED] = { "validated", NULL },
    [MODEL_SHADOW] = { "shadow", "shadow" },       [MODEL_AB] = { "ab", "challenger" },
    [MODEL_CHAMPION] = { "champion", "champion" }, [MODEL_RETIRED] = { "retired", NULL },
    [MODEL_REJECTED] = { "rejected", NULL },
};
static_assert(ARRAY_LEN(states) == MODEL_STATE_COUNT, "every state has a name");

const char *model_state_name(enum model_state state)
{
    return states[state].name;
}

bool model_state_parse(struct slice name, enum model_state *state)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (slice_eq_str(name, states[i].name)) {
            *state = (enum model_state)i;
            return true;
        }
    }
    return false;
}

bool model_may_move(enum model_state from, enum model_state to)
{
    return moves[from][to] == 'm';
}

/* ---- one SQL transaction ---- */

/* Changes of aliases are rare: they go one at a time, so that what was read still holds when it is written. Who
 * waits for one that hangs gives up: ERR_UNAVAILABLE. */
static enum err begin(struct pg_session *s, struct why *why)
{
    return pg_exec_script(
        s, "BEGIN; SET LOCAL lock_timeout = '10s'; LOCK TABLE aliases IN SHARE ROW EXCLUSIVE MODE", why);
}

/* A time of the caller's, or PostgreSQL's for 0. */
#define AT(n) "coalesce($" #n "::timestamptz, now())"

static void add_time(struct pg_params *p, int64_t at_us)
{
    if (at_us)
        pg_add_time_us(p, at_us);
    else
        pg_add_null(p);
}

/* One statement; whatever it returns is of no concern. */
static enum err run(struct pg_session *s, const char *sql, struct pg_params *p, struct why *why)
{
    enum err err = pg_exec(s, sql, p, NULL, why);

    pg_params_release(p);
    return err;
}

/* What changed, for the audit: `from` and `to` are states or, of aliases, versions. */
static enum err note(struct pg_session *s, const char *action, const struct model_info *model,
                     const char *from, const char *to, const struct model_change *how, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, how->actor);
    pg_add_text(&p, slice_str(action));
    pg_add_i64(&p, model->version);
    pg_add_text(&p, slice_str(model->name));
    pg_add_text(&p, slice_str(from));
    pg_add_text(&p, slice_str(to));
    pg_add_text(&p, how->reason);
    add_time(&p, how->now_us);
    return run(s,
               "INSERT INTO audit (at, actor, action, subject, detail) VALUES (" AT(
                   8) ", $1::text, $2::text, $3::int8::text, jsonb_build_object('name', $4::text, 'from', "
                      "nullif($5::text, ''), 'to', nullif($6::text, ''), 'reason', $7::text))",
               &p, why);
}

/* ---- bundles ---- */

static void add_signature(struct pg_params *p, const struct bundle_signature *signature)
{
    if (signature) {
        pg_add_bytes(p, slice_of(signature->bytes, SIGNATURE_BYTES));
        pg_add_bytes(p, slice_of(signature->signer, SIGNER_BYTES));
    } else {
        pg_add_null(p);
        pg_add_null(p);
    }
}

/* *version stays 0 when it is there already. */
static enum err insert(struct pg_session *s, const struct bundle *b, struct slice bytes,
                       const struct bundle_signature *signature, struct slice actor, int64_t *version,
                       struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, bundle_name(b));
    pg_add_bytes(&p, slice_of(bundle_hash(b), SHA256_BYTES));
    pg_add_bytes(&p, bytes);
    pg_add_text(&p, bundle_metrics(b));
    pg_add_text(&p, actor);
    add_signature(&p, signature);
    err =
        pg_exec(s,
                "WITH made AS (INSERT INTO models (name, sha256, bundle, metrics, signature, signer) VALUES "
                "($1::text, $2::bytea, $3::bytea, $4::text::jsonb, $6::bytea, $7::bytea) ON CONFLICT (name, "
                "sha256) DO NOTHING RETURNING version), noted AS (INSERT INTO audit (actor, action, "
                "subject, detail) SELECT $5::text, 'model.register', version::text, "
                "jsonb_build_object('name', $1::text, 'sha256', encode($2::bytea, 'hex'), 'signer', "
                "encode($7::bytea, 'hex')) FROM made) SELECT version FROM made",
                &p, &r, why);
    if (!err && pg_rows(r) == 1)
        *version = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* Puts the signature there, over one that is there too when `replaces`, with its row of audit. */
static enum err put_signature(struct pg_session *s, int64_t version, const struct bundle_signature *signature,
                              bool replaces, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };

    add_signature(&p, signature);
    pg_add_i64(&p, version);
    pg_add_bool(&p, replaces);
    pg_add_text(&p, actor);
    return run(s,
               "WITH made AS (UPDATE models SET signature = $1::bytea, signer = $2::bytea WHERE version = "
               "$3::int8 AND ($4::bool OR signature IS NULL) RETURNING name) INSERT INTO audit (actor, "
               "action, subject, detail) SELECT $5::text, 'model.sign', $3::int8::text, "
               "jsonb_build_object('name', name, 'signer', encode($2::bytea, 'hex')) FROM made",
               &p, why);
}

/* The version of a bundle that is there already. */
static enum err find_same(struct pg_session *s, const struct bundle *b, int64_t *version, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, bundle_name(b));
    pg_add_bytes(&p, slice_of(bundle_hash(b), SHA256_BYTES));
    err = pg_exec(s, "SELECT version FROM models WHERE name = $1::text AND sha256 = $2::bytea", &p, &r, why);
    if (!err && pg_rows(r) == 1)
        *version = pg_get_int(r, 0, 0);
    else if (!err)
        err = err_set(why, ERR_CONFLICT, "the model was taken out of the registry just now");
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err model_register(struct pg_session *s, struct slice bytes, const struct bundle_signature *signature,
                        const struct trusted_keys *keys, struct slice actor, int64_t *version, bool *is_new,
                        struct why *why)
{
    struct bundle *b;
    enum err err = bundle_open(&b, bytes, why);

    *version = 0;
    if (err)
        return err;
    err = bundle_signature_check(signature, bundle_hash(b), keys, why);
    if (!err)
        err = insert(s, b, bytes, signature, actor, version, why);
    if (is_new)
        *is_new = *version != 0;
    if (!err && *version == 0) {
        err = find_same(s, b, version, why);
        if (!err && signature)
            err = put_signature(s, *version, signature, false, actor, why);
    }
    bundle_close(b);
    return err;
}

/* One row by version; *out is the caller's, to free. */
static enum err find_row(struct pg_session *s, const char *sql, int64_t version, struct pg_result **out,
                         struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i64(&p, version);
    err = pg_exec(s, sql, &p, out, why);
    if (!err && pg_rows(*out) == 0)
        err = err_set(why, ERR_NOT_FOUND, "no model %" PRId64, version);
    pg_params_release(&p);
    return err;
}

/* Two columns of a row, NULL where nobody signed. What is there is as long as the table says. */
static bool read_signature(struct bundle_signature *out, const struct pg_result *r, int column)
{
    if (pg_is_null(r, 0, column))
        return false;
    memcpy(out->bytes, pg_get_bytes(r, 0, column).ptr, SIGNATURE_BYTES);
    memcpy(out->signer, pg_get_bytes(r, 0, column + 1).ptr, SIGNER_BYTES);
    return true;
}

enum err model_read(struct pg_session *s, int64_t version, const struct trusted_keys *keys, struct buf *out,
                    struct why *why)
{
    struct bundle_signature signature;
    unsigned char digest[SHA256_BYTES];
    struct pg_result *r = NULL;
    struct slice bytes;
    enum err err = find_row(
        s, "SELECT bundle, sha256, signature, signer FROM models WHERE version = $1::int8", version, &r, why);

    if (err)
        goto out;
    bytes = pg_get_bytes(r, 0, 0);
    sha256(bytes, digest);
    if (!slice_eq(pg_get_bytes(r, 0, 1), slice_of(digest, sizeof digest))) {
        err = err_set(why, ERR_INTERNAL, "model %" PRId64 " is not what was stored: its digest is another",
                      version);
        goto out;
    }
    err = bundle_signature_check(read_signature(&signature, r, 2) ? &signature : NULL, digest, keys, why);
    if (err)
        err_prefix(why, "model %" PRId64 ": ", version);
    else if (!buf_add_slice(out, bytes))
        err = err_set(why, ERR_TOO_LARGE, "model %" PRId64 " has %zu bytes", version, bytes.len);
out:
    pg_result_free(r);
    return err;
}

enum err model_find(struct pg_session *s, int64_t version, struct model_info *out, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = find_row(s,
                            "SELECT name, state, sha256, signature, signer, created_at FROM models WHERE "
                            "version = $1::int8",
                            version, &r, why);

    *out = (struct model_info){ .version = version };
    if (!err) {
        snprintf(out->name, sizeof out->name, "%.*s", SLICE_ARG(pg_get_text(r, 0, 0)));
        memcpy(out->sha256, pg_get_bytes(r, 0, 2).ptr, SHA256_BYTES);
        out->is_signed = read_signature(&out->signature, r, 3);
        out->created_at_us = pg_get_time_us(r, 0, 5);
        if (!model_state_parse(pg_get_text(r, 0, 1), &out->state))
            err = err_set(why, ERR_INTERNAL, "model %" PRId64 " is in a state of a later version of Assay",
                          version);
    }
    pg_result_free(r);
    return err;
}

enum err model_sign(struct pg_session *s, int64_t version, const struct signing_key *key, struct slice actor,
                    struct why *why)
{
    struct bundle_signature signature;
    unsigned char digest[SHA256_BYTES];
    struct pg_result *r = NULL;
    /* What is signed is what the bytes are, not what the row says of them. */
    enum err err =
        find_row(s, "SELECT bundle, sha256 FROM models WHERE version = $1::int8", version, &r, why);

    if (!err) {
        sha256(pg_get_bytes(r, 0, 0), digest);
        if (!slice_eq(pg_get_bytes(r, 0, 1), slice_of(digest, sizeof digest)))
            err = err_set(why, ERR_INTERNAL,
                          "model %" PRId64 " is not what was stored: its digest is another", version);
    }
    pg_result_free(r);
    if (err)
        return err;
    bundle_sign(&signature, digest, key);
    return put_signature(s, version, &signature, true, actor, why);
}

/* ---- aliases ---- */

enum err model_find_alias(struct pg_session *s, struct slice name, const char *alias, int64_t *version,
                          struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(alias));
    err = pg_exec(s, "SELECT version FROM aliases WHERE name = $1::text AND alias = $2::text", &p, &r, why);
    *version = !err && pg_rows(r) ? pg_get_int(r, 0, 0) : MODEL_NONE;
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* `is_way_back` is of previous_champion: whether a rollback may lead to it. */
static enum err put_alias(struct pg_session *s, const char *name, const char *alias, int64_t version,
                          bool is_way_back, int64_t now_us, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, slice_str(name));
    pg_add_text(&p, slice_str(alias));
    pg_add_i64(&p, version);
    pg_add_bool(&p, is_way_back);
    add_time(&p, now_us);
    return run(s,
               "INSERT INTO aliases (name, alias, version, is_way_back, updated_at) VALUES ($1::text, "
               "$2::text, $3::int8, $4::bool, " AT(
                   5) ") ON CONFLICT (name, alias) DO UPDATE SET version = excluded.version, is_way_back = "
                      "excluded.is_way_back, updated_at = excluded.updated_at",
               &p, why);
}

/* Takes away every alias of `version` but champion; of it, previous_champion only when `previous_too`. */
static enum err drop_aliases(struct pg_session *s, int64_t version, bool previous_too, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, version);
    pg_add_bool(&p, previous_too);
    return run(s,
               "DELETE FROM aliases WHERE version = $1::int8 AND (alias IN ('shadow', 'challenger') OR "
               "($2::bool AND alias = 'previous_champion'))",
               &p, why);
}

static enum err put_state(struct pg_session *s, int64_t version, enum model_state state, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, version);
    pg_add_text(&p, slice_str(states[state].name));
    return run(s, "UPDATE models SET state = $2::text WHERE version = $1::int8", &p, why);
}

static enum err compare(int64_t there, int64_t expected, struct why *why)
{
    if (expected == MODEL_ANY || expected == there)
        return ERR_OK;
    if (there == MODEL_NONE)
        return err_set(why, ERR_CONFLICT, "there is no champion, not %" PRId64, expected);
    return err_set(why, ERR_CONFLICT, "the champion is %" PRId64 ", not %" PRId64, there, expected);
}

static enum err also(struct pg_session *s, const struct model_change *how, struct why *why)
{
    return how->also ? how->also(how->ctx, s, why) : ERR_OK;
}

/* ---- moves ---- */

static enum err check_move(struct pg_session *s, const struct model_info *m, enum model_state from,
                           enum model_state to, struct why *why)
{
    int64_t holder;
    enum err err;

    if (!model_may_move(from, to))
        return err_set(why, ERR_INVALID, "no model goes from %s to %s%s", states[from].name, states[to].name,
                       to == MODEL_CHAMPION && moves[from][to] == 'p' ? " but by a promotion" : "");
    if (m->state != from)
        return err_set(why, ERR_CONFLICT, "model %" PRId64 " is %s, not %s", m->version,
                       states[m->state].name, states[from].name);
    if (states[to].alias == NULL)
        return ERR_OK;
    err = model_find_alias(s, slice_str(m->name), states[to].alias, &holder, why);
    if (!err && holder != MODEL_NONE && holder != m->version)
        err = err_set(why, ERR_CONFLICT, "model %" PRId64 " is the %s of %s", holder, states[to].alias,
                      m->name);
    return err;
}

static enum err move(struct pg_session *s, int64_t version, enum model_state from, enum model_state to,
                     const struct model_change *how, struct why *why)
{
    struct model_info m;
    enum err err = model_find(s, version, &m, why);

    if (err || (err = check_move(s, &m, from, to, why)) || (err = also(s, how, why)) ||
        (err = drop_aliases(s, version, to == MODEL_REJECTED, why)) || (err = put_state(s, version, to, why)))
        return err;
    if (states[to].alias)
        err = put_alias(s, m.name, states[to].alias, version, true, how->now_us, why);
    return err ? err : note(s, "model.move", &m, states[from].name, states[to].name, how, why);
}

enum err model_move(struct pg_session *s, int64_t version, enum model_state from, enum model_state to,
                    const struct model_change *how, struct why *why)
{
    enum err err = begin(s, why);

    if (!err)
        err = move(s, version, from, to, how, why);
    return pg_commit_or_abort(s, err, why);
}

/* ---- champions ---- */

/* Ends what ran against the champion that is no more, and takes its candidates out. */
static enum err stop_experiments(struct pg_session *s, const char *name, int64_t version,
                                 const struct model_change *how, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_text(&p, slice_str(name));
    pg_add_text(&p, how->actor);
    add_time(&p, how->now_us);
    err = run(s,
              "UPDATE experiments SET state = 'stopped', ended_at = " AT(
                  3) ", ended_by = $2::text WHERE name = $1::text AND state = 'running'",
              &p, why);
    if (err)
        return err;
    p = (struct pg_params){ 0 };
    pg_add_text(&p, slice_str(name));
    pg_add_i64(&p, version);
    return run(
        s,
        "WITH gone AS (DELETE FROM aliases WHERE name = $1::text AND alias IN ('shadow', 'challenger') "
        "RETURNING version) UPDATE models m SET state = 'validated' FROM gone WHERE m.version = "
        "gone.version AND m.version <> $2::int8 AND m.state IN ('shadow', 'ab')",
        &p, why);
}

/* Within a transaction: `m` takes the place of `before`. */
static enum err enthrone(struct pg_session *s, const struct model_info *m, int64_t before, bool is_rollback,
                         const struct model_change *how, struct why *why)
{
    char from[24] = "", to[24];
    enum err err = also(s, how, why);

    if (!err)
        err = stop_experiments(s, m->name, m->version, how, why);
    if (!err)
        err = put_alias(s, m->name, "champion", m->version, true, how->now_us, why);
    if (!err && before != MODEL_NONE)
        err = put_alias(s, m->name, "previous_champion", before, !is_rollback, how->now_us, why);
    if (!err && before != MODEL_NONE)
        err = put_state(s, before, MODEL_RETIRED, why);
    if (!err)
        err = put_state(s, m->version, MODEL_CHAMPION, why);
    if (before != MODEL_NONE)
        snprintf(from, sizeof from, "%" PRId64, before);
    snprintf(to, sizeof to, "%" PRId64, m->version);
    return err ? err : note(s, is_rollback ? "model.roll_back" : "model.promote", m, from, to, how, why);
}

static enum err promote(struct pg_session *s, int64_t version, int64_t expected,
                        const struct model_change *how, struct why *why)
{
    struct model_info m;
    int64_t before;
    enum err err = model_find(s, version, &m, why);

    if (err || (err = model_find_alias(s, slice_str(m.name), "champion", &before, why)) ||
        (err = compare(before, expected, why)))
        return err;
    if (before == version)
        return ERR_OK;
    if (moves[m.state][MODEL_CHAMPION] != 'p')
        return err_set(why, ERR_CONFLICT, "model %" PRId64 " is %s", version, states[m.state].name);
    err = bundle_signature_check(m.is_signed ? &m.signature : NULL, m.sha256, how->keys, why);
    if (err)
        return err_wrap(why, err, "model %" PRId64, version);
    return enthrone(s, &m, before, false, how, why);
}

enum err model_promote(struct pg_session *s, int64_t version, int64_t expected,
                       const struct model_change *how, struct why *why)
{
    enum err err = begin(s, why);

    if (!err)
        err = promote(s, version, expected, how, why);
    return pg_commit_or_abort(s, err, why);
}

/* The previous champion, or MODEL_NONE, and whether a rollback may lead to it. */
static enum err find_previous(struct pg_session *s, struct slice name, int64_t *version, bool *is_way_back,
                              struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    err = pg_exec(s,
                  "SELECT version, is_way_back FROM aliases WHERE name = $1::text AND alias = "
                  "'previous_champion'",
                  &p, &r, why);
    *version = !err && pg_rows(r) ? pg_get_int(r, 0, 0) : MODEL_NONE;
    *is_way_back = !err && pg_rows(r) && pg_get_bool(r, 0, 1);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err roll_back(struct pg_session *s, struct slice name, int64_t expected,
                          const struct model_change *how, int64_t *version, bool *is_changed, struct why *why)
{
    struct model_info m;
    int64_t champion, previous;
    bool is_way_back;
    enum err err = model_find_alias(s, name, "champion", &champion, why);

    if (!err)
        err = find_previous(s, name, &previous, &is_way_back, why);
    if (err)
        return err;
    *version = champion;
    if (previous != MODEL_NONE && !is_way_back && (expected == MODEL_ANY || expected == previous))
        return ERR_OK; /* it was rolled back before */
    err = compare(champion, expected, why);
    if (err)
        return err;
    if (previous == MODEL_NONE || !is_way_back)
        return err_set(why, ERR_NOT_FOUND, "%.*s has no previous champion to go back to", SLICE_ARG(name));
    err = model_find(s, previous, &m, why);
    if (!err)
        err = enthrone(s, &m, champion, true, how, why);
    if (err)
        return err;
    *version = previous;
    *is_changed = true;
    return ERR_OK;
}

enum err model_roll_back(struct pg_session *s, struct slice name, int64_t expected,
                         const struct model_change *how, int64_t *version, bool *is_changed, struct why *why)
{
    bool changed = false;
    enum err err = begin(s, why);

    *version = MODEL_NONE;
    if (!err)
        err = roll_back(s, name, expected, how, version, &changed, why);
    err = pg_commit_or_abort(s, err, why);
    if (is_changed)
        *is_changed = changed && !err;
    return err;
}

/* ---- who serves what ---- */

enum err model_served(struct pg_session *s, struct slice name, const char *alias, int64_t version,
                      struct model_served *out, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(alias));
    pg_add_i64(&p, version);
    err = pg_exec(
        s,
        "SELECT count(DISTINCT process), count(DISTINCT process) FILTER (WHERE name = $1::text AND "
        "alias = $2::text AND version = $3::int8 AND at >= coalesce((SELECT a.updated_at FROM aliases a "
        "WHERE a.name = $1::text AND a.alias = $2::text AND a.updated_at <= now()), at)) FROM serving WHERE "
        "at > now() - interval "
        "'10 s'",
        &p, &r, why);
    *out = (struct model_served){ 0 };
    if (!err)
        *out = (struct model_served){ pg_get_int(r, 0, 0), pg_get_int(r, 0, 1) };
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}
