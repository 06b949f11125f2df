/* SPDX-License-Identifier: Apache-2.0
 * retrain_bench.c - what a retraining on a million rows costs, beside Debian's `xgboost` command on the same rows with
 * the same parameters: time from PostgreSQL to a bundle, time without the reading, CPU, and peak memory.
 *
 *   retrain_bench DIR       a directory that postgres can get into
 *
 * A simulated history is written as the services would have written it: log, labels, decisions with their vectors.
 * Then two programs run, one after the other, each measured by the kernel (wait4): this one again, which reads,
 * trains, calibrates, sets thresholds, judges, trains the baselines and builds the bundle; and `xgboost`, which reads
 * the very training and tuning rows from text files, trains, tells the metric of the tuning rows after each round as
 * ours does, and saves the trees. Without the command there is nothing to compare with. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/alone.h"
#include "bench/child.h"
#include "bench/report.h"
#include "dataset/label_queue.h"
#include "featurestore/store.h"
#include "logstore/entry.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "simulate/simulate.h"
#include "training/trainer.h"
#include "trainingstore/trainingstore.h"

enum { DAYS = 120, TRANSACTIONS = 1560000, CATALOGUE_MAX = 1 << 16, THREADS = 2, ROUNDS = 200 };
#define START (INT64_C(1577836800) * SECOND_US) /* 2020-01-01 */

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("retrain: %s: %s", what, why->text);
}

static struct plan *read_plan(void)
{
    static char text[CATALOGUE_MAX];
    struct arena arena = { 0 };
    struct catalogue catalogue;
    struct plan *plan;
    struct why why = { 0 };
    FILE *f = fopen("models/default.yaml", "r");
    size_t len = f ? fread(text, 1, sizeof text, f) : 0;

    if (!f || len == sizeof text)
        bench_fail("retrain: cannot read models/default.yaml");
    fclose(f);
    must_work(catalogue_parse(&catalogue, slice_of(text, len), &arena, &why), "read the catalogue", &why);
    must_work(plan_build(&plan, &catalogue, &why), "build the plan", &why);
    arena_release(&arena);
    return plan;
}

static struct trainer make_trainer(void)
{
    struct trainer t = TRAINER_DEFAULT;

    t.name = SLICE("bench");
    t.params = BOOSTER_PARAMS_DEFAULT;
    t.params.trees = ROUNDS;
    t.params.subsample = 0.8;
    t.params.colsample_bytree = 0.6;
    t.params.base_score = 0.5;
    t.params.threads = THREADS;
    return t;
}

/* ---- a past ---- */

enum { TO_LOG, TO_LABELS, TO_DECISIONS, TARGETS };
static const char *const targets[TARGETS] = {
    [TO_LOG] = "log (n, epoch, kind, account, known_at, body)",
    [TO_LABELS] = "labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n)",
    [TO_DECISIONS] =
        "decisions (account, transaction_id, known_at, decided_at, n, action, p_allow, model_version, "
        "ruleset_version, arm, plan, vector, amount_base_minor, record)",
};

struct past {
    struct pg_session *copies[TARGETS];
    struct pg_params row;
    struct arena arena;
    const struct plan *plan;
    struct store *store;
    double *values;
    unsigned char *vector;
    int64_t n;
};

static void put(struct past *p, int target)
{
    struct why why = { 0 };

    must_work(pg_copy_row(p->copies[target], &p->row, &why), "copy", &why);
    pg_params_clear(&p->row);
}

static void put_entry(struct past *p, enum entry_kind kind, int64_t known_at_us, struct slice body)
{
    pg_add_i64(&p->row, ++p->n);
    pg_add_i64(&p->row, 1);
    pg_add_i16(&p->row, (int16_t)kind);
    pg_add_i32(&p->row, 1);
    pg_add_time_us(&p->row, known_at_us);
    pg_add_bytes(&p->row, body);
    put(p, TO_LOG);
}

static void put_label(struct past *p, const struct label *label)
{
    put_entry(p, ENTRY_LABEL, label->known_at_us, label_pack(label, &p->arena));
    store_apply_label(p->store, (uint64_t)p->n, label);
    pg_add_i32(&p->row, 1);
    pg_add_text(&p->row, label->transaction_id);
    pg_add_i16(&p->row, (int16_t)label->source);
    pg_add_time_us(&p->row, label->labelled_at_us);
    pg_add_bool(&p->row, label->is_fraud);
    pg_add_time_us(&p->row, label->known_at_us);
    pg_add_i64(&p->row, p->n);
    put(p, TO_LABELS);
}

