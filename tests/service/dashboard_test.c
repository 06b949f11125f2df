/* SPDX-License-Identifier: Apache-2.0
 * dashboard_test.c - who may do what on the dashboard: the real program, real PostgreSQL. What is expected stands in
 * docs/api/dashboard.yaml. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auditstore/audit.h"
#include "base/array.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct process dashboard, rules, retrainer, monitor;
    char pg_url[512];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)
#define PASSWORD   VISIT_PASSWORD

static void start_with(const char *more)
{
    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    process_start(&w.dashboard, "dashboard", (const char *const[]){ w.pg_url, more, NULL });
}

static void start(void)
{
    start_with(NULL);
}

static void stop(void)
{
    cr_assert_eq(process_stop(&w.dashboard), 0);
    pg_session_close(w.pg);
}

TestSuite(dashboard, .init = start, .fini = stop, .timeout = 300);

/* ---- people ---- */

static void add_user(const char *name, const char *roles)
{
    visit_add_user(w.pg, name, roles);
}

static struct http_said ask(const char *method, const char *path, const struct visit *v, const char *body)
{
    return visit_ask(w.dashboard.port, method, path, v, body);
}

static int status_of(const char *method, const char *path, const struct visit *v, const char *body)
{
    return visit_status(w.dashboard.port, method, path, v, body);
}

/* ---- every route ---- */

/* With the services to which it passes requests on. */
static void start_with_services(void)
{
    static char rules[64], retrainer[64], monitor[64], key[96];

    w.conninfo = test_database();
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    snprintf(key, sizeof key, "ASSAY_WEBHOOK_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    process_start(&w.rules, "rules", (const char *const[]){ w.pg_url, NULL });
    process_start(&w.retrainer, "retrainer", (const char *const[]){ w.pg_url, NULL });
    process_start(&w.monitor, "monitor", (const char *const[]){ w.pg_url, key, NULL });
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d", w.rules.port);
    snprintf(retrainer, sizeof retrainer, "ASSAY_RETRAINER_ADDR=127.0.0.1:%d", w.retrainer.port);
    snprintf(monitor, sizeof monitor, "ASSAY_MONITOR_ADDR=127.0.0.1:%d", w.monitor.port);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ w.pg_url, rules, retrainer, monitor, NULL });
}

static void stop_with_services(void)
{
    stop();
    cr_assert_eq(process_stop(&w.monitor), 0);
    cr_assert_eq(process_stop(&w.retrainer), 0);
    cr_assert_eq(process_stop(&w.rules), 0);
}

TestSuite(dashboard_routes, .init = start_with_services, .fini = stop_with_services, .timeout = 300);

struct operation {
    char path[128], method[16], roles[128];
};

enum { OPERATIONS_MOST = 256 };

/* The operations of a document in docs/api, in its own layout, with a number or a name in the place of parameters; of
 * the dashboard's, those with roles. */
static size_t read_operations(const char *document, struct operation *out)
{
    bool has_roles = strcmp(document, "dashboard") == 0;
    char line[1024], path[128] = "", method[16] = "", file[64];
    size_t count = 0;
    FILE *f;

    snprintf(file, sizeof file, "docs/api/%s.yaml", document);
    f = fopen(file, "r");
    cr_assert(f != NULL);
    while (fgets(line, sizeof line, f)) {
        char word[128] = "";
        bool is_one = false;

        if (sscanf(line, "  /v1/%127[^:\n]", word) == 1 && line[2] == '/') {
            char *end = strrchr(line, ':'), *to = path;

            *end = '\0';
            for (const char *p = line + 2; *p; p++) {
                if (*p == '{') {
                    to += sprintf(to, "%s", strncmp(p, "{name}", 6) == 0 ? "nobody" : "1");
                    p = strchr(p, '}');
                } else {
                    *to++ = *p;
                }
            }
            *to = '\0';
        } else if (strncmp(line, "components:", 11) == 0) {
            break;
        } else if (*path && line[0] == ' ' && line[4] != ' ' && sscanf(line, "    %7[a-z]:", word) == 1 &&
                   strncmp(line, "    parameters", 14) != 0) {
            snprintf(method, sizeof method, "%.15s", word);
            for (char *p = method; *p; p++)
                *p = (char)(*p - 'a' + 'A');
            snprintf(word, sizeof word, "none");
            is_one = !has_roles;
        } else {
            is_one = has_roles && sscanf(line, "      x-roles: [%127[^]]]", word) == 1;
        }
        if (is_one) {
            cr_assert(count < OPERATIONS_MOST);
            snprintf(out[count].path, sizeof out->path, "%s", path);
            snprintf(out[count].method, sizeof out->method, "%s", method);
            snprintf(out[count].roles, sizeof out->roles, "%s", word);
            count++;
        }
    }
    fclose(f);
    return count;
}

