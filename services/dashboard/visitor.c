/* SPDX-License-Identifier: Apache-2.0 */
#include "visitor.h"

#include <sodium.h>
#include <stdio.h>

#include "auditstore/audit.h"
#include "base/hash.h"
#include "cookie.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "json/json_out.h"
#include "json/members.h"
#include "lifestore/row.h"
#include "userstore/password.h"
#include "userstore/user.h"

#define COOKIE_NAME "assay_session"
enum {
    TOKEN_BYTES = 32,
    TOKEN_HEX = 2 * TOKEN_BYTES,
    USER_PATIENCE = 5,     /* wrong passwords for a name before it has to wait, */
    ADDRESS_PATIENCE = 30, /* and from an address */
    LOCK_MOST_S = 900,
    SESSIONS_MOST = 20, /* of a user */
};

/* ---- tokens ---- */

/* The token of the cookie: 64 hex digits, or nothing. */
static bool read_token(const struct call *c, struct slice *token)
{
    unsigned char bytes[TOKEN_BYTES];

    *token = cookie_find(c->cookie, SLICE(COOKIE_NAME));
    return hex_decode(*token, bytes, sizeof bytes);
}

bool visitor_token(const struct call *c, unsigned char digest[SHA256_BYTES])
{
    struct slice token;

    if (!read_token(c, &token))
        return false;
    sha256(token, digest);
    return true;
}

static void csrf_of(struct slice token, char csrf[SHA256_HEX_SIZE])
{
    char text[5 + TOKEN_HEX];

    memcpy(text, "csrf:", 5);
    memcpy(text + 5, token.ptr, TOKEN_HEX);
    sha256_hex(slice_of(text, sizeof text), csrf);
    sodium_memzero(text, sizeof text);
}

static void add_token(struct pg_params *p, struct slice token)
{
    unsigned char digest[SHA256_BYTES];

    sha256(token, digest);
    pg_add_bytes(p, slice_of(digest, sizeof digest));
}

/* ---- whether a route may be asked ---- */

static const char admit_sql[] =
    "WITH valid AS (SELECT s.name, s.seen_at, u.roles FROM sessions s JOIN users u USING (name) WHERE "
    "s.token_sha256 = $1::bytea AND NOT u.is_disabled AND s.expires_at > now() AND s.seen_at > now() - "
    "$2::int8 * interval '1 ms'), touched AS (UPDATE sessions s SET seen_at = now() FROM valid v WHERE "
    "s.token_sha256 = $1::bytea AND v.seen_at < now() - least(interval '30 s', $2::int8 * interval '0.25 "
    "ms')) "
    "SELECT name, array_to_string(roles, ' ') FROM valid";

static enum err find_session(struct call *c, struct pg_session *s, struct slice token, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_token(&p, token);
    pg_add_i64(&p, dashboard_conf(c->ctx)->idle_ms);
    err = row_ask(s, admit_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_UNAUTHORIZED, "nobody is logged in, or not any more");
    if (!err) {
        snprintf(c->actor, sizeof c->actor, "%s", pg_get_text(r, 0, 0).ptr);
        c->roles = row_text(r, 0, 1, &c->arena);
    }
    pg_result_free(r);
    return err;
}

static bool is_csrf_right(const struct call *c, struct slice token)
{
    char csrf[SHA256_HEX_SIZE];

    csrf_of(token, csrf);
    return c->csrf.len == SHA256_HEX_SIZE - 1 && sodium_memcmp(c->csrf.ptr, csrf, c->csrf.len) == 0;
}

static enum err check_type(const struct call *c, struct why *why)
{
    const char *type = c->body_type ? c->body_type : "application/json";

    if (c->body.len && !slice_starts_with(c->content_type, slice_str(type)))
        return err_set(why, ERR_SYNTAX, "a body is %s", type);
    return ERR_OK;
}

enum err visitor_admit(struct call *c, struct pg_session *s, struct why *why)
{
    struct slice token;
    enum err err;

    if (strcmp(c->scope, "none") == 0)
        return check_type(c, why);
    if (!read_token(c, &token))
        return err_set(why, ERR_UNAUTHORIZED, "nobody is logged in");
    err = find_session(c, s, token, why);
    if (err)
        return err;
    if (!slice_eq_str(c->req->method, "GET") && !slice_eq_str(c->req->method, "HEAD") &&
        !is_csrf_right(c, token))
        return err_set(why, ERR_FORBIDDEN, "X-CSRF-Token is not the one of this session");
    if (strcmp(c->scope, "any") != 0 && !user_roles_meet(c->roles, slice_str(c->scope)))
        return err_set(why, ERR_FORBIDDEN, "that is for: %s", c->scope);
    return check_type(c, why);
}

