/* SPDX-License-Identifier: Apache-2.0
 * ledger.h - the transactions that labels may find, and the labels that wait for their transactions: one
 * entry for each, by 128 bits of hash of account and id. Internal to featurestore/.
 *
 * Entries lie in chunks and have places; a table of tags and places finds them. They come and grow old in
 * nearly the same order, so they stand in a queue, and what is old is taken from its front. */
#ifndef ASSAY_FEATURESTORE_LEDGER_H
#define ASSAY_FEATURESTORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entity;

struct ledger_entry {
    uint64_t id[2];
    int64_t at_us; /* the transaction's event time; while it is not there, when the label became known */
    int64_t labelled_at_us;
    uint32_t account;
    uint32_t number; /* the transaction's in the log, low bits */
    uint32_t next;   /* in the queue, or of the free places: one more than its place, 0 for none */
    uint8_t source;
    bool is_used : 1, has_txn : 1, has_label : 1, is_fraud : 1;
    uint64_t holds;            /* conditions, by fraud_bit */
    struct entity *entities[]; /* of the kinds that have fraud features; NULL where the field was missing */
};

struct ledger {
    char **chunks;
    size_t chunk_count, chunk_cap;
    uint32_t entry_bytes, chunk_entries;
    uint32_t count, places;        /* in use; that there are */
    uint32_t oldest, newest, free; /* one more than the place, 0 for none */
    uint32_t looks;                /* in vain, see ledger_sweep() */
    uint64_t *slots;               /* tag << 32 | place + 1; 0: empty */
    size_t size;                   /* of slots: a power of two, or 0 */
};

/* `entities`: how many kinds of them an entry names. */
void ledger_init(struct ledger *l, size_t entities);
void ledger_release(struct ledger *l);
size_t ledger_bytes(const struct ledger *l);

/* NULL when there is none. */
struct ledger_entry *ledger_find(const struct ledger *l, const uint64_t id[2]);
/* Adds an entry that is not there, all zero but for its id. */
struct ledger_entry *ledger_add(struct ledger *l, const uint64_t id[2]);
/* The entry at a place below `places`; NULL when none is. */
struct ledger_entry *ledger_get(const struct ledger *l, uint32_t place);

/* Takes a few entries out that `is_old`, from the front of the queue; to be called for each that is added.
 * One that is not old and stays in front for long goes to the back: it may have come with an early time, or
 * its account may rest. */
typedef bool ledger_is_old(const void *context, const struct ledger_entry *entry);
void ledger_sweep(struct ledger *l, ledger_is_old *is_old, const void *context);

/* Asks for the memory that finding will read. */
static inline void ledger_prefetch(const struct ledger *l, const uint64_t id[2])
{
    if (l->size)
        __builtin_prefetch(&l->slots[id[0] >> 32 & (l->size - 1)]);
}

#endif
