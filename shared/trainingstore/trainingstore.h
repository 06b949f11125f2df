/* SPDX-License-Identifier: Apache-2.0
 * trainingstore.h - rows to learn from, out of PostgreSQL: the vectors that were served, joined to labels by
 * what was known when.
 *
 * Which rows. Each transaction of the log in the range, in the log's order; those that were imported and never
 * decided, too. A transaction that was declined has no outcome to learn from:
 *
 *   action     p_allow  label    the row
 *   not declined  p     any      is there; weight 1/p (1 for all but what the control slice let through)
 *   declined      1     any      is there, weight 1: it went through all the same
 *   declined   0 < p < 1  any    left out: those that the control slice let through stand for it
 *   declined      0     some     is there, weight 1, once the label is known (row.needs_label): nothing else
 *                                stands for it, and somebody has looked
 *   declined      0     none     left out: nobody will ever know
 *
 * So over what the control slice could choose from, the weights add up to what was declined there
 * (Horvitz-Thompson), and elsewhere each row stands for itself. With `keep` below 1, payments that nobody has
 * called fraud are thinned: kept with that chance (by a hash of account, id and seed, so a second reading keeps
 * the same ones), their weight divided by it. That bounds memory and nothing else: by default every row is kept,
 * since resampling makes average precision worse.
 *
 * Which vectors. The one that was served, where its plan has all the columns that are asked for (by identity of
 * feature, in any order): its bits are those that the model scored. Else, as for a feature that is new, a decision
 * that was made without features, or an import, it is computed again from the log by the same kernel, which gives
 * what would have been served; the log is then read from its beginning.
 *
 * Which labels. All that became known before `as_of`, each with its source and time: training/rows.h says what
 * held of a row at a moment. What happens to rows whose labels cannot have come yet is the split's matter
 * (training/trainer.h).
 *
 * Memory is the rows' own, and a few bytes per label: results are streamed by COPY. Blocks; run it on a thread
 * of its own. Reads one snapshot (REPEATABLE READ). */
#ifndef ASSAY_TRAININGSTORE_TRAININGSTORE_H
#define ASSAY_TRAININGSTORE_TRAININGSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "featurestore/plan.h"
#include "fraud/txn.h"
#include "pg/session.h"
#include "training/rows.h"

/* How many payments one that was decided so stands for, by the table: 0, it is left out. */
struct trainingstore_standing {
    double weight;
    bool needs_label; /* it is there only once a label of it is known */
};
struct trainingstore_standing trainingstore_standing(enum action action, double p_allow);
/* Whether a payment that nobody called fraud is among the share `keep`: uniform in its id, the same each time. */
bool trainingstore_is_drawn(double keep, uint64_t seed, uint32_t account, struct slice id);

struct trainingstore_query {
    uint32_t account; /* 0: all */
    int64_t from_us;  /* transactions that became known before are not rows, though features know them */
    int64_t as_of_us; /* what became known from then on is not there yet */
    double keep;      /* of payments not called fraud, 0 < keep <= 1 */
    uint64_t seed;
    /* Called now and then with the entries read so far; false: stop. May be NULL. */
    bool (*hook)(void *context, uint64_t entries);
    void *context;
    size_t
        memory_most; /* bytes that trainingstore_recompute() may hold the state of all entities in; 0: any number */
};
#define TRAININGSTORE_WHOLE                                                                                  \
    ((struct trainingstore_query){ .from_us = INT64_MIN, .as_of_us = INT64_MAX, .keep = 1 })

struct trainingstore_counts {
    uint64_t transactions; /* in the range */
    uint64_t served;       /* rows with the vector that was served */
    uint64_t recomputed;   /* rows whose vector was computed again */
    uint64_t thinned;      /* left out by `keep` */
    uint64_t declined;     /* left out, as the table says */
    uint64_t let_through;  /* rows by the control slice, of weight above 1 */
    uint64_t unreadable;   /* entries that could not be read */
};

/* Adds to `rows`, which rows_init() made with `plan`, and were not used since.
 *   ERR_TIMEOUT  the hook said stop
 *   ERR_INVALID  `keep` is no share
 * and those of pg_copy_out(). */
MUST_USE enum err trainingstore_read(struct pg_session *s, const struct trainingstore_query *query,
                                     const struct plan *plan, struct rows *rows,
                                     struct trainingstore_counts *counts, struct why *why);

/* Computes vectors again, whoever served what: for those who ask whether what a model learned from is what was
 * known. The log is read from its beginning through the same kernel; of `query`, `account`, `as_of_us`, the hook
 * and memory_most count.
 *   places   in   [count] entries of the log, rising
 *   vectors  out  float[count][plan_columns(plan)], rounded as rows are; all missing where the place holds no
 *                 transaction that can be read
 *   ERR_TIMEOUT  the hook said stop
 *   ERR_LIMIT    the state of all entities takes more than memory_most
 * and those of log_read(). */
MUST_USE enum err trainingstore_recompute(struct pg_session *s, const struct trainingstore_query *query,
                                          const struct plan *plan, const uint64_t *places, size_t count,
                                          float *vectors, struct why *why);

#endif
