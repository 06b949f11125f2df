/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/database.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "fraud/api_key.h"
#include "pg/session.h"

void database_run(struct pg_session *pg, const char *text)
{
    struct why why = { 0 };

    cr_assert_eq(pg_exec_script(pg, text, &why), ERR_OK, "%s: %s", text, why.text);
}

static struct pg_result *ask(struct pg_session *pg, const char *question)
{
    struct pg_result *r = NULL;
    struct why why = { 0 };

    cr_assert_eq(pg_exec(pg, question, NULL, &r, &why), ERR_OK, "%s: %s", question, why.text);
    return r;
}

int64_t database_int(struct pg_session *pg, const char *question)
{
    struct pg_result *r = ask(pg, question);
    int64_t value = pg_rows(r) ? pg_get_int(r, 0, 0) : -1;

    pg_result_free(r);
    return value;
}

const char *database_text(struct pg_session *pg, const char *question)
{
    static char value[4096];
    struct pg_result *r = ask(pg, question);

    snprintf(value, sizeof value, "%.*s", pg_rows(r) ? (int)pg_get_text(r, 0, 0).len : 0,
             pg_rows(r) ? pg_get_text(r, 0, 0).ptr : "");
    pg_result_free(r);
    return value;
}

void database_wait(struct pg_session *pg, const char *question, int64_t wanted, const char *story)
{
    for (int i = 0; i < 12000 && database_int(pg, question) != wanted; i++)
        usleep(10000);
    cr_assert_eq(database_int(pg, question), wanted, "%s: %lld (%s)", question,
                 (long long)database_int(pg, question), story ? database_text(pg, story) : "");
}

void database_key(struct pg_session *pg, int account, const char *scopes, char key[64])
{
    char text[512], hex[65];
    struct api_key made;

    api_key_make(&made);
    hex_encode(made.secret_sha256, SHA256_BYTES, hex);
    snprintf(
        text, sizeof text,
        "INSERT INTO api_keys (prefix, account, secret_sha256, scopes) VALUES ('%s', %d, '\\x%s', '{%s}')",
        made.prefix, account, hex, scopes);
    database_run(pg, text);
    strcpy(key, made.text);
}

void database_key_owner(struct pg_session *pg, const char *key, const char *owner)
{
    char text[256];

    snprintf(text, sizeof text, "UPDATE api_keys SET owner = '%s' WHERE prefix = '%.8s'", owner,
             key + strlen("ak_"));
    database_run(pg, text);
}
