/* SPDX-License-Identifier: Apache-2.0
 * lanes.h - which clock an account lives on: lane 0 for all on the live clock, else its own number. */
#ifndef ASSAY_MONITOR_LANES_H
#define ASSAY_MONITOR_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct pg_session;

/* Zero-initialise. */
struct lanes {
    uint32_t *simulated; /* rising */
    size_t count;
    uint32_t known; /* accounts up to it were there when it was read: a clock never changes */
};

void lanes_release(struct lanes *l);
/* Reads the accounts again where `account` is newer than what is known. Errors are those of pg/pg.h. */
MUST_USE enum err lanes_know(struct lanes *l, struct pg_session *s, uint32_t account, struct why *why);
int32_t lanes_of(const struct lanes *l, uint32_t account);

#endif