static void put_txn(struct past *p, const struct txn *txn)
{
    size_t columns = plan_columns(p->plan);

    put_entry(p, ENTRY_TXN, txn->known_at_us, txn_pack(txn, &p->arena));
    store_apply_txn(p->store, (uint64_t)p->n, txn, p->values);
    store_vector_pack(p->values, columns, p->vector);
    pg_add_i32(&p->row, 1);
    pg_add_text(&p->row, txn->id);
    pg_add_time_us(&p->row, txn->known_at_us);
    pg_add_time_us(&p->row, txn->known_at_us);
    pg_add_i64(&p->row, p->n);
    pg_add_i16(&p->row, ACTION_APPROVE);
    pg_add_f64(&p->row, 1);
    for (int i = 0; i < 3; i++)
        pg_add_text(&p->row, SLICE("1"));
    pg_add_bytes(&p->row, slice_of((const char *)plan_hash(p->plan), SHA256_BYTES));
    pg_add_bytes(&p->row, slice_of((const char *)p->vector, 4 * columns));
    pg_add_i64(&p->row, txn->amount_base_minor);
    pg_add_bytes(&p->row, SLICE(""));
    put(p, TO_DECISIONS);
}

static void live_through(struct past *p)
{
    struct simulate_params params = { .seed = 11,
                                      .account = 1,
                                      .start_us = START,
                                      .fraud_factor = 1,
                                      .customers =
                                          (uint32_t)(TRANSACTIONS / (DAYS * simulate_daily_rate())) };
    struct simulate *world = simulate_new(&params);
    struct label_queue labels = { 0 };
    struct label label;
    struct txn txn;

    for (size_t i = 0; i < TRANSACTIONS; i++) {
        simulate_next(world, &txn, &label);
        while (label_queue_first(&labels) && label_queue_first(&labels)->known_at_us <= txn.known_at_us) {
            struct label due = label_queue_take(&labels);

            put_label(p, &due);
        }
        put_txn(p, &txn);
        if (label.is_fraud)
            label_queue_put(&labels, &label);
        arena_reset(&p->arena);
    }
    label_queue_release(&labels);
    simulate_free(world);
}

static void make_past(struct alone *a, const struct plan *plan)
{
    struct past p = { .plan = plan, .store = store_new(plan) };
    struct pg_params row = { 0 };
    struct why why = { 0 };
    size_t rows;

    p.values = mem_new_n(double, plan_columns(plan) + 1);
    p.vector = mem_new_n(unsigned char, 4 * plan_columns(plan) + 1);
    pg_add_bytes(&row, slice_of((const char *)plan_hash(plan), SHA256_BYTES));
    pg_add_text(&row, plan_text(plan));
    must_work(pg_exec(a->session, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &row,
                      NULL, &why),
              "store the plan", &why);
    alone_sql(a, "SELECT ensure_partitions('2020-01-01', '2020-06-30')");
    for (int i = 0; i < TARGETS; i++) {
        must_work(pg_session_open(&p.copies[i], a->conninfo, "bench", &why), "connect", &why);
        must_work(pg_copy_begin(p.copies[i], targets[i], &why), "copy", &why);
    }
    live_through(&p);
    for (int i = 0; i < TARGETS; i++) {
        must_work(pg_copy_end(p.copies[i], &rows, &why), "copy", &why);
        pg_session_close(p.copies[i]);
    }
    alone_sql(a, "VACUUM ANALYZE"); /* as it is by the time of a retraining */
    alone_sql(a, "CHECKPOINT");
    pg_params_release(&row);
    pg_params_release(&p.row);
    arena_release(&p.arena);
    store_free(p.store);
    mem_free(p.values);
    mem_free(p.vector);
}

/* ---- the parts that are programs of their own ---- */

static void read_rows(struct rows *rows, const struct plan *plan, const char *conninfo)
{
    struct trainingstore_query query = TRAININGSTORE_WHOLE;
    struct trainingstore_counts counts;
    struct pg_session *session;
    struct why why = { 0 };

    rows_init(rows, plan);
    must_work(pg_session_open(&session, conninfo, "bench", &why), "connect", &why);
    must_work(trainingstore_read(session, &query, plan, rows, &counts, &why), "read", &why);
    if (counts.recomputed)
        bench_fail("retrain: %" PRIu64 " vectors were not served", counts.recomputed);
    pg_session_close(session);
}

