/* SPDX-License-Identifier: Apache-2.0
 * monitor_bench.c - what the monitor costs while decisions come steadily, and what it holds in memory after histories
 * of different length.
 *
 *   monitor_bench ASSAY DIR         DIR: a directory that postgres can get into
 *   monitor_bench ASSAY DIR late    the monitor starts for the first time when a million decisions of one day are there
 *
 * PostgreSQL and the monitor alone. A model of the default catalogue is trained on a small simulated stream; entries of
 * the log and decisions are written as features and ingestion leave them, with vectors of all its columns and one label
 * for 200 decisions, weeks later where that is in the past. The CPU time is the monitor's own, as the kernel counts it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/alone.h"
#include "bench/child.h"
#include "bench/report.h"
#include "bundle/bundle.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "stats/interval.h"

enum {
    RATE = 5000,
    SECONDS = 60,
    STEPS = 10, /* a second */
    SHORT = 60000,
    LONG = 10 * SHORT,
    BATCH = 10000,
    POOL = 1000,
    LABEL_EVERY = 200,
    WAIT_SECONDS = 1800,
    LATE = 1000000,
    LATE_DAYS_AGO = 60,
};

static struct {
    struct alone pg;
    struct bundle *bundle;
    int64_t version;
    size_t columns;
    float *vectors; /* [POOL][columns] */
    struct random dice;
    uint64_t n, transactions;
    pid_t monitor;
} b;

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("monitor: %s: %s", what, why->text);
}

/* ---- a model ---- */

static void train(const char *assay, const char *home)
{
    char command[16384];
    int status;
    char *said;

    snprintf(command, sizeof command,
             "'%s' simulate --transactions 12000 --seed 3 2>/dev/null | '%s' train - --catalogue default "
             "--warm-up 2 "
             "--trees 20 --promote --home '%s' 2>&1",
             assay, assay, home);
    said = child_read((const char *[]){ "sh", "-c", command, NULL }, &status);
    if (status)
        bench_fail("monitor: train: %s", said);
    free(said);
}

static void read_model(void)
{
    struct pg_params p = { 0 };
    struct why why = { 0 };
    struct buf bytes;

    b.version = alone_number(&b.pg, "SELECT version FROM aliases WHERE alias = 'champion'");
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    must_work(model_read(b.pg.session, b.version, NULL, &bytes, &why), "read the model", &why);
    must_work(bundle_open(&b.bundle, buf_slice(&bytes), &why), "open the model", &why);
    buf_release(&bytes);
    b.columns = plan_columns(bundle_plan(b.bundle));
    pg_add_bytes(&p, slice_of((const char *)plan_hash(bundle_plan(b.bundle)), SHA256_BYTES));
    pg_add_text(&p, plan_text(bundle_plan(b.bundle)));
    must_work(
        pg_exec(b.pg.session,
                "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text) ON CONFLICT DO NOTHING",
                &p, NULL, &why),
        "write the plan", &why);
    pg_params_release(&p);
}

static void make_vectors(void)
{
    b.vectors = mem_new_n(float, POOL *b.columns);
    for (size_t i = 0; i < POOL * b.columns; i++)
        b.vectors[i] = random_below(&b.dice, 20) ? (float)exp(8 * random_unit(&b.dice) - 2) : NAN;
}

/* ---- what is decided ---- */

static struct txn txn_of(struct arena *arena, uint64_t i, int64_t at_us)
{
    static const char *const channels[] = { "pos", "pos", "ecommerce", "atm" };
    static const char *const countries[] = { "FR", "FR", "FR", "DE", "ES" };
    static const char *const categories[] = { "5411", "5812", "5999", "4111", "6011" };
    struct txn txn = { .account = 1, .occurred_at_us = at_us - 300000, .known_at_us = at_us };

    txn.id = arena_printf(arena, "t-%llu", (unsigned long long)i);
    txn.amount_minor = txn.amount_base_minor = 100 + (int64_t)random_below(&b.dice, 100000);
    txn.currency = SLICE("EUR");
    txn.text[TXN_customer_id] =
        arena_printf(arena, "c-%llu", (unsigned long long)random_below(&b.dice, 50000));
    txn.text[TXN_channel] = slice_str(channels[random_below(&b.dice, 4)]);
    txn.text[TXN_country] = slice_str(countries[random_below(&b.dice, 5)]);
    txn.text[TXN_mcc] = slice_str(categories[random_below(&b.dice, 5)]);
    return txn;
}

/* Rows on their way into the tables, column by column. */
struct copying {
    struct pg_params log, ids, decisions, labels;
    struct pg_array *l[4], *d[7], *t[5];
};

