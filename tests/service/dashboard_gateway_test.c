/* SPDX-License-Identifier: Apache-2.0
 * dashboard_gateway_test.c - rules over the dashboard: the real programs, real PostgreSQL. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process dashboard, rules;
    struct visit ann, bob; /* both may write and publish */
    char pg_url[512], rules_addr[64];
} w;

static void start(void)
{
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    visit_add_user(w.pg, "ann", "rule_author,publisher,lead");
    visit_add_user(w.pg, "bob", "rule_author,publisher");
    w.ann = visit_of(w.pg, "ann", "now()");
    w.bob = visit_of(w.pg, "bob", "now()");
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    process_start(&w.rules, "rules", (const char *const[]){ w.pg_url, NULL });
    snprintf(w.rules_addr, sizeof w.rules_addr, "ASSAY_RULES_ADDR=127.0.0.1:%d", w.rules.port);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, w.rules_addr, "ASSAY_DASHBOARD_ASK=1s", NULL });
}

static void stop(void)
{
    cr_assert_eq(process_stop(&w.dashboard), 0);
    if (w.rules.pid)
        cr_assert_eq(process_stop(&w.rules), 0);
    pg_session_close(w.pg);
}

TestSuite(dashboard_gateway, .init = start, .fini = stop, .timeout = 120);

static struct http_said ask(const char *method, const char *path, const struct visit *v, const char *body)
{
    return visit_ask(w.dashboard.port, method, path, v, body);
}

static int status_of(const char *method, const char *path, const struct visit *v, const char *body)
{
    return visit_status(w.dashboard.port, method, path, v, body);
}

static const char draft[] = "{\"document\": {\"rules\": [{\"id\": \"large\", \"when\": \"tx.amount > 5000\", "
                            "\"action\": \"review\"}]}}";

/* Its number. */
static int64_t draft_by(const struct visit *v)
{
    struct http_said said = ask("POST", "/v1/rulesets", v, draft);
    int64_t version = json_integer_value(json_object_get(said.json, "version"));

    cr_assert_eq(said.status, 201, "%d %s", said.status, said.body);
    http_said_free(&said);
    return version;
}

Test(dashboard_gateway, a_rule_set_is_written_by_one_person_and_published_by_another)
{
    int64_t version = draft_by(&w.ann);
    struct http_said said;
    char path[64];

    snprintf(path, sizeof path, "/v1/rulesets/%lld:publish", (long long)version);
    said = ask("POST", path, &w.ann, "{}");
    cr_assert_eq(said.status, 403, "nobody publishes what is their own: %d %s", said.status, said.body);
    http_said_free(&said);
    said = ask("POST", path, &w.bob, "{\"reason\": \"as agreed\"}");
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    cr_assert_str_eq(json_string_value(json_object_get(said.json, "authors")), "ann");
    cr_assert_str_eq(json_string_value(json_object_get(said.json, "approver")), "bob");
    cr_assert_str_eq(http_said_header(&said, "content-type"), "application/json");
    cr_assert_str_eq(http_said_header(&said, "cache-control"), "no-store");
    http_said_free(&said);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE actor = 'ann' AND action LIKE 'rul%'"),
                 1);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE actor = 'bob' AND action LIKE 'rul%'"),
                 1);
    cr_assert_eq(status_of("GET", "/v1/rulesets?limit=1", &w.ann, NULL), 200);
    cr_assert_eq(status_of("GET", "/v1/rulesets?limit=0", &w.ann, NULL), 400);
    cr_assert_eq(status_of("GET", "/v1/rulesets/99999", &w.ann, NULL), 404);
}

