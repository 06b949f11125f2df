/* SPDX-License-Identifier: Apache-2.0 */
#include "userstore/user.h"

#include <sodium.h>

#include "base/array.h"
#include "lifestore/row.h"
#include "userstore/password.h"

static const char *const known_roles[USER_ROLES_MOST] = { "analyst",     "lead",  "rule_author", "publisher",
                                                          "model_owner", "admin", "auditor" };

/* ---- names and roles ---- */

bool user_name_is_sound(struct slice name)
{
    if (name.len == 0 || name.len > USER_NAME_MOST || name.ptr[0] < 'a' || name.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* The next word of *rest, empty at the end. */
static struct slice next_word(struct slice *rest)
{
    size_t from = 0, end;

    while (from < rest->len && (rest->ptr[from] == ' ' || rest->ptr[from] == ','))
        from++;
    end = from;
    while (end < rest->len && rest->ptr[end] != ' ' && rest->ptr[end] != ',')
        end++;
    struct slice word = slice_of(rest->ptr + from, end - from);
    *rest = slice_of(rest->ptr + end, rest->len - end);
    return word;
}

static bool is_known(struct slice role)
{
    for (size_t i = 0; i < ARRAY_LEN(known_roles); i++)
        if (slice_eq_str(role, known_roles[i]))
            return true;
    return false;
}

enum err user_roles_check(struct slice roles, struct why *why)
{
    struct slice role;
    size_t count = 0;

    while ((role = next_word(&roles)).len) {
        if (!is_known(role))
            return err_set(why, ERR_INVALID,
                           "roles are analyst, lead, rule_author, publisher, model_owner, admin and auditor");
        count++;
    }
    if (count == 0 || count > USER_ROLES_MOST)
        return err_set(why, ERR_INVALID, "a user has one role at least, and none twice");
    return ERR_OK;
}

bool user_roles_meet(struct slice roles, struct slice others)
{
    struct slice role;

    while ((role = next_word(&roles)).len) {
        struct slice rest = others, other;

        while ((other = next_word(&rest)).len)
            if (slice_eq(role, other))
                return true;
    }
    return false;
}

static void add_roles(struct pg_params *p, struct slice roles)
{
    struct pg_array *a = pg_add_array(p, PG_TEXT);
    struct slice role;

    while ((role = next_word(&roles)).len)
        pg_array_text(a, role);
}

/* ---- changes ---- */

enum err user_add(struct pg_session *s, const struct user *user, struct slice password, struct slice actor,
                  struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    char hash[PASSWORD_HASH_SIZE];
    enum err err = user_roles_check(user->roles, why);

    if (!err && !user_name_is_sound(user->name))
        err = err_set(why, ERR_INVALID,
                      "a name begins with a letter and has up to 63 of a-z, 0-9, dot, dash and underscore");
    if (!err && (user->full_name.len > 200 || !slice_is_utf8(user->full_name)))
        err = err_set(why, ERR_INVALID, "the full name is too long");
    if (!err)
        err = password_hash(password, hash, why);
    if (err)
        return err;
    pg_add_text(&p, user->name);
    pg_add_text(&p, user->full_name);
    pg_add_text(&p, slice_str(hash));
    add_roles(&p, user->roles);
    pg_add_text(&p, actor);
    err = row_ask(
        s,
        "WITH made AS (INSERT INTO users (name, full_name, password, roles) SELECT $1::text, "
        "$2::text, $3::text, array(SELECT DISTINCT unnest($4::text[]) ORDER BY 1) ON CONFLICT DO "
        "NOTHING RETURNING name, roles), noted AS (INSERT INTO audit (actor, action, subject, detail) "
        "SELECT $5::text, 'user.add', name, jsonb_build_object('roles', roles) FROM made) "
        "SELECT name FROM made",
        &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_CONFLICT, "there is a user of that name");
    pg_result_free(r);
    sodium_memzero(hash, sizeof hash);
    return err;
}

#define SESSIONS_END "ended AS (DELETE FROM sessions USING put WHERE sessions.name = put.name)"

/* What he was to decide is everybody's again, where `lost` holds of `put`; $3 who does it. */
#define CASES_END(lost)                                                                                      \
    "freed AS (UPDATE review_cases c SET state = 'open', assignee = NULL, locked_until = NULL, version = "   \
    "version + 1 FROM put WHERE c.assignee = put.name AND c.state = 'assigned' AND " lost                    \
    " RETURNING c.account, c.\"case\", put.name), told AS (INSERT INTO audit (account, actor, action, "      \
    "subject, detail) SELECT account, $3::text, 'case.release', \"case\"::text, "                            \
    "jsonb_build_object('assignee', name) FROM freed)"

/* Waits for whoever makes a session of his, or gives him a case: the statement after it sees both. */
static enum err hold(struct pg_session *s, struct slice name, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, name);
    err = row_ask(s, "SELECT 1 FROM users WHERE name = $1::text FOR NO KEY UPDATE", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no user of that name");
    pg_result_free(r);
    return err;
}

/* A statement without rows has changed nothing: `otherwise`. */
static enum err change(struct pg_session *s, struct slice name, const char *sql, struct pg_params *p,
                       const char *otherwise, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec_script(s, "BEGIN", why);

    if (!err)
        err = hold(s, name, why);
    if (!err)
        err = pg_exec(s, sql, p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_CONFLICT, "%s", otherwise);
    pg_params_release(p);
    pg_result_free(r);
    return pg_commit_or_abort(s, err, why);
}

/* `old` empty: whatever it was. */
static enum err put_password(struct pg_session *s, struct slice name, const char *old, struct slice password,
                             struct slice actor, char hash[PASSWORD_HASH_SIZE], struct why *why)
{
    struct pg_params p = { 0 };
    enum err err = password_hash(password, hash, why);

    if (err)
        return err;
    pg_add_text(&p, name);
    pg_add_text(&p, slice_str(hash));
    pg_add_text(&p, actor);
    pg_add_text(&p, slice_str(old));
    return change(
        s, name,
        "WITH put AS (UPDATE users SET password = $2::text, password_at = now() WHERE name = $1::text AND "
        "($4::text = '' OR (password = $4::text AND NOT is_disabled)) RETURNING name), " SESSIONS_END
        ", unknown AS (DELETE FROM known_browsers b USING put WHERE b.name = put.name), forgiven AS (DELETE "
        "FROM login_failures f USING put WHERE (f.kind = 'user' AND f.subject = put.name) OR (f.kind = "
        "'pair' AND starts_with(f.subject, put.name || ' '))), noted AS (INSERT INTO audit (actor, action, "
        "subject) SELECT $3::text, 'user.password', name FROM put) SELECT name FROM put",
        &p, "the password has been changed meanwhile, or the user is disabled", why);
}

enum err user_set_password(struct pg_session *s, struct slice name, struct slice password, struct slice actor,
                           struct why *why)
{
    char hash[PASSWORD_HASH_SIZE];
    enum err err = put_password(s, name, "", password, actor, hash, why);

    sodium_memzero(hash, sizeof hash);
    return err;
}

enum err user_change_password(struct pg_session *s, struct slice name, const char *old, struct slice password,
                              char hash[PASSWORD_HASH_SIZE], struct why *why)
{
    return put_password(s, name, old, password, name, hash, why);
}

enum err user_set_roles(struct pg_session *s, struct slice name, struct slice roles, struct slice actor,
                        struct why *why)
{
    struct pg_params p = { 0 };
    enum err err = user_roles_check(roles, why);

    if (err)
        return err;
    pg_add_text(&p, name);
    add_roles(&p, roles);
    pg_add_text(&p, actor);
    return change(
        s, name,
        "WITH old AS (SELECT name, roles FROM users WHERE name = $1::text), put AS (UPDATE users u SET roles "
        "= array(SELECT DISTINCT unnest($2::text[]) ORDER BY 1) FROM old WHERE u.name = old.name RETURNING "
        "u.name, u.roles, old.roles AS before), " SESSIONS_END ", " CASES_END(
            "NOT put.roles && '{analyst,lead}'") ", noted AS (INSERT INTO audit (actor, action, subject, "
                                                 "detail) SELECT $3::text, 'user.roles', name, "
                                                 "jsonb_build_object('roles', roles, 'before', before) FROM "
                                                 "put) SELECT name FROM put",
        &p, "", why);
}

enum err user_disable(struct pg_session *s, struct slice name, bool is_disabled, struct slice actor,
                      struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_text(&p, name);
    pg_add_bool(&p, is_disabled);
    pg_add_text(&p, actor);
    return change(s, name,
                  "WITH put AS (UPDATE users SET is_disabled = $2::bool WHERE name = $1::text RETURNING "
                  "name), " SESSIONS_END ", " CASES_END(
                      "$2::bool") ", noted AS (INSERT INTO audit (actor, action, subject) SELECT $3::text, "
                                  "CASE WHEN $2::bool THEN 'user.disable' ELSE 'user.enable' END, name FROM "
                                  "put) SELECT name FROM put",
                  &p, "", why);
}

/* ---- reading ---- */

enum err user_list(struct pg_session *s, struct user **out, size_t *count, struct arena *arena,
                   struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s,
                           "SELECT name, full_name, array_to_string(roles, ' '), is_disabled, created_at, "
                           "password_at FROM users ORDER BY name",
                           NULL, &r, why);

    *count = pg_rows(r);
    *out = arena_new(arena, struct user, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct user){ .name = row_text(r, i, 0, arena),
                                   .full_name = row_text(r, i, 1, arena),
                                   .roles = row_text(r, i, 2, arena),
                                   .is_disabled = pg_get_bool(r, i, 3),
                                   .created_at_us = pg_get_time_us(r, i, 4),
                                   .password_at_us = pg_get_time_us(r, i, 5) };
    pg_result_free(r);
    return err;
}

void user_write(struct json_out *o, const char *key, const struct user *user)
{
    struct slice rest = user->roles, role;

    json_out_open(o, key);
    json_out_text(o, "name", user->name);
    json_out_text(o, "full_name", user->full_name);
    json_out_list(o, "roles");
    while ((role = next_word(&rest)).len)
        json_out_text(o, NULL, role);
    json_out_end(o);
    json_out_bool(o, "is_disabled", user->is_disabled);
    json_out_time(o, "created_at", user->created_at_us);
    json_out_time(o, "password_at", user->password_at_us);
    json_out_end(o);
}
