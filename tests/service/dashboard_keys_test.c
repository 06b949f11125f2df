/* SPDX-License-Identifier: Apache-2.0
 * dashboard_keys_test.c - API keys over the dashboard: the real program, real PostgreSQL. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "fraud/api_key.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "keystore/key.h"
#include "pg/session.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process dashboard;
    struct visit ada;
    char pg_url[512];
    struct arena arena;
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void start(void)
{
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop'), ('other')");
    visit_add_user(w.pg, "ada", "admin");
    w.ada = visit_of(w.pg, "ada", "now()");
    process_start(&w.dashboard, "dashboard", (const char *const[]){ w.pg_url, NULL });
}

static void stop(void)
{
    cr_assert_eq(process_stop(&w.dashboard), 0);
    arena_release(&w.arena);
    pg_session_close(w.pg);
}

TestSuite(dashboard_keys, .init = start, .fini = stop, .timeout = 120);

static struct http_said ask(const char *method, const char *path, const char *body)
{
    return visit_ask(w.dashboard.port, method, path, &w.ada, body);
}

static int status_of(const char *method, const char *path, const char *body)
{
    return visit_status(w.dashboard.port, method, path, &w.ada, body);
}

/* Makes a key over `path`; its text. */
static struct api_key make(const char *path, const char *body)
{
    struct http_said said = ask("POST", path, body);
    struct api_key key = { 0 };

    cr_assert_eq(said.status, 201, "%s", said.body);
    cr_assert(api_key_read(&key, slice_str(json_string_value(json_object_get(said.json, "key")))));
    cr_assert_str_eq(key.prefix, json_string_value(json_object_get(said.json, "prefix")));
    http_said_free(&said);
    return key;
}

/* Whether the table has this key's hash, and it is valid in `hours`. */
static bool is_kept(const struct api_key *key, int hours)
{
    char hex[2 * SHA256_BYTES + 1], text[512];

    hex_encode(key->secret_sha256, SHA256_BYTES, hex);
    snprintf(
        text, sizeof text,
        "SELECT count(*) FROM api_keys WHERE prefix = '%s' AND secret_sha256 = '\\x%s' AND revoked_at IS "
        "NULL AND (expires_at IS NULL OR expires_at > now() + interval '%d hours')",
        key->prefix, hex, hours);
    return database_int(w.pg, text) == 1;
}

static struct key_row find(const char *prefix)
{
    struct key_row *rows;
    size_t count;

    MUST(key_list(w.pg, SLICE(""), &rows, &count, &w.arena, &w.why));
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].prefix, prefix) == 0)
            return rows[i];
    cr_assert_fail("no key %s", prefix);
    return (struct key_row){ 0 };
}

Test(dashboard_keys, a_secret_is_shown_once_and_only_its_hash_is_kept)
{
    struct api_key key =
        make("/v1/keys", "{\"account\": \"shop\", \"scopes\": [\"read\", \"decide\", \"read\"], \"owner\": "
                         "\"ann\", \"note\": \"web\", \"rate_per_s\": 50, \"days\": 30}");
    struct key_row row = find(key.prefix);
    struct http_said said = ask("GET", "/v1/keys", NULL);

    cr_assert(is_kept(&key, 29 * 24));
    cr_assert(!is_kept(&key, 31 * 24));
    cr_assert(slice_eq_str(row.scopes, "decide,read") && slice_eq_str(row.owner, "ann"));
    cr_assert_eq(row.burst, 50, "as the rate");
    cr_assert_eq(said.status, 200);
    cr_assert_null(strstr(said.body, key.text + 12), "no answer has the secret again");
    cr_assert_eq(json_array_size(json_object_get(said.json, "keys")), 1);
    cr_assert_eq(json_array_size(json_object_get(said.json, "accounts")), 2);
    cr_assert_eq(json_array_size(json_object_get(said.json, "scopes")), key_scope_count);
    http_said_free(&said);
    cr_assert_eq(database_int(w.pg,
                              "SELECT count(*) FROM audit WHERE action = 'key.create' AND actor = 'ada' AND "
                              "detail->>'owner' = 'ann'"),
                 1);
}

