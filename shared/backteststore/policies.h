/* SPDX-License-Identifier: Apache-2.0
 * policies.h - inside backteststore/: rule sets and lists out of PostgreSQL, as a backtest takes them. */
#ifndef ASSAY_BACKTESTSTORE_POLICIES_H
#define ASSAY_BACKTESTSTORE_POLICIES_H

#include "backtest/backtest.h"
#include "backteststore/archive.h"
#include "policystore/document.h"

struct pg_session;

struct sets {
    struct arena arena;
    struct document *documents;
    struct ruleset *rulesets;
    size_t count, cap, document_cap;
};
void sets_release(struct sets *sets);

/* Adds a document, as of all accounts.   Errors are those of document_read(). */
MUST_USE enum err sets_add(struct sets *sets, struct slice json, uint32_t account, struct slice version,
                           struct why *why);
/* As of all accounts; *account, unless it is NULL, gets the one that it is of.   ERR_NOT_FOUND  no such version */
MUST_USE enum err sets_add_version(struct sets *sets, struct pg_session *s, int64_t version, int64_t *account,
                                   struct why *why);
/* Those in force now, of all accounts. */
MUST_USE enum err sets_add_live(struct sets *sets, struct pg_session *s, struct why *why);
/* Those by which the history was decided and that are still there. */
MUST_USE enum err sets_add_used(struct sets *sets, struct pg_session *s, const struct archive *h,
                                struct why *why);

/* All lists that there ever were, with every change. */
MUST_USE enum err policies_lists(struct timeline *t, struct pg_session *s, struct why *why);
/* Those that documents declare: timeline_declare(). */
void policies_declared(struct timeline *t, const struct sets *asked);
/* All labels; *newest_us gets when the last became known, where that is later. */
MUST_USE enum err policies_labels(struct labels *l, struct pg_session *s, int64_t *newest_us,
                                  struct why *why);

#endif
