/* SPDX-License-Identifier: Apache-2.0 */
#include "replaystore/past.h"

#include "base/buf.h"
#include "fraud/canonical.h"
#include "lifestore/row.h"
#include "proto/txn_proto.h"

enum column {
    KNOWN_AT,
    DECIDED_AT,
    N,
    ACTION,
    SCORE,
    MARGIN,
    P_ALLOW,
    MODEL,
    RULESET,
    ARM,
    PLAN,
    VECTOR,
    AMOUNT,
    RECORD,
    BODY_HASH,
    PLACE,
    BODY
};

/* LATERAL, so that each looks into one partition only. */
static const char past_sql[] =
    "SELECT d.known_at, d.decided_at, d.n, d.action, d.score, d.margin, d.p_allow, d.model_version, "
    "d.ruleset_version, d.arm, d.plan, d.vector, d.amount_base_minor, d.record, i.body_hash, i.n, "
    "coalesce(l.body, o.body) FROM transaction_ids i JOIN LATERAL (SELECT * FROM decisions x WHERE x.account "
    "= i.account AND x.transaction_id = i.id AND x.known_at = i.known_at) d ON true LEFT JOIN LATERAL "
    "(SELECT body FROM log WHERE n = i.n AND known_at = i.known_at AND kind = 1) l ON true LEFT JOIN LATERAL "
    "(SELECT body FROM outbox x WHERE i.n IS NULL AND x.kind = 1 AND x.account = i.account AND x.id = i.id "
    "LIMIT 1) o ON true WHERE i.account = $1::int4 AND i.id = $2::text";

static struct slice bytes_of(const struct pg_result *r, enum column column, struct arena *arena)
{
    return arena_slice(arena, pg_get_bytes(r, 0, (int)column));
}

static bool has_hash(const struct txn *txn, struct slice hash)
{
    unsigned char digest[SHA256_BYTES];
    struct buf scratch;
    bool is_same = false;

    buf_init(&scratch, 0);
    for (int simulated = 0; simulated < 2 && !is_same; simulated++) {
        txn_hash(txn, simulated, &scratch, digest);
        is_same = slice_eq(hash, slice_of(digest, sizeof digest));
    }
    buf_release(&scratch);
    return is_same;
}

static enum err read_payment(struct past *p, const struct pg_result *r, struct arena *arena, struct why *why)
{
    struct slice body = bytes_of(r, BODY, arena);
    enum err err;

    if (pg_is_null(r, 0, BODY))
        return err_set(why, ERR_SYNTAX, "its payment is neither in the log nor in the outbox");
    p->message =
        assay__v1__transaction__unpack(proto_arena_allocator(arena), body.len, (const uint8_t *)body.ptr);
    if (!p->message)
        return err_set(why, ERR_SYNTAX, "its payment cannot be read");
    p->message->known_at_us = p->known_at_us;
    err = txn_from_proto(&p->txn, p->message, arena, why);
    if (err)
        return err_wrap(why, ERR_SYNTAX, "its payment");
    p->is_as_sent = has_hash(&p->txn, pg_get_bytes(r, 0, BODY_HASH));
    return ERR_OK;
}

static enum err read_row(struct past *p, const struct pg_result *r, struct arena *arena, struct why *why)
{
    int64_t action = pg_get_int(r, 0, ACTION);

