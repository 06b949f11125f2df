/* SPDX-License-Identifier: Apache-2.0 */
#include "app/database_figures.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "pg/session.h"

enum { FIGURES_MAX = 1024, LABEL_BYTES = 64 };
#define EVERY_US (30 * SECOND_US)

/* The first of the table is ours; of the others `figures` has the name that the function gives. */
static const struct metric table[] = {
    { "assay_postgres_up", METRIC_GAUGE, "1 while PostgreSQL answers what it is asked about itself", { 0 } },
    { "assay_postgres_database_bytes", METRIC_GAUGE, "Size of the database", { 0 } },
    { "assay_postgres_commits_total", METRIC_COUNTER, "Transactions committed", { 0 } },
    { "assay_postgres_rollbacks_total", METRIC_COUNTER, "Transactions rolled back", { 0 } },
    { "assay_postgres_deadlocks_total", METRIC_COUNTER, "Deadlocks", { 0 } },
    { "assay_postgres_temporary_bytes_total", METRIC_COUNTER, "Written to temporary files", { 0 } },
    { "assay_postgres_transaction_id_age",
      METRIC_GAUGE,
      "Transactions since the oldest that is not frozen; writing ends near 2^31",
      { 0 } },
    { "assay_postgres_oldest_transaction_seconds",
      METRIC_GAUGE,
      "Age of the oldest open transaction",
      { 0 } },
    { "assay_postgres_connections", METRIC_GAUGE, "Connections of clients, by state", { "state" } },
    { "assay_postgres_connections_limit", METRIC_GAUGE, "max_connections", { 0 } },
    { "assay_postgres_checkpoints_total",
      METRIC_COUNTER,
      "Checkpoints; requested are those that WAL forced before their time",
      { "cause" } },
    { "assay_postgres_wal_limit_bytes", METRIC_GAUGE, "max_wal_size", { 0 } },
    { "assay_postgres_wal_disk_bytes", METRIC_GAUGE, "Size of the directory of the WAL", { 0 } },
    { "assay_postgres_wal_written_bytes_total", METRIC_COUNTER, "WAL written", { 0 } },
    { "assay_postgres_replication_lag_bytes",
      METRIC_GAUGE,
      "Sent and not replayed, by standby",
      { "standby" } },
    { "assay_postgres_replication_lag_seconds", METRIC_GAUGE, "How far a standby is behind", { "standby" } },
    { "assay_postgres_replication_slot_bytes", METRIC_GAUGE, "WAL that a slot keeps", { "slot" } },
    { "assay_postgres_dead_rows", METRIC_GAUGE, "Rows that vacuum has to remove", { "table" } },
    { "assay_postgres_live_rows", METRIC_GAUGE, "Rows, as estimated", { "table" } },
    { "assay_postgres_partitions", METRIC_GAUGE, "Partitions, by table", { "table" } },
    { "assay_outbox_entries",
      METRIC_GAUGE,
      "Transactions and labels accepted without features that are not in the log yet, at most 100000",
      { 0 } },
    { "assay_outbox_oldest_seconds", METRIC_GAUGE, "How long the oldest of them has waited", { 0 } },
    { "assay_retraining_runs",
      METRIC_GAUGE,
      "Runs of training that the database knows, by state",
      { "state" } },
    { "assay_retraining_oldest_seconds",
      METRIC_GAUGE,
      "How long the oldest run has been queued or running",
      { "state" } },
    { "assay_retraining_failed_in_a_row",
      METRIC_GAUGE,
      "Runs that failed since the last that made a model",
      { "name" } },
    { "assay_retraining_last_success_timestamp_seconds",
      METRIC_GAUGE,
      "When a run last made a model, in seconds since 1970",
      { "name" } },
    { "assay_retraining_schedules", METRIC_GAUGE, "Schedules that are enabled", { 0 } },
    { "assay_champion_since_timestamp_seconds",
      METRIC_GAUGE,
      "When the champion became it, in seconds since 1970",
      { "name" } },
};
static const char *const figures[] = {
    [1] = "database_bytes",
    "commits",
    "rollbacks",
    "deadlocks",
    "temporary_bytes",
    "transaction_id_age",
    "oldest_transaction_seconds",
    "connections",
    "connections_limit",
    "checkpoints",
    "wal_limit_bytes",
    "wal_disk_bytes",
    "wal_written_bytes",
    "replication_lag_bytes",
    "replication_lag_seconds",
    "replication_slot_bytes",
    "dead_rows",
    "live_rows",
    "partitions",
    "outbox_entries",
    "outbox_oldest_seconds",
    "retraining_runs",
    "retraining_oldest_seconds",
    "retraining_failed_in_a_row",
    "retraining_last_success",
    "retraining_schedules",
    "champion_since",
};
static_assert(ARRAY_LEN(figures) == ARRAY_LEN(table), "every metric but the first has its figure");

