/* SPDX-License-Identifier: Apache-2.0 */
#include "intake.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "lifestore/row.h"
#include "log/log.h"
#include "logstore/reader.h"

/* ---- the log ---- */

static enum err read_newest(struct intake *in, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, "SELECT n FROM log ORDER BY n DESC LIMIT 1", NULL, &r, why);

    in->newest = !err && pg_rows(r) ? (uint64_t)pg_get_int(r, 0, 0) : 0;
    pg_result_free(r);
    return err;
}

static void take_entry(struct intake *in, const struct entry *e)
{
    bool is_read = true;

    if (e->kind == ENTRY_TXN) {
        is_read = sighting_read(&in->txns[in->txn_count], e);
        in->txn_count += is_read;
    } else if (e->kind == ENTRY_LABEL) {
        is_read = told_label_read(&in->labels[in->label_count], e);
        in->label_count += is_read;
    }
    if (!is_read) {
        in->unreadable++;
        log_event(LOG_ERROR, "entry_unreadable", "n=%" PRIu64, e->n);
    }
}

static enum err read_log(struct intake *in, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i64(&p, (int64_t)in->n);
    pg_add_i64(&p, INTAKE_BATCH);
    err = row_ask(s, "SELECT " LOG_COLUMNS " FROM log l WHERE l.n > $1::int8 ORDER BY l.n LIMIT $2::int8", &p,
                  &in->entries, why);
    if (err)
        return err;
    in->txns = arena_new(&in->arena, struct sighting, pg_rows(in->entries) + 1);
    in->labels = arena_new(&in->arena, struct told_label, pg_rows(in->entries) + 1);
    for (size_t i = 0; i < pg_rows(in->entries); i++) {
        struct entry e = entry_of_row(in->entries, i);

        in->n = e.n;
        take_entry(in, &e);
    }
    in->is_full = pg_rows(in->entries) == INTAKE_BATCH;
    return ERR_OK;
}

/* ---- decisions ---- */

#define DECISION_COLUMNS                                                                                     \
    "d.action, d.score, d.margin, d.p_allow, d.model_version, d.arm, d.plan, d.vector, "                     \
    "d.amount_base_minor, "                                                                                  \
    "d.record"
enum { ACTION, SCORE, MARGIN, P_ALLOW, VERSION, ARM, PLAN, VECTOR, AMOUNT, RECORD };

/* By the primary key, row by row: a scan of months of decisions for some of them is never meant. */
static const char by_key_sql[] = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
                                 "SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

static const char decisions_sql[] = "SELECT k.ord, " DECISION_COLUMNS
                                    " FROM unnest($1::int4[], $2::text[], $3::timestamptz[]) WITH ORDINALITY "
                                    "AS k (account, id, known_at, ord) JOIN decisions d ON d.account = "
                                    "k.account AND d.transaction_id = k.id AND "
                                    "d.known_at = k.known_at";

static void read_decision(struct decided *d, const struct pg_result *r, size_t row, int first)
{
    d->action = (enum action)pg_get_int(r, row, first + ACTION);
    d->score = pg_get_float(r, row, first + SCORE);
    d->margin = pg_get_float(r, row, first + MARGIN);
    d->p_allow = pg_get_float(r, row, first + P_ALLOW);
    if (!slice_to_i64(pg_get_text(r, row, first + VERSION), &d->version) || d->version < 0)
        d->version = 0;
    d->arm = pg_get_text(r, row, first + ARM);
    d->plan = pg_get_bytes(r, row, first + PLAN);
    d->vector = pg_get_bytes(r, row, first + VECTOR);
    d->amount_base_minor = pg_get_int(r, row, first + AMOUNT);
    d->is_degraded = sighting_is_degraded(pg_get_bytes(r, row, first + RECORD));
}

static enum err find_decisions(struct intake *in, struct pg_session *s, struct decided *out, bool *is_found,
                               struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *accounts = pg_add_array(&p, PG_INT4), *ids = pg_add_array(&p, PG_TEXT),
                    *times = pg_add_array(&p, PG_TIMESTAMPTZ);
    enum err err;

    for (size_t i = 0; i < in->txn_count; i++) {
        pg_array_i32(accounts, (int32_t)in->txns[i].account);
        pg_array_text(ids, in->txns[i].id);
        pg_array_time_us(times, in->txns[i].known_at_us);
    }
    err = row_ask(s, decisions_sql, &p, &in->found, why);
    for (size_t i = 0; !err && i < pg_rows(in->found); i++) {
        size_t at = (size_t)pg_get_int(in->found, i, 0) - 1;

        out[at].txn = in->txns[at];
        read_decision(&out[at], in->found, i, 1);
        is_found[at] = true;
    }
    return err;
}

/* The batch ends before the transaction `i`, whose decision may still be on its way. */
static void cut(struct intake *in, size_t i)
{
    uint64_t n = in->txns[i].n;

    in->n = n - 1;
    in->txn_count = i;
    while (in->label_count && in->labels[in->label_count - 1].n > in->n)
        in->label_count--;
    in->is_full = false;
}

/* ---- those that are awaited ---- */

static const char await_sql[] = "INSERT INTO monitor_pending (n, account, transaction_id, known_at, next_at) "
                                "SELECT k.n, k.account, k.id, "
                                "k.known_at, now() + interval '1 second' FROM unnest($1::int8[], $2::int4[], "
                                "$3::text[], $4::timestamptz[]) AS k "
                                "(n, account, id, known_at) ON CONFLICT DO NOTHING";

