/* SPDX-License-Identifier: Apache-2.0 */
#include "visitor.h"

#include <arpa/inet.h>
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
#include "live.h"
#include "userstore/password.h"
#include "userstore/user.h"

/* Over TLS with the prefixes of RFC 6265bis, 4.1.3: then nobody but this host, over TLS, can have set them. The second is
 * of one path, which the prefix of the first does not allow. */
#define COOKIE_NAME           "assay_session"
#define BROWSER_COOKIE        "assay_browser"
#define COOKIE_PREFIX         "__Host-"
#define BROWSER_COOKIE_PREFIX "__Secure-"
enum {
    TOKEN_BYTES = 32,
    TOKEN_HEX = 2 * TOKEN_BYTES,
    PAIR_PATIENCE =
        5, /* wrong passwords for a name from an address, or from a known browser, before it waits, */
    ADDRESS_PATIENCE = 30, /* from an address for all names, */
    USER_PATIENCE = 100,   /* and for a name from all addresses; */
    USER_PARDON_S = 180,   /* of these one is forgotten in that time */
    LOCK_MOST_S = 900,
    SESSIONS_MOST = 20, /* of a user, and as many known browsers */
    BROWSER_DAYS = 90,
};

/* ---- tokens ---- */

/* The token of a cookie: 64 hex digits, or nothing. */
static bool read_cookie(const struct call *c, struct slice cookie, struct slice *token)
{
    unsigned char bytes[TOKEN_BYTES];

    *token = cookie_find(c->cookie, cookie);
    return hex_decode(*token, bytes, sizeof bytes);
}

/* Whether the browser speaks TLS, to us or to the proxy before us. */
static bool is_secure(const struct call *c)
{
    return c->is_tls || dashboard_conf(c->ctx)->is_behind_tls;
}

static const char *session_cookie(const struct call *c)
{
    return is_secure(c) ? COOKIE_PREFIX COOKIE_NAME : COOKIE_NAME;
}

static const char *browser_cookie(const struct call *c)
{
    return is_secure(c) ? BROWSER_COOKIE_PREFIX BROWSER_COOKIE : BROWSER_COOKIE;
}

static bool read_token(const struct call *c, struct slice *token)
{
    return read_cookie(c, slice_str(session_cookie(c)), token);
}