/* Prints the seconds of reading, the seconds of training, the number of training rows and the average precision. */
static int retrain(const char *conninfo)
{
    struct plan *plan = read_plan();
    struct trainer t = make_trainer();
    struct trainer_result result;
    struct why why = { 0 };
    struct rows rows;
    struct buf bundle;
    int64_t began = clock_mono_us(), read;

    buf_init(&bundle, 0);
    read_rows(&rows, plan, conninfo);
    read = clock_mono_us();
    must_work(trainer_run(&t, &rows, plan, &bundle, &result, &why), "train", &why);
    printf("%.3f %.3f %zu %.4f\n", (double)(read - began) / SECOND_US,
           (double)(clock_mono_us() - read) / SECOND_US, result.train_rows, result.figures.average_precision);
    buf_release(&bundle);
    rows_release(&rows);
    plan_free(plan);
    return EXIT_SUCCESS;
}

static void write_part(const struct rows *rows, const struct trainer_part *part, const char *dir,
                       const char *name)
{
    char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s.txt", dir, name);
    f = fopen(path, "w");
    if (!f)
        bench_fail("retrain: cannot write %s", path);
    for (size_t i = 0; i < part->count; i++) {
        const float *x = rows_vector(rows, part->rows[i]);

        fputc('0' + part->labels[i], f);
        for (size_t c = 0; c < rows->columns; c++)
            if (!isnan(x[c]))
                fprintf(f, " %zu:%.9g", c, (double)x[c]);
        fputc('\n', f);
    }
    if (fclose(f))
        bench_fail("retrain: cannot write %s", path);
}

/* The rows that the trainer trains and tunes on, in libsvm's format. */
static int write_rows(const char *conninfo, const char *dir)
{
    struct plan *plan = read_plan();
    struct trainer t = make_trainer();
    struct trainer_split split;
    struct why why = { 0 };
    struct rows rows;

    read_rows(&rows, plan, conninfo);
    must_work(trainer_split(&split, &t, &rows, &why), "split", &why);
    write_part(&rows, &split.train, dir, "train");
    write_part(&rows, &split.tune, dir, "tune");
    trainer_split_release(&split);
    rows_release(&rows);
    plan_free(plan);
    return EXIT_SUCCESS;
}

/* The same parameters as the command reads them; monotone constraints as the trainer takes them from the plan. */
static void write_conf(const struct plan *plan, const char *dir)
{
    struct booster_params p = make_trainer().params;
    char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/xgboost.conf", dir);
    f = fopen(path, "w");
    if (!f)
        bench_fail("retrain: cannot write %s", path);
    fprintf(
        f,
        "booster=gbtree\nobjective=%s\ntree_method=hist\nnum_round=%zu\nmax_depth=%d\neta=%g\n"
        "min_child_weight=%g\nlambda=%g\nsubsample=%g\ncolsample_bytree=%g\nmax_bin=%d\nbase_score=%g\n"
        "seed=%" PRId64 "\nnthread=%d\neval_metric=%s\ndata=\"%s/train.txt?format=libsvm\"\n"
        "eval[tune]=\"%s/tune.txt?format=libsvm\"\nmodel_out=\"%s/xgboost.ubj\"\nmonotone_constraints=\"(",
        p.objective, p.trees, p.depth, p.eta, p.min_child_weight, p.lambda, p.subsample, p.colsample_bytree,
        p.max_bin, p.base_score, p.seed, p.threads, p.metric, dir, dir, dir);
    for (size_t i = 0; i < plan_columns(plan); i++)
        fprintf(f, "%s%d", i ? "," : "", (int)plan_column(plan, i)->monotone);
    fprintf(f, ")\"\n");
    if (fclose(f))
        bench_fail("retrain: cannot write %s", path);
}

/* ---- measuring ---- */

struct cost {
    double seconds, cpu_seconds, peak_mib;
    char text[200]; /* the last line of what it printed */
};

/* Runs a program to its end. */
static struct cost cost_of(const char *const *argv)
{
    struct cost cost = { 0 };
    struct rusage usage;
    int64_t began = clock_mono_us();
    int out[2], status;
    char line[200];
    FILE *from;
    pid_t child;

