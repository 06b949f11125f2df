/* SPDX-License-Identifier: Apache-2.0 */
#include "policystore/outcomes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pg/session.h"
#include "proto/txn_proto.h"

/* Customers are told apart by number; nobody outside can choose their ids with this key in mind and gain by it. */
static const struct hash_key customer_key = { "outcomes/custom" };

/* Fields of a row. */
enum {
    COL_ACCOUNT,
    COL_KNOWN_AT,
    COL_ACTION,
    COL_SCORE,
    COL_P_ALLOW,
    COL_AMOUNT,
    COL_RECORD,
    COL_BODY,
    COL_IS_FRAUD,
    COL_COUNT
};

static const char select_sql[] =
    "SELECT d.account, d.known_at, d.action, d.score, d.p_allow, d.amount_base_minor, d.record, l.body, "
    "x.is_fraud::int4 FROM decisions d "
    "LEFT JOIN transaction_ids t ON t.account = d.account AND t.id = d.transaction_id "
    "LEFT JOIN log l ON l.n = t.n AND l.known_at = t.known_at "
    "LEFT JOIN LATERAL (SELECT is_fraud FROM labels y WHERE y.account = d.account "
    "AND y.transaction_id = d.transaction_id AND y.known_at < ";

struct reading {
    struct outcomes *o;
    struct arena arena;
};

static void add_time(struct buf *to, int64_t at_us)
{
    if (at_us == INT64_MIN || at_us == INT64_MAX)
        buf_printf(to, "timestamptz '%sinfinity'", at_us < 0 ? "-" : "");
    else
        buf_printf(to, "(timestamptz '1970-01-01 00:00:00Z' + %" PRId64 " * interval '1 us')", at_us);
}

static void add_literal(struct buf *to, const char *column, struct slice value)
{
    if (value.len == 0)
        return;
    buf_printf(to, " AND d.%s = '", column);
    for (size_t i = 0; i < value.len; i++)
        buf_printf(to, value.ptr[i] == '\'' ? "''" : "%c", value.ptr[i]);
    buf_add_str(to, "'");
}

static void write_query(struct buf *to, const struct outcomes_query *q)
{
    buf_add_str(to, select_sql);
    add_time(to, q->as_of_us);
    buf_add_str(to,
                " ORDER BY source DESC, labelled_at DESC, n DESC LIMIT 1) x ON true WHERE d.known_at >= ");
    add_time(to, q->from_us);
    buf_add_str(to, " AND d.known_at < ");
    add_time(to, q->to_us);
    if (q->account)
        buf_printf(to, " AND d.account = %" PRIu32, q->account);
    add_literal(to, "model_version", q->model);
    add_literal(to, "arm", q->arm);
    buf_add_str(to, " ORDER BY d.known_at, d.account, d.transaction_id");
}

static void reserve(struct outcomes *o)
{
    if (o->n < o->cap)
        return;
    o->cap = o->cap ? 2 * o->cap : 1024;
    o->scores = mem_grow(o->scores, o->cap, sizeof *o->scores);
    o->chances = mem_grow(o->chances, o->cap, sizeof *o->chances);
    o->money = mem_grow(o->money, o->cap, sizeof *o->money);
    o->seen = mem_grow(o->seen, o->cap, sizeof *o->seen);
    o->labels = mem_grow(o->labels, o->cap, sizeof *o->labels);
    o->flagged = mem_grow(o->flagged, o->cap, sizeof *o->flagged);
    o->customers = mem_grow(o->customers, o->cap, sizeof *o->customers);
}

/* A transaction that is not in the log yet is a customer of its own. */
static int64_t customer_of(struct reading *r, const struct slice *fields)
{
    Assay__V1__Transaction *txn = NULL;
    char text[32 + TXN_ID_MAX];
    int len;

    if (fields[COL_BODY].ptr)
        txn = assay__v1__transaction__unpack(proto_arena_allocator(&r->arena), fields[COL_BODY].len,
                                             (const uint8_t *)fields[COL_BODY].ptr);
    if (!txn)
        return -1 - (int64_t)r->o->n;
    len = snprintf(text, sizeof text, "%" PRId64 "/%.*s", pg_bytes_int(fields[COL_ACCOUNT]), TXN_ID_MAX,
                   txn->customer_id);
    return (int64_t)(hash64(&customer_key, slice_of(text, (size_t)len)) >> 1);
}

static void add_row(struct reading *r, const struct slice *fields, const Assay__V1__DecisionRecord *record)
{
    struct outcomes *o = r->o;
    bool is_declined = pg_bytes_int(fields[COL_ACTION]) == ACTION_DECLINE;
    size_t i = o->n;

    reserve(o);
    o->scores[i] = pg_bytes_float(fields[COL_SCORE]);
    o->chances[i] = pg_bytes_float(fields[COL_P_ALLOW]);
    o->money[i] = (double)pg_bytes_int(fields[COL_AMOUNT]);
    o->seen[i] = !is_declined;
    o->labels[i] = fields[COL_IS_FRAUD].ptr && pg_bytes_int(fields[COL_IS_FRAUD]) != 0;
    o->flagged[i] = record->score_action == ASSAY__V1__ACTION__DECLINE;
    o->customers[i] = customer_of(r, fields);
    o->let_through += record->is_control != 0;
    o->newest_us = pg_bytes_time_us(fields[COL_KNOWN_AT]);
    if (record->own_thresholds)
        o->decline = record->own_thresholds->decline;
    else if (record->thresholds)
        o->decline = record->thresholds->decline;
    o->n++;
}

static bool on_row(void *ctx, const struct slice *fields, size_t count)
{
    struct reading *r = ctx;
    const Assay__V1__DecisionRecord *record = assay__v1__decision_record__unpack(
        proto_arena_allocator(&r->arena), fields[COL_RECORD].len, (const uint8_t *)fields[COL_RECORD].ptr);

    (void)count;
    if (!record || record->decided_by == ASSAY__V1__DECIDED_BY__BY_UNKNOWN)
        r->o->untold++;
    else if (record->decided_by != ASSAY__V1__DECIDED_BY__BY_THRESHOLD || !fields[COL_SCORE].ptr)
        r->o->others++;
    else
        add_row(r, fields, record);
    arena_reset(&r->arena);
    return true;
}

enum err outcomes_read(struct outcomes *out, struct pg_session *s, const struct outcomes_query *query,
                       struct why *why)
{
    struct reading r = { .o = out };
    struct buf text;
    enum err err;

    *out = (struct outcomes){ .decline = NAN };
    buf_init(&text, 0);
    write_query(&text, query);
    err = pg_copy_out(s, buf_str(&text), on_row, &r, why);
    buf_release(&text);
    arena_release(&r.arena);
    return err;
}

void outcomes_release(struct outcomes *o)
{
    mem_free(o->scores);
    mem_free(o->chances);
    mem_free(o->money);
    mem_free(o->seen);
    mem_free(o->labels);
    mem_free(o->flagged);
    mem_free(o->customers);
    *o = (struct outcomes){ 0 };
}

struct weighted_rows outcomes_rows(const struct outcomes *o, bool by_policy, double *room)
{
    for (size_t i = 0; by_policy && i < o->n; i++)
        room[i] = o->flagged[i];
    return (struct weighted_rows){ .n = o->n,
                                   .scores = by_policy ? room : o->scores,
                                   .chances = o->chances,
                                   .seen = o->seen,
                                   .labels = o->labels,
                                   .money = o->money,
                                   .customers = o->customers };
}
