/* SPDX-License-Identifier: Apache-2.0 */
#include "checker.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "chance.h"

static const int64_t drain_limit_us = 60 * SECOND_US;

static PGresult *query(PGconn *db, const char *sql)
{
    PGresult *result = PQexec(db, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        die(sql, PQerrorMessage(db));
    return result;
}

static long count_of(PGconn *db, const char *sql)
{
    PGresult *result = query(db, sql);
    long n = strtol(PQgetvalue(result, 0, 0), NULL, 10);

    PQclear(result);
    return n;
}

/* ---- decisions ---- */

static int compare_ids(const void *a, const void *b)
{
    const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;

    return strcmp(x->id, y->id);
}

enum column { COL_ID, COL_ACTION, COL_SCORE, COL_MODEL, COL_RULESET, COL_ENTRIES };

static bool is_as_answered(const PGresult *rows, int row, const struct answer *a)
{
    static const char *const actions[] = { "approve", "challenge", "review", "decline" };
    long action = strtol(PQgetvalue(rows, row, COL_ACTION), NULL, 10);

    return strcmp(actions[action & 3], a->action) == 0 &&
           strcmp(PQgetvalue(rows, row, COL_MODEL), a->model) == 0 &&
           strcmp(PQgetvalue(rows, row, COL_RULESET), a->ruleset) == 0 &&
           !PQgetisnull(rows, row, COL_SCORE) == a->has_score &&
           (!a->has_score || strtod(PQgetvalue(rows, row, COL_SCORE), NULL) == a->score);
}

static void check_decisions(struct record *r, PGconn *db)
{
    struct item **by_id = mem_new_n(struct item *, r->count + 1);
    bool *seen = mem_new_n(bool, r->count + 1);
    size_t ids = 0;
    PGresult *rows =
        query(db, "SELECT d.transaction_id, d.action, d.score::text, d.model_version, d.ruleset_version, "
                  "count(l.n) FROM decisions d "
                  "LEFT JOIN transaction_ids i ON i.account = d.account AND i.id = d.transaction_id "
                  "LEFT JOIN log l ON l.n = i.n AND l.known_at = i.known_at AND l.kind = 1 "
                  "GROUP BY d.account, d.transaction_id, d.known_at");

    for (size_t i = 0; i < r->count; i++)
        if (r->items[i]->kind == ITEM_TRANSACTION)
            by_id[ids++] = r->items[i];
    qsort(by_id, ids, sizeof *by_id, compare_ids);
    for (int row = 0; row < PQntuples(rows); row++) {
        struct item wanted = { .id = PQgetvalue(rows, row, COL_ID) }, *key = &wanted;
        struct item **found = bsearch(&key, by_id, ids, sizeof *by_id, compare_ids);

        if (!found) {
            violated(r, "a decision that nobody asked for", wanted.id);
            continue;
        }
        if (seen[found - by_id])
            violated(r, "two decisions stored for one id", wanted.id);
        seen[found - by_id] = true;
        if ((*found)->has_answer && !is_as_answered(rows, row, &(*found)->answer))
            violated(r, "the stored decision is not the one that was answered", wanted.id);
        if (strcmp(PQgetvalue(rows, row, COL_ENTRIES), "1") != 0)
            violated(r, "not in the log exactly once", wanted.id);
    }
    for (size_t i = 0; i < ids; i++) {
        if (by_id[i]->has_answer && !seen[i])
            violated(r, "answered and not stored", by_id[i]->id);
        if (!by_id[i]->has_answer && by_id[i]->unfinished == 0)
            violated(r, "never answered", by_id[i]->id);
    }
    printf("decisions: %d stored, %zu ids sent\n", PQntuples(rows), ids);
    PQclear(rows);
    mem_free(by_id);
    mem_free(seen);
}

/* ---- labels ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_labels(struct record *r, PGconn *db)
{
    PGresult *stored = query(
        db, "SELECT (transaction_id || ' ' || is_fraud::text || ' ' || source::text) COLLATE \"C\" AS label "
            "FROM labels ORDER BY label");
    int rows = PQntuples(stored);
    char **known = mem_new_n(char *, (size_t)rows + 1);
    size_t accepted = 0;

    for (int row = 0; row < rows; row++)
        known[row] = PQgetvalue(stored, row, 0);
    for (size_t i = 0; i < r->count; i++) {
        const struct item *item = r->items[i];
        char wanted[256], *key = wanted;

        if (item->kind != ITEM_LABEL || !item->has_answer)
            continue;
        snprintf(wanted, sizeof wanted, "%s %s %d", item->id, item->is_fraud ? "true" : "false",
                 item->source);
        accepted++;
        if (!bsearch(&key, known, (size_t)rows, sizeof *known, compare_texts))
            violated(r, "an accepted label is not stored", wanted);
    }
    printf("labels: %d stored, %zu accepted\n", rows, accepted);
    mem_free(known);
    PQclear(stored);
}

void check_record(struct record *r, const char *pg_url)
{
    PGconn *db = PQconnectdb(pg_url);
    int64_t until_us = clock_mono_us() + drain_limit_us;

    if (PQstatus(db) != CONNECTION_OK)
        die("reach PostgreSQL", PQerrorMessage(db));
    while (count_of(db, "SELECT count(*) FROM outbox") > 0 && clock_mono_us() < until_us)
        usleep(100000);
    if (count_of(db, "SELECT count(*) FROM outbox"))
        violated(r, "the outbox was not drained", "outbox");
    check_decisions(r, db);
    check_labels(r, db);
    PQfinish(db);
}