static void make_token(char hex[TOKEN_HEX + 1])
{
    unsigned char bytes[TOKEN_BYTES];

    randombytes_buf(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, hex);
    sodium_memzero(bytes, sizeof bytes);
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

/* ---- wrong passwords ---- */

enum { COUNTERS_MOST = 3 };

/* What wrong passwords of one attempt are counted by. */
struct counters {
    const char *kinds[COUNTERS_MOST];
    struct slice subjects[COUNTERS_MOST]; /* the call's arena's */
    int32_t patience[COUNTERS_MOST];
    size_t count;
};

static void count_by(struct counters *k, const char *kind, struct slice subject, int32_t patience)
{
    k->kinds[k->count] = kind;
    k->subjects[k->count] = subject;
    k->patience[k->count++] = patience;
}

/* Whose address it is: of IPv6 the network, of which one person has all. */
static struct slice network_of(struct call *c)
{
    char text[sizeof c->address], network[INET6_ADDRSTRLEN];
    struct in6_addr a;

    snprintf(text, sizeof text, "%s", c->address[0] == '[' ? c->address + 1 : c->address);
    text[strcspn(text, "]%")] = '\0';
    if (inet_pton(AF_INET6, text, &a) != 1)
        return slice_str(c->address);
    if (IN6_IS_ADDR_V4MAPPED(&a))
        return arena_slice(&c->arena, slice_str(strrchr(text, ':') + 1));
    memset(&a.s6_addr[8], 0, 8);
    inet_ntop(AF_INET6, &a, network, sizeof network);
    return arena_printf(&c->arena, "%s/64", network);
}

/* *token is empty when this browser is not known as one of `name`. */
static enum err find_browser(struct call *c, struct pg_session *s, struct slice name, struct slice *token,
                             struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    if (!read_cookie(c, slice_str(browser_cookie(c)), token)) {
        *token = SLICE("");
        return ERR_OK;
    }
    add_token(&p, *token);
    pg_add_text(&p, name);
    err = row_ask(s,
                  "SELECT 1 FROM known_browsers WHERE token_sha256 = $1::bytea AND name = $2::text AND "
                  "expires_at > now()",
                  &p, &r, why);
    if (!err && pg_rows(r) == 0)
        *token = SLICE("");
    pg_result_free(r);
    return err;
}

static struct slice digest_of(struct call *c, struct slice token)
{
    char hex[SHA256_HEX_SIZE];

    sha256_hex(token, hex);
    return arena_slice(&c->arena, slice_str(hex));
}

/* `name` empty: no name that there could be. */
static enum err choose_counters(struct call *c, struct pg_session *s, struct slice name, struct counters *k,
                                struct why *why)
{
    struct slice token, network = network_of(c);
    enum err err = find_browser(c, s, name, &token, why);

    *k = (struct counters){ 0 };
    if (token.len) {
        count_by(k, "browser", digest_of(c, token), PAIR_PATIENCE);
        return err;
    }
    count_by(k, "address", network, ADDRESS_PATIENCE);
    if (name.len) {
        count_by(k, "pair", arena_printf(&c->arena, "%.*s %.*s", SLICE_ARG(name), SLICE_ARG(network)),
                 PAIR_PATIENCE);
        count_by(k, "user", name, USER_PATIENCE);
    }
    return err;
}

/* $1 kinds, $2 subjects, $3 patience. */
static void add_counters(struct pg_params *p, const struct counters *k)
{
    struct pg_array *kinds = pg_add_array(p, PG_TEXT), *subjects = pg_add_array(p, PG_TEXT),
                    *patience = pg_add_array(p, PG_INT4);

    for (size_t i = 0; i < k->count; i++) {
        pg_array_text(kinds, slice_str(k->kinds[i]));
        pg_array_text(subjects, k->subjects[i]);
        pg_array_i32(patience, k->patience[i]);
    }
}

static const char locked_sql[] =
    "SELECT coalesce(max(ceil(extract(epoch FROM f.locked_until - now())))::int8, 0) FROM login_failures f "
    "JOIN unnest($1::text[], $2::text[], $3::int4[]) AS v (kind, subject, patience) USING (kind, subject) "
    "WHERE f.locked_until > now()";

static enum err refuse_locked(struct call *c, struct pg_session *s, const struct counters *k, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_counters(&p, k);
    err = row_ask(s, locked_sql, &p, &r, why);
    if (!err)
        c->retry_after_s = pg_get_int(r, 0, 0);
    pg_result_free(r);
    if (!err && c->retry_after_s > 0)
        err = err_set(why, ERR_LIMIT, "too many wrong passwords; try again in %lld s",
                      (long long)c->retry_after_s);
    return err;
}

/* Those of a day ago are forgotten. A row that has rested for an hour begins anew; those of a name from all addresses
 * are forgotten one by one. $4 the longest wait, $5 until one is forgotten. */
#define FAILURES                                                                                             \
    "(CASE WHEN f.kind = 'user' THEN greatest(f.failures - floor(extract(epoch FROM now() - f.last_at) / "   \
    "$5::int4)::int4, 0) + 1 WHEN f.last_at < now() - interval '1 hour' THEN 1 ELSE f.failures + 1 END)"
#define PATIENCE "(SELECT patience FROM seen WHERE seen.kind = f.kind)"
static const char failed_sql[] =
    "WITH old AS (DELETE FROM login_failures WHERE last_at < now() - interval '1 day'), seen AS (SELECT * "
    "FROM "
    "unnest($1::text[], $2::text[], $3::int4[]) AS v (kind, subject, patience)), "
    "put AS (INSERT INTO login_failures AS f (kind, subject, failures, last_at, locked_until) SELECT kind, "
    "subject, 1, now(), now() FROM seen ON CONFLICT (kind, subject) DO UPDATE SET last_at = now(), failures "
    "= " FAILURES ", locked_until = now() + CASE WHEN " FAILURES " >= " PATIENCE
    " THEN least(power(2, least(" FAILURES " - " PATIENCE
    ", 20)), $4::int4) * interval '1 s' ELSE interval '0' END RETURNING kind, subject, failures, "
    "locked_until > now() AS is_locked) "
    "INSERT INTO audit (actor, action, subject, detail) SELECT 'dashboard', 'session.locked', subject, "
    "jsonb_build_object('kind', kind, 'failures', failures) FROM put WHERE is_locked";

static enum err note_failure(struct pg_session *s, const struct counters *k, struct why *why)
{
    struct pg_params p = { 0 };

    add_counters(&p, k);
    pg_add_i32(&p, LOCK_MOST_S);
    pg_add_i32(&p, USER_PARDON_S);
    return row_ask(s, failed_sql, &p, NULL, why);
}

/* ---- log-in ---- */

#define WRONG "the name or the password is wrong"

/* Whether it is the password of somebody who may log in, and then the hash that it was compared with; if not, it is
 * remembered. */
static enum err check_password(struct call *c, struct pg_session *s, struct slice name, struct slice password,
                               char hash[PASSWORD_HASH_SIZE], struct why *why)
{
    struct counters counters;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    bool is_right;
    enum err err;

    if (!user_name_is_sound(name))
        name = SLICE("");
    err = choose_counters(c, s, name, &counters, why);
    if (!err)
        err = refuse_locked(c, s, &counters, why);
    if (err)
        return err;
    pg_add_text(&p, name);
    err = row_ask(s, "SELECT password FROM users WHERE name = $1::text AND NOT is_disabled", &p, &r, why);
    if (err)
        return err;
    snprintf(hash, PASSWORD_HASH_SIZE, "%s", pg_rows(r) ? pg_get_text(r, 0, 0).ptr : "");
    pg_result_free(r);
    is_right = password_is(password, *hash ? hash : NULL);
    if (is_right)
        return ERR_OK;
    err = note_failure(s, &counters, why);
    return err ? err : err_set(why, ERR_UNAUTHORIZED, WRONG);
}

/* $7 the hash that was compared with: who has another password by now, or is disabled, does not come in. The lock waits
 * for a change of the user that is under way, and one that comes later waits for this (userstore/user.h). */
static const char begin_sql[] =
    "WITH holder AS (SELECT name FROM users WHERE name = $2::text AND NOT is_disabled AND password = "
    "$7::text FOR SHARE), old AS (DELETE FROM sessions WHERE expires_at < now() OR seen_at < now() - "
    "$4::int8 * interval '1 "
    "ms' OR token_sha256 IN (SELECT token_sha256 FROM sessions WHERE name = $2::text ORDER BY created_at "
    "DESC "
    "OFFSET $6::int4)), "
    "made AS (INSERT INTO sessions (token_sha256, name, address, expires_at) SELECT $1::bytea, name, "
    "$3::text, now() + $5::int8 * interval '1 ms' FROM holder RETURNING name) "
    "INSERT INTO audit (actor, action, subject) SELECT name, 'session.begin', $3::text FROM made RETURNING "
    "id";

static enum err begin(struct call *c, struct pg_session *s, struct slice name, const char *hash,
                      struct slice token, struct why *why)
{
    const struct dashboard_settings *conf = dashboard_conf(c->ctx);
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_token(&p, token);
    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(c->address));
    pg_add_i64(&p, conf->idle_ms);
    pg_add_i64(&p, conf->longest_ms);
    pg_add_i32(&p, SESSIONS_MOST - 1);
    pg_add_text(&p, slice_str(hash));
    err = row_ask(s, begin_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_UNAUTHORIZED, WRONG);
    pg_result_free(r);
    return err;
}

