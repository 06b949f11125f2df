/* SPDX-License-Identifier: Apache-2.0
 * monitor_test.c - the monitor as its operators see it: the real program, real PostgreSQL, decisions as ingestion
 * leaves them. What it counted is compared with what the test and SQL count for themselves. */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "drift/window.h"
#include "harness/cluster.h"
#include "harness/command.h"
#include "harness/database.h"
#include "harness/history.h"
#include "harness/http.h"
#include "harness/process.h"
#include "logstore/entry.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "unit/bundle/samples.h"

enum { WINDOW_ROWS = 1000 };
#define START (INT64_C(1767225600) * SECOND_US) /* 2026-01-01 */
#define DRIFT                                                                                                \
    "ASSAY_MONITOR_DRIFT={\"learn_entries\":0,\"baseline_rows\":2000,\"window_rows\":1000,\"rows_least\":"   \
    "50,"                                                                                                    \
    "\"js\":0.02,\"windows\":2}"

/* A database with a model, and what is in it. */
struct world {
    const char *conninfo;
    struct pg_session *pg;
    struct process monitor, other;
    struct bundle_sample sample;
    char key[64], pg_url[512];
    int64_t version;
    uint64_t n;
    uint32_t seed;
    struct why why;
};
static struct world w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

#define PLACE                                                                                                \
    "SELECT coalesce((SELECT (position ->> 'n')::int8 FROM followers WHERE follower = 'monitor'), 0)"

static void wait_for_monitor(void)
{
    database_wait(w.pg, PLACE, (int64_t)w.n, NULL);
}

/* ---- a world ---- */

static void promote_a_model(void)
{
    struct buf bytes;
    struct pg_params p = { 0 };

    bundle_sample_init(&w.sample, 5);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &w.sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &w.version, NULL, &w.why));
    MUST(
        model_promote(w.pg, w.version, MODEL_NONE, &(struct model_change){ .actor = SLICE("test") }, &w.why));
    buf_release(&bytes);
    pg_add_bytes(&p, slice_of((const char *)plan_hash(w.sample.plan), SHA256_BYTES));
    pg_add_text(&p, plan_text(w.sample.plan));
    MUST(
        pg_exec(w.pg, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &p, NULL, &w.why));
    pg_params_release(&p);
}

