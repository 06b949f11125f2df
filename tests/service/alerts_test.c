/* SPDX-License-Identifier: Apache-2.0
 * alerts_test.c - alerts as those who are told of them see it: the real monitor, real PostgreSQL, receivers on
 * loopback. What is wrong is written where the monitor itself writes it. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/receiver.h"
#include "pg/session.h"

#define KEY "ASSAY_WEBHOOK_KEY=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

static struct {
    struct pg_session *pg;
    struct process monitor, other;
    struct receiver receiver;
    const char *conninfo;
    char pg_url[512], key[64], secret[128];
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void wait_until(const char *question, int64_t wanted)
{
    database_wait(w.pg, question, wanted,
                  "SELECT string_agg(concat_ws(' ', delivery, type, state, attempts, last_status, "
                  "last_trouble), '; ') FROM alert_deliveries");
}

static void start(struct process *p, const char *one, const char *two)
{
    process_start(
        p, "monitor",
        (const char *const[]){ w.pg_url, KEY, "ASSAY_ALERT_TURN=20ms", "ASSAY_ALERT_HOLD=0",
                               "ASSAY_ALERT_KEEP=0", "ASSAY_ALERT_GROUP_WAIT=0", "ASSAY_ALERT_TIMEOUT=400ms",
                               "ASSAY_ALERT_RETRIES=30ms,30ms,30ms,30ms,30ms,30ms,30ms,30ms,30ms,30ms", one,
                               two, NULL });
}

static void start_open(struct process *p)
{
    start(p, "ASSAY_ALERT_ALLOW_HTTP=true", "ASSAY_ALERT_ALLOW_PRIVATE=true");
}

static void setup(void)
{
    w.conninfo = test_database();
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('main')");
    database_key(w.pg, 1, "admin", w.key);
    receiver_start(&w.receiver);
}

static void teardown(void)
{
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    if (w.other.pid)
        cr_expect_eq(process_stop(&w.other), 0, "it ends gracefully");
    if (w.monitor.pid)
        cr_expect_eq(process_stop(&w.monitor), 0, "it ends gracefully");
    receiver_end(&w.receiver);
    pg_session_close(w.pg);
}

TestSuite(alerts, .init = setup, .fini = teardown, .timeout = 120);

/* ---- what goes in, and who is told ---- */

static void raise_condition(const char *subject, bool is_raised)
{
    char text[700];

    snprintf(
        text, sizeof text,
        "INSERT INTO monitor_conditions (condition, kind, subject, severity, lane, value, threshold, text, "
        "is_raised, since, change) VALUES ('drift/0/%s', 'drift', '%s', 'warning', 0, 0.31, 0.2, 'it is not "
        "what it "
        "was', %s, now(), nextval('monitor_condition_changes')) ON CONFLICT (condition) DO UPDATE SET "
        "is_raised = "
        "EXCLUDED.is_raised, change = EXCLUDED.change",
        subject, subject, is_raised ? "true" : "false");
    database_run(w.pg, text);
}

static struct http_said ask(const char *method, const char *path, const char *body)
{
    return http_ask(w.monitor.port, method, path, w.key, NULL, body, body ? strlen(body) : 0);
}

static int status_of(const char *method, const char *path, const char *body)
{
    struct http_said said = ask(method, path, body);
    int status = said.status;

    http_said_free(&said);
    return status;
}

/* Leaves the secret in w.secret. */
static void add_webhook_at(const char *name, const char *host, const char *scheme)
{
    char body[256];
    struct http_said said;
    const char *secret;

    snprintf(body, sizeof body, "{\"name\": \"%s\", \"url\": \"%s://%s:%d/hook\"}", name, scheme, host,
             w.receiver.port);
    said = ask("POST", "/v1/webhooks", body);
    cr_assert_eq(said.status, 201, "%s", said.body);
    secret = json_string_value(json_object_get(said.json, "secret"));
    cr_assert_not_null(secret);
    snprintf(w.secret, sizeof w.secret, "%s", secret);
    http_said_free(&said);
}

