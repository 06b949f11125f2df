/* SPDX-License-Identifier: Apache-2.0
 * transit.h - how long what is begun takes to be done, as it must be counted on. No clock of its own.
 *
 * The smoothed mean and four times the smoothed deviation: what is rarely exceeded, soon higher when work
 * gets slow, and soon forgotten. Source: RFC 6298 section 2 (Jacobson, "Congestion Avoidance and Control",
 * SIGCOMM 1988), with its constants. */
#ifndef ASSAY_INGESTION_TRANSIT_H
#define ASSAY_INGESTION_TRANSIT_H

#include <stdint.h>

struct transit {
    int64_t mean_us, deviation_us; /* all 0: nothing is known yet */
};

/* One observation for all that went together: the longest of them. */
void transit_add(struct transit *t, int64_t took_us);
/* What should be left to who begins now, at most `most_us`. `oldest_us` is how long the oldest that is not done
 * has been on its way: what comes behind it hardly takes less. */
int64_t transit_reserve_us(const struct transit *t, int64_t oldest_us, int64_t most_us);

#endif
