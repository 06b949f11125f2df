/* SPDX-License-Identifier: Apache-2.0
 * dashboard_stream_test.c - what pages hear as it happens: the real program, real PostgreSQL, curl as listener. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"

#define CATALOGUE                                                                                            \
    "entities: {customer: customer_id}\n"                                                                    \
    "features:\n"                                                                                            \
    "  - {name: amount, expr: tx.amount}\n"

static struct {
    const char *conninfo;
    struct pg_session *pg;
    struct history past;
    struct process dashboard;
    struct visit ann;
} w;

static void start(void)
{
    static char pg_url[512];
    struct why why = { 0 };

    w.conninfo = test_database();
    cr_assert_eq(pg_session_open(&w.pg, w.conninfo, "test", &why), ERR_OK, "%s", why.text);
    history_open(&w.past, w.pg, CATALOGUE, 30);
    history_live_until(&w.past, HISTORY_START + DAY_US);
    visit_add_user(w.pg, "ann", "analyst");
    w.ann = visit_of(w.pg, "ann", "now()");
    snprintf(pg_url, sizeof pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ pg_url, "ASSAY_DASHBOARD_CASES=approve", "ASSAY_DASHBOARD_TURN=20ms",
                                         "ASSAY_DASHBOARD_KEEP=0", "ASSAY_DASHBOARD_KEEP_MINUTES=0",
                                         "ASSAY_DASHBOARD_UNDO=1s", NULL });
    database_wait(w.pg, "SELECT count(*) FROM review_cases", (int64_t)w.past.transactions, NULL);
}

static void stop(void)
{
    if (w.dashboard.pid)
        cr_assert_eq(process_stop(&w.dashboard), 0);
    history_close(&w.past);
    pg_session_close(w.pg);
}

TestSuite(dashboard_stream, .init = start, .fini = stop, .timeout = 300);

static FILE *listen_with(const char *options, const struct visit *v)
{
    char command[512];
    FILE *f;

    snprintf(command, sizeof command, "exec curl -sN %s -H '%s' http://127.0.0.1:%d/v1/stream", options,
             v->cookie, w.dashboard.port);
    f = popen(command, "r");
    cr_assert_not_null(f);
    return f;
}

/* The data of the next event of that name; the caller's. NULL when the stream has ended. */
static json_t *next_event(FILE *f, const char *name)
{
    static char line[256 << 10];
    bool is_it = false;
    char wanted[64];

    snprintf(wanted, sizeof wanted, "event: %s\n", name);
    while (fgets(line, sizeof line, f)) {
        if (is_it) {
            json_t *data = json_loads(line + strlen("data: "), 0, NULL);

            cr_assert_not_null(data, "%s", line);
            return data;
        }
        is_it = strcmp(line, wanted) == 0;
    }
    return NULL;
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void hear_all_of_it(const char *options)
{
    FILE *f = listen_with(options, &w.ann);
    json_t *data = next_event(f, "decisions"), *rows = json_object_get(data, "decisions"), *row;
    int64_t heard = 0, before = (int64_t)w.past.transactions, cases;

    cr_assert_eq(json_array_size(rows), 20, "what was there before");
    row = json_array_get(rows, 19);
    cr_assert_eq(number(row, "case") > 0, true);
    cr_assert_str_eq(json_string_value(json_object_get(row, "action")), "approve");
    json_decref(data);
    data = next_event(f, "queue");
    cases = number(data, "open") + number(data, "assigned");
    cr_assert_eq(cases, before);
    json_decref(data);

    history_live_until(&w.past, w.past.now_us + DAY_US);
    while (heard < (int64_t)w.past.transactions - before) {
        data = next_event(f, "decisions");
        cr_assert_not_null(data);
        cr_assert_gt(number(data, "in_ms"), 0);
        cr_assert_leq(json_array_size(json_object_get(data, "decisions")), 50);
        heard += number(data, "count");
        json_decref(data);
    }
    cr_assert_eq(heard, (int64_t)w.past.transactions - before, "each is counted once");
    do {
        data = next_event(f, "queue");
        cr_assert_not_null(data);
        cases = number(data, "open") + number(data, "assigned");
        json_decref(data);
    } while (cases < (int64_t)w.past.transactions);

    cr_assert_eq(visit_status(w.dashboard.port, "POST", "/v1/cases:next", &w.ann, "{}"), 200);
    data = next_event(f, "queue");
    cr_assert_geq(number(data, "assigned"), 1);
    json_decref(data);
    database_run(w.pg, "DELETE FROM sessions");
    cr_assert_null(next_event(f, "nothing"));
    cr_assert_eq(pclose(f), 0);
}

Test(dashboard_stream, tells_of_decisions_and_of_the_queue_over_http_1)
{
    hear_all_of_it("--http1.1");
}

Test(dashboard_stream, tells_of_decisions_and_of_the_queue_over_http_2)
{
    hear_all_of_it("--http2-prior-knowledge");
}

Test(dashboard_stream, ends_with_its_session)
{
    struct visit other;
    FILE *f, *still;
    json_t *data;

    visit_add_user(w.pg, "bob", "auditor");
    other = visit_of(w.pg, "bob", "now()");
    f = listen_with("", &w.ann);
    still = listen_with("", &other);
    json_decref(next_event(f, "queue"));
    json_decref(next_event(still, "queue"));
    cr_assert_eq(visit_status(w.dashboard.port, "DELETE", "/v1/session", &w.ann, NULL), 204);
    cr_assert_null(next_event(f, "nothing"));
    pclose(f);
    history_live_until(&w.past, w.past.now_us + DAY_US);
    data = next_event(still, "decisions");
    cr_assert_not_null(data, "another's goes on");
    json_decref(data);
    database_run(w.pg, "UPDATE sessions SET seen_at = now() - interval '1 hour'");
    cr_assert_null(next_event(still, "nothing"), "it does not keep its session alive");
    pclose(still);
}

Test(dashboard_stream, ends_when_its_user_is_disabled_or_gets_another_password)
{
    static const struct {
        const char *verb, *body;
    } changes[] = { { "password", "{\"password\": \"123456789012\"}" }, { "disable", NULL } };
    struct visit root;

    visit_add_user(w.pg, "root", "admin");
    root = visit_of(w.pg, "root", "now()");
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct visit v = visit_of(w.pg, "ann", "now()");
        FILE *f = listen_with("", &v);
        char path[64];

        json_decref(next_event(f, "queue"));
        snprintf(path, sizeof path, "/v1/users/ann:%s", changes[i].verb);
        cr_assert_eq(visit_status(w.dashboard.port, "POST", path, &root, changes[i].body), 204);
        cr_assert_null(next_event(f, "nothing"), "%s", path);
        pclose(f);
    }
}

