/* SPDX-License-Identifier: Apache-2.0
 * pulse.h - what callers feel of a fault: the longest time without any answer 200, and how long decisions
 * were made without a part. */
#ifndef ASSAY_CHAOS_PULSE_H
#define ASSAY_CHAOS_PULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load.h"
#include "stall.h"

/* One fault, from the strike to the first decisions of both ingestion processes after which none was
 * degraded. */
struct outage {
    size_t cause; /* the caller's number for it */
    bool is_open, is_mixed /* something else happened meanwhile */;
    int64_t began_us, last_200_us;
    int64_t began_wall_us;                /* for who reads the logs beside it */
    int64_t longest_gap_us, gap_after_us; /* and when it began, counted from the strike */
    int64_t whole_us[LOAD_TARGETS];       /* 0: not yet */
    int64_t ended_us;
    struct stalls stalls; /* between began and ended */
};

struct pulse {
    struct outage *outages;
    size_t count, cap;
    struct stall_probe *probe;
    /* When the newest first answers of each target were asked for. */
    int64_t whole_sent_us[LOAD_TARGETS], degraded_sent_us[LOAD_TARGETS];
};

/* `dir`: on the disk that PostgreSQL writes to. */
void pulse_open(struct pulse *p, const char *dir);
void pulse_close(struct pulse *p);

/* Opens an outage; those that are open are mixed from now on. Returns its index. */
size_t pulse_fault(struct pulse *p, size_t cause, bool is_mixed);
void pulse_decision(struct pulse *p, int64_t sent_us, size_t target, bool is_degraded, bool is_first);
/* Whether both targets have decided with all parts since that moment, and not without one again. */
bool pulse_is_whole_since(const struct pulse *p, int64_t since_us);
size_t pulse_open_count(const struct pulse *p);
void pulse_end(struct pulse *p, size_t outage);

/* Until both decided with all parts again. */
int64_t outage_restored_us(const struct outage *o);

#endif
