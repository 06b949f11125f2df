/* SPDX-License-Identifier: Apache-2.0
 * tally.h - what a replay adds up: latency, actions, quality and money. No I/O and no clock. */
#ifndef ASSAY_CLI_TALLY_H
#define ASSAY_CLI_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "fraud/txn.h"
#include "stats/interval.h"

struct tally_row {
    uint64_t key; /* a hash of the id */
    int64_t amount_minor;
    double score;   /* NaN: none */
    uint8_t action; /* ACTION_COUNT: its label came, itself not yet */
    uint8_t is_fraud;
};

/* Zero-initialise. */
struct tally {
    struct tally_row *rows;
    uint32_t *slots; /* open addressing over rows; 0 is empty, else the row's number + 1 */
    size_t count, cap, slot_count;

    double *latencies_us;
    size_t latency_count, latency_cap;

    uint64_t decided, degraded, labels, retries, lost;
    uint64_t statuses[600]; /* final answers by HTTP status; [0]: none came */
};

void tally_release(struct tally *t);
void tally_decision(struct tally *t, struct slice id, int64_t amount_minor, enum action action, double score,
                    bool is_degraded);
void tally_latency(struct tally *t, int64_t us);
/* The last one holds. */
void tally_label(struct tally *t, struct slice id, bool is_fraud);

/* By action and by what it turned out to be (no label: legitimate). */
struct tally_cell {
    uint64_t count;
    int64_t amount_minor;
};
struct tally_figures {
    struct quantiles latency_us;
    struct tally_cell cells[ACTION_COUNT][2]; /* [action][is fraud] */
    uint64_t frauds, scored;
    double auc_roc, average_precision, score_mean; /* NaN where not defined */
};
/* Sorts the latencies. */
void tally_figures(struct tally *t, struct tally_figures *f);

#endif
