/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/history.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "logstore/entry.h"
#include "proto/txn_proto.h"

static struct why why;
#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", why.text)

void history_open(struct history *h, struct pg_session *pg, const char *catalogue, uint32_t customers)
{
    const struct simulate_params world = {
        .seed = 11, .account = 1, .start_us = HISTORY_START, .customers = customers, .fraud_factor = 5
    };
    struct catalogue parsed;

    *h = (struct history){ .pg = pg, .now_us = HISTORY_START };
    MUST(catalogue_parse(&parsed, slice_str(catalogue), &h->arena, &why));
    MUST(plan_build(&h->plan, &parsed, &why));
    h->store = store_new(h->plan);
    h->vector = mem_new_n(double, plan_columns(h->plan) + 1);
    h->world = simulate_new(&world);
    MUST(pg_exec_script(pg, "INSERT INTO accounts (name, clock) VALUES ('past', 'simulated')", &why));
    pg_add_bytes(&h->params, slice_of((const char *)plan_hash(h->plan), SHA256_BYTES));
    pg_add_text(&h->params, plan_text(h->plan));
    MUST(pg_exec(pg, "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text)", &h->params, NULL,
                 &why));
    pg_params_clear(&h->params);
}

void history_close(struct history *h)
{
    simulate_free(h->world);
    store_free(h->store);
    plan_free(h->plan);
    mem_free(h->vector);
    label_queue_release(&h->labels);
    pg_params_release(&h->params);
    arena_release(&h->arena);
}

static void put(struct history *h, const char *sql)
{
    MUST(pg_exec(h->pg, sql, &h->params, NULL, &why));
    pg_params_clear(&h->params);
}

static void put_log(struct history *h, enum entry_kind kind, int64_t known_at_us, struct slice body)
{
    struct pg_params *p = &h->params;

    h->now_us = known_at_us;
    pg_add_i64(p, (int64_t)++h->n);
    pg_add_i16(p, (int16_t)kind);
    pg_add_time_us(p, known_at_us);
    pg_add_bytes(p, body);
    put(h, "INSERT INTO log (n, epoch, kind, account, known_at, body) VALUES ($1::int8, 1, $2::int2, 1, "
           "$3::timestamptz, $4::bytea)");
}

static void put_label(struct history *h, const struct label *l)
{
    struct pg_params *p = &h->params;

    put_log(h, ENTRY_LABEL, l->known_at_us, label_pack(l, &h->arena));
    pg_add_text(p, l->transaction_id);
    pg_add_i16(p, (int16_t)l->source);
    pg_add_time_us(p, l->labelled_at_us);
    pg_add_bool(p, l->is_fraud);
    pg_add_time_us(p, l->known_at_us);
    pg_add_i64(p, (int64_t)h->n);
    put(h,
        "INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n) VALUES (1, "
        "$1::text, $2::int2, $3::timestamptz, $4::bool, $5::timestamptz, $6::int8)");
    store_apply_label(h->store, h->n, l);
    h->labelled++;
}

static void put_txn(struct history *h, const struct txn *txn)
{
    struct pg_params *p = &h->params;
    size_t columns = plan_columns(h->plan);
    unsigned char *vector = (unsigned char *)arena_new(&h->arena, float, columns + 1);

    put_log(h, ENTRY_TXN, txn->known_at_us, txn_pack(txn, &h->arena));
    store_apply_txn(h->store, h->n, txn, h->vector);
    store_vector_pack(h->vector, columns, vector);
    pg_add_text(p, txn->id);
    pg_add_i64(p, (int64_t)h->n);
    pg_add_time_us(p, txn->known_at_us);
    pg_add_bytes(p, slice_of((const char *)plan_hash(h->plan), SHA256_BYTES));
    pg_add_bytes(p, slice_of((const char *)vector, columns * sizeof(float)));
    pg_add_i64(p, txn->amount_base_minor);
    put(h,
        "WITH known AS (INSERT INTO transaction_ids (account, id, body_hash, epoch, n, known_at) VALUES (1, "
        "$1::text, '', 1, $2::int8, $3::timestamptz)) INSERT INTO decisions (account, transaction_id, "
        "known_at, "
        "decided_at, n, action, p_allow, model_version, ruleset_version, arm, plan, vector, "
        "amount_base_minor, "
        "record) VALUES (1, $1::text, $3::timestamptz, $3::timestamptz, $2::int8, 0, 1, '', '', 'champion', "
        "$4::bytea, $5::bytea, $6::int8, '')");
    h->transactions++;
}

void history_live_until(struct history *h, int64_t until_us)
{
    MUST(pg_exec_script(h->pg, "BEGIN; SET LOCAL synchronous_commit = off", &why));
    while (h->now_us < until_us) {
        struct txn txn;
        struct label label;

        simulate_next(h->world, &txn, &label);
        while (label_queue_first(&h->labels) &&
               label_queue_first(&h->labels)->known_at_us <= txn.known_at_us) {
            struct label due = label_queue_take(&h->labels);

            put_label(h, &due);
        }
        put_txn(h, &txn);
        h->frauds += label.is_fraud;
        if (label.is_fraud)
            label_queue_put(&h->labels, &label);
        arena_reset(&h->arena);
    }
    MUST(pg_exec_script(h->pg, "COMMIT", &why));
}
