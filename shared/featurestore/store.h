/* SPDX-License-Identifier: Apache-2.0
 * store.h - the state of all entities in memory, and the vectors that come out of it.
 *
 * A store is a pure function of its plan and the entries that were applied, in their order: it reads no clock
 * and looks at nothing else. The service, the standby, training and backtests run this code over the same
 * log, and so get the same bits.
 *
 * Order and time. The log's order decides what is known: a vector is computed from the entries before its
 * own. The event time decides what is counted: an event is in a window by when it happened, however late it
 * came. Of equal times the one that is already applied counts, the one that comes later does not.
 *
 * Held. Each entity keeps what its longest window and delay need, counted back from that entity's newest
 * event, and an eighth more but at most a day, so that stragglers see whole windows; at most STORE_CELLS_MAX
 * events or tiles of each kind. An event older than that when it arrives changes no window; it is counted in
 * `late_dropped`. An entity whose newest event lies further back than that from its account's newest is
 * forgotten; one with features that know no window (first_seen, since_last, speed, distance, window: all)
 * after STORE_IDLE_DAYS.
 *
 * Labels. A transaction counts as fraud from its label's entry on, in the place of its own event time. The
 * strongest source holds, the newest within one (of equal times the later entry); a change takes back exactly
 * what it added. A label that comes before its transaction waits for it. Both are held for the longest window
 * and delay of a fraud feature.
 *
 * One thread at a time. */
#ifndef ASSAY_FEATURESTORE_STORE_H
#define ASSAY_FEATURESTORE_STORE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "featurestore/plan.h"
#include "fraud/txn.h"

struct store;

enum { STORE_CELLS_MAX = 1 << 16, STORE_IDLE_DAYS = 400 };

/* The plan is borrowed and must outlive the store. */
struct store *store_new(const struct plan *plan);
void store_free(struct store *store);

/* Applies entry `n` of the log (rising; gaps are fine). `vector`, when not NULL, gets plan_columns() doubles
 * from the state before the entry; NaN is missing. Takes no memory in the steady state. */
void store_apply_txn(struct store *store, uint64_t n, const struct txn *txn, double *vector);
/* Asks for the memory that applying the transaction will read, which with many entities costs more than all
 * computing: call it STORE_AHEAD transactions before it is applied. Changes nothing that can be seen, and
 * whether it is called does not either. */
enum { STORE_AHEAD = 8 };
void store_expect(struct store *store, const struct txn *txn);
/* The same vector without applying anything: for what is asked but not logged. */
void store_peek_txn(struct store *store, const struct txn *txn, double *vector);

enum store_label {
    STORE_LABEL_APPLIED, /* it holds now; its transaction is held, or no feature needs it */
    STORE_LABEL_PENDING, /* it waits for its transaction, or that is older than what is held */
    STORE_LABEL_WEAKER,  /* a stronger or newer one holds */
    STORE_LABEL_SAME,    /* the very same is there already */
};
enum store_label store_apply_label(struct store *store, uint64_t n, const struct label *label);

/* The last entry applied; 0 for none. */
uint64_t store_last(const struct store *store);

/* A vector as it is served, stored and scored: float32, little-endian, 4 bytes a column. */
void store_vector_pack(const double *vector, size_t columns, unsigned char *out);

struct store_stats {
    size_t entities;       /* held now */
    size_t cells;          /* events and tiles held */
    size_t ledger;         /* transactions and labels that labels may still find */
    size_t bytes;          /* memory of all of it */
    size_t ledger_bytes;   /* of which the ledger's */
    uint64_t late_dropped; /* events that came too late for a window of their entity */
    uint64_t capped;       /* events or tiles forgotten because an entity had too many */
    uint64_t evicted;      /* idle entities forgotten */
};
struct store_stats store_stats(const struct store *store);

/* Writes a snapshot piece by piece; stops at the first error of `write`, which it returns. Equal states give
 * equal bytes, however they came about. */
typedef enum err store_write(void *context, struct slice piece);
MUST_USE enum err store_save(const struct store *store, store_write *write, void *context);
/* The same into a buffer. */
void store_save_buf(const struct store *store, struct buf *out);
/* Reads a snapshot of the same plan; validated as hostile input.
 *   ERR_SYNTAX   damaged, or not a snapshot
 *   ERR_CONFLICT of another plan or version of the format: replay the log instead */
MUST_USE enum err store_load(struct store **out, const struct plan *plan, struct slice snapshot,
                             struct why *why);

#endif
