/* SPDX-License-Identifier: Apache-2.0
 * rows.h - a stream of transactions and labels, run through the feature store, as rows to learn from.
 *
 * Each row is the vector that the service would have served at that moment: computed before its own entry,
 * with the labels that were known by then and no others. Its own labels are kept as they come, each with its
 * source and the time at which it became known, so that a split can ask what held of it at a moment. */
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

#define ROW_NEVER    INT64_MAX
#define ROW_NO_LABEL UINT32_MAX

struct rows {
    size_t columns, count, cap;
    float *x; /* [count][columns], NaN = missing */
    struct row {
        int64_t at_us, known_at_us; /* when it happened, when it became known */
        int64_t label_at_us;        /* when its first label became known; ROW_NEVER when there is none */
        int64_t amount_minor;       /* in the base currency */
        uint64_t n;                 /* its entry in the log; 0 when it does not come from one */
        uint32_t customer;          /* numbered as they come */
        uint32_t labels;            /* its newest in `labels`, ROW_NO_LABEL when there is none */
        float weight;               /* how many payments it stands for: 1, or what its reader says */
        bool is_fraud;              /* what holds of all labels that came: see rows_truth() */
        bool needs_label;           /* declined: it is no row to learn from before a label of it is known */
    } * row;
    struct row_label {
        int64_t labelled_at_us, known_at_us;
        uint32_t next; /* of the same row, an earlier one; ROW_NO_LABEL at the end */
        enum label_source source;
        bool is_fraud;
    } * labels;
    size_t label_count, label_cap;
    bool hides_labels;    /* features never see a label; rows still learn theirs */
    int64_t keep_from_us; /* vectors of older transactions are not kept: set it before the first is added */

    const struct plan *plan;
    struct store *store; /* made with the first transaction */
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

/* For those who have the vectors already: one more row without labels and of weight 1, whose vector is all
 * missing until it is written to rows_vector_of(). Nothing is applied to the store. */
size_t rows_append(struct rows *r, const struct txn *txn);
/* A vector as the store computed it, rounded as one that is served (store_vector_pack()). */
void rows_round(float *x, const double *vector, size_t columns);
/* The same for a row's own. */
void rows_set_vector(struct rows *r, size_t row, const double *vector);
/* One more label of a row. */
void rows_attach_label(struct rows *r, size_t row, const struct label *label);
/* Takes away all rows that `is_kept` (one for each) says no to; the others keep their order. Only for rows that
 * were appended: what rows_add_label() finds is not renumbered. */
void rows_keep(struct rows *r, const bool *is_kept);

/* What held of a row before `known_us`: of the labels known by then that of the strongest source, the newest
 * within it; of equal times the later one. `is_labelled` is false when there was none; the rest is then 0. */
struct row_truth {
    bool is_labelled, is_fraud;
    enum label_source source;
    int64_t known_at_us;
};
struct row_truth rows_truth(const struct rows *r, size_t row, int64_t known_us);

/* The vector of a row. */
static inline const float *rows_vector(const struct rows *r, size_t row)
{
    return r->x + row * r->columns;
}
static inline float *rows_vector_of(struct rows *r, size_t row)
{
    return r->x + row * r->columns;
}

#endif
