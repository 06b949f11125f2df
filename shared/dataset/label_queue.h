/* SPDX-License-Identifier: Apache-2.0
 * label_queue.h - labels that are not known yet, given out in the order in which they become known (of equal
 * times, in the order in which they were put in). It holds no more than what is due. */
#ifndef ASSAY_DATASET_LABEL_QUEUE_H
#define ASSAY_DATASET_LABEL_QUEUE_H

#include "base/buf.h"
#include "fraud/txn.h"

struct label_queue {
    struct label_due {
        struct label label; /* its transaction_id is the queue's copy */
        uint64_t order;
    } * heap;
    size_t count, cap;
    uint64_t put;
    char *last_id; /* of the label that was taken last */
};

void label_queue_release(struct label_queue *q);
void label_queue_put(struct label_queue *q, const struct label *label);
/* The label that becomes known first; NULL when none waits. */
const struct label *label_queue_first(const struct label_queue *q);
/* Takes it out; its id stays valid until the next take. */
struct label label_queue_take(struct label_queue *q);

#endif
