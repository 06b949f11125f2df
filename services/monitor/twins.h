/* SPDX-License-Identifier: Apache-2.0
 * twins.h - finds payments that were sent twice under different ids: those that equal one of the last TWINS_BACK
 * transactions of the log in all but id and time, and happened within a minute of it.
 *
 * What it finds depends on the log alone: after a restart it is fed the TWINS_BACK before its place again. */
#ifndef ASSAY_MONITOR_TWINS_H
#define ASSAY_MONITOR_TWINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TWINS_BACK = 4096, TWINS_SLOTS = 8192 };

/* Zero-initialise. */
struct twins {
    struct {
        uint64_t hash;
        int64_t occurred_at_us;
        uint64_t before; /* 1 + number of the one with the same slot before it; 0: none */
    } ring[TWINS_BACK];
    uint64_t newest[TWINS_SLOTS]; /* 1 + number; 0: none */
    uint64_t count;               /* how many were ever added */
};

/* Adds one, and says whether it has a twin. */
bool twins_add(struct twins *t, uint64_t hash, int64_t occurred_at_us);

#endif