static void world_open(void)
{
    w = (struct world){ .conninfo = test_database(), .seed = 7 };
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", w.conninfo);
    MUST(pg_session_open(&w.pg, w.conninfo, "test", &w.why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "admin", w.key);
    promote_a_model();
}

static void world_close(void)
{
    if (w.other.pid)
        cr_expect_eq(process_stop(&w.other), 0, "it ends gracefully");
    if (w.monitor.pid)
        cr_expect_eq(process_stop(&w.monitor), 0, "it ends gracefully");
    bundle_sample_release(&w.sample);
    pg_session_close(w.pg);
}

TestSuite(monitor, .init = world_open, .fini = world_close, .timeout = 300);

static void start(struct process *p)
{
    process_start(p, "monitor", (const char *const[]){ w.pg_url, DRIFT, "ASSAY_MONITOR_TURN=20ms", NULL });
}

static uint32_t draw(uint32_t below)
{
    w.seed = w.seed * 1664525u + 1013904223u;
    return (w.seed >> 8) % below;
}

/* ---- decisions ---- */

struct feeding {
    size_t rows;
    double scale;      /* of the amount that the model sees */
    int64_t from_us;   /* known_at of the first; they are a second apart */
    bool is_undecided; /* the log alone */
};

static struct txn txn_of(struct arena *arena, size_t i, int64_t at_us)
{
    static const char *const channels[] = { "pos", "pos", "pos", "web", "web", "app" };
    struct txn txn = { .account = 1, .occurred_at_us = at_us - 100000, .known_at_us = at_us };

    txn.id = arena_printf(arena, "t-%zu", i);
    txn.amount_minor = txn.amount_base_minor = 100 + (int64_t)(i * 7919 % 100000);
    txn.currency = SLICE("EUR");
    txn.text[TXN_customer_id] = arena_printf(arena, "c-%zu", i % 997);
    txn.text[TXN_channel] = slice_str(channels[draw(6)]);
    txn.text[TXN_country] = draw(5) ? SLICE("FR") : SLICE("DE");
    txn.text[TXN_mcc] = draw(3) ? SLICE("5411") : SLICE("5812");
    return txn;
}

static const char log_sql[] = "INSERT INTO log (n, epoch, kind, account, known_at, body) SELECT n, 1, 1, 1, "
                              "at, body FROM unnest($1::int8[], "
                              "$2::timestamptz[], $3::bytea[]) AS k (n, at, body)";
static const char decision_sql[] =
    "WITH k AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::timestamptz[], $3::text[], $4::bytea[], "
    "$5::float4[], $6::int2[]) AS k (n, at, id, vector, margin, action)), known AS (INSERT INTO "
    "transaction_ids "
    "(account, id, body_hash, epoch, n, known_at) SELECT 1, id, '', 1, n, at FROM k) INSERT INTO decisions "
    "(account, "
    "transaction_id, known_at, decided_at, n, action, score, margin, p_allow, model_version, "
    "ruleset_version, arm, plan, "
    "vector, amount_base_minor, record) SELECT 1, id, at, at, n, action, 0.1, margin, (action <> 3)::int, "
    "$7::text, '1', "
    "'champion', "
    "$8::bytea, vector, 100, '' FROM k";

/* Rows as those that the model was trained on, in their order of known_at. Returns the numbers of the sample's rows. */
static uint32_t *feed(const struct feeding *f)
{
    struct arena arena = { 0 };
    struct pg_params log = { 0 }, decided = { 0 };
    struct pg_array *l[3] = { pg_add_array(&log, PG_INT8), pg_add_array(&log, PG_TIMESTAMPTZ),
                              pg_add_array(&log, PG_BYTEA) };
    struct pg_array *d[6] = { pg_add_array(&decided, PG_INT8),   pg_add_array(&decided, PG_TIMESTAMPTZ),
                              pg_add_array(&decided, PG_TEXT),   pg_add_array(&decided, PG_BYTEA),
                              pg_add_array(&decided, PG_FLOAT4), pg_add_array(&decided, PG_INT2) };
    uint32_t *drawn = calloc(f->rows + 1, sizeof *drawn);

    pg_add_text(&decided, arena_printf(&arena, "%lld", (long long)w.version));
    pg_add_bytes(&decided, slice_of((const char *)plan_hash(w.sample.plan), SHA256_BYTES));
    for (size_t i = 0; i < f->rows; i++) {
        int64_t at_us = f->from_us + (int64_t)i * SECOND_US;
        struct txn txn = txn_of(&arena, ++w.n, at_us);
        uint32_t row = drawn[i] = draw(SAMPLE_BUNDLE_ROWS);
        float vector[SAMPLE_BUNDLE_COLUMNS];

        memcpy(vector, w.sample.rows + row * SAMPLE_BUNDLE_COLUMNS, sizeof vector);
        vector[0] = (float)(vector[0] * f->scale);
        pg_array_i64(l[0], (int64_t)w.n);
        pg_array_time_us(l[1], at_us);
        pg_array_bytes(l[2], txn_pack(&txn, &arena));
        pg_array_i64(d[0], (int64_t)w.n);
        pg_array_time_us(d[1], at_us);
        pg_array_text(d[2], txn.id);
        pg_array_bytes(d[3], slice_of((const char *)vector, sizeof vector));
        pg_array_f32(d[4], w.sample.margins[row]);
        pg_array_i16(d[5], (int16_t)(draw(10) ? 0 : 3));
    }
    database_run(w.pg, "BEGIN; SET LOCAL synchronous_commit = off");
    MUST(pg_exec(w.pg, log_sql, &log, NULL, &w.why));
    if (!f->is_undecided)
        MUST(pg_exec(w.pg, decision_sql, &decided, NULL, &w.why));
    database_run(w.pg, "COMMIT");
    pg_params_release(&log);
    pg_params_release(&decided);
    arena_release(&arena);
    return drawn;
}

static void feed_and_forget(const struct feeding *f)
{
    free(feed(f));
}

/* ---- labels ---- */

struct telling {
    uint64_t first, last; /* transactions of the log that they are about, every `step`-th */
    uint64_t step;
    int64_t at_us; /* of the first; they are a second apart */
    bool is_fraud;
    int source; /* 3 is the strongest */
};

static const char label_sql[] =
    "WITH k AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::timestamptz[], $3::bytea[], $4::text[]) AS "
    "k (n, at, body, id)), told AS (INSERT INTO log (n, epoch, kind, account, known_at, body) SELECT n, 1, "
    "2, 1, at, body FROM k) INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, "
    "known_at, n) SELECT 1, id, $5::int8, at, $6::bool, at, n FROM k";

static void tell(const struct telling *t)
{
    struct arena arena = { 0 };
    struct pg_params p = { 0 };
    struct pg_array *a[4] = { pg_add_array(&p, PG_INT8), pg_add_array(&p, PG_TIMESTAMPTZ),
                              pg_add_array(&p, PG_BYTEA), pg_add_array(&p, PG_TEXT) };
    int64_t at_us = t->at_us;

    for (uint64_t n = t->first; n <= t->last; n += t->step, at_us += SECOND_US) {
        struct label label = { .transaction_id = arena_printf(&arena, "t-%llu", (unsigned long long)n),
                               .is_fraud = t->is_fraud,
                               .source = (enum label_source)t->source,
                               .labelled_at_us = at_us };

        pg_array_i64(a[0], (int64_t)++w.n);
        pg_array_time_us(a[1], at_us);
        pg_array_bytes(a[2], label_pack(&label, &arena));
        pg_array_text(a[3], label.transaction_id);
    }
    pg_add_i64(&p, t->source);
    pg_add_bool(&p, t->is_fraud);
    MUST(pg_exec(w.pg, label_sql, &p, NULL, &w.why));
    pg_params_release(&p);
    arena_release(&arena);
}

/* ---- what it counted ---- */

/* All hours of the model in one window. */
static void sum_hours(struct drift_layout **layout, struct drift_window *sum)
{
    struct pg_result *r = NULL;

    MUST(pg_exec(w.pg, "SELECT layout FROM monitor_models", NULL, &r, &w.why));
    cr_assert_eq(pg_rows(r), 1);
    MUST(drift_layout_open(layout, pg_get_bytes(r, 0, 0), &w.why));
    pg_result_free(r);
    drift_window_init(sum, *layout);
    MUST(pg_exec(w.pg, "SELECT counts FROM monitor_hours", NULL, &r, &w.why));
    for (size_t i = 0; i < pg_rows(r); i++) {
        struct drift_window hour;

        MUST(drift_window_open(&hour, *layout, pg_get_bytes(r, i, 0), &w.why));
        drift_window_merge(sum, &hour);
        drift_window_release(&hour);
    }
    pg_result_free(r);
}

static void assert_features_are_counted(const struct drift_layout *layout, const struct drift_window *sum,
                                        const uint32_t *drawn, size_t rows)
{
    for (size_t c = 0; c < SAMPLE_BUNDLE_COLUMNS; c++) {
        const struct drift_subject *subject = drift_layout_subject(layout, c);
        struct histogram expected;

        histogram_init_edges(&expected, w.sample.histograms[c].edges, w.sample.histograms[c].edge_count);
        for (size_t i = 0; i < rows; i++)
            histogram_add(&expected, (double)w.sample.rows[drawn[i] * SAMPLE_BUNDLE_COLUMNS + c]);
        cr_assert_eq(subject->bins, histogram_bins(&expected));
        for (size_t b = 0; b < subject->bins; b++)
            cr_assert_eq(drift_window_counts(sum, subject)[b], expected.counts[b], "column %zu, bin %zu", c,
                         b);
        histogram_release(&expected);
    }
}

Test(monitor, counts_each_decision_once_and_in_the_right_bins)
{
    enum { ROWS = 15000 };
    struct drift_layout *layout;
    struct drift_window sum;
    uint32_t *drawn = feed(&(struct feeding){ .rows = ROWS, .scale = 1, .from_us = START });
    char question[256];

    start(&w.monitor);
    wait_for_monitor();
    cr_assert_eq(database_int(w.pg, "SELECT sum(transactions)::int8 FROM monitor_health"), ROWS);
    cr_assert_eq(database_int(w.pg, "SELECT sum(decisions)::int8 FROM monitor_health"), ROWS);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM (SELECT hour, decisions FROM monitor_health EXCEPT SELECT "
                           "date_trunc('hour', known_at, 'UTC'), count(*) FROM decisions GROUP BY 1) x"),
        0, "by hour as SQL counts them");
    cr_assert_eq(database_int(w.pg, "SELECT sum(rows)::int8 FROM monitor_hours"), ROWS);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_windows WHERE rows = 1000"),
                 ROWS / WINDOW_ROWS);
    sum_hours(&layout, &sum);
    assert_features_are_counted(layout, &sum, drawn, ROWS);
    for (size_t f = 0; f < drift_layout_subjects(layout); f++) {
        const struct drift_subject *subject = drift_layout_subject(layout, f);

        if (subject->kind != DRIFT_ACTION)
            continue;
        snprintf(question, sizeof question, "SELECT count(*) FROM decisions WHERE action = 3");
        cr_assert_eq((int64_t)drift_window_counts(&sum, subject)[3], database_int(w.pg, question));
    }
    drift_window_release(&sum);
    drift_layout_free(layout);
    free(drawn);
}