static const char *const role_names[] = { "analyst",     "lead",  "rule_author", "publisher",
                                          "model_owner", "admin", "auditor" };

static bool has_word(const char *list, const char *word)
{
    char copy[256], *rest = copy, *each;

    snprintf(copy, sizeof copy, "%s", list);
    while ((each = strsep(&rest, ", ")) != NULL)
        if (strcmp(each, word) == 0)
            return true;
    return false;
}

static void try_operation(const struct operation *op)
{
    bool is_reading = strcmp(op->method, "GET") == 0, is_open = has_word(op->roles, "none");
    /* A stream has no end. */
    const char *method = strcmp(op->path, "/v1/stream") == 0 ? "HEAD" : op->method;
    const char *body = is_reading ? NULL : "{}";
    struct visit old = visit_of(w.pg, "analyst", "now() - interval '31 minutes'"), made_up = old, wrong;
    int status = status_of(method, op->path, NULL, body);

    cr_expect(is_open ? status != 401 && status != 403 : status == 401, "%s %s without a session: %d",
              op->method, op->path, status);
    if (is_open)
        return;
    cr_expect_eq(status_of(method, op->path, &old, body), 401, "%s %s: expired", op->method, op->path);
    memset(strchr(made_up.cookie, '=') + 1, 'a', 64);
    cr_expect_eq(status_of(method, op->path, &made_up, body), 401, "%s %s: made up", op->method, op->path);
    for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
        struct visit v = visit_of(w.pg, role_names[i], "now()");
        bool may = has_word(op->roles, "any") || has_word(op->roles, role_names[i]);

        wrong = v;
        memset(strchr(wrong.csrf, ' ') + 1, '0', 64);
        status = status_of(method, op->path, &wrong, body);
        cr_expect(is_reading && may ? status != 403 : status == 403, "%s %s by %s with a wrong token: %d",
                  op->method, op->path, role_names[i], status);
        status = status_of(method, op->path, &v, body);
        cr_expect(may ? status != 401 && status != 403 && status < 500 && status != 405 : status == 403,
                  "%s %s by %s: %d", op->method, op->path, role_names[i], status);
    }
}

Test(dashboard_routes, all_that_rules_retrainer_and_monitor_document_is_passed_on)
{
    static const char *const documents[] = { "rules", "retrainer", "monitor" };
    static struct operation own[OPERATIONS_MOST], theirs[OPERATIONS_MOST];
    size_t count = read_operations("dashboard", own), k;

    for (size_t d = 0; d < ARRAY_LEN(documents); d++) {
        size_t more = read_operations(documents[d], theirs);

        cr_assert(more >= 10, "%zu operations of %s were found", more, documents[d]);
        for (size_t i = 0; i < more; i++) {
            for (k = 0; k < count; k++)
                if (strcmp(own[k].path, theirs[i].path) == 0 && strcmp(own[k].method, theirs[i].method) == 0)
                    break;
            cr_expect(k < count, "%s %s of %s.yaml is not in dashboard.yaml", theirs[i].method,
                      theirs[i].path, documents[d]);
        }
    }
}

Test(dashboard_routes, lets_each_role_do_what_is_documented_and_nothing_else)
{
    static struct operation operations[OPERATIONS_MOST];
    size_t count = read_operations("dashboard", operations);

    cr_assert(count >= 12, "%zu operations were found", count);
    for (size_t i = 0; i < ARRAY_LEN(role_names); i++)
        add_user(role_names[i], role_names[i]);
    for (size_t i = 0; i < count; i++)
        try_operation(&operations[i]);
}

