/* SPDX-License-Identifier: Apache-2.0
 * stall.h - how long the machine itself keeps everybody waiting: a thread that only sleeps and wakes, and one
 * that only writes a block and waits for the disk. What they lose, no program on this machine could avoid. */
#ifndef ASSAY_CHAOS_STALL_H
#define ASSAY_CHAOS_STALL_H

#include <stdint.h>

struct stall_probe;

/* `dir` is where the disk's thread has its file. */
struct stall_probe *stall_probe_start(const char *dir);
void stall_probe_stop(struct stall_probe *p);

/* The time lost between two moments, monotonic. */
struct stalls {
    int64_t sleeper_us; /* woken more than 10 ms late */
    int64_t disk_us;    /* fdatasync of 8 KiB beyond 20 ms */
};
struct stalls stall_probe_between(struct stall_probe *p, int64_t from_us, int64_t to_us);
static inline int64_t stalls_total_us(struct stalls s)
{
    return s.sleeper_us + s.disk_us;
}

#endif
