/* SPDX-License-Identifier: Apache-2.0 */
#include "looks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "logstore/entry.h"
#include "pg/session.h"
#include "proto/txn_proto.h"

/* Columns of both queries, in their order. */
enum {
    COL_KNOWN_AT,
    COL_AMOUNT,
    COL_ACTION,
    COL_P_ALLOW,
    COL_SCORE,
    COL_VERSION,
    COL_CANDIDATE_SCORE,
    COL_CANDIDATE_ACTION,
    COL_IS_FRAUD,
    COL_ACCOUNT,
    COL_BODY,
    COL_RECORD,
};

/* The truth is that of the strongest source, the newest within it. */
static const char with_labels[] =
    "SELECT d.known_at, d.amount_base_minor, d.action, d.p_allow, d.score, CASE WHEN d.model_version ~ "
    "'^[0-9]{1,18}$' THEN d.model_version::int8 ELSE 0 END, s.score, s.action, coalesce(t.is_fraud, false), "
    "d.account, l.body, d.record FROM decisions d LEFT JOIN shadow_scores s ON s.version = %" PRId64
    " AND s.account = "
    "d.account AND s.transaction_id = d.transaction_id AND s.known_at = d.known_at LEFT JOIN log l ON l.n = "
    "d.n AND "
    "l.known_at = d.known_at LEFT JOIN LATERAL (SELECT is_fraud FROM labels t WHERE t.account = d.account "
    "AND "
    "t.transaction_id = d.transaction_id AND t.known_at < '%s'::timestamptz ORDER BY source DESC, "
    "labelled_at DESC, n "
    "DESC LIMIT 1) t ON true WHERE d.known_at >= '%s'::timestamptz AND d.known_at < '%s'::timestamptz ORDER "
    "BY "
    "d.known_at, d.account, d.transaction_id";
static const char without_labels[] =
    "SELECT d.known_at, d.amount_base_minor, d.action, d.p_allow, d.score, CASE WHEN d.model_version ~ "
    "'^[0-9]{1,18}$' THEN d.model_version::int8 ELSE 0 END, NULL::float8, NULL::int2, false, d.account, "
    "NULL::bytea, d.record FROM decisions d WHERE d.known_at >= '%s'::timestamptz AND d.known_at < "
    "'%s'::timestamptz ORDER BY "
    "d.known_at, "
    "d.account, d.transaction_id";

struct reading {
    look_fn *each;
    void *ctx;
    struct arena arena;
};

static int64_t customer_of(struct reading *r, const struct slice *fields)
{
    struct hash_key key = { "assay customers" };
    struct entry e = { .kind = ENTRY_TXN,
                       .account = (uint32_t)pg_bytes_int(fields[COL_ACCOUNT]),
                       .known_at_us = pg_bytes_time_us(fields[COL_KNOWN_AT]),
                       .body = fields[COL_BODY] };
    union entry_body body;
    struct why ignored;
    int64_t customer = 0;

    if (e.body.ptr && entry_open(&body, &e, &r->arena, &ignored) == ERR_OK) {
        memcpy(key.bytes + 12, &e.account, sizeof e.account);
        customer = (int64_t)hash64(&key, body.txn.text[TXN_customer_id]);
    }
    arena_reset(&r->arena);
    return customer;
}

/* What the decision's record adds; nothing where it cannot be read. */
static void take_record(struct look_row *row, struct reading *r, struct slice bytes)
{
    const Assay__V1__DecisionRecord *record = assay__v1__decision_record__unpack(
        proto_arena_allocator(&r->arena), bytes.len, (const uint8_t *)bytes.ptr);

    if (record) {
        row->answer_us =
            (int64_t)record->queue_us + record->features_us + record->scoring_us + record->rules_us;
        row->is_told = record->decided_by != ASSAY__V1__DECIDED_BY__BY_UNKNOWN;
        row->is_by_score = record->decided_by == ASSAY__V1__DECIDED_BY__BY_THRESHOLD;
        row->score_action = (enum action)record->score_action;
    }
    arena_reset(&r->arena);
}

static bool on_row(void *ctx, const struct slice *fields, size_t count)
{
    struct reading *r = ctx;
    bool has_candidate = fields[COL_CANDIDATE_SCORE].ptr != NULL;
    struct look_row row = {
        .at_us = pg_bytes_time_us(fields[COL_KNOWN_AT]),
        .amount_minor = pg_bytes_int(fields[COL_AMOUNT]),
        .action = (enum action)pg_bytes_int(fields[COL_ACTION]),
        .p_allow = pg_bytes_float(fields[COL_P_ALLOW]),
        .score = fields[COL_SCORE].ptr ? pg_bytes_float(fields[COL_SCORE]) : (double)NAN,
        .version = pg_bytes_int(fields[COL_VERSION]),
        .has_candidate = has_candidate,
        .candidate_score = has_candidate ? pg_bytes_float(fields[COL_CANDIDATE_SCORE]) : (double)NAN,
        .candidate_action =
            has_candidate ? (enum action)pg_bytes_int(fields[COL_CANDIDATE_ACTION]) : ACTION_APPROVE,
        .is_fraud = fields[COL_IS_FRAUD].len == 1 && fields[COL_IS_FRAUD].ptr[0] != 0,
        .customer = customer_of(r, fields),
    };

    (void)count;
    take_record(&row, r, fields[COL_RECORD]);
    r->each(r->ctx, &row);
    return true;
}

enum err looks_read(struct pg_session *s, const struct look_range *range, look_fn *each, void *ctx,
                    struct why *why)
{
    struct reading r = { .each = each, .ctx = ctx };
    char from[RFC3339_SIZE], until[RFC3339_SIZE], now[RFC3339_SIZE], query[2048];
    enum err err;

    rfc3339_format(range->from_us, from);
    rfc3339_format(range->until_us, until);
    rfc3339_format(range->now_us, now);
    if (range->has_labels)
        snprintf(query, sizeof query, with_labels, range->candidate, now, from, until);
    else
        snprintf(query, sizeof query, without_labels, from, until);
    err = pg_copy_out(s, query, on_row, &r, why);
    arena_release(&r.arena);
    return err;
}
