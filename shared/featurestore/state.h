/* SPDX-License-Identifier: Apache-2.0
 * state.h - what a store is made of, for the files that need to know: store.c changes it, compute.c reads
 * vectors off it, snapshot.c writes and reads it. Internal to featurestore/. */
#ifndef ASSAY_FEATURESTORE_STATE_H
#define ASSAY_FEATURESTORE_STATE_H

#include "featurestore/entity.h"
#include "featurestore/layout.h"
#include "featurestore/ledger.h"
#include "featurestore/store.h"
#include "featurestore/table.h"

struct account {
    uint32_t number;
    int64_t newest_us; /* the latest event time of any of its transactions */
};

enum { ENTITY_KEY_MAX = 8 + ENTITY_FIELDS_MAX * (3 + 256) };

/* Where the current transaction finds one of its entities. */
struct lookup {
    bool is_missing;            /* the transaction lacks a field */
    struct entity *entity;      /* NULL when there is none, or an idle one that counts as none */
    struct entity *idle;        /* to be used again */
    const struct entity *block; /* the entity, or a blank one */
    unsigned char *totals;      /* where counting leaves them: the entity's large block, or the view */
    const struct entity_layout *layout;
    uint8_t *places; /* of the layout's edges, while the block is small */
    uint64_t hash;
    uint32_t key_len;
    char key[ENTITY_KEY_MAX];
};

struct store {
    const struct plan *plan;
    uint64_t last, late_dropped, evicted;
    struct workshop workshop;
    struct table entities, accounts;
    struct ledger ledger;
    struct account *account; /* of the last call: mostly that of the next */
    size_t fixed_bytes;

    /* Scratch for one transaction. */
    struct moment now;
    struct lookup *lookups;
    struct entity **blanks; /* by kind: one that has seen nothing */
    unsigned char **views;  /* by kind: a large block to count small ones in */
    struct cel_value *slots;
    double *features;
    bool *holds, *has;
    int64_t *values;
    uint64_t *texts;
    struct lookup expected_key; /* scratch of store_expect() */
    uint64_t *expected;         /* [STORE_AHEAD][entity_count]: hashes of keys, 0 for none */
    size_t expected_next;
    const struct recent *km_of; /* whose last place is `km` away */
    double km;
    size_t entities_owed;  /* slots to look at soon */
    size_t sweep_entities; /* where the search for what is idle goes on */
};

static inline uint64_t account_hash(uint32_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

/* Reads what is known of the transaction itself: values, texts, fields for expressions. */
void compute_read(struct store *s, const struct txn *txn);
/* Takes the plan's steps, from the entities that were looked up; without a vector only those that say what is
 * then to be stored. */
void compute_vector(struct store *s, const struct txn *txn, double *vector);

struct account *store_account(struct store *s, uint32_t number);
struct entity *store_entity_new(struct store *s, uint16_t type, uint64_t hash, const char *key,
                                uint32_t key_len, struct account *account);
struct ledger_entry *store_ledger_new(struct store *s, const uint64_t id[2], const struct account *account);
/* The checksum that ends a snapshot, over all before it. */
uint64_t snapshot_checksum(struct slice bytes);
uint64_t store_key_hash(const char *key, size_t len);

static inline bool entity_is_idle(const struct plan *p, const struct entity *e, int64_t now_us)
{
    return e->newest_us <= now_us - p->entities[e->type].idle_us;
}

static inline bool ledger_entry_is_old(const struct plan *p, const struct ledger_entry *e, int64_t now_us)
{
    return e->at_us <= now_us - p->ledger_us;
}

#endif