Test(monitor, sees_no_drift_where_there_is_none)
{
    feed_and_forget(&(struct feeding){ .rows = 12000, .scale = 1, .from_us = START });
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_gt(database_int(w.pg, "SELECT count(*) FROM monitor_verdicts WHERE kind = 'feature'"), 0,
                 "windows are judged");
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM monitor_conditions WHERE kind = 'drift' AND is_raised"), 0,
        "%s", database_text(w.pg, "SELECT string_agg(text, '; ') FROM monitor_conditions"));
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM training_runs"), 0);
}

/* Everything that must not depend on who counted when. */
static const char digest_sql[] =
    "SELECT md5(string_agg(x, ',' ORDER BY x)) FROM ("
    "SELECT 'h' || lane || hour || transactions || decisions || unscored || degraded || duplicates || labels "
    "|| frauds "
    "|| ahead || late::text AS x FROM monitor_health UNION ALL "
    "SELECT 'm' || lane || version || md5(layout) || md5(baseline) || md5(open) || md5(alarms) || number || "
    "first_at || "
    "last_at FROM monitor_models UNION ALL "
    "SELECT 't' || lane || version || hour || rows || md5(counts) FROM monitor_hours UNION ALL "
    "SELECT 'w' || lane || version || number || rows || first_at || last_at || md5(counts) FROM "
    "monitor_windows UNION "
    "ALL SELECT 'v' || v::text FROM monitor_verdicts v UNION ALL "
    "SELECT 'c' || condition || is_raised || text FROM monitor_conditions WHERE kind <> 'mismatch' UNION ALL "
    "SELECT 'q' || lane || version || day || md5(counts) FROM monitor_quality UNION ALL "
    "SELECT 'j' || lane || version || name || label_delay_days FROM monitor_quality_models UNION ALL "
    "SELECT 'r' || name || version || reason FROM monitor_requests) x";

static void feed_the_same(void)
{
    feed_and_forget(&(struct feeding){ .rows = 20000, .scale = 1, .from_us = START });
    feed_and_forget(&(struct feeding){ .rows = 12000, .scale = 1.6, .from_us = START + 6 * HOUR_US });
}

/* The same, with labels between: some are taken back, some said twice. */
static void feed_the_same_and_labels(void)
{
    feed_the_same();
    tell(&(struct telling){ 1, 30000, 17, START + 12 * HOUR_US, true, 0 });
    tell(&(struct telling){ 1, 3000, 34, START + 30 * HOUR_US, false, 1 });
    feed_and_forget(&(struct feeding){ .rows = 6000, .scale = 1, .from_us = START + 48 * HOUR_US });
    tell(&(struct telling){ 1, 32000, 51, START + 52 * HOUR_US, true, 3 });
}