/* $1 the new token of a browser from which somebody has logged in, $2 the one that it was known by (empty: none). */
static const char know_sql[] =
    "WITH forgiven AS (DELETE FROM login_failures WHERE (kind, subject) IN (('pair', $4::text), ('browser', "
    "encode($2::bytea, 'hex')))), old AS (DELETE FROM known_browsers WHERE token_sha256 = $2::bytea OR "
    "expires_at < now() OR token_sha256 IN (SELECT token_sha256 FROM known_browsers WHERE name = $3::text "
    "ORDER BY used_at DESC OFFSET $5::int4)) "
    "INSERT INTO known_browsers (token_sha256, name, expires_at) VALUES ($1::bytea, $3::text, now() + "
    "$6::int4 * interval '1 day')";

/* Makes the browser a known one of `name`, by the token `fresh`; what it got wrong before is forgiven. */
static enum err know_browser(struct call *c, struct pg_session *s, struct slice name, struct slice fresh,
                             struct why *why)
{
    struct slice token, network = network_of(c);
    struct pg_params p = { 0 };
    enum err err = find_browser(c, s, name, &token, why);

    if (err)
        return err;
    add_token(&p, fresh);
    if (token.len)
        add_token(&p, token);
    else
        pg_add_bytes(&p, SLICE(""));
    pg_add_text(&p, name);
    pg_add_text(&p, arena_printf(&c->arena, "%.*s %.*s", SLICE_ARG(name), SLICE_ARG(network)));
    pg_add_i32(&p, SESSIONS_MOST - 1);
    pg_add_i32(&p, BROWSER_DAYS);
    return row_ask(s, know_sql, &p, NULL, why);
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

static struct slice cookie_of(struct call *c, const char *name, const char *path, struct slice token,
                              int64_t max_age_s)
{
    return arena_printf(&c->arena, "%s=%.*s; Path=%s; Max-Age=%lld; HttpOnly; SameSite=Strict%s", name,
                        SLICE_ARG(token), path, (long long)max_age_s, is_secure(c) ? "; Secure" : "");
}

/* A session, and a browser that is known, of whoever has shown the password with this hash; the answer tells of it. */
static enum err let_in(struct call *c, struct pg_session *s, struct slice name, const char *hash,
                       struct why *why)
{
    char token[TOKEN_HEX + 1], browser[TOKEN_HEX + 1];
    enum err err;