/* ---- log-in ---- */

static const char locked_sql[] =
    "SELECT coalesce(max(ceil(extract(epoch FROM locked_until - now())))::int8, 0) FROM login_failures WHERE "
    "((kind = 'user' AND subject = $1::text) OR (kind = 'address' AND subject = $2::text)) AND locked_until "
    "> "
    "now()";

static enum err refuse_locked(struct call *c, struct pg_session *s, struct slice name, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(c->address));
    err = row_ask(s, locked_sql, &p, &r, why);
    if (!err)
        c->retry_after_s = pg_get_int(r, 0, 0);
    pg_result_free(r);
    if (!err && c->retry_after_s > 0)
        err = err_set(why, ERR_LIMIT, "too many wrong passwords; try again in %lld s",
                      (long long)c->retry_after_s);
    return err;
}

/* Those of a day ago are forgotten; a row that has rested for an hour begins anew. */
static const char failed_sql[] =
    "WITH old AS (DELETE FROM login_failures WHERE last_at < now() - interval '1 day'), "
    "seen AS (SELECT * FROM (VALUES ('user', $1::text, $3::int4), ('address', $2::text, $4::int4)) "
    "AS v (kind, subject, patience) WHERE subject <> ''), "
    "put AS (INSERT INTO login_failures AS f (kind, subject, failures, last_at, locked_until) SELECT kind, "
    "subject, 1, now(), now() FROM seen ON CONFLICT (kind, subject) DO UPDATE SET last_at = now(), "
    "failures = CASE WHEN f.last_at < now() - interval '1 hour' THEN 1 ELSE f.failures + 1 END, "
    "locked_until = now() + CASE WHEN f.last_at >= now() - interval '1 hour' AND f.failures + 1 >= (SELECT "
    "patience FROM seen WHERE seen.kind = f.kind) THEN least(power(2, least(f.failures + 1 - (SELECT "
    "patience "
    "FROM seen WHERE seen.kind = f.kind), 20)), $5::int4) * interval '1 s' ELSE interval '0' END "
    "RETURNING kind, subject, failures, locked_until > now() AS is_locked) "
    "INSERT INTO audit (actor, action, subject, detail) SELECT 'dashboard', 'session.locked', subject, "
    "jsonb_build_object('kind', kind, 'failures', failures) FROM put WHERE is_locked";

static enum err note_failure(struct call *c, struct pg_session *s, struct slice name, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(c->address));
    pg_add_i32(&p, USER_PATIENCE);
    pg_add_i32(&p, ADDRESS_PATIENCE);
    pg_add_i32(&p, LOCK_MOST_S);
    return row_ask(s, failed_sql, &p, NULL, why);
}

/* Whether it is the password of somebody who may log in; if not, it is remembered. */
static enum err check_password(struct call *c, struct pg_session *s, struct slice name, struct slice password,
                               struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    bool is_right;
    enum err err;

    if (!user_name_is_sound(name))
        name = SLICE("");
    err = refuse_locked(c, s, name, why);
    if (err)
        return err;
    pg_add_text(&p, name);
    err = row_ask(s, "SELECT password FROM users WHERE name = $1::text AND NOT is_disabled", &p, &r, why);
    if (err)
        return err;
    is_right = password_is(password, pg_rows(r) ? pg_get_text(r, 0, 0).ptr : NULL);
    pg_result_free(r);
    if (is_right)
        return ERR_OK;
    err = note_failure(c, s, name, why);
    return err ? err : err_set(why, ERR_UNAUTHORIZED, "the name or the password is wrong");
}

static const char begin_sql[] =
    "WITH old AS (DELETE FROM sessions WHERE expires_at < now() OR seen_at < now() - $4::int8 * interval '1 "
    "ms' OR token_sha256 IN (SELECT token_sha256 FROM sessions WHERE name = $2::text ORDER BY created_at "
    "DESC "
    "OFFSET $6::int4)), forgiven AS (DELETE FROM login_failures WHERE kind = 'user' AND subject = $2::text), "
    "made AS (INSERT INTO sessions (token_sha256, name, address, expires_at) VALUES ($1::bytea, $2::text, "
    "$3::text, now() + $5::int8 * interval '1 ms')) "
    "INSERT INTO audit (actor, action, subject) VALUES ($2::text, 'session.begin', $3::text)";

static enum err begin(struct call *c, struct pg_session *s, struct slice name, struct slice token,
                      struct why *why)
{
    const struct dashboard_settings *conf = dashboard_conf(c->ctx);
    struct pg_params p = { 0 };

