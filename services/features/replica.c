/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/mem.h"

#define NO_SLOT UINT32_MAX

/* The ring of the newest transactions; each slot is also in the chain of its bucket.
 *
 *   buckets: [hash & mask] -> slot -> next slot ...       slots: [ring, the oldest is overwritten] */
struct slot {
    char *id;
    size_t id_len, id_room;
    uint64_t n;
    int64_t known_at_us;
    uint32_t account, next, bucket;
    bool has_hash;
    unsigned char body_hash[SHA256_BYTES];
};

struct replica {
    struct plan *plan;
    struct store *store;
    uint64_t last;
    size_t vector_bytes;
    double *values; /* of one vector, on its way to float32 */

    struct slot *slots;
    unsigned char *vectors; /* of the slots */
    uint32_t *buckets, mask;
    size_t slot_max, slot_count, slot_next;
    struct hash_key key;

    bool has_logged_plan;
    unsigned char logged_plan[SHA256_BYTES];
};

struct replica *replica_new(struct plan *plan, struct store *store, uint64_t last, size_t recent_max)
{
    struct replica *r = mem_new(struct replica);
    uint32_t buckets = 1;

    assert(recent_max > 0 && recent_max < NO_SLOT / 2);
    while (buckets < recent_max)
        buckets *= 2;
    r->plan = plan;
    r->store = store ? store : store_new(plan);
    r->last = last;
    r->vector_bytes = 4 * plan_columns(plan);
    r->values = mem_new_n(double, plan_columns(plan) + 1);
    r->slot_max = recent_max;
    r->slots = mem_new_n(struct slot, recent_max);
    r->vectors = mem_alloc(recent_max, r->vector_bytes + 1);
    r->buckets = mem_new_n(uint32_t, buckets);
    memset(r->buckets, 0xff, buckets * sizeof(r->buckets[0]));
    r->mask = buckets - 1;
    randombytes_buf(&r->key, sizeof(r->key)); /* callers choose the ids */
    return r;
}

void replica_free(struct replica *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->slot_count; i++)
        mem_free(r->slots[i].id);
    mem_free(r->slots);
    mem_free(r->vectors);
    mem_free(r->buckets);
    mem_free(r->values);
    store_free(r->store);
    plan_free(r->plan);
    mem_free(r);
}

const struct plan *replica_plan(const struct replica *r)
{
    return r->plan;
}

const struct store *replica_store(const struct replica *r)
{
    return r->store;
}

uint64_t replica_last(const struct replica *r)
{
    return r->last;
}

const unsigned char *replica_logged_plan(const struct replica *r)
{
    return r->has_logged_plan ? r->logged_plan : NULL;
}

static uint32_t bucket_of(const struct replica *r, uint32_t account, struct slice id)
{
    return (uint32_t)(hash64(&r->key, id) ^ account * UINT64_C(0x9e3779b97f4a7c15)) & r->mask;
}

static unsigned char *slot_vector(const struct replica *r, size_t slot)
{
    return r->vectors + slot * r->vector_bytes;
}

static void slot_unlink(struct replica *r, uint32_t at)
{
    uint32_t *link = &r->buckets[r->slots[at].bucket];

    while (*link != at)
        link = &r->slots[*link].next;
    *link = r->slots[at].next;
}

/* The slot for a new transaction: a fresh one, or the oldest. */
static uint32_t slot_take(struct replica *r, uint32_t account, struct slice id)
{
    uint32_t at = (uint32_t)r->slot_next;
    struct slot *s = &r->slots[at];

    if (r->slot_count == r->slot_max)
        slot_unlink(r, at);
    else
        r->slot_count++;
    r->slot_next = (r->slot_next + 1) % r->slot_max;
    if (s->id_room < id.len) {
        s->id = mem_grow(s->id, id.len, 1);
        s->id_room = id.len;
    }
    if (id.len)
        memcpy(s->id, id.ptr, id.len);
    s->id_len = id.len;
    s->account = account;
    s->bucket = bucket_of(r, account, id);
    s->next = r->buckets[s->bucket];
    r->buckets[s->bucket] = at;
    return at;
}

