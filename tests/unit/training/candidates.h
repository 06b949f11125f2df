/* SPDX-License-Identifier: Apache-2.0
 * candidates.h - models that must not go live: what gates are tested with. */
#ifndef ASSAY_UNIT_TRAINING_CANDIDATES_H
#define ASSAY_UNIT_TRAINING_CANDIDATES_H

#include "training/trainer.h"

/* Gives each row's labels to another row, drawn at random, with the delays that they had: what is learnt from such
 * rows ranks by chance. */
void candidate_shuffle_labels(struct rows *rows, uint64_t seed);

/* Overwrites a column with what will hold of the row one day: figures on these rows are as good as can be, and
 * nobody will ever serve such a vector. */
void candidate_leak(struct rows *rows, size_t column);

/* Thousands of deep trees. */
void candidate_slow_down(struct trainer *t);

/* The same bundle with calibrated log-odds slope * y + shift, slope above 0: it ranks as well as before and
 * promises something else. */
void candidate_miscalibrate(struct buf *out, struct slice bundle, double slope, double shift);

#endif
