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

/* Rows that are asked for at first, for each customer that is looked at or left out; then four times as many. */
enum { ROWS_EACH = 8, ROWS_MAX = 1 << 20, FRAUDS_MAX = 1 << 20 };

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

#define BEST(of_lane)                                                                                        \
    "SELECT " LOG_COLUMNS                                                                                    \
    " FROM (SELECT d.account, d.transaction_id, d.score FROM decisions d WHERE " of_lane                     \
    " ORDER BY d.score DESC, d.account, d.transaction_id LIMIT $4::int8) b JOIN transaction_ids t ON "       \
    "t.account = b.account AND t.id = b.transaction_id JOIN log l ON l.n = t.n AND l.known_at = t.known_at " \
    "ORDER BY b.score DESC, b.account, b.transaction_id"

/* What holds of each payment by its labels: the strongest source, then the newest (as quality counts them). */
#define FRAUDS(of_lane)                                                                                      \
    "SELECT " LOG_COLUMNS                                                                                    \
    " FROM (SELECT DISTINCT d.account, d.transaction_id FROM decisions d JOIN labels f ON f.account = "      \
    "d.account AND f.transaction_id = d.transaction_id AND f.is_fraud WHERE " of_lane                        \
    " LIMIT $4::int8) k CROSS JOIN LATERAL (SELECT x.is_fraud FROM labels x WHERE x.account = k.account "    \
    "AND x.transaction_id = k.transaction_id ORDER BY x.source DESC, x.labelled_at DESC, x.is_fraud DESC "   \
    "LIMIT 1) h JOIN transaction_ids t ON t.account = k.account AND t.id = k.transaction_id JOIN log l ON "  \
    "l.n = t.n AND l.known_at = t.known_at WHERE h.is_fraud"

static enum err ask(const struct task *t, struct pg_session *s, const char *live, const char *simulated,
                    int64_t most, struct pg_result **r, struct why *why)
{
    struct pg_params p = { 0 };

    pg_add_i32(&p, t->model.lane);
    pg_add_i64(&p, t->model.version);
    pg_add_time_us(&p, t->day * DAY_US);
    pg_add_i64(&p, most);
    return row_ask(s, t->model.lane ? simulated : live, &p, r, why);
}

/* The customers of the best scores; more rows until there are enough, or no more. */
static enum err offer(struct task *t, struct pg_session *s, int64_t k, struct why *why)
{
    int64_t most = ROWS_EACH * (k + (int64_t)t->left_out_count);
    bool is_wanted = true;
    size_t rows;
    enum err err;

    do {
        struct pg_result *r = NULL;

        most = most < ROWS_MAX ? most : ROWS_MAX;
        quality_cards_init(&t->cards, (size_t)k, t->left_out, t->left_out_count);
        err = ask(t, s, BEST(OF_LIVE), BEST(OF_SIMULATED), most, &r, why);
        rows = err ? 0 : pg_rows(r);
        for (size_t i = 0; i < rows; i++) {
            struct entry e = entry_of_row(r, i);
            struct sighting txn;

            if (sighting_read(&txn, &e) && txn.customer.len)
                is_wanted = quality_cards_offer(&t->cards, customer_of(&txn));
            if (!is_wanted)
                break;
        }
        pg_result_free(r);
        most *= 4;
    } while (!err && is_wanted && rows == (size_t)(most / 4) && rows < ROWS_MAX);
    return err;
}

static enum err find_frauds(struct task *t, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = ask(t, s, FRAUDS(OF_LIVE), FRAUDS(OF_SIMULATED), FRAUDS_MAX, &r, why);

    for (size_t i = 0; !err && i < pg_rows(r); i++) {
        struct entry e = entry_of_row(r, i);
        struct sighting txn;

        if (sighting_read(&txn, &e))
            quality_cards_fraud(&t->cards, customer_of(&txn));
    }
    pg_result_free(r);
    return err;
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

    if (!err)
        err = offer(t, s, k, why);
    if (!err && t->cards.count)
        err = find_frauds(t, s, why);
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