Test(dashboard_stream, a_session_has_so_many_and_makes_room_when_one_goes)
{
    enum { MOST = 8 };
    FILE *all[MOST];

    for (size_t i = 0; i < MOST; i++) {
        all[i] = listen_with(i % 2 ? "--http2-prior-knowledge" : "", &w.ann);
        json_decref(next_event(all[i], "queue"));
    }
    cr_assert_eq(visit_status(w.dashboard.port, "GET", "/v1/stream", &w.ann, NULL), 503);
    /* A stopped program ends all streams in order. */
    cr_assert_eq(process_stop(&w.dashboard), 0);
    for (size_t i = 0; i < MOST; i++) {
        cr_assert_null(next_event(all[i], "nothing"));
        cr_assert_eq(pclose(all[i]), 0, "curl saw a whole answer");
    }
    start();
}

Test(dashboard_stream, one_person_does_not_take_the_places_of_all_others_with_many_sessions)
{
    enum { MOST = 24, EACH = 6 };
    struct visit bob, more;
    FILE *all[MOST], *his;

    for (size_t i = 0; i < MOST; i++) {
        if (i % EACH == 0)
            more = visit_of(w.pg, "ann", "now()");
        all[i] = listen_with("", &more);
        json_decref(next_event(all[i], "queue"));
    }
    cr_assert_eq(visit_status(w.dashboard.port, "GET", "/v1/stream", &w.ann, NULL), 503);
    visit_add_user(w.pg, "bob", "auditor");
    bob = visit_of(w.pg, "bob", "now()");
    his = listen_with("", &bob);
    json_decref(next_event(his, "queue"));
    database_run(w.pg, "DELETE FROM sessions");
    for (size_t i = 0; i < MOST; i++)
        pclose(all[i]);
    pclose(his);
}
