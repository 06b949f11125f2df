/* SPDX-License-Identifier: Apache-2.0
 * rules.h - Rules.Decide over the policy in force, and REST for those who write it. */
#ifndef ASSAY_RULES_RULES_H
#define ASSAY_RULES_RULES_H

#include <stdint.h>

#include "base/err.h"

struct backtests;
struct desk;
struct service;
struct rules;

struct rules_settings {
    const char *pg_url, *pg_role;
    const char *backtests; /* directory */
    int64_t backtests_gb;
};

/* Reads the policy and listens. Ready once the first policy is there; stays so when PostgreSQL goes away.
 * Errors are those of pg_pool_open() and service_listen(). */
MUST_USE enum err rules_open(struct rules **out, struct service *app, const struct rules_settings *conf,
                             struct why *why);
void rules_close(struct rules *rules);
/* Where requests are answered that need PostgreSQL. */
struct desk *rules_desk(struct rules *rules);
/* Where drafts are tried, which takes longer than all else. */
struct desk *rules_trial_desk(struct rules *rules);
struct backtests *rules_backtests(struct rules *rules);

#endif
