/* SPDX-License-Identifier: Apache-2.0
 * cmd_logins.c - `assay logins`: lets each service into the database as itself. */
#include "command.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/slice.h"
#include "database.h"
#include "file.h"
#include "pg/session.h"

enum { URL_BYTES_MAX = 4096 };

/* Who a service is by the URL that it connects with. */
struct login {
    char user[64], password[256];
};

static enum err take(char *to, size_t room, const char *value, const char *what, const char *path,
                     struct why *why)
{
    if (!value || !*value || strlen(value) >= room)
        return err_set(why, ERR_INVALID, "%s: the URL in it has no %s, or a very long one", path, what);
    snprintf(to, room, "%s", value);
    return ERR_OK;
}

static enum err read_login(struct login *login, const char *path, struct why *why)
{
    struct arena arena = { 0 };
    struct slice text;
    enum err err = file_read(&text, path, URL_BYTES_MAX, &arena, why);
    const char *user = NULL, *password = NULL;
    PQconninfoOption *parsed = NULL;

    if (!err) {
        char *url = arena_strndup(&arena, text.ptr, text.len);

        url[strcspn(url, "\n")] = '\0';
        parsed = PQconninfoParse(url, NULL);
        if (!parsed)
            err = err_set(why, ERR_INVALID, "%s: no URL of PostgreSQL stands in it", path);
    }
    for (const PQconninfoOption *o = parsed; o && o->keyword; o++) {
        if (strcmp(o->keyword, "user") == 0)
            user = o->val;
        else if (strcmp(o->keyword, "password") == 0)
            password = o->val;
    }
    if (!err)
        err = take(login->user, sizeof login->user, user, "user", path, why);
    if (!err)
        err = take(login->password, sizeof login->password, password, "password", path, why);
    PQconninfoFree(parsed);
    arena_release(&arena);
    return err;
}

/* The statements, quoted by the server; the verifier is of its SCRAM. */
static const char script_sql[] =
    "SELECT format('%s ROLE %I LOGIN PASSWORD %L; GRANT %I TO %I', "
    "CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text) THEN 'ALTER' ELSE 'CREATE' END, "
    "$1::text, $2::text, 'assay_' || $1::text, $1::text) "
    "WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'assay_' || $1::text)";

static enum err make_login(struct pg_session *s, const struct login *login, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    char *verifier = NULL;
    enum err err = pg_session_verifier(s, login->user, login->password, &verifier, why);

    if (!err) {
        pg_add_text(&p, slice_str(login->user));
        pg_add_text(&p, slice_str(verifier));
        err = pg_exec(s, script_sql, &p, &r, why);
    }
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no role assay_%s: a login is named after its service",
                      login->user);
    if (!err)
        err = pg_exec_script(s, pg_get_text(r, 0, 0).ptr, why);
    pg_result_free(r);
    pg_params_release(&p);
    mem_free(verifier);
    return err;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    struct pg_session *s = NULL;
    struct why why = { 0 };
    enum err err = database_open_migrated(&s, &why);

    (void)settings;
    for (size_t i = 0; !err && i < operand_count; i++) {
        struct login login;

        err = read_login(&login, operands[i], &why);
        if (!err)
            err = make_login(s, &login, &why);
        if (!err)
            printf("%s connects as itself, with the rights of assay_%s\n", login.user, login.user);
    }
    pg_session_close(s);
    return err ? command_fail(EXIT_FAILED, "logins: %s", why.text) : EXIT_DONE;
}

const struct command cmd_logins = {
    .name = "logins",
    .operands = "<file>...",
    .operands_least = 1,
    .operands_most = 64,
    .purpose = "Let each service into the database as itself, with its own rights",
    .text =
        "Each file holds the URL that a service connects with: postgresql://ingestion:PASSWORD@HOST/assay.\n"
        "Its user is made when it is not there, gets that password, and becomes a member of the service's\n"
        "role (assay_ingestion), which may do what that service does and nothing else. Run again, it sets "
        "the\n"
        "passwords again: so they are changed. Needs a login that may create roles.\n\n"
        "  assay migrate && assay logins secrets/pg_url_*",
    .run = run,
};