static void begin(struct copying *c)
{
    static const enum pg_type l[] = { PG_INT8, PG_INT2, PG_TIMESTAMPTZ, PG_BYTEA };
    static const enum pg_type d[] = { PG_INT8,   PG_TIMESTAMPTZ, PG_TEXT,  PG_BYTEA,
                                      PG_FLOAT8, PG_INT2,        PG_FLOAT8 };
    static const enum pg_type t[] = { PG_INT8, PG_TIMESTAMPTZ, PG_TEXT };

    *c = (struct copying){ 0 };
    for (size_t i = 0; i < 4; i++)
        c->l[i] = pg_add_array(&c->log, l[i]);
    for (size_t i = 0; i < 7; i++)
        c->d[i] = pg_add_array(&c->decisions, d[i]);
    for (size_t i = 0; i < 3; i++)
        c->t[i] = pg_add_array(&c->labels, t[i]);
}

static void add_entry(struct copying *c, int kind, int64_t at_us, struct slice body)
{
    pg_array_i64(c->l[0], (int64_t)++b.n);
    pg_array_i16(c->l[1], (int16_t)kind);
    pg_array_time_us(c->l[2], at_us);
    pg_array_bytes(c->l[3], body);
}

static void add_decision(struct copying *c, struct arena *arena, int64_t at_us)
{
    struct txn txn = txn_of(arena, ++b.transactions, at_us);
    double odds = -7 + 8 * random_unit(&b.dice) * random_unit(&b.dice), score = 1 / (1 + exp(-odds));
    const float *vector = b.vectors + random_below(&b.dice, POOL) * b.columns;

    add_entry(c, 1, at_us, txn_pack(&txn, arena));
    pg_array_i64(c->d[0], (int64_t)b.n);
    pg_array_time_us(c->d[1], at_us);
    pg_array_text(c->d[2], txn.id);
    pg_array_bytes(c->d[3], slice_of((const char *)vector, b.columns * sizeof *vector));
    pg_array_f64(c->d[4], score);
    pg_array_i16(c->d[5], score > 0.5 ? 3 : score > 0.2 ? 2 : 0);
    pg_array_f64(c->d[6], odds);
}

static void add_label(struct copying *c, struct arena *arena, uint64_t of, int64_t at_us)
{
    struct label label = { .transaction_id = arena_printf(arena, "t-%llu", (unsigned long long)of),
                           .is_fraud = true,
                           .source = LABEL_SOURCE_COUNT - 1,
                           .labelled_at_us = at_us };

    add_entry(c, 2, at_us, label_pack(&label, arena));
    pg_array_i64(c->t[0], (int64_t)b.n);
    pg_array_time_us(c->t[1], at_us);
    pg_array_text(c->t[2], label.transaction_id);
}

static const char log_sql[] =
    "INSERT INTO log (n, epoch, kind, account, known_at, body) SELECT n, 1, kind, 1, at, body FROM "
    "unnest($1::int8[], $2::int2[], $3::timestamptz[], $4::bytea[]) AS k (n, kind, at, body)";
static const char decisions_sql[] =
    "WITH k AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::timestamptz[], $3::text[], $4::bytea[], "
    "$5::float8[], $6::int2[], $7::float8[]) AS k (n, at, id, vector, score, action, margin)), known AS "
    "(INSERT "
    "INTO transaction_ids (account, id, body_hash, epoch, n, known_at) SELECT 1, id, '', 1, n, at FROM k) "
    "INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, action, score, margin, "
    "p_allow, "
    "model_version, ruleset_version, arm, plan, vector, amount_base_minor, record) SELECT 1, id, at, at, n, "
    "action, score, margin, (action <> 3)::int, $8::text, '1', 'champion', $9::bytea, vector, 1000, '' FROM "
    "k";
static const char labels_sql[] =
    "INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) SELECT 1, id, "
    "3, "
    "at, true, at, n FROM unnest($1::int8[], $2::timestamptz[], $3::text[]) AS k (n, at, id)";

static void finish(struct copying *c, struct arena *arena)
{
    struct why why = { 0 };

    pg_add_text(&c->decisions, arena_printf(arena, "%lld", (long long)b.version));
    pg_add_bytes(&c->decisions, slice_of((const char *)plan_hash(bundle_plan(b.bundle)), SHA256_BYTES));
    alone_sql(&b.pg, "BEGIN; SET LOCAL synchronous_commit = off");
    must_work(pg_exec(b.pg.session, log_sql, &c->log, NULL, &why), "write the log", &why);
    must_work(pg_exec(b.pg.session, decisions_sql, &c->decisions, NULL, &why), "write decisions", &why);
    must_work(pg_exec(b.pg.session, labels_sql, &c->labels, NULL, &why), "write labels", &why);
    alone_sql(&b.pg, "COMMIT");
    pg_params_release(&c->log);
    pg_params_release(&c->decisions);
    pg_params_release(&c->labels);
    arena_release(arena);
}

