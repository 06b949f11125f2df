/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/copy.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

enum { CONNECTIONS = 2 };

static const char binary_header[19] = "PGCOPY\n\377\r\n"; /* signature with its NUL, no flags, no extension */
static const char binary_trailer[2] = { '\377', '\377' };

/* Rows as COPY sends and takes them, one behind the other. */
struct copied {
    struct buf bytes;
    size_t *ends; /* of each row in `bytes` */
    size_t count, cap;
};

struct lane {
    const struct copied *rows;
    size_t group, first, step; /* takes groups first, first + step, ... */
    PGconn *pg;
    struct why why;
};

static enum err refuse(PGconn *pg, const char *what, struct why *why)
{
    return err_set(why, ERR_UNAVAILABLE, "%s: %s", what, PQerrorMessage(pg));
}

static enum err run_sql(PGconn *pg, const char *sql, struct why *why)
{
    PGresult *r = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(r);

    PQclear(r);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? ERR_OK : refuse(pg, sql, why);
}

/* The rows come in the order of the log. Joined by the id's place in it, so that only decisions which have
 * one are taken. */
static enum err make_tables(PGconn *pg, size_t rows_most, struct why *why)
{
    char source[1536];
    enum err err = run_sql(
        pg, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench",
        why);

    snprintf(source, sizeof source,
             "CREATE TABLE bench.source AS SELECT d.*, "
             "t.account AS id_account, t.id, t.body_hash, t.epoch AS id_epoch, t.n AS id_n, "
             "t.known_at AS id_known_at, l.n AS log_n, l.epoch, l.kind, l.account AS log_account, "
             "l.known_at AS log_known_at, l.body "
             "FROM (SELECT * FROM decisions WHERE n IS NOT NULL ORDER BY n DESC LIMIT %zu) d "
             "JOIN transaction_ids t ON t.account = d.account AND t.id = d.transaction_id "
             "JOIN log l ON l.n = d.n AND l.known_at = d.known_at ORDER BY d.n",
             rows_most);
    if (!err)
        err = run_sql(pg, source, why);
    if (!err)
        err = run_sql(pg,
                      "CREATE TABLE bench.decision (LIKE bench.source);"
                      "ALTER TABLE bench.decision ADD PRIMARY KEY (account, transaction_id, known_at);"
                      "CREATE UNIQUE INDEX ON bench.decision (id_account, id);"
                      "CREATE UNIQUE INDEX ON bench.decision (log_n, log_known_at)",
                      why);
    return err;
}

static enum err read_rows(PGconn *pg, struct copied *rows, struct why *why)
{
    PGresult *r = PQexec(pg, "COPY bench.source TO STDOUT (FORMAT binary)");
    bool is_copy = PQresultStatus(r) == PGRES_COPY_OUT;
    char *piece;
    int len;

    PQclear(r);
    if (!is_copy)
        return refuse(pg, "copy out", why);
    while ((len = PQgetCopyData(pg, &piece, 0)) > 0) {
        size_t skip = rows->count == 0 && rows->bytes.len == 0 ? sizeof binary_header : 0;

        /* The header comes before the first row, the trailer as a piece of its own. */
        if ((size_t)len > skip + sizeof binary_trailer) {
            if (rows->count == rows->cap) {
                rows->cap = rows->cap ? 2 * rows->cap : 1 << 14;
                rows->ends = mem_grow(rows->ends, rows->cap, sizeof *rows->ends);
            }
            buf_add(&rows->bytes, piece + skip, (size_t)len - skip);
            rows->ends[rows->count++] = rows->bytes.len;
        }
        PQfreemem(piece);
    }
    while ((r = PQgetResult(pg)))
        PQclear(r);
    if (len < -1)
        return refuse(pg, "copy out", why);
    return rows->count ? ERR_OK : err_set(why, ERR_NOT_FOUND, "no decisions to take rows from");
}

static enum err copy_group(struct lane *l, size_t from, size_t to)
{
    const struct copied *rows = l->rows;
    size_t start = from ? rows->ends[from - 1] : 0;
    const char *bytes = buf_slice(&rows->bytes).ptr;
    PGresult *r = PQexec(l->pg, "COPY bench.decision FROM STDIN (FORMAT binary)");
    bool is_good = PQresultStatus(r) == PGRES_COPY_IN;

