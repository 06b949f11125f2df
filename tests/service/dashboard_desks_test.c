/* SPDX-License-Identifier: Apache-2.0
 * dashboard_desks_test.c - who waits for whom at the dashboard, and what becomes of questions nobody waits for: the real
 * program and real PostgreSQL, in which a table is held so that a question about it takes as long as a test wants. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/visit.h"
#include "pg/session.h"

static struct {
    struct pg_session *pg, *holder;
    struct process dashboard;
    struct visit ann, lea;
} w;

static void start(void)
{
    static char pg_url[512];
    const char *conninfo = test_database();
    struct why why = { 0 };

    cr_assert_eq(pg_session_open(&w.pg, conninfo, "test", &why), ERR_OK, "%s", why.text);
    cr_assert_eq(pg_session_open(&w.holder, conninfo, "test", &why), ERR_OK, "%s", why.text);
    visit_add_user(w.pg, "ann", "analyst");
    visit_add_user(w.pg, "lea", "lead");
    w.ann = visit_of(w.pg, "ann", "now()");
    w.lea = visit_of(w.pg, "lea", "now()");
    snprintf(pg_url, sizeof pg_url, "ASSAY_PG_URL=%s", conninfo);
    process_start(&w.dashboard, "dashboard",
                  (const char *const[]){ pg_url, "ASSAY_DASHBOARD_TURN=60s", "ASSAY_DASHBOARD_SIMILAR=0",
                                         "ASSAY_DASHBOARD_STATEMENT=10m", NULL });
}

static void stop(void)
{
    pg_session_close(w.holder);
    cr_assert_eq(process_stop(&w.dashboard), 0);
    pg_session_close(w.pg);
}

TestSuite(dashboard_desks, .init = start, .fini = stop, .timeout = 300);

/* Asks, and waits for the answer beside the test; `patience_s` later whoever asks is gone. */
static FILE *ask_beside(const char *path, const struct visit *v, int patience_s)
{
    char command[512];
    FILE *f;

    snprintf(command, sizeof command,
             "exec curl -s --http2-prior-knowledge -m %d -o /dev/null -w '%%{http_code}' -H '%s' "
             "http://127.0.0.1:%d%s",
             patience_s, v->cookie, w.dashboard.port, path);
    f = popen(command, "r");
    cr_assert_not_null(f);
    return f;
}

static int answer_of(FILE *f)
{
    char text[16] = "";

    cr_assert_not_null(fgets(text, sizeof text, f));
    pclose(f);
    return atoi(text);
}

#define HELD                                                                                                 \
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' " \
    "AND application_name = "

static int status_of(const char *method, const char *path, const struct visit *v, const char *body)
{
    return visit_status(w.dashboard.port, method, path, v, body);
}

Test(dashboard_desks, whoever_decides_waits_neither_for_readers_nor_for_what_takes_long)
{
    FILE *readers[4], *sums[2];

    database_run(w.holder, "BEGIN; LOCK TABLE decision_latency, score_hours");
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        readers[i] = ask_beside("/v1/overview", &w.ann, 200);
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        sums[i] = ask_beside("/v1/thresholds", &w.lea, 200);
    database_wait(w.pg, HELD "'assay-dashboard-reading'", 3, NULL);
    database_wait(w.pg, HELD "'assay-dashboard-sums'", 1, NULL);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(status_of("POST", "/v1/cases:next", &w.ann, "{}"), 204);
        cr_assert_eq(status_of("GET", "/v1/session", &w.lea, NULL), 200);
    }
    database_run(w.holder, "COMMIT");
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        cr_expect_eq(answer_of(readers[i]), 200);
    for (size_t i = 0; i < ARRAY_LEN(sums); i++)
        cr_expect_eq(answer_of(sums[i]), 200);
}

Test(dashboard_desks, what_nobody_waits_for_any_more_is_given_up)
{
    FILE *all[5];

    database_run(w.holder, "BEGIN; LOCK TABLE score_hours");
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        all[i] = ask_beside("/v1/thresholds", &w.lea, 5);
    database_wait(w.pg, HELD "'assay-dashboard-sums'", 1, NULL);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        cr_expect_eq(answer_of(all[i]), 0, "it went away");
    database_wait(w.pg, HELD "'assay-dashboard-sums'", 0, NULL);
    database_run(w.holder, "COMMIT");
    cr_assert_eq(status_of("GET", "/v1/thresholds", &w.lea, NULL), 200);
}

/* Of those that wait, the first that is answered: taken out of `all`. */
static int first_answer(FILE **all, size_t count)
{
    struct pollfd waiting[16];
    int status;

    for (size_t i = 0; i < count; i++)
        waiting[i] = (struct pollfd){ .fd = fileno(all[i]), .events = POLLIN };
    cr_assert_gt(poll(waiting, count, -1), 0);
    for (size_t i = 0; i < count; i++) {
        if (!waiting[i].revents)
            continue;
        status = answer_of(all[i]);
        all[i] = all[count - 1];
        return status;
    }
    return 0;
}

Test(dashboard_desks,
     of_what_takes_long_so_much_waits_of_a_person_and_in_all_and_beyond_it_is_said_when_to_come_again)
{
    enum { OF_PERSON = 6, PEOPLE = 4 };
    FILE *all[PEOPLE][OF_PERSON + 1];
    struct visit visits[PEOPLE + 1];
    struct http_said said;
    char name[16];

    for (int k = 0; k <= PEOPLE; k++) {
        snprintf(name, sizeof name, "lead%d", k);
        visit_add_user(w.pg, name, "lead");
        visits[k] = visit_of(w.pg, name, "now()");
    }
    database_run(w.holder, "BEGIN; LOCK TABLE score_hours");
    for (int k = 0; k < PEOPLE; k++) {
        for (int i = 0; i <= OF_PERSON; i++)
            all[k][i] = ask_beside("/v1/thresholds", &visits[k], 250);
        cr_assert_eq(first_answer(all[k], OF_PERSON + 1), k < PEOPLE - 1 ? 429 : 503);
    }
    said = visit_ask(w.dashboard.port, "GET", "/v1/thresholds", &visits[PEOPLE], NULL);
    cr_assert_eq(said.status, 503, "%d %s", said.status, said.body);
    cr_assert_geq(atoi(http_said_header(&said, "retry-after")), 1);
    cr_assert_str_eq(http_said_header(&said, "cache-control"), "no-store");
    http_said_free(&said);
    cr_assert_eq(status_of("GET", "/v1/thresholds", NULL, NULL), 401, "who is not let in does not even wait");
    database_run(w.holder, "COMMIT");
    for (int k = 0; k < PEOPLE; k++)
        for (int i = 0; i < OF_PERSON; i++)
            cr_expect_eq(answer_of(all[k][i]), 200);
}
