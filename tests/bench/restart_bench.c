/* SPDX-License-Identifier: Apache-2.0
 * restart_bench.c - how long `features` takes after a kill until it serves again, with 1.75 million transactions
 * of history: from a snapshot and the log behind it, and from the log alone.
 *
 *   restart_bench DIR       a directory that postgres can get into
 *
 * The history is that of the Fraud Detection Handbook where it is there ($ASSAY_TEST_DATA), else a simulated
 * one. It is copied into the log as `features` would have written it; the ids, which a start does not read, are
 * left out. The snapshot lies 250 thousand entries back, where one may lie at worst but for some: each 100
 * thousand entries have one, and a start needs one that is 200 thousand back to have the newest vectors again. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/alone.h"
#include "bench/report.h"
#include "dataset/dataset.h"
#include "dataset/label_queue.h"
#include "pg/session.h"
#include "proto/txn_proto.h"
#include "simulate/simulate.h"

enum { TRANSACTIONS = 1750000, BEHIND = 250000, CUSTOMERS = 5000, MAPPING_MAX = 1 << 16 };
enum { KIND_TXN = 1, KIND_LABEL = 2 }; /* as the log has them */

/* Events in the order in which they became known, from a file or made up. */
struct source {
    struct dataset *data;
    struct mapping *mapping;
    struct simulate *world;
    struct label_queue labels;
    struct dataset_event waiting; /* made up, and behind the labels that are due */
    bool is_waiting;
    const char *name;
};

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("restart: %s: %s", what, why->text);
}

static struct mapping *read_mapping(const char *path)
{
    static char text[MAPPING_MAX];
    struct mapping *mapping;
    struct why why = { 0 };
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(text, 1, sizeof text, f) : 0;

    if (!f || len == sizeof text)
        bench_fail("restart: cannot read %s", path);
    fclose(f);
    must_work(mapping_parse(&mapping, slice_of(text, len), &why), path, &why);
    return mapping;
}

static void source_open(struct source *s)
{
    const char *dir = getenv("ASSAY_TEST_DATA");
    char path[PATH_MAX];
    struct why why = { 0 };

    *s = (struct source){ .name = "simulated" };
    snprintf(path, sizeof path, "%s/handbook/transactions.csv.zst", dir ? dir : "../shared/data");
    if (access(path, R_OK) == 0) {
        s->name = "of the Fraud Detection Handbook";
        s->mapping = read_mapping("models/mappings/handbook.yaml");
        must_work(
            dataset_open_csv(&s->data, path, s->mapping, &(struct dataset_options){ .account = 1 }, &why),
            path, &why);
    } else {
        s->world = simulate_new(&(struct simulate_params){ .seed = 11,
                                                           .account = 1,
                                                           .start_us = INT64_C(1522540800000000),
                                                           .customers = CUSTOMERS,
                                                           .fraud_factor = 1 });
    }
}

static void source_close(struct source *s)
{
    dataset_close(s->data);
    mapping_free(s->mapping);
    simulate_free(s->world);
    label_queue_release(&s->labels);
}

/* False at the end of the file. */
static bool source_next(struct source *s, struct dataset_event *event)
{
    struct why why = { 0 };
    struct label label;
    bool is_end = false;

    if (s->data) {
        must_work(dataset_next(s->data, event, &is_end, &why), "read the history", &why);
        return !is_end;
    }
    if (!s->is_waiting) {
        s->waiting.kind = DATASET_TXN;
        simulate_next(s->world, &s->waiting.txn, &label);
        if (label.is_fraud)
            label_queue_put(&s->labels, &label);
    }
    s->is_waiting = label_queue_first(&s->labels) &&
                    label_queue_first(&s->labels)->known_at_us <= s->waiting.txn.known_at_us;
    if (s->is_waiting)
        *event = (struct dataset_event){ .kind = DATASET_LABEL, .label = label_queue_take(&s->labels) };
    else
        *event = s->waiting;
    return true;
}

/* Copies events into the log until so many transactions are in it, or there are no more; how many entries it
 * has then. */
static long long fill(struct alone *k, struct source *s, size_t *transactions, size_t upto)
{
    long long n = alone_number(k, "SELECT coalesce(max(n), 0) FROM log");
    struct pg_params row = { 0 };
    struct arena arena = { 0 };
    struct dataset_event event;
    struct why why = { 0 };
    size_t rows;

    must_work(pg_copy_begin(k->session, "log (n, epoch, kind, account, known_at, body)", &why), "copy", &why);
    while (*transactions < upto && source_next(s, &event)) {
        bool is_txn = event.kind == DATASET_TXN;

        pg_params_clear(&row);
        arena_reset(&arena);
        pg_add_i64(&row, ++n);
        pg_add_i64(&row, 0);
        pg_add_i16(&row, is_txn ? KIND_TXN : KIND_LABEL);
        pg_add_i32(&row, 1);
        pg_add_time_us(&row, is_txn ? event.txn.known_at_us : event.label.known_at_us);
        pg_add_bytes(&row, is_txn ? txn_pack(&event.txn, &arena) : label_pack(&event.label, &arena));
        must_work(pg_copy_row(k->session, &row, &why), "copy", &why);
        *transactions += is_txn;
    }
    must_work(pg_copy_end(k->session, &rows, &why), "copy", &why);
    pg_params_release(&row);
    arena_release(&arena);
    alone_sql(k, "ANALYZE log");
    return n;
}

static void wait_for_snapshot(struct alone *k, long long entries)
{
    for (int i = 0; alone_number(k, "SELECT coalesce(max(n), 0) FROM snapshots") < entries; i++) {
        if (i == 1800)
            bench_fail("restart: no snapshot was made in three minutes");
        usleep(100000);
    }
}

static void report_start(const char *name, double ms, double limit_s, const char *note)
{
    report(&(struct result){ .name = name,
                             .value = ms / 1e3,
                             .unit = "s",
                             .goals = { { VALUE_AT_MOST, limit_s } },
                             .note = note });
}

int main(int argc, char **argv)
{
    struct alone k;
    struct source s;
    char home[512], note[160];
    size_t transactions = 0;
    long long entries;
    double ms;

    if (argc != 2)
        bench_fail("usage: restart_bench DIR");
    snprintf(home, sizeof home, "%s/restart", argv[1]);
    alone_open(&k, home, "models/handbook.yaml");
    source_open(&s);
    alone_sql(&k, "SELECT ensure_partitions('2018-04-01', '2019-12-31')");
    entries = fill(&k, &s, &transactions, TRANSACTIONS - BEHIND);
    alone_start(&k);
    wait_for_snapshot(&k, entries);
    alone_kill(&k);
    entries = fill(&k, &s, &transactions, TRANSACTIONS);
    snprintf(note, sizeof note, "%zu transactions %s, %lld entries of the log", transactions, s.name,
             entries);

    ms = alone_start(&k);
    alone_kill(&k);
    report_start("restart/from a snapshot 250 thousand entries back", ms, 5, note);
    alone_sql(&k, "DELETE FROM snapshots");
    ms = alone_start(&k);
    report_start("restart/from the log alone", ms, 15, note);
    source_close(&s);
    alone_close(&k);
    return EXIT_SUCCESS;
}
