/* SPDX-License-Identifier: Apache-2.0
 * replica.h - the feature state after some entry of the log, and the vectors of the newest entries.
 *
 * A replica is a pure function of its plan and the entries it was given, in order; entries that it has
 * already are ignored, so whoever reads the log may read a stretch twice. The newest vectors are kept by
 * transaction, for those who ask again: a process died between the log and the decision, or a batch held an
 * id twice.
 *
 * No I/O, no clock. One thread at a time. */
#ifndef ASSAY_FEATURES_REPLICA_H
#define ASSAY_FEATURES_REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "featurestore/plan.h"
#include "featurestore/store.h"
#include "fraud/txn.h"
#include "logstore/entry.h"

struct replica;

/* What is held of a transaction. The vector is the replica's, until the next change. */
struct recent {
    uint64_t n;
    int64_t known_at_us;
    const unsigned char *body_hash; /* NULL when it came from the log, which does not have it */
    struct slice vector;
};

/* Takes the plan over. `store` is one that was loaded from a snapshot after entry `last`, or NULL for the
 * beginning. */
struct replica *replica_new(struct plan *plan, struct store *store, uint64_t last, size_t recent_max);
void replica_free(struct replica *r);

const struct plan *replica_plan(const struct replica *r);
const struct store *replica_store(const struct replica *r);
uint64_t replica_last(const struct replica *r);
/* The identity of the newest PLAN entry that was applied, or NULL. */
const unsigned char *replica_logged_plan(const struct replica *r);

/* Applies entry `n` and returns its vector, from the state before it. `body_hash` may be NULL. */
struct slice replica_add_txn(struct replica *r, uint64_t n, const struct txn *txn,
                             const unsigned char *body_hash);
void replica_add_label(struct replica *r, uint64_t n, const struct label *label);
void replica_add_plan(struct replica *r, uint64_t n, const unsigned char plan[SHA256_BYTES]);
/* Says what the newest PLAN entry is, where that came before the snapshot. */
void replica_note_plan(struct replica *r, const unsigned char plan[SHA256_BYTES]);
/* Says that the transaction will be added soon, see store_expect(). */
void replica_expect(struct replica *r, const struct txn *txn);

/* Applies entries as the log has them, in order. Vectors are computed and kept from entry `vectors_from` on:
 * those before it are only state. Bodies that cannot be read count as entries without effect, the same
 * everywhere: returns how many there were, and *why is of the last. */
size_t replica_apply(struct replica *r, const struct entry *entries, size_t count, uint64_t vectors_from,
                     struct arena *scratch, struct why *why);

bool replica_find(const struct replica *r, uint32_t account, struct slice id, struct recent *found);

#endif