Test(dashboard_gateway, nobody_speaks_for_another_who_is_not_a_dashboard)
{
    const char *headers[] = { w.ann.cookie, w.ann.csrf, "X-Assay-Actor: user:bob", NULL };
    const char *actor[] = { "X-Assay-Actor: user:bob", NULL };
    char key[64], made_up[80] = "dk_";
    struct http_said said;

    /* A browser says it to the dashboard: not heard. */
    said = http_ask(w.dashboard.port, "POST", "/v1/rulesets", NULL, headers, draft, strlen(draft));
    cr_assert_eq(said.status, 201, "%d %s", said.status, said.body);
    cr_assert_str_eq(json_string_value(json_object_get(said.json, "authors")), "ann");
    http_said_free(&said);

    /* The holder of a key says it to the service: refused, with whatever rights. */
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, (int)database_int(w.pg, "SELECT account FROM accounts WHERE name = 'shop'"), "admin",
                 key);
    said = http_ask(w.rules.port, "GET", "/v1/rulesets", key, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    http_said_free(&said);
    said = http_ask(w.rules.port, "POST", "/v1/rulesets", key, actor, draft, strlen(draft));
    cr_assert_eq(said.status, 403, "%d %s", said.status, said.body);
    http_said_free(&said);

    /* Somebody makes a key up, or says nothing at all. */
    memset(made_up + 3, 'a', 64);
    said = http_ask(w.rules.port, "POST", "/v1/rulesets", made_up, actor, draft, strlen(draft));
    cr_assert_eq(said.status, 401, "%d %s", said.status, said.body);
    http_said_free(&said);
    said = http_ask(w.rules.port, "GET", "/v1/rulesets", NULL, actor, NULL, 0);
    cr_assert(said.status == 401 || said.status == 403, "%d", said.status);
    http_said_free(&said);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE actor = 'bob'"), 0);
}

Test(dashboard_gateway, a_key_that_has_gone_is_made_anew)
{
    struct http_said said;

    draft_by(&w.ann);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM delegates"), 1, "one key for many requests");
    database_run(w.pg, "UPDATE delegates SET expires_at = now()");
    said = ask("GET", "/v1/rulesets", &w.ann, NULL);
    cr_assert_eq(said.status, 503, "it is not the user who is logged out: %d", said.status);
    cr_assert_not_null(http_said_header(&said, "retry-after"));
    http_said_free(&said);
    cr_assert_eq(status_of("GET", "/v1/rulesets", &w.ann, NULL), 200);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM delegates"), 1, "what has expired is gone");
}

Test(dashboard_gateway, a_list_comes_and_goes_as_csv)
{
    enum { ENTRIES = 40000, LINE = 32 };
    char *csv = malloc(ENTRIES * LINE);
    const char *headers[] = { w.ann.cookie, w.ann.csrf, "Content-Type: text/csv", NULL };
    size_t len = 0;
    struct http_said said;

    len += (size_t)snprintf(csv, LINE, "value\n");
    for (int i = 0; i < ENTRIES; i++)
        len += (size_t)snprintf(csv + len, LINE, "card-%020d\n", i);
    said = ask("POST", "/v1/lists", &w.ann, "{\"list\": \"cards\"}");
    cr_assert_eq(said.status, 201, "%d %s", said.status, said.body);
    http_said_free(&said);
    said = http_ask(w.dashboard.port, "POST", "/v1/lists/cards/csv", NULL, headers, csv, len);
    cr_assert_eq(said.status, 200, "%d %s", said.status, said.body);
    cr_assert_eq(json_integer_value(json_object_get(said.json, "taken")), ENTRIES);
    http_said_free(&said);
    said = ask("GET", "/v1/lists/cards/csv", &w.ann, NULL);
    cr_assert_eq(said.status, 200);
    cr_assert_str_eq(http_said_header(&said, "content-type"), "text/csv");
    cr_assert_gt(said.body_len, ENTRIES * 20);
    http_said_free(&said);
    headers[2] = "Content-Type: text/plain";
    said = http_ask(w.dashboard.port, "POST", "/v1/lists/cards/csv", NULL, headers, csv, len);
    cr_assert_eq(said.status, 400);
    http_said_free(&said);
    free(csv);
}

Test(dashboard_gateway, a_service_that_is_away_or_hangs_is_told_from_one_that_refuses)
{
    struct http_said said;

    cr_assert_eq(status_of("GET", "/v1/alerts", &w.ann, NULL), 503, "there is no monitor");
    kill(w.rules.pid, SIGSTOP);
    said = ask("GET", "/v1/rulesets", &w.ann, NULL);
    kill(w.rules.pid, SIGCONT);
    cr_assert_eq(said.status, 504, "%d %s", said.status, said.body);
    cr_assert_str_eq(http_said_header(&said, "content-type"), "application/problem+json");
    http_said_free(&said);
    cr_assert_eq(status_of("GET", "/v1/rulesets", &w.ann, NULL), 200);
    process_kill(&w.rules);
    said = ask("GET", "/v1/rulesets", &w.ann, NULL);
    cr_assert(said.status == 503 || said.status == 502, "%d", said.status);
    cr_assert_not_null(strstr(said.body, "rules"));
    http_said_free(&said);
    cr_assert_eq(status_of("GET", "/v1/session", &w.ann, NULL), 200, "the rest goes on");
}
