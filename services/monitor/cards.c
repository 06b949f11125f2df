/* SPDX-License-Identifier: Apache-2.0 */
#include "cards.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "lifestore/row.h"
#include "logstore/reader.h"
#include "monitorstore/quality.h"
#include "pg/session.h"
#include "quality/cards.h"
#include "sighting.h"

enum { ROWS_EACH = 1000 }; /* of a day, at a time */
static const char fetch_sql[] = "FETCH 1000 FROM rows";
static const char begin_sql[] = "BEGIN READ ONLY";
/* Sorted first, then each row found by its keys: the planner would rather join the whole of the log. */
static const char begin_sorted_sql[] =
    "BEGIN READ ONLY; SET LOCAL join_collapse_limit = 1; SET LOCAL enable_hashjoin = off; "
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off";

struct task {
    struct judged_model model;
    int64_t day;
    uint64_t *left_out; /* rising */
    size_t left_out_count;
    struct quality_cards cards;
};

/* A hash for ever, as days are compared with each other: in one account a customer has one. */
static uint64_t customer_of(const struct sighting *txn)
{
    struct hash_key key = { { 0 } };

    for (size_t i = 0; i < sizeof txn->account; i++)
        key.bytes[i] = (unsigned char)(txn->account >> (8 * i));
    return hash64(&key, txn->customer);
}

/* ---- which day ---- */

/* By the oldest: who was found on it is left out on later ones. */
static enum err find_day(struct task *t, struct pg_session *s, bool *is_one, struct why *why)
{
    static const char sql[] =
        "SELECT q.day FROM monitor_quality q WHERE q.lane = $1::int4 AND q.version = $2::int8 AND q.day < "
        "$3::timestamptz AND NOT EXISTS (SELECT FROM monitor_cards c WHERE c.lane = q.lane AND c.version = "
        "q.version AND c.day = q.day) ORDER BY q.day LIMIT 1";
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t today;
    enum err err = quality_today(s, t->model.lane, &today, why);

    *is_one = false;
    if (err)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    pg_add_i32(&p, t->model.lane);
    pg_add_i64(&p, t->model.version);
    pg_add_time_us(&p, (today - t->model.label_delay_days) * DAY_US);
    err = row_ask(s, sql, &p, &r, why);
    if (!err && pg_rows(r)) {
        *is_one = true;
        t->day = quality_day_of(pg_get_time_us(r, 0, 0));
    }
    pg_result_free(r);
    return err;
}

static int rising(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Those who were found on earlier days, whichever version found them. */
static enum err read_left_out(struct task *t, struct pg_session *s, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct buf all;
    enum err err;

    buf_init(&all, 0);
    pg_add_i32(&p, t->model.lane);
    pg_add_time_us(&p, t->day * DAY_US);
    err = row_ask(s, "SELECT hashes FROM monitor_cards WHERE lane = $1::int4 AND day < $2::timestamptz", &p,
                  &r, why);
    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct slice hashes = pg_get_bytes(r, i, 0);

        buf_add(&all, hashes.ptr, hashes.len - hashes.len % sizeof(uint64_t));
    }
    pg_result_free(r);
    t->left_out_count = all.len / sizeof(uint64_t);
    t->left_out = mem_new_n(uint64_t, t->left_out_count + 1);
    for (size_t i = 0; i < all.len; i++)
        t->left_out[i / 8] |= (uint64_t)(unsigned char)buf_slice(&all).ptr[i] << (8 * (i % 8));
    qsort(t->left_out, t->left_out_count, sizeof *t->left_out, rising);
    buf_release(&all);
    return err;
}

/* ---- the day ---- */

/* Decisions of the day that stand for themselves: by lane, version and day. On the live clock they are made when they
 * become known, and are found by that. */
#define OF_DAY                                                                                               \
    "d.known_at >= $3::timestamptz AND d.known_at < $3::timestamptz + interval '1 day' AND "                 \
    "d.model_version = $2::int8::text AND d.score IS NOT NULL AND (d.action <> 3 OR d.p_allow >= 1)"
#define OF_LIVE                                                                                              \
    OF_DAY " AND $1::int4 = 0 AND d.decided_at >= $3::timestamptz - interval '1 hour' AND d.decided_at < "   \
           "$3::timestamptz + interval '2 days' AND d.account NOT IN (SELECT account FROM accounts WHERE "   \
           "clock = 'simulated')"
#define OF_SIMULATED OF_DAY " AND d.account = $1::int4"

/* By falling score. The rows are found one after the other, so that as few are as are wanted. */
#define BEST(of_lane)                                                                                        \
    "DECLARE rows NO SCROLL CURSOR FOR SELECT " LOG_COLUMNS                                                  \
    " FROM (SELECT d.account, d.transaction_id, d.score FROM decisions d WHERE " of_lane                     \
    " ORDER BY d.score DESC, d.account, d.transaction_id OFFSET 0) b JOIN transaction_ids t ON "             \
    "t.account = b.account AND t.id = b.transaction_id JOIN log l ON l.n = t.n AND l.known_at = t.known_at " \
    "ORDER BY b.score DESC, b.account, b.transaction_id"