Test(monitor, counts_the_same_however_often_it_is_killed)
{
    char undisturbed[64];
    int kills = 0;

    feed_the_same_and_labels();
    start(&w.monitor);
    wait_for_monitor();
    snprintf(undisturbed, sizeof undisturbed, "%s", database_text(w.pg, digest_sql));
    world_close();

    world_open();
    feed_the_same_and_labels();
    srand(11);
    while (database_int(w.pg, PLACE) < (int64_t)w.n) {
        process_launch(&w.monitor, "monitor",
                       (const char *const[]){ w.pg_url, DRIFT, "ASSAY_MONITOR_TURN=20ms", NULL });
        usleep((useconds_t)(100000 + rand() % 500000 +
                            kills * 20000)); /* ever longer, so that it comes to an end */
        process_kill(&w.monitor);
        kills++;
    }
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_str_eq(database_text(w.pg, digest_sql), undisturbed, "after %d kills", kills);
    cr_assert_geq(kills, 1);
}

static double divergence_part(double share, double other)
{
    return share > 0 ? share * log2(2 * share / (share + other)) / 2 : 0;
}

/* The divergence of the newest window, by hand from the bins that stand beside it. */
static void check_histogram(json_t *answer)
{
    json_t *newest = json_array_get(json_object_get(answer, "windows"), 0), *bin;
    json_t *histogram = json_object_get(answer, "histogram"), *bins = json_object_get(histogram, "bins");
    double rows = json_number_value(json_object_get(histogram, "rows"));
    double reference_rows = json_number_value(json_object_get(histogram, "reference_rows"));
    double js = 0, sum = 0;
    size_t i;

    cr_assert_eq(json_integer_value(json_object_get(histogram, "window")),
                 json_integer_value(json_object_get(newest, "window")));
    cr_assert_eq(rows, json_number_value(json_object_get(newest, "rows")));
    json_array_foreach(bins, i, bin)
    {
        double now = json_number_value(json_object_get(bin, "now"));
        double p = now / rows, q = json_number_value(json_object_get(bin, "reference")) / reference_rows;

        sum += now;
        js += divergence_part(p, q) + divergence_part(q, p);
    }
    cr_assert_eq(sum, rows);
    cr_assert_float_eq(js, json_number_value(json_object_get(newest, "js")), 1e-9);
}

Test(monitor, drift_raises_a_condition_and_asks_for_one_model)
{
    struct http_said said;

    database_run(w.pg, "INSERT INTO retrain_schedules (name, cron, settings, is_enabled) "
                       "VALUES ('sample', '@yearly', '{\"trials\": 3}', false)");
    feed_the_same();
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_eq(database_int(w.pg,
                              "SELECT count(*) FROM monitor_conditions WHERE is_raised AND condition LIKE "
                              "'drift/0/1/feature//amount/shape'"),
                 1);
    cr_assert_eq(
        database_int(
            w.pg,
            "SELECT count(*) FROM monitor_conditions WHERE is_raised AND subject = 'customer_count_24h'"),
        0, "the other feature is as it was");
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM training_runs WHERE cause = 'drift' AND name = 'sample' AND "
                           "settings = '{\"trials\": 3}'"),
        1, "with the settings of the name's schedule");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_requests"), 1,
                 "and no second one while it cools down");
    feed_and_forget(&(struct feeding){ .rows = 4000, .scale = 1, .from_us = START + 12 * HOUR_US });
    wait_for_monitor();
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM monitor_conditions WHERE is_raised AND kind = 'drift'"), 0,
        "it is over once windows are as they were");
    said = http_ask(w.monitor.port, "GET", "/v1/conditions", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    cr_assert_gt(json_array_size(json_object_get(said.json, "conditions")), 0);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/drift/amount?kind=feature&limit=5", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    cr_assert_eq(json_array_size(json_object_get(said.json, "windows")), 5);
    check_histogram(said.json);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/drift/(missing)?kind=segment_score&field=country", w.key,
                    NULL, NULL, 0);
    cr_assert_eq(said.status, 404, "no segment was told");
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/drift", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    cr_assert_eq(json_array_size(json_object_get(said.json, "models")), 1);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(said.json, "judging"), "windows")), 2);
    cr_assert(
        json_is_true(json_object_get(json_array_get(json_object_get(said.json, "lanes"), 0), "has_models")));
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/drift/nothing", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/model-requests", w.key, NULL, NULL, 0);
    cr_assert_eq(json_array_size(json_object_get(said.json, "requests")), 1);
    http_said_free(&said);
}

Test(monitor, of_two_one_works_and_the_other_takes_over)
{
    feed_and_forget(&(struct feeding){ .rows = 3000, .scale = 1, .from_us = START });
    start(&w.monitor);
    wait_for_monitor();
    start(&w.other);
    feed_and_forget(&(struct feeding){ .rows = 3000, .scale = 1, .from_us = START + HOUR_US });
    wait_for_monitor();
    process_kill(&w.monitor);
    feed_and_forget(&(struct feeding){ .rows = 3000, .scale = 1, .from_us = START + 2 * HOUR_US });
    wait_for_monitor();
    cr_assert_eq(database_int(w.pg, "SELECT sum(decisions)::int8 FROM monitor_health"), 9000);
    cr_assert_eq(database_int(w.pg, "SELECT sum(rows)::int8 FROM monitor_hours"), 9000);
}