/* ---- log-in ---- */

static struct http_said log_in(const char *name, const char *password)
{
    char body[256];

    snprintf(body, sizeof body, "{\"name\": \"%s\", \"password\": \"%s\"}", name, password);
    return ask("POST", "/v1/session", NULL, body);
}

/* The headers of the session that an answer tells of. */
static struct visit visit_said(struct http_said *said)
{
    struct visit v = { 0 };
    const char *cookie = http_said_header(said, "set-cookie");

    cr_assert_eq(said->status, 200, "%s", said->body);
    cr_assert(strstr(cookie, "HttpOnly") && strstr(cookie, "SameSite=Strict") && !strstr(cookie, "Secure"));
    snprintf(v.cookie, sizeof v.cookie, "Cookie: %.78s", cookie);
    snprintf(v.csrf, sizeof v.csrf, "X-CSRF-Token: %s",
             json_string_value(json_object_get(said->json, "csrf")));
    http_said_free(said);
    return v;
}

static struct visit enter(const char *name, const char *password)
{
    struct http_said said = log_in(name, password);

    return visit_said(&said);
}

Test(dashboard, a_session_begins_with_the_password_and_ends_when_it_is_told_to)
{
    struct visit v;

    add_user("ann", "analyst");
    v = enter("ann", PASSWORD);
    cr_assert_eq(status_of("GET", "/v1/session", &v, NULL), 200);
    cr_assert_eq(status_of("DELETE", "/v1/session", &v, NULL), 204);
    cr_assert_eq(status_of("GET", "/v1/session", &v, NULL), 401);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM users WHERE password LIKE '$argon2id$v=19$m=65536,t=2,p=1$%'"),
        1);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM audit WHERE action IN ('session.begin', 'session.end')"), 2);
}

Test(dashboard, wrong_passwords_are_answered_alike_and_lock_for_longer_and_longer)
{
    struct http_said there, nobody;

    add_user("ann", "analyst");
    there = log_in("ann", "wrong");
    nobody = log_in("zoe", "wrong");
    cr_assert_eq(there.status, 401);
    cr_assert_str_eq(there.body, nobody.body);
    http_said_free(&there);
    http_said_free(&nobody);
    for (int i = 0; i < 4; i++)
        http_said_free(&(struct http_said[]){ log_in("ann", "wrong") }[0]);
    there = log_in("ann", PASSWORD);
    cr_assert_eq(there.status, 429, "also the right one has to wait: %d", there.status);
    cr_assert(atoi(http_said_header(&there, "retry-after")) >= 1);
    http_said_free(&there);
    database_run(w.pg, "UPDATE login_failures SET failures = 12, locked_until = now()");
    http_said_free(&(struct http_said[]){ log_in("ann", "wrong") }[0]);
    cr_assert_gt(
        database_int(w.pg,
                     "SELECT extract(epoch FROM locked_until - now())::int8 FROM login_failures WHERE kind "
                     "= 'pair' AND subject = 'ann 127.0.0.1'"),
        200);
    database_run(w.pg, "UPDATE login_failures SET locked_until = now()");
    there = log_in("ann", PASSWORD);
    cr_assert_eq(there.status, 200);
    http_said_free(&there);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM login_failures WHERE kind = 'pair' AND subject LIKE 'ann %'"),
        0);
}

/* A wrong password for "ann" from another address: what is answered. */
static int guess_from(const char *address)
{
    char command[256], got[64] = "";
    FILE *f;

    snprintf(command, sizeof command,
             "curl -s -o /dev/null -w '%%{http_code}' --interface %s -H 'Content-Type: application/json' -d "
             "'{\"name\": \"ann\", \"password\": \"wrong\"}' http://127.0.0.1:%d/v1/session",
             address, w.dashboard.port);
    f = popen(command, "r");
    cr_assert(f != NULL && fgets(got, sizeof got, f) != NULL);
    pclose(f);
    return atoi(got);
}

