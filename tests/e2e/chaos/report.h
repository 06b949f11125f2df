/* SPDX-License-Identifier: Apache-2.0
 * report.h - what a person reads: a line for each round when it is over, and in the end what each kind of
 * fault cost, with the verdict on the time that a standby needs. */
#ifndef ASSAY_CHAOS_REPORT_H
#define ASSAY_CHAOS_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "faults.h"
#include "pulse.h"
#include "record.h"

struct report_round {
    struct fault_card card;
    char name[96];
    int64_t lasts_us;
};

struct report {
    struct report_round *rounds;
    size_t count, cap;
};

/* Notes the round's fault; its number is the cause of the outage. */
size_t report_round(struct report *r, const struct fault *f);
/* Ends the outages that are open, and prints a line for each. */
void report_outages(struct report *r, struct pulse *p);
/* The table over all rounds that nothing else was mixed into. A kill of the active features that cost more
 * than `limit_us` and what the machine stalled is a violation; 0: it is only
 * printed. */
void report_print(const struct report *r, const struct pulse *p, struct record *record, int64_t limit_us);
void report_close(struct report *r);

#endif