/* Decisions that come late are counted without getting further in the log: by the one, while the other is frozen. */
Test(monitor, one_that_comes_back_forgets_what_it_held)
{
    static const char late_sql[] = "INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, "
                                   "action, score, margin, p_allow, "
                                   "model_version, ruleset_version, arm, plan, vector, amount_base_minor, "
                                   "record) SELECT 1, p.transaction_id, "
                                   "p.known_at, now(), p.n, 0, d.score, d.margin, 1, d.model_version, '1', "
                                   "'champion', d.plan, d.vector, 100, '' "
                                   "FROM monitor_pending p, (SELECT * FROM decisions LIMIT 1) d";
    static const char end_sql[] =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = "
        "current_database() AND application_name = 'assay-monitor'";

    feed_and_forget(&(struct feeding){ .rows = 10, .scale = 1, .from_us = START, .is_undecided = true });
    feed_and_forget(&(struct feeding){ .rows = 300, .scale = 1, .from_us = START + 60 * SECOND_US });
    start(&w.monitor);
    wait_for_monitor();
    kill(w.monitor.pid, SIGSTOP);
    database_int(w.pg, end_sql);
    start(&w.other);
    database_run(w.pg, late_sql);
    database_wait(w.pg, "SELECT (count(*) = 0)::int FROM monitor_pending", 1, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT sum(rows)::int8 FROM monitor_hours"), 310);
    process_kill(&w.other);
    kill(w.monitor.pid, SIGCONT);
    feed_and_forget(&(struct feeding){ .rows = 300, .scale = 1, .from_us = START + 400 * SECOND_US });
    wait_for_monitor();
    cr_assert_eq(database_int(w.pg, "SELECT sum(rows)::int8 FROM monitor_hours"), 610);
    cr_assert_eq(database_int(w.pg, "SELECT sum(decisions)::int8 FROM monitor_health"), 610);
}

Test(monitor, waits_for_a_decision_that_comes_after_its_entry)
{
    struct feeding late = { .rows = 10, .scale = 1, .from_us = START, .is_undecided = true };

    feed_and_forget(&late);
    feed_and_forget(&(struct feeding){ .rows = 500, .scale = 1, .from_us = START + HOUR_US });
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_eq(database_int(w.pg, "SELECT sum(decisions)::int8 FROM monitor_health"), 500);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_pending"), 10);
    database_run(
        w.pg,
        "INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, action, score, margin, "
        "p_allow, "
        "model_version, ruleset_version, arm, plan, vector, amount_base_minor, record) SELECT 1, "
        "transaction_id, "
        "known_at, now(), n, 0, NULL, NULL, 1, '', '1', 'fallback', '', '', 100, '\\x2a057363' FROM "
        "monitor_pending "
        "WHERE n <= 4");
    database_wait(w.pg, "SELECT count(*) FROM monitor_pending", 6, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT sum(decisions)::int8 FROM monitor_health"), 504);
    cr_assert_eq(database_int(w.pg, "SELECT sum(unscored)::int8 FROM monitor_health"), 4);
}

Test(monitor, lets_in_whoever_has_a_key_for_it)
{
    char reader[64];
    struct http_said said;

    database_key(w.pg, 1, "read", reader);
    feed_and_forget(&(struct feeding){ .rows = 3000, .scale = 1, .from_us = START });
    start(&w.monitor);
    wait_for_monitor();
    said = http_ask(w.monitor.port, "GET", "/v1/data-health", NULL, NULL, NULL, 0);
    cr_assert_eq(said.status, 401);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/data-health", reader, NULL, NULL, 0);
    cr_assert_eq(said.status, 401);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/data-health?hours=x", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 422);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/data-health?lane=99", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 404);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/data-health", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(said.json, "sum"), "decisions")), 3000);
    http_said_free(&said);
}

Test(monitor, shows_drift_in_a_terminal)
{
    struct buf said;

    buf_init(&said, 0);
    feed_the_same();
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_eq(command_run(&said, w.conninfo, "LC_ALL=C", "drift"), 0, "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "sample version 1"), "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "DRIFT"), "%s", buf_str(&said));
    cr_assert_null(strstr(buf_str(&said), "\xe2\x96"), "no blocks where the locale has none");
    cr_assert_eq(command_run(&said, w.conninfo, "LC_ALL=C.UTF-8", "drift --feature amount"), 0, "%s",
                 buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "\xe2\x96"), "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "drift --feature nothing"), 4, "%s", buf_str(&said));
    cr_assert_eq(command_run(&said, w.conninfo, "", "drift --json"), 0, "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "\"is_alarm\":true"), "%s", buf_str(&said));
    buf_release(&said);
}

Test(monitor, tells_when_features_are_not_what_the_log_gives)
{
    /* The vectors that are fed are drawn, not computed. */
    feed_and_forget(&(struct feeding){ .rows = 300, .scale = 1, .from_us = START });
    start(&w.monitor);
    database_wait(w.pg, "SELECT count(*) FROM monitor_checks WHERE recomputed = 300 AND mismatched > 290", 1,
                  NULL);
    cr_assert_eq(
        database_int(w.pg,
                     "SELECT count(*) FROM monitor_conditions WHERE condition = 'mismatch' AND is_raised"),
        1);
}

