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
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "bench/alone.h"
#include "bench/past.h"
#include "bench/report.h"
#include "pg/session.h"
#include "proto/txn_proto.h"

enum { TRANSACTIONS = 1750000, BEHIND = 250000 };
enum { KIND_TXN = 1, KIND_LABEL = 2 }; /* as the log has them */

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("restart: %s: %s", what, why->text);
}

/* Copies events into the log until so many transactions are in it, or there are no more; how many entries it
 * has then. */
static long long fill(struct alone *k, struct past *s, size_t *transactions, size_t upto)
{
    long long n = alone_number(k, "SELECT coalesce(max(n), 0) FROM log");
    struct pg_params row = { 0 };
    struct arena arena = { 0 };
    struct dataset_event event;
    struct why why = { 0 };
    size_t rows;

    must_work(pg_copy_begin(k->session, "log (n, epoch, kind, account, known_at, body)", &why), "copy", &why);
    while (*transactions < upto && past_next(s, &event)) {
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
    struct past s;
    char home[512], note[160];
    size_t transactions = 0;
    long long entries;
    double ms;

    if (argc != 2)
        bench_fail("usage: restart_bench DIR");
    snprintf(home, sizeof home, "%s/restart", argv[1]);
    alone_open(&k, home, "models/handbook.yaml");
    past_open(&s);
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
    past_close(&s);
    alone_close(&k);
    return EXIT_SUCCESS;
}
