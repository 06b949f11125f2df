/* SPDX-License-Identifier: Apache-2.0
 * history.h - a small simulated history as rows, and a trainer that is done with it in a moment. */
#ifndef ASSAY_UNIT_TRAINING_HISTORY_H
#define ASSAY_UNIT_TRAINING_HISTORY_H

#include "training/trainer.h"

#define HISTORY_START (INT64_C(1577836800) * SECOND_US) /* 2020-01-01 */

struct history {
    struct arena arena;
    struct plan *plan;
    struct rows rows;
};

/* A plan of seven features, no rows yet. */
void history_init(struct history *h);
void history_release(struct history *h);
/* Runs so many simulated transactions, and the labels that become known between them, through the rows. */
void history_live_through(struct history *h, size_t transactions);

/* 20 trees of depth 3 on one thread, over all of the history. */
struct trainer small_trainer(void);

#endif
