/* SPDX-License-Identifier: Apache-2.0
 * training.h - one run of training, in a process of its own: from the training set to a registered model.
 *
 * It holds the lock of lifestore/run.h on its only connection, so a process that has lost it can write nothing.
 * After each trial of the search it keeps what it found; taken up again, it goes on from there and makes the very
 * same bytes, since the run's "now", its settings and so its rows are the same. When they are not, it begins
 * anew. */
#ifndef ASSAY_RETRAINER_TRAINING_H
#define ASSAY_RETRAINER_TRAINING_H

#include <stdint.h>

/* Exit statuses beside EXIT_SUCCESS (the run has ended, well or not) and EXIT_FAILURE (it has not). */
enum {
    TRAINING_BUSY = 75,    /* somebody else trains */
    TRAINING_STOPPED = 76, /* it was told to stop, and can be taken up again */
};

/* The whole life of the process; returns its exit status. SIGTERM stops it after the round under way. */
int training_main(int64_t run);

#endif
