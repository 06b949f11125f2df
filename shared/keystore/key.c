/* SPDX-License-Identifier: Apache-2.0 */
#include "keystore/key.h"

#include <sodium.h>
#include <stdio.h>

#include "base/array.h"
#include "lifestore/row.h"

const struct key_scope key_scopes[] = {
#define KEY_SCOPE_ROW(name, may) { name, may },
    KEY_SCOPES(KEY_SCOPE_ROW)
#undef KEY_SCOPE_ROW
};
const size_t key_scope_count = ARRAY_LEN(key_scopes);

void api_key_forget(struct api_key *key)
{
    sodium_memzero(key, sizeof *key);
}

/* ---- scopes ---- */

static bool is_between(char c)
{
    return c == ' ' || c == ',';
}

/* The next word of *rest, empty at the end. */
static struct slice next_word(struct slice *rest)
{
    size_t from = 0, end;
    struct slice word;

    while (from < rest->len && is_between(rest->ptr[from]))
        from++;
    for (end = from; end < rest->len && !is_between(rest->ptr[end]);)
        end++;
    word = slice_of(rest->ptr + from, end - from);
    *rest = slice_of(rest->ptr + end, rest->len - end);
    return word;
}

static bool has_scope(struct slice scopes, const char *scope)
{
    struct slice word;

    while ((word = next_word(&scopes)).len)
        if (slice_eq_str(word, scope) || slice_eq_str(word, "all"))
            return true;
    return false;
}

static enum err check_scopes(struct slice scopes, struct why *why)
{
    struct slice word;
    size_t words = 0;

    for (; (word = next_word(&scopes)).len; words++) {
        size_t i = 0;

        while (i < key_scope_count && !slice_eq_str(word, key_scopes[i].name))
            i++;
        if (i == key_scope_count && !slice_eq_str(word, "all"))
            return err_set(why, ERR_INVALID, "there is no scope \"%.*s\"",
                           (int)(word.len < 40 ? word.len : 40), word.ptr);
    }
    return words ? ERR_OK : err_set(why, ERR_INVALID, "a key has one scope at least");
}

/* Each once, in the order of the table. */
static void add_scopes(struct pg_params *p, struct slice scopes)
{
    struct pg_array *a = pg_add_array(p, PG_TEXT);

    for (size_t i = 0; i < key_scope_count; i++)
        if (has_scope(scopes, key_scopes[i].name))
            pg_array_text(a, slice_str(key_scopes[i].name));
}

/* ---- changes ---- */

static bool is_text(struct slice text)
{
    return text.len <= KEY_TEXT_MOST && slice_is_utf8(text) && !memchr(text.ptr ? text.ptr : "", 0, text.len);
}

static enum err check(const struct key_wish *w, struct why *why)
{
    enum err err = check_scopes(w->scopes, why);

    if (err)
        return err;
    if (w->rate_per_s < 0 || w->rate_per_s > KEY_RATE_MOST || w->burst < 0 || w->burst > KEY_RATE_MOST)
        return err_set(why, ERR_INVALID, "rate and burst are 0 to %d", KEY_RATE_MOST);
    if (w->days < 0 || w->days > KEY_DAYS_MOST)
        return err_set(why, ERR_INVALID, "days are 0 to %d", KEY_DAYS_MOST);
    if (!is_text(w->note) || !is_text(w->owner))
        return err_set(why, ERR_INVALID, "owner and note have at most %d bytes", KEY_TEXT_MOST);
    return ERR_OK;
}

static const char make_sql[] =
    "WITH made AS (INSERT INTO api_keys (prefix, account, secret_sha256, scopes, rate_per_s, burst, "
    "expires_at, note, owner) SELECT $1::text, account, $3::bytea, $4::text[], $5::int4, $6::int4, "
    "CASE WHEN $7::int4 > 0 THEN now() + make_interval(days => $7::int4) END, $8::text, $9::text "
    "FROM accounts WHERE name = $2::text RETURNING account), noted AS (INSERT INTO audit (account, actor, "
    "action, subject, detail) SELECT account, $10::text, 'key.create', $1::text, "
    "jsonb_build_object('scopes', $4::text[], 'owner', $9::text) FROM made) SELECT account FROM made";

