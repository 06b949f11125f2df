/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/decider.h"

#include <criterion/criterion.h>
#include <stdio.h>

void decider_start_parts(struct decider *d, const char *pg_url)
{
    process_start(&d->features, "features", (const char *const[]){ pg_url, NULL });
    process_start(&d->scoring, "scoring", (const char *const[]){ pg_url, NULL });
    process_start(&d->rules, "rules", (const char *const[]){ pg_url, NULL });
}

void decider_start_ingestion(struct decider *d, const char *pg_url)
{
    char features[64], scoring[64], rules[64];

    snprintf(features, sizeof features, "ASSAY_FEATURES_ADDR=127.0.0.1:%d", d->features.port);
    snprintf(scoring, sizeof scoring, "ASSAY_SCORING_ADDR=127.0.0.1:%d", d->scoring.port);
    snprintf(rules, sizeof rules, "ASSAY_RULES_ADDR=127.0.0.1:%d", d->rules.port);
    process_start(&d->ingestion, "ingestion",
                  (const char *const[]){ pg_url, features, scoring, rules, "ASSAY_DEADLINE=5s", NULL });
}

void decider_stop(struct decider *d)
{
    struct process *const all[] = { &d->ingestion, &d->rules, &d->scoring, &d->features };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->pid)
            cr_expect_eq(process_stop(all[i]), 0, "it ends gracefully");
        all[i]->pid = 0;
    }
}
