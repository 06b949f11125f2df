/* SPDX-License-Identifier: Apache-2.0
 * batch.h - from calls to entries of the log: whatever waits is appended in one transaction.
 *
 *   calls ---> form ----> (look up) ----> append ----> apply ----> reply
 *               ^            ids that may       one SQL      to the state,
 *               no timer     be there already   transaction  in the log's order
 *
 * New ids are inserted without asking first: a key that is taken fails the transaction, and then the ids are
 * looked up. While ids turn out to be known, batches look up first. */
#ifndef ASSAY_FEATURES_BATCH_H
#define ASSAY_FEATURES_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "fraud/txn.h"
#include "grpc/server.h"
#include "replica.h"

struct features;

/* What has become of an item. */
enum fate {
    FATE_OPEN,
    FATE_ADDED,
    FATE_KNOWN,    /* the transaction, or the very same label, was there */
    FATE_CONFLICT, /* the id was there for another transaction */
    FATE_FAILED,   /* PostgreSQL cannot store it */
};

/* A transaction or a label on its way into the log. All it points to lives as long as its call. */
struct item {
    enum entry_kind kind;
    struct call *call;
    uint32_t account;
    struct slice id;                /* of the transaction */
    const unsigned char *body_hash; /* of a transaction; NULL from the outbox */
    struct slice body;              /* as the log keeps it */
    struct txn txn;
    struct label label;
    int64_t seq;         /* in the outbox; 0 when it comes from a call */
    struct item *leader; /* an earlier one of the same id (or the same label) in the batch */

    enum fate fate;
    unsigned char stored_hash[SHA256_BYTES]; /* of the transaction that has the id, once that is known */
    bool is_pending;                         /* a label whose transaction is not known */
    uint64_t n;                              /* 0: not in the log yet */
    int64_t known_at_us;
    struct slice vector;
};

struct call {
    struct call *next;
    struct grpc_request *request; /* NULL for what comes from the outbox */
    struct arena *arena;          /* the request's, or `own` */
    struct arena own;
    bool is_labels; /* AppendLabels */
    int64_t deadline_us;
    struct item *items;
    size_t count;
};

/* An empty call with room for `count` items in `arena`; NULL: its own. */
struct call *call_new(struct arena *arena, struct grpc_request *request, size_t count);

struct batch {
    bool is_open;
    bool has_labels;
    bool expects_known; /* ids of the batch before were known: look up first; survives the batch */
    bool has_looked;    /* up what may be there already */
    bool is_uncertain;  /* the connection was lost while it was appended: look up first */
    struct call *calls, **calls_last;
    struct item **items; /* those that are to be appended, in order */
    size_t count, cap;
    struct item **followers;
    size_t follower_count, follower_cap;
    size_t begin, end; /* of `items`: what the running transaction appends */
    int tries;
    int64_t began_us;
    struct hash_key key; /* random: callers choose the ids */
    struct item **table; /* by key, for doubles within the batch */
    size_t *used;        /* its places that are taken */
    size_t used_count, used_cap;
};

void batch_init(struct batch *b);
void batch_release(struct batch *b);

/* Queues a call, or fails it when this process does not serve. */
void batch_add_call(struct features *f, struct call *call);
/* Makes the next batch of what waits. False when nothing waits that must be appended (what needed no
 * appending is answered). */
bool batch_form(struct features *f);
/* Makes a batch of one call from the outbox. */
void batch_form_outbox(struct features *f, struct call *call);
/* Sends the open batch's next transaction on the session, which must be free. */
void batch_continue(struct features *f);
/* Fails the calls that wait, and the open batch too when `also_open`. */
void batch_fail_all(struct features *f, bool also_open, enum err err, const char *why);

#endif