static int log_in_status(const char *cookie, const char *password)
{
    const char *const headers[] = { "Content-Type: application/json", cookie, NULL };
    char body[128];
    struct http_said said;
    int status;

    snprintf(body, sizeof body, "{\"name\": \"ann\", \"password\": \"%s\"}", password);
    said = http_ask(w.dashboard.port, "POST", "/v1/session", NULL, headers, body, strlen(body));
    status = said.status;
    http_said_free(&said);
    return status;
}

Test(dashboard, a_stranger_who_guesses_keeps_himself_waiting_and_not_the_owner_of_the_name)
{
    add_user("ann", "analyst");
    for (int i = 0; i < 4; i++)
        cr_assert_eq(guess_from("127.0.0.2"), 401);
    database_run(w.pg, "UPDATE login_failures SET failures = 12 WHERE kind = 'pair'");
    cr_assert_eq(guess_from("127.0.0.2"), 401);
    cr_assert_eq(guess_from("127.0.0.2"), 429);
    cr_assert_eq(log_in_status(NULL, PASSWORD), 200, "from another address");
    for (int i = 0; i < 40; i++) {
        char address[32];

        snprintf(address, sizeof address, "127.0.1.%d", 1 + i / 4);
        cr_assert_eq(guess_from(address), 401);
    }
    cr_assert_eq(log_in_status(NULL, PASSWORD), 200, "however many there are, up to a bound");
    database_run(w.pg, "UPDATE login_failures SET failures = 120 WHERE kind = 'user'");
    cr_assert_eq(guess_from("127.0.3.1"), 401);
    cr_assert_eq(guess_from("127.0.3.2"), 429, "many addresses together are bounded too");
    cr_assert_gt(
        database_int(w.pg,
                     "SELECT extract(epoch FROM locked_until - now())::int8 FROM login_failures WHERE kind "
                     "= 'user' AND subject = 'ann'"),
        800);
    cr_assert_eq(log_in_status(NULL, PASSWORD), 429, "a browser that nobody knows waits with them");
    database_run(
        w.pg,
        "UPDATE login_failures SET last_at = last_at - interval '30 minutes', locked_until = now() WHERE "
        "kind = "
        "'user'");
    cr_assert_eq(guess_from("127.0.3.2"), 401);
    cr_assert_eq(
        database_int(w.pg, "SELECT failures FROM login_failures WHERE kind = 'user' AND subject = 'ann'"),
        112, "one is forgotten in three minutes");
}

Test(dashboard, the_browser_that_somebody_uses_lets_him_in_whatever_strangers_do)
{
    struct http_said said;
    char cookie[128] = "", found[128] = "";

    add_user("ann", "analyst");
    for (int i = 0; i < 2; i++) {
        const char *const headers[] = { "Content-Type: application/json", *cookie ? cookie : NULL, NULL };
        char body[] = "{\"name\": \"ann\", \"password\": \"" PASSWORD "\"}";

        said = http_ask(w.dashboard.port, "POST", "/v1/session", NULL, headers, body, strlen(body));
        cr_assert_eq(said.status, 200, "%s", said.body);
        for (const char *at = said.headers; (at = strstr(at, "assay_browser=")) != NULL; at++)
            snprintf(found, sizeof found, "Cookie: %.78s", at);
        cr_assert(strstr(said.headers, "; Path=/v1/session; Max-Age=7776000; HttpOnly; SameSite=Strict") !=
                      NULL,
                  "%s", said.headers);
        http_said_free(&said);
        cr_assert_str_neq(found, cookie, "a new one each time");
        snprintf(cookie, sizeof cookie, "%s", found);
    }
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM known_browsers WHERE name = 'ann'"), 1,
                 "in place of the first");
    database_run(
        w.pg,
        "INSERT INTO login_failures SELECT k, s, 500, now(), now() + interval '15 minutes' FROM (VALUES "
        "('user', "
        "'ann'), ('pair', 'ann 127.0.0.1'), ('address', '127.0.0.1')) AS v (k, s)");
    cr_assert_eq(log_in_status(NULL, PASSWORD), 429);
    cr_assert_eq(log_in_status(cookie, "wrong"), 401);
    database_run(w.pg, "UPDATE login_failures SET failures = 12 WHERE kind = 'browser'");
    cr_assert_eq(log_in_status(cookie, "wrong"), 401);
    cr_assert_eq(log_in_status(cookie, PASSWORD), 429, "it is bounded as well");
    cr_assert_eq(database_int(w.pg, "SELECT sum(failures) FROM login_failures WHERE kind <> 'browser'"), 1500,
                 "and keeps nobody else waiting");
    database_run(w.pg, "UPDATE login_failures SET locked_until = now() WHERE kind = 'browser'");
    cr_assert_eq(log_in_status(cookie, PASSWORD), 200);
    cr_assert_eq(log_in_status(cookie, PASSWORD), 429, "the old cookie is of no use any more");
}