    PQclear(r);
    is_good = is_good && PQputCopyData(l->pg, binary_header, sizeof binary_header) == 1 &&
              PQputCopyData(l->pg, bytes + start, (int)(rows->ends[to - 1] - start)) == 1 &&
              PQputCopyData(l->pg, binary_trailer, sizeof binary_trailer) == 1 &&
              PQputCopyEnd(l->pg, NULL) == 1;
    while ((r = PQgetResult(l->pg))) {
        is_good = is_good && PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
    }
    return is_good ? ERR_OK : refuse(l->pg, "copy in", &l->why);
}

static void *run_lane(void *ctx)
{
    struct lane *l = ctx;

    for (size_t from = l->first * l->group; from < l->rows->count; from += l->step * l->group) {
        size_t to = from + l->group < l->rows->count ? from + l->group : l->rows->count;

        if (copy_group(l, from, to))
            break;
    }
    return NULL;
}

/* All rows once, by all lanes at once. */
static enum err copy_all(struct lane *lanes, struct why *why)
{
    pthread_t threads[CONNECTIONS];

    for (size_t i = 0; i < CONNECTIONS; i++)
        pthread_create(&threads[i], NULL, run_lane, &lanes[i]);
    for (size_t i = 0; i < CONNECTIONS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (lanes[i].why.text[0]) {
            *why = lanes[i].why;
            return ERR_UNAVAILABLE;
        }
    return ERR_OK;
}

static enum err read_size(PGconn *pg, struct copy_figures *out, struct why *why)
{
    PGresult *r = PQexec(pg, "SELECT pg_total_relation_size('bench.decision')");
    enum err err = PQntuples(r) == 1 ? ERR_OK : refuse(pg, "size", why);

    if (!err)
        out->bytes_per_row = strtod(PQgetvalue(r, 0, 0), NULL) / (double)out->rows;
    PQclear(r);
    return err;
}

enum err copy_measure(const char *conninfo, size_t rows_most, size_t group, double seconds,
                      struct copy_figures *out, struct why *why)
{
    struct copied rows = { 0 };
    struct lane lanes[CONNECTIONS] = { 0 };
    PGconn *pg = PQconnectdb(conninfo);
    double passed = 0;
    size_t copied = 0;
    enum err err = PQstatus(pg) == CONNECTION_OK ? ERR_OK : refuse(pg, "connect", why);

    buf_init(&rows.bytes, 0);
    if (!err)
        err = make_tables(pg, rows_most, why);
    if (!err)
        err = read_rows(pg, &rows, why);
    *out = (struct copy_figures){ .rows = rows.count, .group = group };
    for (size_t i = 0; i < CONNECTIONS && !err; i++) {
        lanes[i] = (struct lane){ .rows = &rows, .group = group, .first = i, .step = CONNECTIONS };
        lanes[i].pg = PQconnectdb(conninfo);
        if (PQstatus(lanes[i].pg) != CONNECTION_OK)
            err = refuse(lanes[i].pg, "connect", why);
    }
    /* What was written before is not to be paid for here. */
    if (!err)
        err = run_sql(pg, "DROP TABLE bench.source; CHECKPOINT", why);
    while (!err && passed < seconds) {
        int64_t began;

        err = run_sql(pg, "TRUNCATE bench.decision", why);
        began = clock_mono_us();
        if (!err)
            err = copy_all(lanes, why);
        passed += (double)(clock_mono_us() - began) / 1e6;
        copied += rows.count;
    }
    out->rows_per_s = passed > 0 ? (double)copied / passed : 0;
    if (!err)
        err = read_size(pg, out, why);
    if (!err)
        err = run_sql(pg, "DROP SCHEMA bench CASCADE", why);
    for (size_t i = 0; i < CONNECTIONS; i++)
        PQfinish(lanes[i].pg);
    PQfinish(pg);
    buf_release(&rows.bytes);
    mem_free(rows.ends);
    return err;
}