Test(monitor, computes_nothing_again_that_takes_more_memory_than_it_may)
{
    static const char catalogue[] = "entities: {customer: customer_id, terminal: terminal_id}\n"
                                    "features:\n"
                                    "  - {name: customer_sum_30d, sum: amount, by: customer, window: 30d}\n"
                                    "  - {name: terminal_frauds_7d, fraud_count: terminal, window: 7d}\n";
    struct history past;

    history_open(&past, w.pg, catalogue, 1000);
    history_live_until(&past, HISTORY_START + 10 * DAY_US);
    history_close(&past);
    process_start(&w.monitor, "monitor",
                  (const char *const[]){ w.pg_url, "ASSAY_MONITOR_VERIFY_MB=1", NULL });
    database_wait(w.pg, "SELECT count(*) FROM monitor_checks", 1, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT recomputed FROM monitor_checks"), 0);
    usleep(300000);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_checks"), 1,
                 "it is not tried again at once");
    process_stop(&w.monitor);
    database_run(w.pg, "DELETE FROM monitor_checks");
    start(&w.monitor);
    database_wait(w.pg, "SELECT count(*) FROM monitor_checks WHERE recomputed > 0 AND mismatched = 0", 1,
                  NULL);
}

Test(monitor, finds_features_as_the_log_gives_them)
{
    static const char catalogue[] = "entities: {customer: customer_id, terminal: terminal_id}\n"
                                    "features:\n"
                                    "  - {name: amount, expr: tx.amount}\n"
                                    "  - {name: customer_count_24h, count: customer, window: 24h}\n"
                                    "  - {name: terminal_frauds_7d, fraud_count: terminal, window: 7d}\n";
    struct history past;

    history_open(&past, w.pg, catalogue, 40);
    history_live_until(&past, HISTORY_START + 10 * DAY_US);
    start(&w.monitor);
    database_wait(w.pg, "SELECT count(*) FROM monitor_checks WHERE recomputed > 100 AND mismatched = 0", 1,
                  NULL);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_conditions WHERE condition = 'mismatch'"),
                 0);
    history_close(&past);
}

/* What the monitor answers about quality; the caller's, for json_decref(). */
static json_t *ask_quality(void)
{
    struct http_said said = http_ask(w.monitor.port, "GET", "/v1/quality", w.key, NULL, NULL, 0);
    json_t *kept = json_incref(said.json);

    cr_assert_eq(said.status, 200);
    http_said_free(&said);
    return kept;
}

