/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/visit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "harness/database.h"
#include "userstore/user.h"

void visit_add_user(struct pg_session *pg, const char *name, const char *roles)
{
    struct user user = { .name = slice_str(name), .full_name = SLICE("Somebody"), .roles = slice_str(roles) };
    struct why why = { 0 };

    cr_assert_eq(user_add(pg, &user, SLICE(VISIT_PASSWORD), SLICE("test"), &why), ERR_OK, "%s", why.text);
}

struct visit visit_of(struct pg_session *pg, const char *name, const char *seen)
{
    static int serial;
    char token[SHA256_HEX_SIZE], hex[SHA256_HEX_SIZE], text[512];
    struct visit v;

    snprintf(text, sizeof text, "%s %d", name, ++serial);
    sha256_hex(slice_str(text), token);
    sha256_hex(slice_str(token), hex);
    snprintf(text, sizeof text,
             "INSERT INTO sessions (token_sha256, name, address, expires_at, seen_at) VALUES ('\\x%s', '%s', "
             "'test', now() + interval '1 hour', %s)",
             hex, name, seen);
    database_run(pg, text);
    snprintf(v.cookie, sizeof v.cookie, "Cookie: assay_session=%s", token);
    snprintf(text, sizeof text, "csrf:%s", token);
    sha256_hex(slice_str(text), hex);
    snprintf(v.csrf, sizeof v.csrf, "X-CSRF-Token: %s", hex);
    return v;
}

struct http_said visit_ask(int port, const char *method, const char *path, const struct visit *v,
                           const char *body)
{
    const char *const headers[] = { v ? v->cookie : NULL, v ? v->csrf : NULL, NULL };

    return http_ask(port, method, path, NULL, headers, body, body ? strlen(body) : 0);
}

int visit_status(int port, const char *method, const char *path, const struct visit *v, const char *body)
{
    struct http_said said = visit_ask(port, method, path, v, body);
    int status = said.status;

    http_said_free(&said);
    return status;
}