static enum err await(struct intake *in, struct pg_session *s, const bool *is_found, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_array *ns = pg_add_array(&p, PG_INT8), *accounts = pg_add_array(&p, PG_INT4),
                    *ids = pg_add_array(&p, PG_TEXT), *times = pg_add_array(&p, PG_TIMESTAMPTZ);
    size_t count = 0;

    for (size_t i = 0; i < in->txn_count; i++) {
        if (is_found[i])
            continue;
        pg_array_i64(ns, (int64_t)in->txns[i].n);
        pg_array_i32(accounts, (int32_t)in->txns[i].account);
        pg_array_text(ids, in->txns[i].id);
        pg_array_time_us(times, in->txns[i].known_at_us);
        count++;
    }
    if (count)
        return row_ask(s, await_sql, &p, NULL, why);
    pg_params_release(&p);
    return ERR_OK;
}

/* Those whose turn it is leave the table when their decision is there; the others come again after a pause that
 * doubles. */
static const char look_again_sql[] =
    "WITH due AS MATERIALIZED (SELECT n, account, transaction_id, known_at FROM monitor_pending WHERE "
    "next_at <= "
    "now() ORDER BY n LIMIT $1::int8), "
    "there AS MATERIALIZED (SELECT due.n, due.account, due.known_at, " DECISION_COLUMNS
    " FROM due JOIN decisions d ON d.account = due.account AND d.transaction_id = due.transaction_id AND "
    "d.known_at = "
    "due.known_at), "
    "gone AS (DELETE FROM monitor_pending p USING there WHERE p.n = there.n), "
    "later AS (UPDATE monitor_pending p SET tries = tries + 1, next_at = now() + least(power(2, tries + 1), "
    "300) * "
    "interval '1 second' FROM due WHERE p.n = due.n AND NOT EXISTS (SELECT FROM there WHERE there.n = p.n)) "
    "SELECT l.n, l.kind, l.account, l.known_at, l.body, d.action, d.score, d.margin, d.p_allow, "
    "d.model_version, "
    "d.arm, d.plan, d.vector, d.amount_base_minor, d.record FROM there d JOIN log l ON l.n = d.n AND "
    "l.known_at = "
    "d.known_at ORDER BY l.n";

static enum err look_again(struct intake *in, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i64(&p, INTAKE_PENDING_BATCH);
    return row_ask(s, look_again_sql, &p, &in->waiting, why);
}

static const char give_up_sql[] =
    "WITH gone AS (DELETE FROM monitor_pending WHERE since_at < now() - $1::int8 * interval '1 microsecond' "
    "OR n <= "
    "(SELECT n FROM monitor_pending ORDER BY n DESC OFFSET $2::int8 LIMIT 1) RETURNING 1) "
    "SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM monitor_pending)";

static enum err give_up(struct intake *in, struct pg_session *s, int64_t patience_us, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, patience_us);
    pg_add_i64(&p, INTAKE_PENDING_MAX);
    err = row_ask(s, give_up_sql, &p, &r, why);
    if (!err) {
        in->given_up = (size_t)pg_get_int(r, 0, 0);
        in->pending = (size_t)(pg_get_int(r, 0, 1) - pg_get_int(r, 0, 0));
    }
    pg_result_free(r);
    return err;
}

/* ---- the whole ---- */

/* What was awaited comes first: its entries are before those of the batch. */
static void gather(struct intake *in, const struct decided *found, const bool *is_found)
{
    in->decided = arena_new(&in->arena, struct decided, pg_rows(in->waiting) + in->txn_count + 1);
    for (size_t i = 0; i < pg_rows(in->waiting); i++) {
        struct entry e = entry_of_row(in->waiting, i);
        struct decided *d = &in->decided[in->decided_count];

        if (!sighting_read(&d->txn, &e)) {
            in->unreadable++;
            continue;
        }
        read_decision(d, in->waiting, i, LOG_COLUMN_COUNT);
        in->decided_count++;
    }
    for (size_t i = 0; i < in->txn_count; i++)
        if (is_found[i])
            in->decided[in->decided_count++] = found[i];
}

enum err intake_read(struct intake *in, struct pg_session *s, uint64_t after, uint64_t settled,
                     int64_t patience_us, struct why *why)
{
    struct decided *found;
    bool *is_found;
    enum err err;

    in->n = after;
    err = read_newest(in, s, why);
    if (!err)
        err = pg_exec_script(s, by_key_sql, why);
    if (!err)
        err = look_again(in, s, why);
    if (!err)
        err = read_log(in, s, why);
    if (err)
        return err;
    found = arena_new(&in->arena, struct decided, in->txn_count + 1);
    is_found = arena_new(&in->arena, bool, in->txn_count + 1);
    err = in->txn_count ? find_decisions(in, s, found, is_found, why) : ERR_OK;
    for (size_t i = 0; !err && i < in->txn_count; i++)
        if (!is_found[i] && in->txns[i].n > settled)
            cut(in, i);
    if (!err)
        err = await(in, s, is_found, why);
    if (!err && patience_us)
        err = give_up(in, s, patience_us, why);
    if (!err)
        gather(in, found, is_found);
    return err;
}

void intake_end(struct intake *in)
{
    pg_result_free(in->entries);
    pg_result_free(in->found);
    pg_result_free(in->waiting);
    arena_release(&in->arena);
}
