/* SPDX-License-Identifier: Apache-2.0
 * labels.h - what became of payments, by the key of their ids (chunk_id_hash()). */
#ifndef ASSAY_BACKTEST_LABELS_H
#define ASSAY_BACKTEST_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fraud/txn.h"

struct labels;
enum label_state { LABEL_NONE, LABEL_GOOD, LABEL_FRAUD };

struct labels *labels_new(void);
void labels_free(struct labels *l);
/* Of several, what holds is the strongest source, the newest within it, and between equals the one added last. */
void labels_add(struct labels *l, uint64_t key, enum label_source source, int64_t labelled_at_us,
                bool is_fraud);
/* Any thread, once all were added. */
enum label_state labels_find(const struct labels *l, uint64_t key);

#endif