struct figure {
    size_t metric;
    char label[LABEL_BYTES];
    double value;
};

struct database_figures {
    struct metric_set *set;
    struct watch *watch;
    pthread_mutex_t lock; /* over all below: the thread writes, the loop reads */
    bool is_up;
    size_t count;
    struct figure newest[FIGURES_MAX];
};

static size_t metric_of(struct slice figure)
{
    for (size_t i = 1; i < ARRAY_LEN(figures); i++)
        if (slice_eq_str(figure, figures[i]))
            return i;
    return 0;
}

static void keep(struct database_figures *d, const struct pg_result *r)
{
    pthread_mutex_lock(&d->lock);
    d->count = 0;
    for (size_t i = 0; i < pg_rows(r) && d->count < FIGURES_MAX; i++) {
        struct slice label = pg_get_text(r, i, 1);
        struct figure *f = &d->newest[d->count];

        f->metric = metric_of(pg_get_text(r, i, 0));
        if (f->metric == 0 || pg_is_null(r, i, 2))
            continue;
        snprintf(f->label, sizeof f->label, "%.*s", SLICE_ARG(label));
        f->value = pg_get_float(r, i, 2);
        d->count++;
    }
    d->is_up = true;
    pthread_mutex_unlock(&d->lock);
}

static void forget(struct database_figures *d)
{
    pthread_mutex_lock(&d->lock);
    d->is_up = false;
    d->count = 0;
    pthread_mutex_unlock(&d->lock);
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct database_figures *d = ctx;
    struct pg_result *r = NULL;
    enum err err = ERR_UNAVAILABLE;

    (void)is_ending;
    *rest_us = EVERY_US;
    if (s)
        err = pg_exec(s, "SELECT figure, label, value FROM database_figures()", NULL, &r, why);
    if (err)
        forget(d);
    else
        keep(d, r);
    pg_result_free(r);
    return err;
}

static void collect(void *ctx)
{
    struct database_figures *d = ctx;

    pthread_mutex_lock(&d->lock);
    for (size_t i = 1; i < ARRAY_LEN(table); i++)
        metric_clear(d->set, i);
    metric_put(d->set, 0, 0, d->is_up);
    for (size_t i = 0; i < d->count; i++) {
        const struct figure *f = &d->newest[i];

        metric_put(d->set, f->metric, metric_series(d->set, f->metric, f->label, NULL), f->value);
    }
    pthread_mutex_unlock(&d->lock);
}

enum err database_figures_open(struct database_figures **out, struct metrics *metrics, const char *conninfo,
                               const char *role, struct why *why)
{
    struct database_figures *d = mem_new(struct database_figures);
    const struct watch_conf conf = {
        .name = "database_figures",
        .conninfo = conninfo,
        .application = "assay-figures",
        .role = role,
        .turn = turn,
        .ctx = d,
    };
    enum err err;

    *out = NULL;
    pthread_mutex_init(&d->lock, NULL);
    d->set = metrics_add(metrics, table, ARRAY_LEN(table));
    err = watch_open(&d->watch, &conf, why);
    if (err) {
        database_figures_close(d);
        return err;
    }
    metrics_on_write(metrics, collect, d);
    *out = d;
    return ERR_OK;
}

void database_figures_close(struct database_figures *d)
{
    if (!d)
        return;
    watch_close(d->watch);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}