    if (pipe(out) || (child = fork()) < 0)
        bench_fail("retrain: cannot start %s", argv[0]);
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO); /* where xgboost tells its rounds */
        close(out[0]);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    from = fdopen(out[0], "r");
    while (from && fgets(line, sizeof line, from))
        memcpy(cost.text, line, sizeof line);
    if (from)
        fclose(from);
    if (wait4(child, &status, 0, &usage) != child || status)
        bench_fail("retrain: %s failed: %s", argv[0], cost.text);
    cost.seconds = (double)(clock_mono_us() - began) / SECOND_US;
    cost.cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / SECOND_US;
    cost.peak_mib = (double)usage.ru_maxrss / 1024;
    return cost;
}

/* The least of two, by each figure: what else ran at the time only ever adds to them. */
static struct cost lesser(struct cost a, struct cost b)
{
    struct cost least = a.seconds < b.seconds ? a : b;

    least.cpu_seconds = fmin(a.cpu_seconds, b.cpu_seconds);
    least.peak_mib = fmin(a.peak_mib, b.peak_mib);
    return least;
}

static void compare(const char *self, const struct alone *a, const struct plan *plan, const char *dir)
{
    const char *const our_argv[] = { self, "--retrain", a->conninfo, NULL };
    char conf[600], note[300];
    const char *const their_argv[] = { "xgboost", conf, NULL };
    struct cost ours = { .seconds = INFINITY, .cpu_seconds = INFINITY, .peak_mib = INFINITY }, theirs = ours;
    double read_s = 0, train_s = 0, precision = 0;
    size_t rows = 0;

    cost_of((const char *const[]){ self, "--write", a->conninfo, dir, NULL });
    write_conf(plan, dir);
    snprintf(conf, sizeof conf, "%s/xgboost.conf", dir);
    for (int i = 0; i < 2; i++) { /* turn by turn */
        ours = lesser(ours, cost_of(our_argv));
        theirs = lesser(theirs, cost_of(their_argv));
    }
    if (sscanf(ours.text, "%lf %lf %zu %lf", &read_s, &train_s, &rows, &precision) != 4)
        bench_fail("retrain: no figures in: %s", ours.text);
    snprintf(
        note, sizeof note,
        "%zu training rows of %zu features, %d rounds, %d threads; reading %.1f s, the rest %.1f s; average "
        "precision %.3f",
        rows, plan_columns(plan), ROUNDS, THREADS, read_s, train_s, precision);
    report(&(struct result){ .name = "retrain/from PostgreSQL to a bundle",
                             .value = ours.seconds,
                             .unit = "s",
                             .baseline = theirs.seconds,
                             .against = "xgboost command, rows from text",
                             .goals = { { RATIO_AT_MOST, 1.5 } },
                             .note = note });
    report(&(struct result){ .name = "retrain/without the reading",
                             .value = train_s,
                             .unit = "s",
                             .baseline = theirs.seconds,
                             .against = "xgboost command, rows from text",
                             .goals = { { RATIO_AT_MOST, 1.5 } } });
    report(&(struct result){ .name = "retrain/CPU",
                             .value = ours.cpu_seconds,
                             .unit = "s",
                             .baseline = theirs.cpu_seconds,
                             .against = "xgboost command, rows from text",
                             .goals = { { RATIO_AT_MOST, 1.5 } },
                             .note = "of the process; PostgreSQL's not counted" });
    report(&(struct result){ .name = "retrain/peak memory",
                             .value = ours.peak_mib,
                             .unit = "MiB",
                             .baseline = theirs.peak_mib,
                             .against = "xgboost command",
                             .goals = { { RATIO_AT_MOST, 2 } } });
}

int main(int argc, char **argv)
{
    struct alone a;
    struct plan *plan;
    char home[500], dir[500];

    if (argc == 3 && strcmp(argv[1], "--retrain") == 0)
        return retrain(argv[2]);
    if (argc == 4 && strcmp(argv[1], "--write") == 0)
        return write_rows(argv[2], argv[3]);
    if (argc != 2)
        bench_fail("usage: retrain_bench DIR");
    if (!program_exists("xgboost")) {
        report_skipped("retrain", "there is no xgboost command to compare with (apt-get install xgboost)");
        return EXIT_SUCCESS;
    }
    plan = read_plan();
    snprintf(home, sizeof home, "%s/retrain", argv[1]);
    alone_open(&a, home, "models/default.yaml");
    make_past(&a, plan);
    snprintf(dir, sizeof dir, "%s/retrain-rows", argv[1]);
    if (mkdir(dir, 0700))
        bench_fail("retrain: cannot make %s", dir);
    compare(argv[0], &a, plan, dir);
    alone_close(&a);
    plan_free(plan);
    return EXIT_SUCCESS;
}