/* What holds of each payment by its labels: the strongest source, then the newest (as quality counts them). */
#define FRAUDS(of_lane)                                                                                      \
    "DECLARE rows NO SCROLL CURSOR FOR SELECT " LOG_COLUMNS                                                  \
    " FROM (SELECT DISTINCT d.account, d.transaction_id FROM decisions d JOIN labels f ON f.account = "      \
    "d.account AND f.transaction_id = d.transaction_id AND f.is_fraud WHERE " of_lane                        \
    ") k CROSS JOIN LATERAL (SELECT x.is_fraud FROM labels x WHERE x.account = k.account "                   \
    "AND x.transaction_id = k.transaction_id ORDER BY x.source DESC, x.labelled_at DESC, x.is_fraud DESC "   \
    "LIMIT 1) h JOIN transaction_ids t ON t.account = k.account AND t.id = k.transaction_id JOIN log l ON "  \
    "l.n = t.n AND l.known_at = t.known_at WHERE h.is_fraud"

static enum err fetch(struct task *t, struct pg_session *s, bool (*take)(struct task *t, uint64_t customer),
                      size_t *rows, bool *is_wanted, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, fetch_sql, NULL, &r, why);

    *rows = err ? 0 : pg_rows(r);
    for (size_t i = 0; i < *rows && *is_wanted; i++) {
        struct entry e = entry_of_row(r, i);
        struct sighting txn;

        if (sighting_read(&txn, &e) && txn.customer.len)
            *is_wanted = take(t, customer_of(&txn));
    }
    pg_result_free(r);
    return err;
}

/* Hands over the customer of each row, a piece at a time, until `take` wants no more. */
static enum err each(struct task *t, struct pg_session *s, const char *begin, const char *sql,
                     bool (*take)(struct task *t, uint64_t customer), struct why *why)
{
    struct pg_params p = { 0 };
    bool is_wanted = true;
    size_t rows = ROWS_EACH;
    enum err err = pg_exec_script(s, begin, why);

    if (err)
        return err;
    pg_add_i32(&p, t->model.lane);
    pg_add_i64(&p, t->model.version);
    pg_add_time_us(&p, t->day * DAY_US);
    err = row_ask(s, sql, &p, NULL, why);
    while (!err && is_wanted && rows == ROWS_EACH)
        err = fetch(t, s, take, &rows, &is_wanted, why);
    return pg_commit_or_abort(s, err, why);
}

static bool look_at_customer(struct task *t, uint64_t customer)
{
    return quality_cards_offer(&t->cards, customer);
}

static bool find_fraud(struct task *t, uint64_t customer)
{
    quality_cards_fraud(&t->cards, customer);
    return true;
}

static enum err keep(const struct task *t, struct pg_session *s, struct why *why)
{
    const struct quality_cards *c = &t->cards;
    struct pg_params p = { 0 };
    struct buf hashes;
    enum err err;

    buf_init(&hashes, 0);
    for (size_t i = 0; i < c->count; i++)
        for (size_t b = 0; c->is_fraud[i] && b < 8; b++)
            buf_add_char(&hashes, (char)(c->customers[i] >> (8 * b)));
    pg_add_i32(&p, t->model.lane);
    pg_add_i64(&p, t->model.version);
    pg_add_time_us(&p, t->day * DAY_US);
    pg_add_i64(&p, (int64_t)c->k);
    pg_add_i64(&p, (int64_t)c->count);
    pg_add_i64(&p, (int64_t)c->found);
    pg_add_bytes(&p, hashes.len ? buf_slice(&hashes) : SLICE(""));
    err =
        row_ask(s,
                "INSERT INTO monitor_cards (lane, version, day, k, customers, found, hashes) VALUES "
                "($1::int4, $2::int8, $3::timestamptz, $4::int8, $5::int8, $6::int8, $7::bytea) ON CONFLICT "
                "DO NOTHING",
                &p, NULL, why);
    buf_release(&hashes);
    return err;
}

static enum err look_at(struct task *t, struct pg_session *s, int64_t k, struct why *why)
{
    enum err err = read_left_out(t, s, why);

    if (err)
        return err;
    quality_cards_init(&t->cards, (size_t)k, t->left_out, t->left_out_count);
    err = each(t, s, begin_sorted_sql, t->model.lane ? BEST(OF_SIMULATED) : BEST(OF_LIVE), look_at_customer,
               why);
    if (!err && t->cards.count)
        err = each(t, s, begin_sql, t->model.lane ? FRAUDS(OF_SIMULATED) : FRAUDS(OF_LIVE), find_fraud, why);
    return err ? err : keep(t, s, why);
}

enum err cards_look(struct pg_session *s, int64_t k, bool *is_one, struct why *why)
{
    struct arena arena = { 0 };
    struct judged_model *models;
    size_t count;
    enum err err = judged_model_list(s, -1, &models, &count, &arena, why);

    *is_one = false;
    for (size_t i = 0; i < count && !err && !*is_one && k; i++) {
        struct task *t = mem_new(struct task);

        t->model = models[i];
        err = find_day(t, s, is_one, why);
        if (!err && *is_one)
            err = look_at(t, s, k, why);
        mem_free(t->left_out);
        mem_free(t);
    }
    arena_release(&arena);
    return err;
}