    add_token(&p, token);
    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(c->address));
    pg_add_i64(&p, conf->idle_ms);
    pg_add_i64(&p, conf->longest_ms);
    pg_add_i32(&p, SESSIONS_MOST - 1);
    return row_ask(s, begin_sql, &p, NULL, why);
}

static enum err show(struct call *c, struct pg_session *s, struct slice token, struct why *why)
{
    const struct dashboard_settings *conf = dashboard_conf(c->ctx);
    struct json_out o = json_out_to(&c->out);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    char csrf[SHA256_HEX_SIZE];
    enum err err;

    add_token(&p, token);
    err = row_ask(s,
                  "SELECT name, full_name, roles, expires_at FROM sessions JOIN users USING (name) WHERE "
                  "token_sha256 = $1::bytea",
                  &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_UNAUTHORIZED, "the session is over");
    if (!err) {
        csrf_of(token, csrf);
        json_out_open(&o, NULL);
        json_out_open(&o, "user");
        json_out_text(&o, "name", pg_get_text(r, 0, 0));
        json_out_text(&o, "full_name", pg_get_text(r, 0, 1));
        json_out_list(&o, "roles");
        for (size_t i = 0; i < pg_get_array_len(r, 0, 2); i++)
            json_out_text(&o, NULL, pg_get_array_item(r, 0, 2, i));
        json_out_end(&o);
        json_out_end(&o);
        json_out_str(&o, "csrf", csrf);
        json_out_time(&o, "expires_at", pg_get_time_us(r, 0, 3));
        json_out_str(&o, "base_currency", conf->base_currency);
        json_out_int(&o, "idle_s", conf->idle_ms / 1000);
        json_out_int(&o, "undo_s", conf->undo_ms / 1000);
        json_out_int(&o, "lock_s", conf->lock_ms / 1000);
        json_out_end(&o);
    }
    pg_result_free(r);
    return err;
}

static struct slice cookie_of(struct call *c, struct slice token, int64_t max_age_s)
{
    return arena_printf(&c->arena, COOKIE_NAME "=%.*s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s",
                        SLICE_ARG(token), (long long)max_age_s, c->is_tls ? "; Secure" : "");
}

enum err session_begin(struct call *c, struct pg_session *s, struct why *why)
{
    enum { NAME, PASSWORD, COUNT };
    struct json_member m[COUNT] = {
        [NAME] = { "name", JSON_STRING, true, NULL }, [PASSWORD] = { "password", JSON_STRING, true, NULL }
    };
    unsigned char bytes[TOKEN_BYTES];
    char hex[TOKEN_HEX + 1];
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = check_password(c, s, json_member_text(&m[NAME]), json_member_text(&m[PASSWORD]), why);
    if (!err) {
        randombytes_buf(bytes, sizeof bytes);
        hex_encode(bytes, sizeof bytes, hex);
        err = begin(c, s, json_member_text(&m[NAME]), slice_str(hex), why);
    }
    if (!err)
        err = show(c, s, slice_str(hex), why);
    if (!err)
        c->set_cookie = cookie_of(c, slice_str(hex), dashboard_conf(c->ctx)->longest_ms / 1000);
    json_decref(body);
    return err;
}

enum err session_get(struct call *c, struct pg_session *s, struct why *why)
{
    struct slice token;

    return read_token(c, &token) ? show(c, s, token, why) : ERR_INTERNAL; /* admitted by it */
}

enum err session_end(struct call *c, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct slice token;

    if (!read_token(c, &token))
        return ERR_INTERNAL;
    add_token(&p, token);
    c->status = 204;
    c->set_cookie = cookie_of(c, SLICE(""), 0);
    return row_ask(
        s,
        "WITH gone AS (DELETE FROM sessions WHERE token_sha256 = $1::bytea RETURNING name, address) "
        "INSERT INTO audit (actor, action, subject) SELECT name, 'session.end', address FROM gone",
        &p, NULL, why);
}

/* All sessions of the user end with the old password; this one begins again under the same token. */
enum err session_password(struct call *c, struct pg_session *s, struct why *why)
{
    enum { OLD, NEW, COUNT };
    struct json_member m[COUNT] = {
        [OLD] = { "old", JSON_STRING, true, NULL }, [NEW] = { "new", JSON_STRING, true, NULL }
    };
    struct slice token, name = slice_str(c->actor);
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = check_password(c, s, name, json_member_text(&m[OLD]), why);
    if (!err)
        err = user_set_password(s, name, json_member_text(&m[NEW]), name, why);
    if (!err && read_token(c, &token))
        err = begin(c, s, name, token, why);
    json_decref(body);
    c->status = 204;
    return err;
}
