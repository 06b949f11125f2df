/* SPDX-License-Identifier: Apache-2.0
 * past.h - a decision as it is stored, with its payment.
 *
 * Blocking (pg/session.h); errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_REPLAYSTORE_PAST_H
#define ASSAY_REPLAYSTORE_PAST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "fraud/txn.h"
#include "policy/policy.h"
#include "proto/assay.pb-c.h"

struct pg_session;

/* All that it points to is the arena's. */
struct past {
    uint32_t account;
    struct slice id;
    int64_t known_at_us, decided_at_us;
    uint64_t n, place; /* in the log: as it was decided with, and where it is now; 0: not there (yet) */
    enum action action;
    bool has_score;
    double score; /* calibrated */
    float margin;
    double p_allow;
    struct slice model_version, ruleset_version, arm;
    struct slice plan, vector; /* the plan's SHA-256 and little-endian float32; empty without features */
    int64_t amount_base_minor;
    struct slice record_bytes;
    Assay__V1__DecisionRecord *record;
    Assay__V1__Transaction
        *message; /* the payment, as rules were asked about it, and the same as kernels take it */
    struct txn txn;
    bool is_as_sent; /* the payment has the hash that its request had */
};

/*   ERR_NOT_FOUND  no such transaction, or it has no decision
 *   ERR_SYNTAX     the record or the payment cannot be read: *why says which */
MUST_USE enum err past_read(struct past *out, struct pg_session *s, uint32_t account, struct slice id,
                            struct arena *arena, struct why *why);

/* The same by the account's name; empty: the only one that has the transaction.
 *   ERR_INVALID  several accounts have one of that id */
MUST_USE enum err past_find(struct past *out, struct pg_session *s, struct slice account, struct slice id,
                            struct arena *arena, struct why *why);

/* Whether something was missing when it was made: "features", "scoring", "rules", "older_features". */
bool past_lacked(const struct past *p, const char *part);
/* Of the registry; 0: none scored it, or the online model did. */
int64_t past_model(const struct past *p);
/* Versions of the rule set in force and of the one in shadow; 0: there was none. */
int64_t past_ruleset(const struct past *p);
int64_t past_shadow(const struct past *p);

/* What the policy kernel was given, but for the columns, which are NULL. */
struct policy_input past_input(const struct past *p, struct arena *arena);

#endif
