/* SPDX-License-Identifier: Apache-2.0
 * decider.h - all that a decision needs, as real processes: features, scoring, rules and ingestion. */
#ifndef ASSAY_HARNESS_DECIDER_H
#define ASSAY_HARNESS_DECIDER_H

#include "harness/process.h"

struct decider {
    struct process features, scoring, rules, ingestion;
};

/* Features, scoring and rules. `pg_url`: "ASSAY_PG_URL=..." */
void decider_start_parts(struct decider *d, const char *pg_url);
/* Ingestion beside them, with five seconds for a decision. */
void decider_start_ingestion(struct decider *d, const char *pg_url);
/* Stops those that run; each must end gracefully. */
void decider_stop(struct decider *d);

#endif
