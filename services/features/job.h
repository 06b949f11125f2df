/* SPDX-License-Identifier: Apache-2.0
 * job.h - what features does in its thread: build a state, write a snapshot, free a large state. */
#ifndef ASSAY_FEATURES_JOB_H
#define ASSAY_FEATURES_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "history.h"
#include "replica.h"

struct features;

enum job_kind { JOB_BUILD, JOB_SNAPSHOT, JOB_FREE };

struct job {
    enum job_kind kind;
    struct features *features; /* whose it is; not for the thread */
    const char *pg_url, *catalogue;
    const struct plan
        *plan;         /* what is served now (BUILD: may be NULL); the features' own, unchanged meanwhile */
    uint64_t n, epoch; /* SNAPSHOT: of this entry, in this epoch */
    bool is_kept;      /* SNAPSHOT: for as long as the partition */
    size_t recent_max;
    int64_t rules_kept_ms; /* BUILD */

    enum err err;
    struct why why;
    struct replica *replica; /* BUILD: the new state, NULL when the plan is still right; FREE: what to free */
    uint64_t snapshot_n;     /* BUILD: the newest snapshot of its plan */
    int64_t snapshot_at_us;
    struct history_source from; /* BUILD and SNAPSHOT */
    uint64_t bytes;             /* SNAPSHOT: its size */
    int64_t took_us;
};

/* For worker_start(). */
void job_run(void *job, const atomic_bool *is_cancelled);

#endif