Test(dashboard_keys, what_cannot_be_is_refused_and_makes_nothing)
{
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        { "{\"account\": \"nobody\", \"scopes\": [\"read\"]}", 404 },
        { "{\"account\": \"shop\", \"scopes\": []}", 422 },
        { "{\"account\": \"shop\", \"scopes\": [\"fly\"]}", 422 },
        { "{\"account\": \"shop\", \"scopes\": [7]}", 422 },
        { "{\"account\": \"shop\", \"scopes\": [7, \"read\"]}", 422 },
        { "{\"account\": \"shop\", \"scopes\": [\"read\"], \"rate_per_s\": -1}", 422 },
        { "{\"account\": \"shop\", \"scopes\": [\"read\"], \"days\": 99999}", 422 },
        { "{\"account\": \"shop\", \"scopes\": [\"read\"], \"secret\": \"mine\"}", 422 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(status_of("POST", "/v1/keys", cases[i].body), cases[i].status, "%s", cases[i].body);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM api_keys"), 0);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action LIKE 'key.%'"), 0);
}

Test(dashboard_keys, a_key_that_is_replaced_goes_on_for_a_while_or_ends_at_once)
{
    struct api_key first = make("/v1/keys", "{\"account\": \"shop\", \"scopes\": [\"all\"], \"days\": 30}"),
                   second, third;
    char path[64];

    snprintf(path, sizeof path, "/v1/keys/%s:rotate", first.prefix);
    second = make(path, "{\"grace_s\": 86400}");
    cr_assert(is_kept(&first, 23) && !is_kept(&first, 25));
    cr_assert(is_kept(&second, 29 * 24), "as long as the first had from its making on");
    cr_assert(slice_eq(find(first.prefix).scopes, find(second.prefix).scopes));
    snprintf(path, sizeof path, "/v1/keys/%s:rotate", second.prefix);
    third = make(path, NULL);
    cr_assert(!is_kept(&second, 0) && is_kept(&third, 29 * 24));
    cr_assert_eq(status_of("POST", path, "{}"), 409, "it is revoked");
    cr_assert_eq(status_of("POST", "/v1/keys/00000000:rotate", "{}"), 404);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action = 'key.rotate'"), 2);
}

Test(dashboard_keys, a_revoked_key_is_over_and_is_revoked_once)
{
    struct api_key key = make("/v1/keys", "{\"account\": \"other\", \"scopes\": [\"decide\"]}");
    char path[64];

    snprintf(path, sizeof path, "/v1/keys/%s:revoke", key.prefix);
    cr_assert_eq(status_of("POST", path, NULL), 204);
    cr_assert_eq(status_of("POST", path, NULL), 204);
    cr_assert_str_eq(find(key.prefix).state, "revoked");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action = 'key.revoke'"), 1);
    cr_assert_eq(status_of("POST", "/v1/keys/00000000:revoke", NULL), 404);
}

Test(dashboard_keys, the_dashboard_writes_hashes_of_secrets_and_cannot_read_them)
{
    database_run(w.pg, "SET ROLE assay_dashboard");
    cr_assert_neq(pg_exec_script(w.pg, "SELECT secret_sha256 FROM api_keys", &w.why), ERR_OK);
    cr_assert_neq(pg_exec_script(w.pg, "UPDATE api_keys SET scopes = '{admin}'", &w.why), ERR_OK);
    cr_assert_neq(pg_exec_script(w.pg, "DELETE FROM api_keys", &w.why), ERR_OK);
    database_run(w.pg, "RESET ROLE");
}

Test(dashboard_keys, when_a_key_was_used_is_told)
{
    struct api_key key = make("/v1/keys", "{\"account\": \"shop\", \"scopes\": [\"read\"]}");
    char text[160];

    cr_assert_eq(find(key.prefix).used_at_us, 0);
    snprintf(text, sizeof text, "INSERT INTO api_key_uses VALUES ('%s', '2026-01-02T03:04:05Z')", key.prefix);
    database_run(w.pg, text);
    cr_assert_eq(find(key.prefix).used_at_us, INT64_C(1767323045) * 1000000);
}