    make_token(token);
    make_token(browser);
    err = begin(c, s, name, hash, slice_str(token), why);
    if (!err)
        err = know_browser(c, s, name, slice_str(browser), why);
    if (!err)
        err = show(c, s, slice_str(token), why);
    if (!err) {
        c->set_cookies[0] =
            cookie_of(c, session_cookie(c), "/", slice_str(token), dashboard_conf(c->ctx)->longest_ms / 1000);
        c->set_cookies[1] =
            cookie_of(c, browser_cookie(c), "/v1/session", slice_str(browser), BROWSER_DAYS * INT64_C(86400));
    }
    sodium_memzero(token, sizeof token);
    sodium_memzero(browser, sizeof browser);
    return err;
}

enum err session_begin(struct call *c, struct pg_session *s, struct why *why)
{
    enum { NAME, PASSWORD, COUNT };
    struct json_member m[COUNT] = {
        [NAME] = { "name", JSON_STRING, true, NULL }, [PASSWORD] = { "password", JSON_STRING, true, NULL }
    };
    char hash[PASSWORD_HASH_SIZE];
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = check_password(c, s, json_member_text(&m[NAME]), json_member_text(&m[PASSWORD]), hash, why);
    if (!err)
        err = let_in(c, s, json_member_text(&m[NAME]), hash, why);
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
    c->set_cookies[0] = cookie_of(c, session_cookie(c), "/", SLICE(""), 0);
    return row_ask(
        s,
        "WITH gone AS (DELETE FROM sessions WHERE token_sha256 = $1::bytea RETURNING name, address) "
        "INSERT INTO audit (actor, action, subject) SELECT name, 'session.end', address FROM gone",
        &p, NULL, why);
}

/* All sessions of the user end with the old password; he goes on in one of another token. */
enum err session_password(struct call *c, struct pg_session *s, struct why *why)
{
    enum { OLD, NEW, COUNT };
    struct json_member m[COUNT] = {
        [OLD] = { "old", JSON_STRING, true, NULL }, [NEW] = { "new", JSON_STRING, true, NULL }
    };
    char old[PASSWORD_HASH_SIZE], hash[PASSWORD_HASH_SIZE];
    struct slice name = slice_str(c->actor);
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err) {
        err = check_password(c, s, name, json_member_text(&m[OLD]), old, why);
        if (err == ERR_UNAUTHORIZED) /* which would say that nobody is logged in */
            err = err_set(why, ERR_FORBIDDEN, "the password until now is another one");
    }
    if (!err)
        err = user_change_password(s, name, old, json_member_text(&m[NEW]), hash, why);
    if (!err)
        err = let_in(c, s, name, hash, why);
    json_decref(body);
    if (!err)
        live_look(dashboard_live(c->ctx));
    return err;
}
