/* SPDX-License-Identifier: Apache-2.0
 * rows.h - a stream of transactions and labels, run through the feature store, as rows to learn from.
 *
 * Each row is the vector that the service would have served at that moment: computed before its own entry,
 * with the labels that were known by then and no others. Its own label is filled in when it comes, with the
 * time at which it became known, so that a split can leave out what nobody knew yet. */
#ifndef ASSAY_TRAINING_ROWS_H
#define ASSAY_TRAINING_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "featurestore/plan.h"
#include "fraud/txn.h"

/* Remembers ids by their hash: 64 bits, so that no two of a few billion are taken for one. */
struct id_table {
    uint64_t *hashes;
    uint32_t *values;
    size_t count, room;
};
void id_table_release(struct id_table *t);
/* The value of an account's `id`; UINT32_MAX when it is not there. */
uint32_t id_table_find(const struct id_table *t, uint32_t account, struct slice id);
/* The same; when it is not there it is put in with `value`, which is returned. */
uint32_t id_table_add(struct id_table *t, uint32_t account, struct slice id, uint32_t value);

#define ROW_NEVER INT64_MAX

struct rows {
    size_t columns, count, cap;
    float *x; /* [count][columns], NaN = missing */
    struct row {
        int64_t at_us, known_at_us; /* when it happened, when it became known */
        int64_t label_at_us;        /* when its label became known; ROW_NEVER when there is none */
        int64_t amount_minor;       /* in the base currency */
        uint32_t customer;          /* numbered as they come */
        bool is_fraud;
    } * row;
    bool hides_labels;    /* features never see a label; rows still learn theirs */
    int64_t keep_from_us; /* vectors of older transactions are not kept: set it before the first is added */

    struct store *store;
    uint64_t n;
    double *vector;
    struct id_table ids, customers;
};

/* The plan must outlive the rows. */
void rows_init(struct rows *r, const struct plan *plan);
void rows_release(struct rows *r);

/* The next entry of the stream. */
void rows_add_txn(struct rows *r, const struct txn *txn);
void rows_add_label(struct rows *r, const struct label *label);

/* The vector of a row. */
static inline const float *rows_vector(const struct rows *r, size_t row)
{
    return r->x + row * r->columns;
}

#endif