static void add_webhook(const char *name, const char *host)
{
    add_webhook_at(name, host, "http");
}

/* A text within the event of a request; valid until the next call. */
static const char *event_text(size_t request, const char *name)
{
    static char value[256];
    json_t *tree = json_loads(w.receiver.requests[request].body, 0, NULL);
    const char *text = json_string_value(json_object_get(tree, name));

    snprintf(value, sizeof value, "%s", text ? text : "");
    json_decref(tree);
    return value;
}

static const char *event_subject(size_t request)
{
    static char value[256];
    json_t *tree = json_loads(w.receiver.requests[request].body, 0, NULL);
    json_t *alert = json_array_get(json_object_get(json_object_get(tree, "data"), "alerts"), 0);
    const char *text = json_string_value(json_object_get(json_object_get(alert, "labels"), "subject"));

    snprintf(value, sizeof value, "%s", text ? text : "");
    json_decref(tree);
    return value;
}

/* ---- telling ---- */

Test(alerts, an_alert_is_told_signed_and_its_end_once)
{
    char *type;

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    raise_condition("amount", true);
    cr_assert(receiver_wait(&w.receiver, 1));
    cr_assert_str_eq(event_text(0, "type"), "assay.alert.firing");
    cr_assert_str_eq(event_text(0, "specversion"), "1.0");
    cr_assert_str_eq(event_subject(0), "amount");
    cr_assert(receiver_is_signed(&w.receiver, 0, w.secret));
    cr_assert_not(receiver_is_signed(&w.receiver, 0, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    type = receiver_header(&w.receiver, 0, "content-type");
    cr_assert_str_eq(type, "application/cloudevents+json; charset=utf-8");
    free(type);
    raise_condition("amount", false);
    cr_assert(receiver_wait(&w.receiver, 2));
    cr_assert_str_eq(event_text(1, "type"), "assay.alert.resolved");
    cr_assert(receiver_is_signed(&w.receiver, 1, w.secret));
    raise_condition("amount", true);
    cr_assert(receiver_wait(&w.receiver, 3));
    cr_assert_str_eq(event_text(2, "type"), "assay.alert.firing");
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered'", 3);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM alerts"), 2);
    usleep(300000);
    cr_assert_eq(receiver_count(&w.receiver), 3, "nothing is told twice");
}

Test(alerts, what_fails_is_tried_again_with_the_same_id_and_in_order)
{
    char *first, *again;

    atomic_store(&w.receiver.mode, RECEIVER_FAILS);
    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    raise_condition("a", true);
    cr_assert(receiver_wait(&w.receiver, 2));
    raise_condition("b", true);
    wait_until("SELECT count(*) FROM alert_deliveries", 2);
    cr_assert_str_eq(event_subject(1), "a");
    first = receiver_header(&w.receiver, 0, "webhook-id");
    again = receiver_header(&w.receiver, 1, "webhook-id");
    cr_assert_str_eq(first, again);
    free(first);
    free(again);
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state <> 'pending'", 2);
    cr_assert_str_eq(event_subject(receiver_count(&w.receiver) - 1), "b");
    for (size_t i = 0; i + 1 < receiver_count(&w.receiver); i++)
        cr_assert_str_eq(event_subject(i), "a", "b waits for a");
}

Test(alerts, who_hangs_redirects_babbles_or_hangs_up_is_asked_again)
{
    static const enum receiver_mode modes[] = { RECEIVER_HANGS, RECEIVER_REDIRECTS, RECEIVER_HUGE,
                                                RECEIVER_CLOSES, RECEIVER_GARBAGE };

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char subject[8];
        size_t before = receiver_count(&w.receiver);

        snprintf(subject, sizeof subject, "s%zu", i);
        atomic_store(&w.receiver.mode, (int)modes[i]);
        raise_condition(subject, true);
        cr_assert(receiver_wait(&w.receiver, before + 1));
        wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'pending' AND attempts > 0", 1);
        atomic_store(&w.receiver.mode, RECEIVER_OK);
        wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered'", (int64_t)i + 1);
    }
    for (size_t i = 0; i < receiver_count(&w.receiver); i++)
        cr_assert_eq(strncmp(w.receiver.requests[i].head, "POST /hook ", 11), 0, "no redirect was followed");
}

Test(alerts, after_the_last_attempt_the_next_message_has_its_turn)
{
    atomic_store(&w.receiver.mode, RECEIVER_FAILS);
    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    raise_condition("a", true);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'failed'", 1);
    cr_assert_eq(database_int(w.pg, "SELECT attempts::int8 FROM alert_deliveries"), 11);
    cr_assert_eq(receiver_count(&w.receiver), 11);
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    raise_condition("b", true);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered'", 1);
}

Test(alerts, who_is_gone_is_disabled_until_somebody_enables_it)
{
    atomic_store(&w.receiver.mode, RECEIVER_GONE);
    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    raise_condition("a", true);
    wait_until("SELECT count(*) FROM webhooks WHERE NOT is_enabled", 1);
    cr_assert_eq(receiver_count(&w.receiver), 1);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM audit WHERE actor = 'monitor' AND action = 'webhook.disable'"),
        1);
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    raise_condition("b", true);
    wait_until("SELECT count(*) FROM alerts", 2);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM alert_deliveries"), 1,
                 "nothing is kept for who is gone");
    cr_assert_eq(status_of("POST", "/v1/webhooks/ops:test", NULL), 409);
    cr_assert_eq(status_of("POST", "/v1/webhooks/ops:enable", NULL), 200);
    raise_condition("c", true);
    cr_assert(receiver_wait(&w.receiver, 2));
    cr_assert_str_eq(event_subject(1), "c");
}