/* So many decisions from a time on, evenly until `until_us`. */
static void decide(size_t rows, int64_t from_us, int64_t until_us)
{
    struct arena arena = { 0 };
    struct copying c;

    begin(&c);
    for (size_t i = 0; i < rows; i++) {
        int64_t at_us = from_us + (int64_t)((double)(until_us - from_us) * (double)i / (double)rows);

        add_decision(&c, &arena, at_us);
        if (b.transactions % LABEL_EVERY == 0)
            add_label(&c, &arena, 1 + random_below(&b.dice, b.transactions), at_us);
    }
    finish(&c, &arena);
}

static void decide_history(size_t rows, int64_t from_us, int64_t until_us)
{
    for (size_t done = 0; done < rows; done += BATCH)
        decide(BATCH, from_us + (until_us - from_us) / (int64_t)rows * (int64_t)done,
               from_us + (until_us - from_us) / (int64_t)rows * (int64_t)(done + BATCH));
}

/* ---- the monitor ---- */

static void start(const char *assay, const char *home)
{
    char url[600], ready[4200], log[4200], program[4200], port[64], admin[64];
    const char *ready_file = ready + sizeof "ASSAY_READY_FILE=" - 1;

    snprintf(program, sizeof program, "%.*s/monitor", (int)(strrchr(assay, '/') - assay), assay);
    snprintf(url, sizeof url, "ASSAY_PG_URL=%s", b.pg.conninfo);
    snprintf(ready, sizeof ready, "ASSAY_READY_FILE=%s/monitor.ready", home);
    snprintf(log, sizeof log, "%s/monitor.log", home);
    snprintf(port, sizeof port, "ASSAY_MONITOR_PORT=%d", free_port());
    snprintf(admin, sizeof admin, "ASSAY_MONITOR_ADMIN_PORT=%d", free_port());
    b.monitor = child_start((const char *[]){ program, NULL },
                            (const char *[]){ url, ready, port, admin, NULL }, log);
    for (int i = 0; access(ready_file, R_OK); i++) {
        if (!child_is_running(b.monitor) || i > 20000)
            bench_fail("monitor: it did not become ready: see %s", log);
        usleep(1000);
    }
}

static void wait_until_counted(void)
{
    char question[256];
    int64_t began = clock_mono_us();

    snprintf(question, sizeof question,
             "SELECT count(*) FROM followers WHERE follower = 'monitor' AND (position ->> 'n')::int8 >= %llu",
             (unsigned long long)b.n);
    while (!alone_number(&b.pg, question)) {
        if (clock_mono_us() - began > WAIT_SECONDS * SECOND_US || !child_is_running(b.monitor))
            bench_fail("monitor: it does not come to the end of the log");
        usleep(20000);
    }
}

/* "VmRSS:": now; "VmHWM:": the most it ever was. */
static double memory_mb(const char *which)
{
    char path[64], line[256];
    double kb = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)b.monitor);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, which, strlen(which)) == 0)
            kb = strtod(line + strlen(which), NULL);
    if (f)
        fclose(f);
    return kb / 1024;
}

/* ---- measuring ---- */

static void catch_up(size_t rows, int64_t from_us, int64_t until_us, double *cpu_us, double *mb)
{
    double before;

    decide_history(rows, from_us, until_us);
    before = child_cpu_us(b.monitor, false);
    wait_until_counted();
    *cpu_us = (child_cpu_us(b.monitor, false) - before) / (double)rows;
    *mb = memory_mb("VmRSS:");
}

/* The share of one core that it takes while decisions come; *late: the inserter could not keep its pace. */
static double steady(double *rate)
{
    double before = child_cpu_us(b.monitor, false);
    int64_t began = clock_mono_us(), next = began;
    size_t rows = 0;

    while (rows < (size_t)RATE * SECONDS) {
        int64_t now_us = clock_wall_us();

        decide(RATE / STEPS, now_us - SECOND_US / STEPS, now_us);
        rows += RATE / STEPS;
        next += SECOND_US / STEPS;
        while (clock_mono_us() < next)
            usleep(1000);
    }
    wait_until_counted();
    *rate = (double)rows / ((double)(clock_mono_us() - began) / 1e6);
    return (child_cpu_us(b.monitor, false) - before) / (double)(clock_mono_us() - began);
}