Test(dashboard, sessions_end_with_the_rights_that_they_were_made_with)
{
    static const char *const changes[] = { "users disable ann", "users roles ann lead", "users enable ann" };
    struct buf said;

    buf_init(&said, 0);
    add_user("ann", "analyst");
    for (size_t i = 0; i < 2; i++) {
        struct visit v;

        if (i)
            cr_assert_eq(command_run(&said, w.conninfo, "", changes[2]), 0);
        v = enter("ann", PASSWORD);
        cr_assert_eq(command_run(&said, w.conninfo, "", changes[i]), 0, "%s", buf_str(&said));
        cr_assert_eq(status_of("GET", "/v1/session", &v, NULL), 401, "%s", changes[i]);
    }
    buf_release(&said);
}

Test(dashboard, a_password_is_changed_by_who_knows_the_old_one_and_he_goes_on_in_another_session)
{
    struct http_said said;
    struct visit one, other, fresh;

    add_user("ann", "analyst");
    one = enter("ann", PASSWORD);
    other = enter("ann", PASSWORD);
    cr_assert_eq(
        status_of("POST", "/v1/session/password", &one, "{\"old\": \"x\", \"new\": \"123456789012\"}"), 403,
        "which does not say that he is not logged in");
    cr_assert_eq(
        status_of("POST", "/v1/session/password", &one, "{\"old\": \"" PASSWORD "\", \"new\": \"short\"}"),
        422);
    said =
        ask("POST", "/v1/session/password", &one, "{\"old\": \"" PASSWORD "\", \"new\": \"123456789012\"}");
    fresh = visit_said(&said);
    cr_assert_eq(status_of("GET", "/v1/session", &fresh, NULL), 200);
    cr_assert_eq(status_of("GET", "/v1/session", &one, NULL), 401, "its token may be known to somebody");
    cr_assert_eq(status_of("GET", "/v1/session", &other, NULL), 401);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM known_browsers"), 1, "and those browsers too");
    enter("ann", "123456789012");
}

/* ---- at the same time ---- */

struct login {
    const char *password;
    int status;
};

static void *log_ann_in(void *arg)
{
    struct login *l = arg;
    struct http_said said = log_in("ann", l->password);

    l->status = said.status;
    http_said_free(&said);
    return NULL;
}

/* Somebody waits for the lock that a transaction of w.pg holds. */
static void wait_for_waiting(void)
{
    struct pg_session *other; /* a transaction sees the activity of its first look */

    MUST(pg_session_open(&other, w.conninfo, "test", &w.why));
    database_wait(other,
                  "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                  "wait_event_type = 'Lock'",
                  1, NULL);
    pg_session_close(other);
}

Test(dashboard, a_log_in_that_began_before_a_change_of_the_user_does_not_come_in_after_it)
{
    static const char *const changes[] = {
        "UPDATE users SET password = '$argon2id$another' WHERE name = 'ann'",
        "UPDATE users SET is_disabled = true WHERE name = 'ann'"
    };

    add_user("ann", "analyst");
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct login l = { .password = PASSWORD };
        pthread_t thread;

        database_run(w.pg, "CREATE TABLE IF NOT EXISTS before AS SELECT * FROM users; BEGIN");
        database_run(w.pg, changes[i]);
        cr_assert_eq(pthread_create(&thread, NULL, log_ann_in, &l), 0);
        wait_for_waiting();
        database_run(w.pg, "COMMIT");
        pthread_join(thread, NULL);
        cr_assert_eq(l.status, 401, "%s: %d", changes[i], l.status);
        cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM sessions"), 0, "%s", changes[i]);
        database_run(w.pg, "UPDATE users u SET password = b.password, is_disabled = false FROM before b");
    }
    enter("ann", PASSWORD);
}