enum err key_make(struct pg_session *s, const struct key_wish *wish, struct slice actor, struct api_key *key,
                  struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err = check(wish, why);

    if (err)
        return err;
    api_key_make(key);
    pg_add_text(&p, slice_str(key->prefix));
    pg_add_text(&p, wish->account);
    pg_add_bytes(&p, slice_of(key->secret_sha256, sizeof key->secret_sha256));
    add_scopes(&p, wish->scopes);
    pg_add_i32(&p, (int32_t)wish->rate_per_s);
    pg_add_i32(&p, (int32_t)(wish->burst ? wish->burst : wish->rate_per_s));
    pg_add_i32(&p, (int32_t)wish->days);
    pg_add_text(&p, wish->note);
    pg_add_text(&p, wish->owner);
    pg_add_text(&p, actor);
    err = row_ask(s, make_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no account \"%.*s\"", SLICE_ARG(wish->account));
    pg_result_free(r);
    if (err)
        api_key_forget(key);
    return err;
}

/* $1 the old key, $2 the new one, $3 its hash, $4 how long the old one goes on, $5 who. */
static const char rotate_sql[] =
    "WITH old AS (SELECT prefix, account, scopes, rate_per_s, burst, note, owner, created_at, expires_at "
    "FROM "
    "api_keys WHERE prefix = $1::text AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) "
    "FOR UPDATE), made AS (INSERT INTO api_keys (prefix, account, secret_sha256, scopes, rate_per_s, burst, "
    "expires_at, note, owner) SELECT $2::text, account, $3::bytea, scopes, rate_per_s, burst, now() + "
    "(expires_at - created_at), note, owner FROM old RETURNING account), put AS (UPDATE api_keys k SET "
    "revoked_at = CASE WHEN $4::int8 = 0 THEN now() END, expires_at = CASE WHEN $4::int8 = 0 THEN "
    "k.expires_at ELSE least(k.expires_at, now() + $4::int8 * interval '1 s') END FROM old WHERE k.prefix = "
    "old.prefix RETURNING k.prefix), noted AS (INSERT INTO audit (account, actor, action, subject, detail) "
    "SELECT old.account, $5::text, 'key.rotate', old.prefix, jsonb_build_object('new', $2::text, 'grace_s', "
    "$4::int8, 'scopes', old.scopes) FROM old, put) SELECT account FROM made";

/* Why a key that was asked for was not found among those that are valid. */
static enum err explain(struct pg_session *s, struct slice prefix, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, prefix);
    err = row_ask(s, "SELECT prefix FROM api_keys WHERE prefix = $1::text", &p, &r, why);
    if (!err)
        err = pg_rows(r) ? err_set(why, ERR_CONFLICT, "the key is revoked or has expired")
                         : err_set(why, ERR_NOT_FOUND, "there is no such key");
    pg_result_free(r);
    return err;
}

