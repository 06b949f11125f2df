/* SPDX-License-Identifier: Apache-2.0
 * worker.h - one thing at a time that blocks, in a thread beside the loop. */
#ifndef ASSAY_FEATURES_WORKER_H
#define ASSAY_FEATURES_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "loop/loop.h"

/* Zero-initialise. */
struct worker {
    struct loop *loop;
    pthread_t thread;
    bool is_busy;
    atomic_bool is_cancelled; /* what runs should come to an end */
    void (*run)(void *job, const atomic_bool *is_cancelled);
    void (*done)(void *job);
    void *job;
};

/* `run` is called in the thread and touches `job` alone; then `done` on the loop. Not while busy. */
void worker_start(struct worker *w, struct loop *loop,
                  void (*run)(void *job, const atomic_bool *is_cancelled), void (*done)(void *job),
                  void *job);
/* Asks what runs to end and waits for it; `done` is called from here. */
void worker_stop(struct worker *w);

#endif