static void *disable_ann(void *arg)
{
    struct buf said;

    buf_init(&said, 0);
    *(int *)arg = command_run(&said, w.conninfo, "", "users disable ann");
    buf_release(&said);
    return NULL;
}

Test(dashboard, a_session_that_is_being_made_when_its_user_is_disabled_ends_too)
{
    pthread_t thread;
    int code = -1;

    add_user("ann", "analyst");
    database_run(w.pg, "BEGIN; SELECT 1 FROM users WHERE name = 'ann' FOR SHARE; INSERT INTO sessions "
                       "(token_sha256, name, address, expires_at) SELECT sha256('x'), name, 'test', now() + "
                       "interval '1 hour' FROM users");
    cr_assert_eq(pthread_create(&thread, NULL, disable_ann, &code), 0);
    wait_for_waiting();
    database_run(w.pg, "COMMIT");
    pthread_join(thread, NULL);
    cr_assert_eq(code, 0);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM sessions"), 0);
}

/* ---- behind a proxy ---- */

static void start_behind_proxy(void)
{
    start_with("ASSAY_DASHBOARD_TLS_PROXY=yes");
}

TestSuite(dashboard_proxy, .init = start_behind_proxy, .fini = stop, .timeout = 300);

static struct http_said log_in_for(const char *forwarded, const char *password)
{
    const char *const headers[] = { "Content-Type: application/json", forwarded, NULL };
    char body[128];

    snprintf(body, sizeof body, "{\"name\": \"ann\", \"password\": \"%s\"}", password);
    return http_ask(w.dashboard.port, "POST", "/v1/session", NULL, headers, body, strlen(body));
}

Test(dashboard_proxy, cookies_are_of_this_host_alone_and_secure)
{
    struct http_said said;
    struct visit v = { 0 };
    const char *at;

    add_user("ann", "analyst");
    said = log_in_for(NULL, PASSWORD);
    cr_assert_eq(said.status, 200, "%s", said.body);
    at = strstr(said.headers, "__Host-assay_session=");
    cr_assert_not_null(at, "%s", said.headers);
    snprintf(v.cookie, sizeof v.cookie, "Cookie: %.85s", at);
    snprintf(v.csrf, sizeof v.csrf, "X-CSRF-Token: %s",
             json_string_value(json_object_get(said.json, "csrf")));
    cr_assert_eq(strncmp(at + 85, "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure", 58), 0, "%s",
                 at);
    at = strstr(said.headers, "__Secure-assay_browser=");
    cr_assert(at && strstr(at, "; Path=/v1/session; Max-Age=7776000; HttpOnly; SameSite=Strict; Secure"));
    http_said_free(&said);
    cr_assert_eq(status_of("GET", "/v1/session", &v, NULL), 200);
    memmove(strstr(v.cookie, "__Host-"), strstr(v.cookie, "assay_session"), strlen("assay_session=") + 65);
    cr_assert_eq(status_of("GET", "/v1/session", &v, NULL), 401, "a neighbour could have set that one");
}

Test(dashboard_proxy, who_guesses_is_told_apart_by_what_the_proxy_says_and_by_nothing_that_he_says)
{
    struct http_said said;
    int status = 0;

    add_user("ann", "analyst");
    for (int i = 0; i < 10 && status != 429; i++) {
        char forwarded[96];

        snprintf(forwarded, sizeof forwarded, "X-Forwarded-For: 198.51.100.%d, 203.0.113.9", i);
        said = log_in_for(forwarded, "wrong");
        status = said.status;
        http_said_free(&said);
    }
    cr_assert_eq(status, 429);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM login_failures WHERE subject LIKE '%203.0.113.9'"),
                 2);
    said = log_in_for("X-Forwarded-For: 203.0.113.9, 198.51.100.7", PASSWORD);
    cr_assert_eq(said.status, 200);
    http_said_free(&said);
    cr_assert_str_eq(database_text(w.pg, "SELECT address FROM sessions"), "198.51.100.7");
}