/* Whatever the name says, by the time the socket is opened. */
Test(alerts, no_request_goes_to_a_private_address)
{
    char body[256];

    start(&w.monitor, "ASSAY_ALERT_ALLOW_HTTP=true", NULL);
    snprintf(body, sizeof body, "{\"name\": \"ops\", \"url\": \"http://127.0.0.1:%d/\"}", w.receiver.port);
    cr_assert_eq(status_of("POST", "/v1/webhooks", body), 422);
    snprintf(body, sizeof body, "{\"name\": \"ops\", \"url\": \"http://0x7f000001:%d/\"}", w.receiver.port);
    cr_assert_eq(status_of("POST", "/v1/webhooks", body), 422);
    add_webhook("ops", "localhost");
    raise_condition("a", true);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE attempts > 1", 1);
    cr_assert_str_eq(database_text(w.pg, "SELECT last_trouble FROM alert_deliveries"),
                     "the name leads to an address that is not public");
    cr_assert_eq(receiver_count(&w.receiver), 0);
}

Test(alerts, http_in_the_clear_must_be_allowed)
{
    start(&w.monitor, NULL, NULL);
    cr_assert_eq(
        status_of("POST", "/v1/webhooks", "{\"name\": \"ops\", \"url\": \"http://hooks.example.com/\"}"),
        422);
    cr_assert_eq(
        status_of("POST", "/v1/webhooks", "{\"name\": \"ops\", \"url\": \"https://hooks.example.com/\"}"),
        201);
}

/* The receiver over TLS from now on; `setting` is what names who certified it. */
static void receive_over_tls(char *setting, size_t size, bool is_by_a_stranger)
{
    char cert[] = "/tmp/assay-receiver.XXXXXX";
    int fd = mkstemp(cert);

    cr_assert_geq(fd, 0);
    close(fd);
    receiver_end(&w.receiver);
    receiver_start_tls(&w.receiver, cert);
    if (is_by_a_stranger)
        receiver_make_stranger(cert); /* instead of its own */
    snprintf(setting, size, "ASSAY_ALERT_CA=%s", cert);
}

static void forget(const char *setting)
{
    unlink(strchr(setting, '=') + 1);
}