    p->known_at_us = pg_get_time_us(r, 0, KNOWN_AT);
    p->decided_at_us = pg_get_time_us(r, 0, DECIDED_AT);
    p->n = (uint64_t)pg_get_int(r, 0, N);
    p->place = (uint64_t)pg_get_int(r, 0, PLACE);
    p->action = (enum action)action;
    p->has_score = !pg_is_null(r, 0, SCORE);
    p->score = pg_get_float(r, 0, SCORE);
    p->margin = (float)pg_get_float(r, 0, MARGIN);
    p->p_allow = pg_get_float(r, 0, P_ALLOW);
    p->model_version = bytes_of(r, MODEL, arena);
    p->ruleset_version = bytes_of(r, RULESET, arena);
    p->arm = bytes_of(r, ARM, arena);
    p->plan = bytes_of(r, PLAN, arena);
    p->vector = bytes_of(r, VECTOR, arena);
    p->amount_base_minor = pg_get_int(r, 0, AMOUNT);
    p->record_bytes = bytes_of(r, RECORD, arena);
    p->record = assay__v1__decision_record__unpack(proto_arena_allocator(arena), p->record_bytes.len,
                                                   (const uint8_t *)p->record_bytes.ptr);
    if (!p->record)
        return err_set(why, ERR_SYNTAX, "its record cannot be read");
    if (action < 0 || action >= ACTION_COUNT)
        return err_set(why, ERR_SYNTAX, "its action has no name");
    return read_payment(p, r, arena, why);
}

enum err past_read(struct past *out, struct pg_session *s, uint32_t account, struct slice id,
                   struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *out = (struct past){ .account = account, .id = arena_slice(arena, id) };
    pg_add_i32(&p, (int32_t)account);
    pg_add_text(&p, id);
    err = row_ask(s, past_sql, &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no decision on %.*s", SLICE_ARG(id));
    if (!err)
        err = read_row(out, r, arena, why);
    pg_result_free(r);
    return err;
}

enum err past_find(struct past *out, struct pg_session *s, struct slice account, struct slice id,
                   struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, id);
    pg_add_text(&p, account);
    err =
        row_ask(s,
                "SELECT account FROM transaction_ids JOIN accounts a USING (account) WHERE id = $1::text AND "
                "($2::text = '' OR a.name = $2::text) ORDER BY account LIMIT 2",
                &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no transaction %.*s", SLICE_ARG(id));
    if (!err && pg_rows(r) > 1)
        err = err_set(why, ERR_INVALID, "several accounts have a transaction %.*s: say which account",
                      SLICE_ARG(id));
    if (!err)
        err = past_read(out, s, (uint32_t)pg_get_int(r, 0, 0), id, arena, why);
    pg_result_free(r);
    return err;
}

bool past_lacked(const struct past *p, const char *part)
{
    for (size_t i = 0; i < p->record->n_degraded; i++)
        if (slice_eq_str(slice_str(p->record->degraded[i]), part))
            return true;
    return false;
}

static int64_t number_of(struct slice version)
{
    int64_t number;

    return slice_to_i64(version, &number) && number > 0 ? number : 0;
}

int64_t past_model(const struct past *p)
{
    return p->has_score ? number_of(p->model_version) : 0;
}

int64_t past_ruleset(const struct past *p)
{
    return number_of(p->ruleset_version);
}

int64_t past_shadow(const struct past *p)
{
    return p->record->shadow ? number_of(slice_str(p->record->shadow->ruleset_version)) : 0;
}

struct policy_input past_input(const struct past *p, struct arena *arena)
{
    size_t count = p->vector.len / sizeof(float), degraded_count = p->record->n_degraded;
    float *vector = arena_new(arena, float, count + 1);
    struct slice *degraded = arena_new(arena, struct slice, degraded_count + 1);
    const Assay__V1__Thresholds *t = p->record->thresholds;

    if (count)
        memcpy(vector, p->vector.ptr, count * sizeof *vector);
    for (size_t i = 0; i < degraded_count; i++)
        degraded[i] = slice_str(p->record->degraded[i]);
    return (struct policy_input){
        .txn = &p->txn,
        .now_us = p->known_at_us,
        .vector = count ? vector : NULL,
        .vector_count = count,
        .has_score = p->has_score,
        .score = p->score,
        .thresholds = t ? (struct policy_thresholds){ t->challenge, t->review, t->decline }
                        : (struct policy_thresholds){ 2, 2, 2 },
        .degraded = degraded,
        .degraded_count = degraded_count,
    };
}