enum err key_rotate(struct pg_session *s, struct slice prefix, int64_t grace_s, struct slice actor,
                    struct api_key *key, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (grace_s < 0 || grace_s > KEY_DAYS_MOST * INT64_C(86400))
        return err_set(why, ERR_INVALID, "the old key goes on for 0 to %d days", KEY_DAYS_MOST);
    api_key_make(key);
    pg_add_text(&p, prefix);
    pg_add_text(&p, slice_str(key->prefix));
    pg_add_bytes(&p, slice_of(key->secret_sha256, sizeof key->secret_sha256));
    pg_add_i64(&p, grace_s);
    pg_add_text(&p, actor);
    err = row_ask(s, rotate_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = explain(s, prefix, why);
    pg_result_free(r);
    if (err)
        api_key_forget(key);
    return err;
}

enum err key_revoke(struct pg_session *s, struct slice prefix, struct slice actor, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, prefix);
    pg_add_text(&p, actor);
    err = row_ask(
        s,
        "WITH old AS (SELECT prefix, account FROM api_keys WHERE prefix = $1::text FOR UPDATE), gone AS "
        "(UPDATE api_keys k SET revoked_at = now() FROM old WHERE k.prefix = old.prefix AND k.revoked_at IS "
        "NULL RETURNING k.account), noted AS (INSERT INTO audit (account, actor, action, subject) SELECT "
        "account, $2::text, 'key.revoke', $1::text FROM gone) SELECT account FROM old",
        &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no such key");
    pg_result_free(r);
    return err;
}

/* ---- reading ---- */

static const char list_sql[] =
    "SELECT prefix, name, owner, note, array_to_string(scopes, ','), CASE WHEN revoked_at IS NOT NULL THEN "
    "'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END, rate_per_s, burst, k.created_at, "
    "expires_at, revoked_at, used_at FROM api_keys k JOIN accounts USING (account) LEFT JOIN api_key_uses "
    "USING (prefix) WHERE $1::text IN ('', name) ORDER BY k.created_at, prefix";

static const char *state_of(struct slice word)
{
    return slice_eq_str(word, "valid") ? "valid" : slice_eq_str(word, "expired") ? "expired" : "revoked";
}

static int64_t time_of(const struct pg_result *r, size_t row, int column)
{
    return pg_is_null(r, row, column) ? 0 : pg_get_time_us(r, row, column);
}

enum err key_list(struct pg_session *s, struct slice account, struct key_row **out, size_t *count,
                  struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, account.len ? account : SLICE(""));
    err = row_ask(s, list_sql, &p, &r, why);
    *count = err ? 0 : pg_rows(r);
    *out = arena_new(arena, struct key_row, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        struct key_row *k = &(*out)[i];

        *k = (struct key_row){ .account = row_text(r, i, 1, arena),
                               .owner = row_text(r, i, 2, arena),
                               .note = row_text(r, i, 3, arena),
                               .scopes = row_text(r, i, 4, arena),
                               .state = state_of(pg_get_text(r, i, 5)),
                               .rate_per_s = pg_get_int(r, i, 6),
                               .burst = pg_get_int(r, i, 7),
                               .created_at_us = pg_get_time_us(r, i, 8),
                               .expires_at_us = time_of(r, i, 9),
                               .revoked_at_us = time_of(r, i, 10),
                               .used_at_us = time_of(r, i, 11) };
        snprintf(k->prefix, sizeof k->prefix, "%.*s", SLICE_ARG(pg_get_text(r, i, 0)));
    }
    pg_result_free(r);
    return err;
}

static void write_time(struct json_out *o, const char *name, int64_t at_us)
{
    if (at_us)
        json_out_time(o, name, at_us);
    else
        json_out_null(o, name);
}

void key_write(struct json_out *o, const char *name, const struct key_row *row)
{
    struct slice scopes = row->scopes, scope;

    json_out_open(o, name);
    json_out_str(o, "prefix", row->prefix);
    json_out_text(o, "account", row->account);
    json_out_text(o, "owner", row->owner);
    json_out_list(o, "scopes");
    while ((scope = next_word(&scopes)).len)
        json_out_text(o, NULL, scope);
    json_out_end(o);
    json_out_str(o, "state", row->state);
    json_out_text(o, "note", row->note);
    json_out_int(o, "rate_per_s", row->rate_per_s);
    json_out_int(o, "burst", row->burst);
    json_out_time(o, "created_at", row->created_at_us);
    write_time(o, "expires_at", row->expires_at_us);
    write_time(o, "revoked_at", row->revoked_at_us);
    write_time(o, "used_at", row->used_at_us);
    json_out_end(o);
}