Test(alerts, over_https_who_is_certified_by_whom_the_settings_name_is_told)
{
    char setting[128];

    receive_over_tls(setting, sizeof setting, false);
    start(&w.monitor, setting, "ASSAY_ALERT_ALLOW_PRIVATE=true");
    add_webhook_at("ops", "127.0.0.1", "https");
    raise_condition("a", true);
    cr_assert(receiver_wait(&w.receiver, 1));
    cr_assert(receiver_is_signed(&w.receiver, 0, w.secret));
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered' AND attempts = 1", 1);
    cr_assert_eq(w.receiver.refusals, 0);
    forget(setting);
}

Test(alerts, over_https_who_is_certified_by_somebody_else_gets_no_byte)
{
    char setting[128];

    receive_over_tls(setting, sizeof setting, true);
    start(&w.monitor, setting, "ASSAY_ALERT_ALLOW_PRIVATE=true");
    add_webhook_at("ops", "127.0.0.1", "https");
    raise_condition("a", true);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE attempts >= 2 AND last_status = 0 AND "
               "last_trouble <> ''",
               1);
    cr_assert_gt(w.receiver.refusals, 0);
    cr_assert_eq(receiver_count(&w.receiver), 0);
    forget(setting);
}

/* ---- what is looked after here ---- */

Test(alerts, a_training_that_failed_labels_that_stopped_and_who_does_not_move_are_told)
{
    database_run(
        w.pg,
        "INSERT INTO training_runs (name, cause, requested_by, state, message, ended_at) VALUES ('handbook', "
        "'request', "
        "'me', 'failed', 'too few frauds', now()), ('other', 'request', 'me', 'failed', 'x', now()), "
        "('other', "
        "'request', 'me', 'succeeded', '', now())");
    database_run(
        w.pg,
        "INSERT INTO monitor_health (lane, hour, transactions, labels, late) SELECT lane, date_trunc('hour', "
        "now()) - h * "
        "interval '1 hour', 100, CASE WHEN lane = 0 AND h < 49 THEN 0 ELSE 5 END, '{0,0,0,0,0,0,0,0}' FROM "
        "generate_series(0, 400) h, generate_series(0, 1) lane");
    database_run(
        w.pg,
        "INSERT INTO followers (follower, position, updated_at) VALUES ('shadow', '{\"n\": 1}', now() - "
        "interval '1 "
        "hour')");
    database_run(w.pg, "INSERT INTO log (epoch, n, kind, account, known_at, body) VALUES (1, 7, 1, 1, now() "
                       "- interval '1 hour', '\\x00')");
    database_run(w.pg,
                 "INSERT INTO accounts (account, name) OVERRIDING SYSTEM VALUE VALUES (2, 'shop'); INSERT "
                 "INTO log (epoch, n, kind, "
                 "account, known_at, body) VALUES (1, 8, 1, 2, now(), '\\x00'); INSERT INTO followers "
                 "(follower, position, updated_at) VALUES ('idle', '{\"n\": 7}', now() - interval '1 hour')");
    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    wait_until(
        "SELECT count(*) FROM alerts WHERE state = 'firing' AND labels->>'kind' IN ('labels', 'retraining', "
        "'behind') AND labels->>'subject' IN ('live accounts', 'handbook', 'shadow')",
        3);
    cr_assert_eq(
        database_int(
            w.pg, "SELECT count(*) FROM alerts WHERE labels->>'subject' IN ('other', 'account 1', 'idle')"),
        0);
    cr_assert_not_null(
        strstr(database_text(w.pg, "SELECT text FROM alerts WHERE labels->>'kind' = 'retraining'"),
               "too few frauds"));
    database_run(w.pg, "DELETE FROM followers WHERE follower = 'shadow'");
    database_wait(w.pg,
                  "SELECT count(*) FROM monitor_conditions WHERE NOT is_raised AND kind = 'behind' AND "
                  "subject = 'shadow'",
                  1, NULL);
}

/* ---- nothing is lost ---- */

