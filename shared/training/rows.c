/* SPDX-License-Identifier: Apache-2.0 */
#include "training/rows.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "featurestore/store.h"

static uint64_t id_hash(uint32_t account, struct slice id)
{
    struct hash_key key = { "assay row ids" };
    uint64_t hash;

    memcpy(key.bytes, &account, sizeof account);
    hash = hash64(&key, id);

    return hash ? hash : 1; /* 0 marks an empty place */
}

void id_table_release(struct id_table *t)
{
    mem_free(t->hashes);
    mem_free(t->values);
    *t = (struct id_table){ 0 };
}

static size_t place(const struct id_table *t, uint64_t hash)
{
    size_t at = (size_t)hash & (t->room - 1);

    while (t->hashes[at] && t->hashes[at] != hash)
        at = (at + 1) & (t->room - 1);
    return at;
}

static void widen(struct id_table *t)
{
    struct id_table old = *t;

    t->room = old.room ? 2 * old.room : 1024;
    t->hashes = mem_new_n(uint64_t, t->room);
    t->values = mem_new_n(uint32_t, t->room);
    for (size_t i = 0; i < old.room; i++) {
        if (old.hashes[i]) {
            size_t at = place(t, old.hashes[i]);

            t->hashes[at] = old.hashes[i];
            t->values[at] = old.values[i];
        }
    }
    mem_free(old.hashes);
    mem_free(old.values);
}

uint32_t id_table_find(const struct id_table *t, uint32_t account, struct slice id)
{
    uint64_t hash = id_hash(account, id);
    size_t at;

    if (!t->room)
        return UINT32_MAX;
    at = place(t, hash);
    return t->hashes[at] ? t->values[at] : UINT32_MAX;
}

uint32_t id_table_add(struct id_table *t, uint32_t account, struct slice id, uint32_t value)
{
    uint64_t hash = id_hash(account, id);
    size_t at;

    if (2 * (t->count + 1) > t->room)
        widen(t);
    at = place(t, hash);
    if (!t->hashes[at]) {
        t->hashes[at] = hash;
        t->values[at] = value;
        t->count++;
    }
    return t->values[at];
}

void rows_init(struct rows *r, const struct plan *plan)
{
    *r = (struct rows){ .columns = plan_columns(plan), .keep_from_us = INT64_MIN, .plan = plan };
}

void rows_release(struct rows *r)
{
    store_free(r->store);
    mem_free(r->x);
    mem_free(r->row);
    mem_free(r->labels);
    mem_free(r->vector);
    id_table_release(&r->ids);
    id_table_release(&r->customers);
    *r = (struct rows){ 0 };
}

size_t rows_append(struct rows *r, const struct txn *txn)
{
    float *x;

    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap + r->cap / 2 : 1 << 16;
        r->x = mem_grow(r->x, r->cap * (r->columns ? r->columns : 1), sizeof *r->x);
        r->row = mem_grow(r->row, r->cap, sizeof *r->row);
    }
    x = r->x + r->count * r->columns;
    for (size_t i = 0; i < r->columns; i++)
        x[i] = NAN;
    r->row[r->count] = (struct row){
        .at_us = txn->occurred_at_us,
        .known_at_us = txn->known_at_us,
        .label_at_us = ROW_NEVER,
        .amount_minor = txn->amount_base_minor,
        .customer = id_table_add(&r->customers, txn->account, txn->text[TXN_customer_id],
                                 (uint32_t)r->customers.count),
        .labels = ROW_NO_LABEL,
        .weight = 1,
    };
    return r->count++;
}

void rows_round(float *x, const double *vector, size_t columns)
{
    for (size_t i = 0; i < columns; i++)
        x[i] = fabs(vector[i]) <= (double)FLT_MAX ? (float)vector[i] : NAN;
}

void rows_set_vector(struct rows *r, size_t row, const double *vector)
{
    rows_round(rows_vector_of(r, row), vector, r->columns);
}

static void make_store(struct rows *r)
{
    if (r->store)
        return;
    r->store = store_new(r->plan);
    r->vector = mem_new_n(double, r->columns ? r->columns : 1);
}

void rows_add_txn(struct rows *r, const struct txn *txn)
{
    bool is_kept = txn->known_at_us >= r->keep_from_us;
    size_t row;

    make_store(r);
    store_apply_txn(r->store, ++r->n, txn, is_kept ? r->vector : NULL);
    if (!is_kept)
        return;
    row = rows_append(r, txn);
    rows_set_vector(r, row, r->vector);
    id_table_add(&r->ids, txn->account, txn->id, (uint32_t)row);
}

struct row_truth rows_truth(const struct rows *r, size_t row, int64_t known_us)
{
    const struct row_label *held = NULL;

    for (uint32_t i = r->row[row].labels; i != ROW_NO_LABEL; i = r->labels[i].next) {
        const struct row_label *l = &r->labels[i];

        if (l->known_at_us >= known_us)
            continue;
        if (!held || l->source > held->source ||
            (l->source == held->source && l->labelled_at_us > held->labelled_at_us))
            held = l; /* the list runs from the newest entry on, so of equal times the later one stays */
    }
    return held ? (struct row_truth){ true, held->is_fraud, held->source, held->known_at_us }
                : (struct row_truth){ 0 };
}

void rows_attach_label(struct rows *r, size_t row, const struct label *label)
{
    struct row *to = &r->row[row];

    ARRAY_RESERVE_ONE(r->labels, r->label_count, r->label_cap);
    r->labels[r->label_count] = (struct row_label){
        .labelled_at_us = label->labelled_at_us,
        .known_at_us = label->known_at_us,
        .next = to->labels,
        .source = label->source,
        .is_fraud = label->is_fraud,
    };
    to->labels = (uint32_t)r->label_count++;
    if (label->known_at_us < to->label_at_us)
        to->label_at_us = label->known_at_us;
    to->is_fraud = rows_truth(r, row, ROW_NEVER).is_fraud;
}

void rows_add_label(struct rows *r, const struct label *label)
{
    uint32_t row = id_table_find(&r->ids, label->account, label->transaction_id);

    if (!r->hides_labels) {
        make_store(r);
        store_apply_label(r->store, ++r->n, label);
    }
    if (row != UINT32_MAX)
        rows_attach_label(r, row, label);
}

void rows_keep(struct rows *r, const bool *is_kept)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->count; i++) {
        if (!is_kept[i])
            continue;
        if (kept != i) {
            memcpy(rows_vector_of(r, kept), rows_vector(r, i), r->columns * sizeof *r->x);
            r->row[kept] = r->row[i];
        }
        kept++;
    }
    r->count = kept;
}
