/* SPDX-License-Identifier: Apache-2.0
 * publish.h - putting a rule set in force, and going back to an earlier one.
 *
 *   rulesets  version, account (0: every account), state: published retired, body, author
 *
 * Each change is one SQL transaction with its audit row; whoever decides hears of it by NOTIFY (store.h). What
 * was in force is retired, never changed, so that a decision says truly under which rules it was made.
 *
 * Blocking (pg/session.h): for the command line and worker threads. Errors that are not named here are those
 * of pg/pg.h. */
#ifndef ASSAY_POLICYSTORE_PUBLISH_H
#define ASSAY_POLICYSTORE_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "policy/policy.h"
#include "policystore/document.h"

struct pg_session;

/* A rule set that was read and compiled, and is in force nowhere. */
struct draft {
    struct arena arena;
    struct slice json; /* borrowed */
    struct document document;
    struct policy *policy; /* the set alone, with the lists that it declares, empty */
};

/* Compiles a document; `json` must stay as long as the draft.   Errors are those of document_read() and
 * policy_add_ruleset(); draft_release() is due in either case. */
MUST_USE enum err draft_open(struct draft *d, struct slice json, struct why *why);
void draft_release(struct draft *d);

/* Puts it in force for `account` (0: every account), and makes the lists that it declares where they are not
 * there yet. With `allows_unknown` also when a rule names a feature that nobody computes.
 *   ERR_NOT_FOUND  a rule names a list or a feature that is not there */
MUST_USE enum err draft_publish(struct pg_session *s, struct draft *d, int64_t account, bool allows_unknown,
                                struct slice actor, int64_t *version, struct why *why);

/* Puts a retired rule set of the account in force again: *version, or for 0 the one before the one in force.
 *   ERR_NOT_FOUND  there is none */
MUST_USE enum err ruleset_roll_back(struct pg_session *s, int64_t account, struct slice actor,
                                    int64_t *version, struct why *why);

#endif