Test(alerts, a_kill_between_writing_and_sending_loses_nothing)
{
    atomic_store(&w.receiver.mode, RECEIVER_HANGS);
    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    for (int round = 0; round < 3; round++) {
        char subject[8];

        snprintf(subject, sizeof subject, "k%d", round);
        raise_condition(subject, true);
        wait_until("SELECT count(*) FROM alert_deliveries", round + 1);
        process_kill(&w.monitor);
        start_open(&w.monitor);
    }
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered'", 3);
    cr_assert_eq(database_int(w.pg, "SELECT count(DISTINCT event) FROM alert_deliveries"), 3);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM alerts"), 3,
                 "an alert that was there is not made again");
    for (int round = 0; round < 3; round++) {
        char subject[8];
        bool is_there = false;

        snprintf(subject, sizeof subject, "k%d", round);
        for (size_t i = 0; i < receiver_count(&w.receiver); i++)
            is_there |= w.receiver.requests[i].mode == RECEIVER_OK && strcmp(event_subject(i), subject) == 0;
        cr_assert(is_there, "%s", subject);
    }
}

Test(alerts, of_two_monitors_one_tells_and_the_other_takes_over)
{
    start_open(&w.monitor);
    start_open(&w.other);
    add_webhook("ops", "127.0.0.1");
    raise_condition("a", true);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered'", 1);
    cr_assert_eq(
        database_int(
            w.pg, "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = "
                  "'advisory' AND l.granted AND a.application_name = 'assay-monitor-alerts' AND a.datname = "
                  "current_database()"),
        1);
    process_kill(&w.monitor);
    raise_condition("b", true);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'delivered'", 2);
    cr_assert_eq(receiver_count(&w.receiver), 2, "nobody told anything twice");
}

Test(alerts, a_database_that_goes_away_and_comes_back_loses_nothing)
{
    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    for (int i = 0; i < 3; i++) {
        char subject[8];

        snprintf(subject, sizeof subject, "d%d", i);
        raise_condition(subject, true);
        database_run(w.pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                           "'assay-monitor-alerts' AND "
                           "datname = current_database()");
    }
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'pending'", 0);
    wait_until("SELECT count(*) FROM alerts WHERE told_at IS NOT NULL", 3);
}

/* ---- silence ---- */

#define SILENCE(subject)                                                                                     \
    "{\"matchers\": [{\"name\": \"subject\", \"value\": \"" subject                                          \
    "\"}], \"ends_at\": \"2099-01-01T00:00:00Z\", \"comment\": \"known\"}"

Test(alerts, what_is_silenced_is_listed_and_not_told)
{
    struct http_said said;
    char path[64];

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    cr_assert_eq(status_of("POST", "/v1/silences", SILENCE("a")), 422, "longer than a year");
    database_run(
        w.pg,
        "INSERT INTO alert_silences (matchers, starts_at, ends_at, author, comment) VALUES ('[{\"name\": "
        "\"subject\", "
        "\"value\": \"a\", \"is_equal\": true}]', now(), now() + interval '1 hour', 'me', 'known')");
    raise_condition("a", true);
    raise_condition("b", true);
    cr_assert(receiver_wait(&w.receiver, 1));
    wait_until("SELECT count(*) FROM alerts WHERE is_silenced", 1);
    usleep(200000);
    cr_assert_eq(receiver_count(&w.receiver), 1);
    cr_assert_str_eq(event_subject(0), "b");
    said = ask("GET", "/v1/alerts?state=firing", NULL);
    cr_assert_eq(json_array_size(json_object_get(said.json, "alerts")), 2);
    http_said_free(&said);
    snprintf(path, sizeof path, "/v1/silences/%lld:expire",
             (long long)database_int(w.pg, "SELECT max(silence) FROM alert_silences"));
    cr_assert_eq(status_of("POST", path, NULL), 204);
    cr_assert(receiver_wait(&w.receiver, 2));
    cr_assert_str_eq(event_subject(1), "a");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action = 'silence.expire'"), 1);
}