static void measure_running(const char *assay, const char *home)
{
    char note[256];
    double cpu_us, mb, long_cpu_us, long_mb, share, rate;
    int64_t now_us = clock_wall_us();

    start(assay, home);
    catch_up(SHORT, now_us - 390 * DAY_US, now_us - 350 * DAY_US, &cpu_us, &mb);
    share = steady(&rate);
    catch_up(LONG - SHORT, now_us - 350 * DAY_US, now_us - DAY_US, &long_cpu_us, &long_mb);
    snprintf(note, sizeof note, "%d s of %.0f decisions a second, %zu features, 1 label for %d; %.1f us each",
             SECONDS, rate, b.columns, LABEL_EVERY, share / rate * 1e6);
    report(&(struct result){ .name = "monitor/share of one core",
                             .value = 100 * share,
                             .unit = "%",
                             .goals = { { VALUE_AT_MOST, 10 } },
                             .note = note });
    report(&(struct result){ .name = "monitor/one decision, catching up",
                             .value = long_cpu_us,
                             .unit = "us",
                             .baseline = cpu_us,
                             .against = "with a tenth of the history",
                             .note = "CPU of the monitor; PostgreSQL's is its own" });
    report(&(struct result){ .name = "monitor/resident memory",
                             .value = long_mb,
                             .unit = "MB",
                             .baseline = mb,
                             .against = "with a tenth of the history",
                             .goals = { { RATIO_AT_MOST, 1.25 } } });
}

/* How long it asks PostgreSQL about the cards of the day, which matured long ago. */
static double cards_ms(void)
{
    int64_t began = clock_mono_us(), busy_us = 0, before = began;

    while (!alone_number(&b.pg, "SELECT count(*) FROM monitor_cards")) {
        int64_t now = clock_mono_us();

        if (alone_number(&b.pg, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE "
                                "'assay-monitor-verifier%' AND state <> 'idle'"))
            busy_us += now - before;
        before = now;
        if (now - began > WAIT_SECONDS * SECOND_US || !child_is_running(b.monitor))
            bench_fail("monitor: no cards");
        usleep(5000);
    }
    return (double)busy_us / 1e3;
}

static void measure_late(const char *assay, const char *home)
{
    char note[256];
    int64_t now_us = clock_wall_us(), day_us = now_us - now_us % DAY_US - LATE_DAYS_AGO * DAY_US, began;
    double seconds, cards;

    decide_history(LATE, day_us, day_us + DAY_US);
    decide(BATCH, now_us - SECOND_US, now_us);
    alone_sql(&b.pg, "ANALYZE");
    began = clock_mono_us();
    start(assay, home);
    wait_until_counted();
    seconds = (double)(clock_mono_us() - began) / 1e6;
    snprintf(note, sizeof note, "%.1f s from its first start; %.1f us of its own CPU for each", seconds,
             child_cpu_us(b.monitor, false) / (LATE + BATCH));
    report(&(struct result){ .name = "monitor/decisions counted, late",
                             .value = (LATE + BATCH) / seconds,
                             .unit = "/s",
                             .note = note });
    report(
        &(struct result){ .name = "monitor/most memory, late", .value = memory_mb("VmHWM:"), .unit = "MB" });
    cards = cards_ms();
    report(&(struct result){ .name = "monitor/cards of a day of a million decisions",
                             .value = cards,
                             .unit = "ms",
                             .note = "of PostgreSQL, once for each day" });
    report(&(struct result){
        .name = "monitor/most memory, with the cards", .value = memory_mb("VmHWM:"), .unit = "MB" });
}

int main(int argc, char **argv)
{
    char home[4096];
    bool is_late = argc == 4 && strcmp(argv[3], "late") == 0;

    if (argc != 3 && !is_late)
        bench_fail("usage: monitor_bench ASSAY DIR [late]");
    snprintf(home, sizeof home, "%s/monitor", argv[2]);
    alone_open(&b.pg, home, "default");
    alone_sql(&b.pg, "INSERT INTO accounts (name) VALUES ('bench')");
    train(argv[1], home);
    read_model();
    b.dice.state = 5;
    make_vectors();
    (is_late ? measure_late : measure_running)(argv[1], home);
    child_end(b.monitor, false);
    bundle_close(b.bundle);
    mem_free(b.vectors);
    alone_close(&b.pg);
    return 0;
}