static double figure(const json_t *of, const char *object, const char *name)
{
    const json_t *value = json_object_get(object ? json_object_get(of, object) : of, name);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const json_t *day_of(const json_t *quality, size_t i)
{
    return json_array_get(json_object_get(quality, "days"), i);
}

Test(monitor, shows_what_labels_have_said_of_a_day)
{
    struct buf said;
    json_t *shown, *answered;
    const json_t *day;
    int64_t seen, frauds;

    /* Ten days, of which the first has matured after the model's week; a hundred frauds of it are told. */
    buf_init(&said, 0);
    feed_and_forget(&(struct feeding){ .rows = 2000, .scale = 1, .from_us = START });
    tell(&(struct telling){ 1, 100, 1, START + 2 * DAY_US, true, 3 });
    feed_and_forget(&(struct feeding){ .rows = 2000, .scale = 1, .from_us = START + 9 * DAY_US });
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_eq(command_run(&said, w.conninfo, "", "quality --json"), 0, "%s", buf_str(&said));
    shown = json_loads(buf_str(&said), 0, NULL);
    answered = ask_quality();
    cr_assert_not_null(shown, "%s", buf_str(&said));
    cr_assert(json_equal(shown, answered), "the command line says what REST says");
    cr_assert_eq(json_array_size(json_object_get(shown, "days")), 2);
    day = day_of(shown, 0);
    seen = database_int(w.pg, "SELECT count(*) FROM decisions WHERE n <= 2000 AND action <> 3");
    frauds = database_int(w.pg, "SELECT count(*) FROM decisions WHERE n <= 100 AND action <> 3");
    cr_assert(json_is_true(json_object_get(day, "is_matured")));
    cr_assert_eq(json_integer_value(json_object_get(day, "decisions")), 2000);
    cr_assert_eq(json_integer_value(json_object_get(day, "known_frauds")), 100);
    cr_assert_eq(figure(day, "realised", "rows"), (double)seen, "what was declined stands for nothing");
    cr_assert_eq(figure(day, "realised", "frauds"), (double)frauds);
    /* All scores are equal: the average precision is the share of frauds. */
    cr_assert_float_eq(figure(day, "realised", "average_precision"), (double)frauds / (double)seen, 1e-12);
    cr_assert_float_eq(figure(day, "estimated", "frauds"), 200, 1e-6);
    cr_assert_float_eq(figure(json_object_get(shown, "estimate_error"), "frauds", "error"),
                       200 - (double)frauds, 1e-6);
    cr_assert(json_is_null(json_object_get(day_of(shown, 1), "realised")));
    cr_assert_eq(figure(shown, "calibration", "happened"), (double)frauds);
    json_decref(shown);
    json_decref(answered);
    cr_assert_eq(command_run(&said, w.conninfo, "LC_ALL=C", "quality"), 0, "%s", buf_str(&said));
    cr_assert_not_null(strstr(buf_str(&said), "later"), "%s", buf_str(&said));
    buf_release(&said);
}

/* Of 997 customers each pays two or three times: by hand over what was let through, customers by their best score. */
static const char best_sql[] =
    "WITH paid AS (SELECT mod(d.n, 997)::int AS customer, max(d.score) AS best, bool_or(coalesce(l.is_fraud, "
    "false)) AS is_fraud FROM decisions d LEFT JOIN labels l ON l.transaction_id = d.transaction_id WHERE "
    "d.action <> 3 AND d.n BETWEEN %d AND %d GROUP BY 1) SELECT count(*) FILTER (WHERE is_fraud) FROM "
    "(SELECT "
    "* FROM paid %s ORDER BY best DESC LIMIT 100) top";

Test(monitor, tells_of_a_matured_day_in_how_many_customers_fraud_would_have_been_found)
{
    char text[1024];
    const json_t *first, *second;
    json_t *shown;
    int64_t found;

    feed_and_forget(&(struct feeding){ .rows = 2000, .scale = 1, .from_us = START });
    feed_and_forget(&(struct feeding){ .rows = 2000, .scale = 1, .from_us = START + DAY_US });
    database_run(w.pg, "UPDATE decisions SET score = ((n * 7919) % 4001) / 4001.0");
    tell(&(struct telling){ 1, 4000, 9, START + 3 * DAY_US, true, 3 });
    feed_and_forget(&(struct feeding){ .rows = 10, .scale = 1, .from_us = START + 12 * DAY_US });
    process_start(
        &w.monitor, "monitor",
        (const char *const[]){ w.pg_url, DRIFT, "ASSAY_MONITOR_TURN=20ms", "ASSAY_MONITOR_VERIFY=1s", NULL });
    wait_for_monitor();
    database_wait(w.pg, "SELECT count(*) FROM monitor_cards", 2, NULL);
    shown = ask_quality();
    first = json_object_get(day_of(shown, 0), "card_precision");
    second = json_object_get(day_of(shown, 1), "card_precision");
    snprintf(text, sizeof text, best_sql, 1, 2000, "");
    found = database_int(w.pg, text);
    cr_assert_gt(found, 10);
    cr_assert_eq(figure(first, NULL, "found"), (double)found);
    cr_assert_float_eq(figure(first, NULL, "precision"), (double)found / 100, 1e-12);
    cr_assert_eq(
        database_int(w.pg, "SELECT octet_length(hashes) / 8 FROM monitor_cards ORDER BY day LIMIT 1"), found);
    /* Nobody is found twice. */
    snprintf(
        text, sizeof text, best_sql, 2001, 4000,
        "WHERE customer NOT IN (SELECT customer FROM (SELECT mod(d.n, 997)::int AS customer, max(d.score) "
        "AS best, bool_or(coalesce(l.is_fraud, false)) AS is_fraud FROM decisions d LEFT JOIN labels l ON "
        "l.transaction_id = d.transaction_id WHERE d.action <> 3 AND d.n <= 2000 GROUP BY 1 ORDER BY best "
        "DESC LIMIT 100) f WHERE f.is_fraud)");
    cr_assert_eq(figure(second, NULL, "found"), (double)database_int(w.pg, text));
    cr_assert(json_is_null(json_object_get(day_of(shown, 2), "card_precision")), "it has not matured");
    json_decref(shown);
}

Test(monitor, a_label_moves_the_quality_of_its_own_day)
{
    json_t *before, *after;

    feed_and_forget(&(struct feeding){ .rows = 1000, .scale = 1, .from_us = START });
    feed_and_forget(&(struct feeding){ .rows = 1000, .scale = 1, .from_us = START + DAY_US });
    feed_and_forget(&(struct feeding){ .rows = 10, .scale = 1, .from_us = START + 12 * DAY_US });
    start(&w.monitor);
    wait_for_monitor();
    before = ask_quality();
    tell(&(struct telling){ 1, 40, 1, START + 11 * DAY_US, true, 0 });
    wait_for_monitor();
    after = ask_quality();
    cr_assert_eq(figure(day_of(before, 0), NULL, "known_frauds"), 0);
    cr_assert_eq(figure(day_of(after, 0), NULL, "known_frauds"), 40);
    cr_assert_eq(figure(day_of(after, 0), "realised", "frauds"),
                 (double)database_int(w.pg, "SELECT count(*) FROM decisions WHERE n <= 40 AND action <> 3"));
    cr_assert(json_equal(day_of(before, 1), day_of(after, 1)) ||
              figure(day_of(after, 1), NULL, "known_frauds") == 0);
    json_decref(before);
    /* A weaker source cannot take it back; a stronger one can, and the day is as it was. */
    tell(&(struct telling){ 1, 40, 1, START + 11 * DAY_US + HOUR_US, false, 3 });
    tell(&(struct telling){ 1, 40, 1, START + 11 * DAY_US + 2 * HOUR_US, true, 1 });
    wait_for_monitor();
    before = ask_quality();
    cr_assert_eq(figure(day_of(before, 0), NULL, "known_frauds"), 0);
    json_decref(before);
    json_decref(after);
}

Test(monitor, counts_a_label_that_came_before_the_decision_it_is_about)
{
    json_t *quality;

    feed_and_forget(&(struct feeding){ .rows = 100, .scale = 1, .from_us = START, .is_undecided = true });
    tell(&(struct telling){ 1, 20, 1, START + HOUR_US, true, 0 });
    start(&w.monitor);
    wait_for_monitor();
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_pending"), 100);
    database_run(
        w.pg,
        "WITH d AS (SELECT l.n, 't-' || l.n AS id, l.known_at FROM log l WHERE l.kind = 1), t AS (INSERT "
        "INTO "
        "transaction_ids (account, id, body_hash, epoch, n, known_at) SELECT 1, id, '', 1, n, known_at FROM "
        "d) INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, action, score, margin, "
        "p_allow, model_version, ruleset_version, arm, plan, vector, amount_base_minor, record) SELECT 1, "
        "id, "
        "known_at, known_at, n, 0, 0.1, -2, 1, '1', '1', 'champion', '', '', 100, '' FROM d");
    database_wait(w.pg, "SELECT count(*) FROM monitor_pending", 0, NULL);
    quality = ask_quality();
    cr_assert_eq(figure(day_of(quality, 0), NULL, "decisions"), 100);
    cr_assert_eq(figure(day_of(quality, 0), NULL, "known_frauds"), 20);
    json_decref(quality);
}

/* Days of 400 decisions, of which the first `frauds` turn out to be fraud two days later. */
static void feed_days(int64_t from_us, size_t days, uint64_t frauds)
{
    for (size_t d = 0; d < days; d++) {
        int64_t at_us = from_us + (int64_t)d * DAY_US;
        uint64_t first = w.n + 1;

        feed_and_forget(&(struct feeding){ .rows = 400, .scale = 1, .from_us = at_us });
        tell(&(struct telling){ .first = first,
                                .last = first + frauds - 1,
                                .step = 1,
                                .at_us = at_us + 2 * DAY_US,
                                .is_fraud = true,
                                .source = 3 });
    }
}

Test(monitor, tells_when_a_model_is_not_as_good_as_was_promised_and_asks_for_another)
{
    static const char raised[] = "SELECT count(*) FROM monitor_conditions WHERE is_raised AND condition = "
                                 "'quality/0/1/average_precision'";
    struct http_said said;

    /* The bundle promises an average precision of 0.75. All scores are equal, so it is the share of frauds. */
    feed_days(START, 14, 20);
    feed_and_forget(&(struct feeding){ .rows = 10, .scale = 1, .from_us = START + 20 * DAY_US });
    start(&w.monitor);
    wait_for_monitor();
    feed_and_forget(&(struct feeding){ .rows = 10, .scale = 1, .from_us = START + 21 * DAY_US });
    database_wait(w.pg, raised, 1, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_conditions WHERE is_raised AND condition = "
                                    "'quality/0/1/calibration'"),
                 1, "the scores say 0.1, and 0.05 are frauds");
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM training_runs WHERE name = 'sample'"), 1);
    cr_assert_eq(
        database_int(w.pg, "SELECT count(*) FROM monitor_requests WHERE reason LIKE 'decay of version 1: %'"),
        1);
    said = http_ask(w.monitor.admin_port, "GET", "/metrics", NULL, NULL, NULL, 0);
    cr_assert_not_null(strstr(said.body, "assay_quality_average_precision_promised 0.75"), "%s", said.body);
    http_said_free(&said);
    /* A week in which the scores rank well again. */
    feed_days(START + 22 * DAY_US, 7, 400);
    feed_and_forget(&(struct feeding){ .rows = 10, .scale = 1, .from_us = START + 36 * DAY_US });
    database_wait(w.pg, raised, 0, NULL);
    cr_assert_eq(database_int(w.pg, "SELECT count(*) FROM monitor_requests"), 1, "one while it cools down");
}