Test(alerts, silences_are_made_listed_and_refused_by_rest)
{
    char body[300], ends[RFC3339_SIZE];
    struct http_said said;

    start_open(&w.monitor);
    rfc3339_format(clock_wall_us() + HOUR_US, ends);
    snprintf(body, sizeof body,
             "{\"matchers\": [{\"name\": \"subject\", \"value\": \"a\"}], \"ends_at\": \"%s\", \"comment\": "
             "\"x\"}",
             ends);
    said = ask("POST", "/v1/silences", body);
    cr_assert_eq(said.status, 201, "%s", said.body);
    cr_assert_str_eq(json_string_value(json_object_get(said.json, "state")), "active");
    cr_assert_eq(strncmp(json_string_value(json_object_get(said.json, "author")), "key:", 4), 0);
    http_said_free(&said);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action = 'silence.create'"), 1);
    said = ask("GET", "/v1/silences", NULL);
    cr_assert_eq(json_array_size(json_object_get(said.json, "silences")), 1);
    http_said_free(&said);
    cr_assert_eq(status_of("POST", "/v1/silences", "{}"), 422);
    cr_assert_eq(status_of("POST", "/v1/silences", "[]"), 400);
    cr_assert_eq(status_of("POST", "/v1/silences/99:expire", NULL), 404);
    cr_assert_eq(status_of("POST", "/v1/silences/x:expire", NULL), 404);
}

/* ---- webhooks ---- */

Test(alerts, a_new_secret_and_the_old_one_sign_together_for_a_while)
{
    char old[128];
    struct http_said said;

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    strcpy(old, w.secret);
    said = ask("POST", "/v1/webhooks/ops:rotate", NULL);
    cr_assert_eq(said.status, 200);
    snprintf(w.secret, sizeof w.secret, "%s", json_string_value(json_object_get(said.json, "secret")));
    http_said_free(&said);
    cr_assert_str_neq(old, w.secret);
    cr_assert_eq(status_of("POST", "/v1/webhooks/ops:test", NULL), 202);
    cr_assert(receiver_wait(&w.receiver, 1));
    cr_assert_str_eq(event_text(0, "type"), "assay.alert.test");
    cr_assert(receiver_is_signed(&w.receiver, 0, w.secret));
    cr_assert(receiver_is_signed(&w.receiver, 0, old));
    database_run(w.pg, "UPDATE webhooks SET old_until = now() - interval '1 second'");
    cr_assert_eq(status_of("POST", "/v1/webhooks/ops:test", NULL), 202);
    cr_assert(receiver_wait(&w.receiver, 2));
    cr_assert(receiver_is_signed(&w.receiver, 1, w.secret));
    cr_assert_not(receiver_is_signed(&w.receiver, 1, old));
}

Test(alerts, no_secret_lies_open_in_the_database)
{
    char question[2048];
    char hex[193];

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    snprintf(question, sizeof question, "SELECT encode(decode('%s', 'base64'), 'hex')",
             w.secret + strlen("whsec_"));
    snprintf(hex, sizeof hex, "%s", database_text(w.pg, question));
    snprintf(question, sizeof question,
             "SELECT count(*) FROM webhooks WHERE position('%s' in encode(secret, 'hex')) > 0 OR url LIKE "
             "'%%%s%%'",
             hex, w.secret + 6);
    cr_assert_eq(database_int(w.pg, question), 0);
    snprintf(question, sizeof question,
             "SELECT count(*) FROM audit WHERE detail::text LIKE '%%%s%%' OR detail::text "
             "LIKE '%%hook%%'",
             w.secret + 6);
    cr_assert_eq(database_int(w.pg, question), 0);
}

