/* SPDX-License-Identifier: Apache-2.0
 * past.h - a long history for those who measure: that of the Fraud Detection Handbook where it is there
 * ($ASSAY_TEST_DATA), else a simulated one. Run from the root of the tree. Whatever fails ends the program. */
#ifndef ASSAY_BENCH_PAST_H
#define ASSAY_BENCH_PAST_H

#include <stdbool.h>

#include "dataset/dataset.h"
#include "dataset/label_queue.h"
#include "simulate/simulate.h"

/* Events in the order in which they became known, from a file or made up. */
struct past {
    struct dataset *data;
    struct mapping *mapping;
    struct simulate *world;
    struct label_queue labels;
    struct dataset_event waiting; /* made up, and behind the labels that are due */
    bool is_waiting;
    const char *name;
};

/* Of account 1, from 2018-04-01 on. */
void past_open(struct past *p);
void past_close(struct past *p);
/* False at the end of the file. */
bool past_next(struct past *p, struct dataset_event *event);

#endif