Test(monitor, judges_any_number_of_hours_as_one_window)
{
    struct http_said said;
    const json_t *subjects;
    struct buf shown;
    int64_t rows;

    buf_init(&shown, 0);
    feed_the_same();
    start(&w.monitor);
    wait_for_monitor();
    said = http_ask(w.monitor.port, "GET", "/v1/drift?hours=2", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 200);
    subjects = json_object_get(json_array_get(json_object_get(said.json, "models"), 0), "subjects");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(subjects, 0), "name")), "amount",
                     "it has moved most");
    cr_assert(json_is_true(json_object_get(json_array_get(subjects, 0), "is_beyond")));
    rows = database_int(
        w.pg, "SELECT count(*) FROM decisions WHERE known_at >= (SELECT date_trunc('hour', max(known_at), "
              "'UTC') - interval '1 hour' FROM decisions)");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(subjects, 0), "rows")), rows,
                 "of the hour of the last decision and the one before it");
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/drift?hours=9600", w.key, NULL, NULL, 0);
    subjects = json_object_get(json_array_get(json_object_get(said.json, "models"), 0), "subjects");
    cr_assert_eq(json_integer_value(json_object_get(json_array_get(subjects, 0), "rows")), 32000);
    http_said_free(&said);
    said = http_ask(w.monitor.port, "GET", "/v1/drift?hours=0", w.key, NULL, NULL, 0);
    cr_assert_eq(said.status, 422);
    http_said_free(&said);
    cr_assert_eq(command_run(&shown, w.conninfo, "LC_ALL=C", "drift --hours 2"), 0, "%s", buf_str(&shown));
    cr_assert_not_null(strstr(buf_str(&shown), "hours until"), "%s", buf_str(&shown));
    buf_release(&shown);
}