Test(alerts, webhooks_are_kept_by_rest)
{
    struct http_said said;

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    cr_assert_eq(status_of("POST", "/v1/webhooks", "{\"name\": \"ops\", \"url\": \"https://h.example/\"}"),
                 409);
    cr_assert_eq(status_of("POST", "/v1/webhooks", "{\"name\": \"Ops\", \"url\": \"https://h.example/\"}"),
                 422);
    cr_assert_eq(status_of("POST", "/v1/webhooks", "{\"name\": \"x\", \"url\": \"ftp://h.example/\"}"), 422);
    cr_assert_eq(status_of("POST", "/v1/webhooks", "{\"name\": \"x\"}"), 422);
    cr_assert_eq(status_of("POST", "/v1/webhooks/other:rotate", NULL), 404);
    cr_assert_eq(status_of("POST", "/v1/webhooks/ops:disable", NULL), 200);
    said = ask("GET", "/v1/webhooks/ops", NULL);
    cr_assert(json_is_false(json_object_get(said.json, "is_enabled")));
    cr_assert_null(strstr(said.body, "secret\":\""));
    http_said_free(&said);
    said = ask("GET", "/v1/webhooks", NULL);
    cr_assert_eq(json_array_size(json_object_get(said.json, "webhooks")), 1);
    http_said_free(&said);
    cr_assert_eq(status_of("DELETE", "/v1/webhooks/ops", NULL), 204);
    cr_assert_eq(status_of("DELETE", "/v1/webhooks/ops", NULL), 404);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM audit WHERE action LIKE 'webhook.%'"), 3);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM audit WHERE action LIKE 'webhook.%' AND actor NOT LIKE 'key:%'"),
        0);
}

Test(alerts, alerts_are_listed_by_state_and_page)
{
    struct http_said said;
    json_t *list;
    char path[64];

    start_open(&w.monitor);
    add_webhook("ops", "127.0.0.1");
    raise_condition("a", true);
    raise_condition("b", true);
    wait_until("SELECT count(*) FROM alerts WHERE state = 'firing'", 2);
    raise_condition("a", false);
    wait_until("SELECT count(*) FROM alerts WHERE state = 'resolved'", 1);
    said = ask("GET", "/v1/alerts?limit=1", NULL);
    list = json_object_get(said.json, "alerts");
    cr_assert_eq(json_array_size(list), 1);
    snprintf(path, sizeof path, "/v1/alerts?before=%lld",
             (long long)json_integer_value(json_object_get(json_array_get(list, 0), "id")));
    http_said_free(&said);
    said = ask("GET", path, NULL);
    cr_assert_eq(json_array_size(json_object_get(said.json, "alerts")), 1);
    http_said_free(&said);
    said = ask("GET", "/v1/alerts?state=open&severity=warning", NULL);
    list = json_object_get(said.json, "alerts");
    cr_assert_eq(json_array_size(list), 1);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "name")), "Drift");
    http_said_free(&said);
    wait_until("SELECT count(*) FROM alert_deliveries WHERE state = 'pending'", 0);
    said = ask("GET", "/v1/alerts/1", NULL);
    cr_assert_eq(said.status, 200, "%s", said.body);
    cr_assert_geq(json_array_size(json_object_get(said.json, "deliveries")), 1);
    http_said_free(&said);
    cr_assert_eq(status_of("GET", "/v1/alerts?state=odd", NULL), 422);
    cr_assert_eq(status_of("GET", "/v1/alerts/99", NULL), 404);
    cr_assert_eq(status_of("GET", "/v1/deliveries/99", NULL), 404);
    w.key[strlen(w.key) - 1] ^= 1;
    cr_assert_eq(status_of("GET", "/v1/alerts", NULL), 401);
}

/* ---- Alertmanager ---- */

static json_t *told(size_t request)
{
    return json_loads(w.receiver.requests[request].body, 0, NULL);
}

Test(alerts, alertmanager_is_told_again_and_again_and_of_the_end)
{
    char setting[128];
    json_t *list;
    bool is_resolved = false;
    int64_t ends_us;

    snprintf(setting, sizeof setting, "ASSAY_ALERTMANAGERS=http://127.0.0.1:%d/", w.receiver.port);
    start(&w.monitor, setting, "ASSAY_ALERTMANAGER_EVERY=200ms");
    raise_condition("amount", true);
    cr_assert(receiver_wait(&w.receiver, 3));
    cr_assert_eq(strncmp(w.receiver.requests[0].head, "POST /api/v2/alerts HTTP/1.1", 28), 0);
    list = told(2);
    cr_assert_eq(json_array_size(list), 1);
    cr_assert_str_eq(
        json_string_value(json_object_get(json_object_get(json_array_get(list, 0), "labels"), "alertname")),
        "Drift");
    cr_assert(rfc3339_parse(slice_str(json_string_value(json_object_get(json_array_get(list, 0), "endsAt"))),
                            &ends_us));
    json_decref(list);
    raise_condition("amount", false);
    wait_until("SELECT count(*) FROM alerts WHERE state = 'resolved'", 1);
    for (int i = 0; i < 1000 && !is_resolved; i++) {
        int64_t resolved_us =
            database_int(w.pg, "SELECT (extract(epoch FROM resolved_at) * 1000000)::int8 FROM alerts");

        list = told(receiver_count(&w.receiver) - 1);
        is_resolved =
            rfc3339_parse(slice_str(json_string_value(json_object_get(json_array_get(list, 0), "endsAt"))),
                          &ends_us) &&
            ends_us == resolved_us;
        json_decref(list);
        usleep(10000);
    }
    cr_assert(is_resolved, "its end is when it ended");
}

