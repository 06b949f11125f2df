/* SPDX-License-Identifier: Apache-2.0
 * database_figures_test.c - what a scrape says of a real PostgreSQL. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/database_figures.h"
#include "harness/cluster.h"
#include "metrics/metrics.h"
#include "pg/cluster.h"
#include "pg/session.h"

TestSuite(database_figures, .timeout = 120);

/* The value of a series, as "assay_postgres_up" or "assay_x{a=\"b\"}"; -1 when it is not shown. */
static double shown(struct metrics *m, const char *series)
{
    struct buf text;
    size_t len = strlen(series);
    double value = -1;

    buf_init(&text, 0);
    metrics_write(m, &text);
    for (const char *line = buf_str(&text); line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, series, len) == 0 && line[len] == ' ')
            value = strtod(line + len, NULL);
    buf_release(&text);
    return value;
}

static void wait_for(struct metrics *m, const char *series, double value)
{
    for (int i = 0; i < 1500 && shown(m, series) != value; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    cr_assert_eq(shown(m, series), value, "%s is %g", series, shown(m, series));
}

static void run(struct pg_session *s, const char *sql)
{
    struct why why = { 0 };

    cr_assert_eq(pg_exec_script(s, sql, &why), ERR_OK, "%s", why.text);
}

Test(database_figures, shows_what_postgresql_says_of_itself_and_of_its_queues)
{
    const char *conninfo = test_database();
    struct metrics *m = metrics_new();
    struct database_figures *d = NULL;
    struct pg_session *s = NULL;
    struct why why = { 0 };

    cr_assert_eq(pg_session_open(&s, conninfo, "test", &why), ERR_OK, "%s", why.text);
    run(s, "INSERT INTO outbox (account, id, known_at, body, created_at) VALUES (1, 'a', now(), '', now() - "
           "interval "
           "'1 hour'), (1, 'b', now(), '', now());"
           "INSERT INTO training_runs (name, cause, requested_by, state, started_at, ended_at) VALUES"
           " ('m', 'request', 'me', 'failed', now(), now()), ('m', 'request', 'me', 'succeeded', now(), "
           "'epoch'),"
           " ('m', 'request', 'me', 'failed', now(), now()), ('n', 'request', 'me', 'queued', NULL, NULL);"
           "INSERT INTO retrain_schedules (name, cron) VALUES ('m', '0 3 * * *')");
    cr_assert_eq(database_figures_open(&d, m, conninfo, "assay_features", &why), ERR_OK, "%s", why.text);
    wait_for(m, "assay_postgres_up", 1);
    cr_assert_gt(shown(m, "assay_postgres_database_bytes"), 1e6);
    cr_assert_gt(shown(m, "assay_postgres_wal_limit_bytes"), 1e6);
    cr_assert_gt(shown(m, "assay_postgres_wal_disk_bytes"), 1e6);
    cr_assert_gt(shown(m, "assay_postgres_wal_written_bytes_total"), 1e6);
    cr_assert_gt(shown(m, "assay_postgres_connections_limit"), 1);
    cr_assert_gt(shown(m, "assay_postgres_transaction_id_age"), 1);
    cr_assert_eq(shown(m, "assay_postgres_partitions{table=\"transaction_ids\"}"), 16);
    cr_assert_geq(shown(m, "assay_postgres_dead_rows{table=\"outbox\"}"), 0);
    cr_assert_geq(shown(m, "assay_postgres_checkpoints_total{cause=\"timed\"}"), 0);
    cr_assert_eq(shown(m, "assay_outbox_entries"), 2);
    cr_assert_geq(shown(m, "assay_outbox_oldest_seconds"), 3600);
    cr_assert_eq(shown(m, "assay_retraining_runs{state=\"failed\"}"), 2);
    cr_assert_eq(shown(m, "assay_retraining_failed_in_a_row{name=\"m\"}"), 1);
    cr_assert_eq(shown(m, "assay_retraining_last_success_timestamp_seconds{name=\"m\"}"), 0);
    cr_assert_geq(shown(m, "assay_retraining_oldest_seconds{state=\"queued\"}"), 0);
    cr_assert_eq(shown(m, "assay_retraining_schedules"), 1);
    cr_assert_eq(shown(m, "assay_postgres_replication_lag_bytes{standby=\"x\"}"), -1);
    database_figures_close(d);
    metrics_free(m);
    pg_session_close(s);
}

Test(database_figures, says_that_postgresql_is_away_and_shows_no_figure_of_before)
{
    struct metrics *m = metrics_new();
    struct database_figures *d = NULL;
    struct why why = { 0 };

    cr_assert_eq(database_figures_open(&d, m, "host=/nowhere dbname=assay", "assay_features", &why), ERR_OK,
                 "%s", why.text);
    cr_assert_eq(shown(m, "assay_postgres_up"), 0);
    cr_assert_eq(shown(m, "assay_outbox_entries"), -1);
    database_figures_close(d);
    metrics_free(m);
}
