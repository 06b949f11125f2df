/* SPDX-License-Identifier: Apache-2.0
 * main.c - the features service: the log's only writer, and the feature state of every entity. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/database_figures.h"
#include "app/must.h"
#include "app/service.h"
#include "base/array.h"
#include "base/mem.h"
#include "features.h"
#include "keeper.h"

#define AT(field) offsetof(struct features_conf, field)

static const struct conf_field settings[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "PostgreSQL, not through a pooler by transaction", 0, 0 },
    { "CATALOGUE", CONF_TEXT, AT(catalogue), "", "a catalogue to compute beside what models need", 0, 0 },
    { "FEATURES_INSTANCE", CONF_TEXT, AT(instance), "",
      "name of this process in log_epoch; host:pid if empty", 0, 0 },
    { "FEATURES_RECENT_VECTORS", CONF_INT, AT(recent_vectors), "200000",
      "newest vectors kept for who asks again", 1, 50000000 },
    { "FEATURES_SNAPSHOT_ENTRIES", CONF_INT, AT(snapshot_entries), "500000",
      "entries of the log between snapshots", 100, 1000000000 },
    { "FEATURES_RULES_KEPT", CONF_DURATION_MS, AT(rules_kept_ms), "168h",
      "what retired rule sets and prepared drafts ask for is computed for so long", 0,
      INT64_C(90) * 86400000 },
    { "FEATURES_SILENCE_LIMIT", CONF_DURATION_MS, AT(silence_limit_ms), "3s",
      "a standby ends the session of a holder of the log that is silent for so long; 0: never", 0, 3600000 },
};

static const struct service_about about = {
    .name = "features",
    .purpose = "the log and the online feature store",
    .port = "9001",
    .admin_port = "9101",
    .settings = settings,
    .setting_count = ARRAY_LEN(settings),
};

static const struct metric metrics[M_METRIC_COUNT] = {
    [M_ENTRIES] = { "assay_features_entries_total",
                    METRIC_COUNTER,
                    "Entries appended to the log",
                    { "kind" } },
    [M_CALLS] = { "assay_features_calls_total", METRIC_COUNTER, "Calls answered", { "method", "result" } },
    [M_APPEND_SECONDS] = { "assay_features_append_seconds",
                           METRIC_HISTOGRAM,
                           "Time from forming a batch to its commit",
                           { 0 } },
    [M_APPEND_ITEMS] = { "assay_features_append_items", METRIC_SIZES, "Entries in one transaction", { 0 } },
    [M_ROLE] = { "assay_features_active", METRIC_GAUGE, "1 while this process holds the log", { 0 } },
    [M_EPOCH] = { "assay_features_epoch", METRIC_GAUGE, "The newest epoch this process has held", { 0 } },
    [M_LAST] = { "assay_features_last_entry",
                 METRIC_GAUGE,
                 "The newest entry of the log in the state",
                 { 0 } },
    [M_WAITING] = { "assay_features_waiting_items",
                    METRIC_GAUGE,
                    "Items that wait for the next batch",
                    { 0 } },
    [M_PLAN_COLUMNS] = { "assay_features_plan_columns", METRIC_GAUGE, "Columns of the served plan", { 0 } },
    [M_ENTITIES] = { "assay_features_entities", METRIC_GAUGE, "Entities held", { 0 } },
    [M_STATE_BYTES] = { "assay_features_state_bytes", METRIC_GAUGE, "Memory of the feature state", { 0 } },
    [M_LATE_DROPPED] = { "assay_features_late_events_total",
                         METRIC_COUNTER,
                         "Events too late for a window of their entity",
                         { 0 } },
    [M_SNAPSHOT] = { "assay_features_snapshot_entry",
                     METRIC_GAUGE,
                     "Entry that the newest snapshot stands at",
                     { 0 } },
};

static void collect(void *ctx)
{
    struct features *f = ctx;
    struct store_stats stats;

    metric_put(f->metrics, M_ROLE, 0, f->role == ROLE_ACTIVE);
    metric_put(f->metrics, M_EPOCH, 0, (double)f->epoch);
    metric_put(f->metrics, M_WAITING, 0, (double)f->waiting_items);
    if (!f->replica)
        return;
    stats = store_stats(replica_store(f->replica));
    metric_put(f->metrics, M_LAST, 0, (double)replica_last(f->replica));
    metric_put(f->metrics, M_PLAN_COLUMNS, 0, (double)plan_columns(replica_plan(f->replica)));
    metric_put(f->metrics, M_ENTITIES, 0, (double)stats.entities);
    metric_put(f->metrics, M_STATE_BYTES, 0, (double)stats.bytes);
    metric_put(f->metrics, M_LATE_DROPPED, 0, (double)stats.late_dropped);
    metric_put(f->metrics, M_SNAPSHOT, 0, (double)f->snapshot_n);
}

static bool is_active(void *ctx, struct why *detail)
{
    const struct features *f = ctx;

    if (f->role == ROLE_ACTIVE && keeper_session_is_silent(f)) {
        err_set(detail, ERR_UNAVAILABLE, "PostgreSQL does not answer");
        return false;
    }
    if (f->role == ROLE_ACTIVE)
        return true;
    err_set(detail, ERR_UNAVAILABLE, "%s%s%s", role_name(f->role), *pg_pool_trouble(f->session) ? ": " : "",
            pg_pool_trouble(f->session));
    return false;
}

int main(int argc, char **argv)
{
    struct features *f = mem_new(struct features);
    struct database_figures *figures = NULL;
    struct why why = { 0 };
    char host[64] = "", instance[96];

    f->app = service_open(argc, argv, &about, &f->conf);
    f->loop = service_loop(f->app);
    f->metrics = metrics_add(service_metrics(f->app), metrics, M_METRIC_COUNT);
    f->series_txn = metric_series(f->metrics, M_ENTRIES, "transaction", NULL);
    f->series_label = metric_series(f->metrics, M_ENTRIES, "label", NULL);
    f->series_plan = metric_series(f->metrics, M_ENTRIES, "plan", NULL);
    metrics_on_write(service_metrics(f->app), collect, f);
    f->waiting_last = &f->waiting;
    batch_init(&f->batch);
    if (!*f->conf.instance) {
        gethostname(host, sizeof(host) - 1);
        snprintf(instance, sizeof(instance), "%s:%d", host, (int)getpid());
        f->conf.instance = instance;
    }
    must(keeper_open(f, &why), "use PostgreSQL", &why);
    must(database_figures_open(&figures, service_metrics(f->app), f->conf.pg_url, "assay_features", &why),
         "watch PostgreSQL", &why);
    service_check(f->app, "log", is_active, f);

    service_run(f->app); /* listens while it holds the log; until SIGTERM and the last reply in flight */

    database_figures_close(figures);
    keeper_close(f);
    service_close(f->app);
    batch_release(&f->batch);
    mem_free(f);
    return EXIT_SUCCESS;
}
