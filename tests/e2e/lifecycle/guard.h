/* SPDX-License-Identifier: Apache-2.0
 * guard.h - what must hold at every moment of the registry: a thread that looks at it again and again, each time
 * in one statement, so in one snapshot. */
#ifndef ASSAY_LIFECYCLE_GUARD_H
#define ASSAY_LIFECYCLE_GUARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct guard {
    const char *conninfo, *name;
    pthread_t thread;
    bool stops;
    size_t looks, away; /* away: it could not look */
    size_t faults;      /* looks that did not find exactly one champion */
    struct why first;   /* of them */
};

void guard_start(struct guard *g);
void guard_stop(struct guard *g);

#endif