Test(dashboard, a_body_that_a_form_of_another_site_could_send_is_refused)
{
    char command[256], got[64] = "";
    FILE *f;

    snprintf(command, sizeof command,
             "curl -s -o /dev/null -w '%%{http_code}' -H 'Content-Type: text/plain' -d '{}' "
             "http://127.0.0.1:%d/v1/session",
             w.dashboard.port);
    f = popen(command, "r");
    cr_assert(f != NULL && fgets(got, sizeof got, f) != NULL);
    pclose(f);
    cr_assert_str_eq(got, "400");
}

/* ---- the audit trail ---- */

static struct audit_check verify(void)
{
    struct audit_check check;

    MUST(audit_verify(w.pg, &check, &w.why));
    return check;
}

Test(dashboard, every_audit_row_is_chained_whoever_writes_it_and_none_can_be_changed_unseen)
{
    struct audit_check check;
    struct buf said;
    char head[65];

    buf_init(&said, 0);
    for (int i = 0; i < 20; i++)
        database_run(
            w.pg, "SET ROLE assay_monitor; INSERT INTO audit (actor, action, subject, detail) SELECT 'test', "
                  "'test.put', g::text, "
                  "'{\"a\": [1, \"<script>\"]}' FROM generate_series(1, 5) g; RESET ROLE");
    database_run(w.pg, "BEGIN; INSERT INTO audit (actor, action) VALUES ('test', 'lost'); ROLLBACK");
    check = verify();
    cr_assert(check.is_whole, "%s", check.trouble.text);
    cr_assert_eq(check.rows, 100);
    snprintf(head, sizeof head, "%s", check.head);
    cr_assert_eq(command_run(&said, w.conninfo, "", "audit verify"), 0, "%s", buf_str(&said));
    cr_assert(strstr(buf_str(&said), head) != NULL);

    cr_assert_neq(pg_exec_script(w.pg, "UPDATE audit SET actor = 'x' WHERE id = 40", &w.why), ERR_OK);
    cr_assert_neq(pg_exec_script(w.pg, "DELETE FROM audit WHERE id = 40", &w.why), ERR_OK);
    cr_assert_neq(pg_exec_script(w.pg, "TRUNCATE audit", &w.why), ERR_OK);

    database_run(
        w.pg, "ALTER TABLE audit DISABLE TRIGGER audit_refuse; UPDATE audit SET actor = 'x' WHERE id = 40");
    check = verify();
    cr_assert(!check.is_whole && check.broken_link == 40 && check.broken_id == 40, "%s", check.trouble.text);
    cr_assert_eq(command_run(&said, w.conninfo, "", "audit verify"), 1);
    cr_assert(strstr(buf_str(&said), "row 40") != NULL, "%s", buf_str(&said));
    database_run(w.pg, "UPDATE audit SET actor = 'test' WHERE id = 40");
    cr_assert(verify().is_whole);

    database_run(w.pg, "DELETE FROM audit WHERE id = 60");
    check = verify();
    cr_assert(!check.is_whole && check.broken_link == 60, "%s", check.trouble.text);
    buf_release(&said);
}

Test(dashboard, the_chain_holds_when_many_write_at_once)
{
    struct pg_session *others[4];

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        MUST(pg_session_open(&others[i], w.conninfo, "test", &w.why));
        MUST(pg_exec_script(others[i], "BEGIN; INSERT INTO audit (actor, action) VALUES ('test', 'put')",
                            &w.why));
    }
    database_run(w.pg, "INSERT INTO audit (actor, action) VALUES ('test', 'first')");
    for (size_t i = ARRAY_LEN(others); i-- > 0;) {
        MUST(pg_exec_script(others[i], "COMMIT", &w.why));
        pg_session_close(others[i]);
    }
    cr_assert(verify().is_whole);
    cr_assert_eq(verify().rows, 5);
    cr_assert_eq(database_int(w.pg, "SELECT id FROM audit_chain WHERE link = 1"), 5,
                 "links are in the order of commits");
}