Test(alerts, an_alertmanager_that_is_down_is_told_when_it_is_back)
{
    char setting[128];

    snprintf(setting, sizeof setting, "ASSAY_ALERTMANAGERS=http://127.0.0.1:%d", w.receiver.port);
    atomic_store(&w.receiver.mode, RECEIVER_FAILS);
    start(&w.monitor, setting, "ASSAY_ALERTMANAGER_EVERY=100ms");
    raise_condition("amount", true);
    cr_assert(receiver_wait(&w.receiver, 1));
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    cr_assert(receiver_wait(&w.receiver, 2));
    cr_assert_eq(w.receiver.requests[1].mode, RECEIVER_OK);
}

/* ---- by hand ---- */

Test(alerts, the_command_adds_tests_lists_and_silences)
{
    struct buf said;
    char words[200];

    buf_init(&said, 0);
    start_open(&w.monitor);
    snprintf(words, sizeof words, "webhooks add ops http://127.0.0.1:%d/hook", w.receiver.port);
    cr_assert_eq(command_run(&said, w.conninfo, KEY, words), 1, "private addresses are not allowed: %s",
                 buf_str(&said));
    cr_assert_eq(
        command_run(&said, w.conninfo, KEY " ASSAY_ALERT_ALLOW_HTTP=1 ASSAY_ALERT_ALLOW_PRIVATE=1", words), 0,
        "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "whsec_"));
    snprintf(w.secret, sizeof w.secret, "%.*s", (int)strcspn(strstr(buf_str(&said), "whsec_"), "\n"),
             strstr(buf_str(&said), "whsec_"));
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks test ops"), 0, "%s", buf_str(&said));
    cr_assert(receiver_is_signed(&w.receiver, 0, w.secret));
    atomic_store(&w.receiver.mode, RECEIVER_FAILS);
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks test ops"), 1);
    cr_assert_not_null(strstr(buf_str(&said), "it answered 500"), "%s", buf_str(&said));
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts silence subject=amount --for 1h --comment known"),
                 0, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts silence subject=amount --for 1h"), 2,
                 "no comment");
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts silence subject!=a --comment x"), 2,
                 "all but one");
    raise_condition("amount", true);
    wait_until("SELECT count(*) FROM alerts WHERE is_silenced", 1);
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts"), 0);
    cr_assert_not_null(strstr(buf_str(&said), "Drift"), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "silenced"), "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts show 1"), 0, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts silences"), 0);
    cr_assert_not_null(strstr(buf_str(&said), "subject=amount"), "%s", buf_str(&said));
    cr_assert_eq(receiver_count(&w.receiver), 2);
    cr_assert_eq(command_run(&said, w.conninfo, "", "alerts unsilence 1"), 0);
    cr_assert(receiver_wait(&w.receiver, 3));
    cr_assert_eq(command_run(&said, w.conninfo, KEY, "webhooks rotate ops"), 0, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks list"), 0);
    cr_assert_not_null(strstr(buf_str(&said), "enabled"), "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks disable ops"), 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks enable ops"), 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks remove ops"), 0);
    cr_assert_eq(command_run(&said, w.conninfo, "", "webhooks remove ops"), 4);
    buf_release(&said);
}