struct slice replica_add_txn(struct replica *r, uint64_t n, const struct txn *txn,
                             const unsigned char *body_hash)
{
    uint32_t at = slot_take(r, txn->account, txn->id);
    struct slot *s = &r->slots[at];
    unsigned char *vector = slot_vector(r, at);

    assert(n > r->last);
    r->last = n;
    s->n = n;
    s->known_at_us = txn->known_at_us;
    s->has_hash = body_hash != NULL;
    if (body_hash)
        memcpy(s->body_hash, body_hash, SHA256_BYTES);
    store_apply_txn(r->store, n, txn, r->values);
    store_vector_pack(r->values, plan_columns(r->plan), vector);
    return slice_of(vector, r->vector_bytes);
}

void replica_add_label(struct replica *r, uint64_t n, const struct label *label)
{
    assert(n > r->last);
    r->last = n;
    store_apply_label(r->store, n, label);
}

void replica_add_plan(struct replica *r, uint64_t n, const unsigned char plan[SHA256_BYTES])
{
    assert(n > r->last);
    r->last = n;
    replica_note_plan(r, plan);
}

void replica_note_plan(struct replica *r, const unsigned char plan[SHA256_BYTES])
{
    r->has_logged_plan = true;
    memcpy(r->logged_plan, plan, SHA256_BYTES);
}

void replica_expect(struct replica *r, const struct txn *txn)
{
    store_expect(r->store, txn);
}

static enum err add_entry(struct replica *r, const struct entry *e, const union entry_body *body,
                          bool has_vector, struct why *why)
{
    struct plan *plan = NULL;
    enum err err = ERR_OK;

    if (e->kind == ENTRY_LABEL) {
        replica_add_label(r, e->n, &body->label);
    } else if (e->kind == ENTRY_TXN && has_vector) {
        replica_add_txn(r, e->n, &body->txn, NULL);
    } else if (e->kind == ENTRY_TXN) {
        store_apply_txn(r->store, e->n, &body->txn, NULL);
    } else {
        err = plan_parse(&plan, body->plan, why);
        if (!err)
            replica_add_plan(r, e->n, plan_hash(plan));
        plan_free(plan);
    }
    return err;
}

size_t replica_apply(struct replica *r, const struct entry *entries, size_t count, uint64_t vectors_from,
                     struct arena *scratch, struct why *why)
{
    union entry_body *bodies = arena_new(scratch, union entry_body, count + 1);
    enum err *errs = arena_new(scratch, enum err, count + 1);
    size_t bad = 0;

    for (size_t i = 0; i < count; i++)
        errs[i] = entries[i].n > r->last ? entry_open(&bodies[i], &entries[i], scratch, why) : ERR_OK;
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &entries[i];
        size_t ahead = i + STORE_AHEAD;

        if (ahead < count && entries[ahead].kind == ENTRY_TXN && entries[ahead].n > r->last && !errs[ahead])
            replica_expect(r, &bodies[ahead].txn);
        if (e->n <= r->last)
            continue;
        if (!errs[i])
            errs[i] = add_entry(r, e, &bodies[i], e->n >= vectors_from, why);
        if (errs[i]) {
            bad++;
            (void)err_wrap(why, ERR_SYNTAX, "entry %llu", (unsigned long long)e->n);
        }
        r->last = e->n;
    }
    return bad;
}

bool replica_find(const struct replica *r, uint32_t account, struct slice id, struct recent *found)
{
    uint32_t at = r->buckets[bucket_of(r, account, id)];

    for (; at != NO_SLOT; at = r->slots[at].next) {
        const struct slot *s = &r->slots[at];

        if (s->account != account || !slice_eq(slice_of(s->id, s->id_len), id))
            continue;
        *found = (struct recent){ .n = s->n,
                                  .known_at_us = s->known_at_us,
                                  .body_hash = s->has_hash ? s->body_hash : NULL,
                                  .vector = slice_of(slot_vector(r, at), r->vector_bytes) };
        return true;
    }
    return false;
}