/* ---- pages ---- */

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    f = fopen(path, "w");
    cr_assert(f != NULL, "%s", path);
    fputs(text, f);
    fclose(f);
}

static char pages_dir[64];

static void start_with_pages(void)
{
    char path[128], setting[96];

    snprintf(pages_dir, sizeof pages_dir, "/tmp/assay-pages-XXXXXX");
    cr_assert(mkdtemp(pages_dir) != NULL);
    snprintf(path, sizeof path, "%s/assets", pages_dir);
    mkdir(path, 0755);
    write_file(pages_dir, "index.html", "<!doctype html>hello");
    write_file(pages_dir, "assets/app-1.js", "let a = 1;");
    write_file(pages_dir, "assets/app-1.js.gz", "compressed");
    write_file(pages_dir, ".secret", "hidden");
    snprintf(path, sizeof path, "%s/passwd", pages_dir);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    snprintf(setting, sizeof setting, "ASSAY_DASHBOARD_PAGES=%s", pages_dir);
    start_with(strdup(setting));
}

static void stop_with_pages(void)
{
    char command[128];

    stop();
    snprintf(command, sizeof command, "rm -rf %s", pages_dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(dashboard_pages, .init = start_with_pages, .fini = stop_with_pages, .timeout = 180);

Test(dashboard_pages, serves_what_was_built_and_nothing_beside_it)
{
    static const char *const not_there[] = {
        "/passwd",     "/.secret",    "/../etc/passwd",     "/%2e%2e/etc/passwd", "/assets/..%2f..%2fx.y",
        "/nothing.js", "/v1/nothing", "/assets/app-1.js.gz"
    };
    static const char *const places[] = { "/", "/cases", "/cases/17/x", "/index.html" };
    const char *headers[] = { "Accept-Encoding: gzip", NULL, NULL };
    char match[96];
    struct http_said said;

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        said = ask("GET", places[i], NULL, NULL);
        cr_assert_eq(said.status, 200, "%s", places[i]);
        cr_assert_str_eq(said.body, "<!doctype html>hello");
        cr_assert_str_eq(http_said_header(&said, "content-type"), "text/html; charset=utf-8");
        cr_assert_str_eq(http_said_header(&said, "cache-control"), "no-cache");
        cr_assert(strstr(http_said_header(&said, "content-security-policy"), "frame-ancestors 'none'") !=
                  NULL);
        cr_assert(strstr(http_said_header(&said, "content-security-policy"), "unsafe") == NULL);
        cr_assert_str_eq(http_said_header(&said, "x-content-type-options"), "nosniff");
        http_said_free(&said);
    }
    for (size_t i = 0; i < ARRAY_LEN(not_there); i++) {
        said = ask("GET", not_there[i], NULL, NULL);
        cr_expect(said.status == 404 ||
                      (said.status == 200 && strcmp(said.body, "<!doctype html>hello") == 0),
                  "%s: %d", not_there[i], said.status);
        cr_expect(!said.body || !strstr(said.body, "root:"), "%s", not_there[i]);
        http_said_free(&said);
    }
    said = http_ask(w.dashboard.port, "GET", "/assets/app-1.js", NULL, headers, NULL, 0);
    cr_assert_str_eq(said.body, "compressed");
    cr_assert_str_eq(http_said_header(&said, "content-encoding"), "gzip");
    cr_assert(strstr(http_said_header(&said, "cache-control"), "immutable") != NULL);
    snprintf(match, sizeof match, "If-None-Match: %s", http_said_header(&said, "etag"));
    http_said_free(&said);
    headers[1] = match;
    said = http_ask(w.dashboard.port, "GET", "/assets/app-1.js", NULL, headers, NULL, 0);
    cr_assert_eq(said.status, 304);
    cr_assert_eq(said.body_len, 0);
    http_said_free(&said);
    said = ask("GET", "/assets/app-1.js", NULL, NULL);
    cr_assert_str_eq(said.body, "let a = 1;");
    http_said_free(&said);
}
