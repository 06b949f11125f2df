/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/store.h"

#include <float.h>
#include <math.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "featurestore/few.h"
#include "featurestore/state.h"

/* Keys are hashed with the same key everywhere: places in a table never show, and the 128 bits that stand for
 * a transaction's id must be the same after a restart. */
static const struct hash_key entity_hash_key = { "assay.entity.key" },
                             ledger_hash_key = { "assay.ledger.key" };

/* Slots looked at for each new entity, and how many at once. */
enum { SWEEP_PER_NEW = 4, SWEEP_EVERY = 256 };

/* ---- making ---- */

struct store *store_new(const struct plan *plan)
{
    struct store *s = mem_new(struct store);
    size_t cell_bytes = 1;

    s->plan = plan;
    s->lookups = mem_new_n(struct lookup, plan->entity_count + 1);
    s->expected = mem_new_n(uint64_t, STORE_AHEAD * plan->entity_count + 1);
    s->blanks = mem_new_n(struct entity *, plan->entity_count + 1);
    s->views = mem_new_n(unsigned char *, plan->entity_count + 1);
    for (size_t i = 0; i < plan->entity_count; i++) {
        const struct entity_layout *e = &plan->entities[i];

        s->blanks[i] = mem_alloc(1, e->bytes);
        entity_init(e, s->blanks[i]);
        s->views[i] = mem_alloc(1, e->large_bytes);
        large_init(e, s->views[i]);
        s->lookups[i].places = mem_new_n(uint8_t, e->edge_count + 1);
        s->fixed_bytes += e->bytes + e->large_bytes;
        for (size_t t = 0; t < e->track_count; t++) {
            if (e->tracks[t].cell_bytes > cell_bytes)
                cell_bytes = e->tracks[t].cell_bytes;
        }
    }
    ledger_init(&s->ledger, plan->fraud_entities);
    s->workshop.scratch = mem_alloc(1, cell_bytes);
    s->slots = mem_new_n(struct cel_value, plan->slots + 1);
    s->features = mem_new_n(double, plan->count + 1);
    s->holds = mem_new_n(bool, plan->condition_count + 1);
    s->has = mem_new_n(bool, plan->value_count + 1);
    s->values = mem_new_n(int64_t, plan->value_count + 1);
    s->texts = mem_new_n(uint64_t, plan->text_count + 1);
    s->workshop.holds = mem_new_n(bool, plan->condition_count + 1);
    s->workshop.has = mem_new_n(bool, plan->value_count + 1);
    s->workshop.values = mem_new_n(int64_t, plan->value_count + 1);
    s->workshop.texts = mem_new_n(uint64_t, plan->text_count + 1);
    return s;
}

static void entity_free(struct store *s, struct entity *e)
{
    const struct entity_layout *layout = &s->plan->entities[e->type];

    entity_clear(layout, e, &s->workshop);
    pool_put(&s->workshop.pool, e, layout->bytes + e->key_len);
}

static void give_back(struct store *s)
{
    for (size_t i = 0; i < s->entities.size; i++) {
        if (s->entities.slots[i].item)
            entity_free(s, s->entities.slots[i].item);
    }
    for (size_t i = 0; i < s->accounts.size; i++)
        pool_put(&s->workshop.pool, s->accounts.slots[i].item, sizeof(struct account));
}

void store_free(struct store *s)
{
    if (!s)
        return;
    give_back(s);
    for (size_t i = 0; i < s->plan->entity_count; i++) {
        mem_free(s->blanks[i]);
        mem_free(s->views[i]);
        mem_free(s->lookups[i].places);
    }
    mem_free(s->blanks);
    mem_free(s->views);
    mem_free(s->lookups);
    mem_free(s->expected);
    mem_free(s->workshop.scratch);
    mem_free(s->workshop.holds);
    mem_free(s->workshop.has);
    mem_free(s->workshop.values);
    mem_free(s->workshop.texts);
    mem_free(s->slots);
    mem_free(s->features);
    mem_free(s->holds);
    mem_free(s->has);
    mem_free(s->values);
    mem_free(s->texts);
    mem_free(s->entities.slots);
    ledger_release(&s->ledger);
    mem_free(s->accounts.slots);
    pool_release(&s->workshop.pool);
    mem_free(s);
}

uint64_t store_key_hash(const char *key, size_t len)
{
    return hash64(&entity_hash_key, slice_of(key, len));
}

static bool account_is(const void *item, const void *number)
{
    return ((const struct account *)item)->number == *(const uint32_t *)number;
}

static struct account *account_find(const struct store *s, uint32_t number)
{
    if (s->account && s->account->number == number)
        return s->account;
    return table_find(&s->accounts, account_hash(number), account_is, &number);
}

struct account *store_account(struct store *s, uint32_t number)
{
    struct account *a = account_find(s, number);

    if (!a) {
        a = pool_get(&s->workshop.pool, sizeof *a);
        *a = (struct account){ .number = number, .newest_us = NEVER_US };
        table_add(&s->accounts, account_hash(number), a);
    }
    s->account = a;
    return a;
}

struct entity *store_entity_new(struct store *s, uint16_t type, uint64_t hash, const char *key,
                                uint32_t key_len, struct account *account)
{
    const struct entity_layout *layout = &s->plan->entities[type];
    struct entity *e = pool_get(&s->workshop.pool, layout->bytes + key_len);

    *e = (struct entity){ .hash = hash, .account = account, .key_len = (uint16_t)key_len, .type = type };
    entity_init(layout, e);
    memcpy(entity_key(layout, e), key, key_len);
    table_add(&s->entities, hash, e);
    s->entities_owed += SWEEP_PER_NEW;
    return e;
}

struct ledger_entry *store_ledger_new(struct store *s, const uint64_t id[2], const struct account *account)
{
    struct ledger_entry *e = ledger_add(&s->ledger, id);

    e->account = account->number;
    return e;
}

/* ---- finding ---- */

/* Account and kind, then each field with its kind and length, so that no two keys run into each other. */
static bool key_make(const struct plan *p, size_t type, const struct txn *txn, struct lookup *l)
{
    const struct entity_layout *layout = &p->entities[type];
    uint16_t type16 = (uint16_t)type;
    char *at = l->key;

    memcpy(at, &txn->account, 4);
    memcpy(at + 4, &type16, 2);
    at += 6;
    for (size_t i = 0; i < layout->field_count; i++) {
        struct txn_value v = txn_field_get(txn, &layout->fields[i]);
        double number = v.number + 0.0; /* -0 is 0 */
        const void *bytes = v.text.ptr;
        size_t len = v.text.len < 256 ? v.text.len : 256;

        if (v.kind == TXN_VALUE_MISSING || (v.kind == TXN_VALUE_NUMBER && isnan(number)))
            return false;
        if (v.kind == TXN_VALUE_NUMBER) {
            bytes = &number;
            len = sizeof number;
        } else if (v.kind == TXN_VALUE_BOOL) {
            bytes = &v.is_true;
            len = 1;
        }
        at[0] = (char)v.kind;
        at[1] = (char)(len & 0xff);
        at[2] = (char)(len >> 8);
        if (len)
            memcpy(at + 3, bytes, len);
        at += 3 + len;
    }
    l->key_len = (uint32_t)(at - l->key);
    l->hash = store_key_hash(l->key, l->key_len);
    return true;
}

static bool entity_is(const void *item, const void *key)
{
    const struct entity *e = item;
    const struct lookup *l = key;

    return e->key_len == l->key_len && memcmp(entity_key(l->layout, e), l->key, e->key_len) == 0;
}

static void look_up(struct store *s, const struct txn *txn, int64_t now_us)
{
    const struct plan *p = s->plan;

    for (size_t i = 0; i < p->entity_count; i++) {
        struct lookup *l = &s->lookups[i];

        l->layout = &p->entities[i];
        l->entity = l->idle = NULL;
        l->is_missing = !key_make(p, i, txn, l);
        if (!l->is_missing)
            table_prefetch(&s->entities, l->hash);
    }
    for (size_t i = 0; i < p->entity_count; i++) {
        struct lookup *l = &s->lookups[i];

        if (!l->is_missing)
            l->entity = table_find(&s->entities, l->hash, entity_is, l);
        if (l->entity && entity_is_idle(p, l->entity, now_us)) {
            l->idle = l->entity;
            l->entity = NULL;
        }
        l->block = l->entity ? l->entity : s->blanks[i];
        l->totals = l->block->large ? l->block->large : s->views[i];
        few_prefetch(l->layout, l->block);
    }
    s->now = moment_of(p, txn->occurred_at_us);
    for (size_t i = 0; i < p->entity_count; i++) {
        const struct lookup *l = &s->lookups[i];

        if (!l->is_missing && !l->block->large)
            few_find(l->layout, l->block, &s->now, l->places);
    }
}

/* ---- asking for memory ahead of time ----
 * What an entity keeps is three steps away, and each waits for the one before: the slot says where the entity
 * lies, and the entity where its events lie. So they are asked for in three calls, some transactions apart.
 */
enum { ENTITY_AFTER = 2, EVENTS_AFTER = 4 };

static void prefetch_bytes(const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)from + i);
}

static const uint64_t *expected_before(const struct store *s, size_t calls)
{
    return s->expected + (s->expected_next - calls) % STORE_AHEAD * s->plan->entity_count;
}

void store_expect(struct store *s, const struct txn *txn)
{
    const struct plan *p = s->plan;
    uint64_t *hashes = s->expected + ++s->expected_next % STORE_AHEAD * p->entity_count;
    const uint64_t *entity = expected_before(s, ENTITY_AFTER), *events = expected_before(s, EVENTS_AFTER);

    for (size_t i = 0; i < p->entity_count; i++) {
        const struct entity_layout *l = &p->entities[i];
        const struct entity *e;

        hashes[i] = key_make(p, i, txn, &s->expected_key) ? s->expected_key.hash : 0;
        if (hashes[i])
            table_prefetch(&s->entities, hashes[i]);
        e = entity[i] ? table_guess(&s->entities, entity[i]) : NULL;
        if (e)
            prefetch_bytes(e, l->bytes);
        e = events[i] ? table_guess(&s->entities, events[i]) : NULL;
        if (e && e->large)
            prefetch_bytes(e->large, l->large_bytes < 512 ? l->large_bytes : 512);
        else if (e)
            few_prefetch(l, e);
    }
}

/* ---- labels ---- */

/* An id as the ledger knows it, within its account. */
static void ledger_id(uint32_t account, struct slice id, uint64_t out[2])
{
    struct hash_key scoped = ledger_hash_key;

    for (int k = 0; k < 4; k++)
        scoped.bytes[k] ^= (unsigned char)(account >> (8 * k));
    hash128(&scoped, id, out);
}

static bool is_old(const void *store, const struct ledger_entry *e)
{
    const struct store *s = store;

    return ledger_entry_is_old(s->plan, e, account_find(s, e->account)->newest_us);
}

/* The entry of that id; when it is old it has forgotten everything, and stays old until something comes. */
static struct ledger_entry *look_in_ledger(struct store *s, const uint64_t id[2],
                                           const struct account *account)
{
    struct ledger_entry *e = ledger_find(&s->ledger, id);

    if (e && ledger_entry_is_old(s->plan, e, account->newest_us)) {
        struct ledger_entry empty = {
            .account = e->account, .next = e->next, .at_us = NEVER_US, .is_used = true
        };

        memcpy(empty.id, id, sizeof empty.id);
        *e = empty;
        memset(e->entities, 0, s->plan->fraud_entities * sizeof *e->entities);
    }
    return e;
}

static struct ledger_entry *add_to_ledger(struct store *s, const uint64_t id[2],
                                          const struct account *account)
{
    ledger_sweep(&s->ledger, is_old, s);
    return store_ledger_new(s, id, account);
}

/* The transaction's entry, with the label if that came first; NULL when labels will not find it. */
static struct ledger_entry *ledger_open(struct store *s, uint64_t n, const struct txn *txn,
                                        const uint64_t id[2], const struct account *account)
{
    const struct plan *p = s->plan;
    struct ledger_entry *e;

    if (!p->has_fraud || txn->occurred_at_us <= account->newest_us - p->ledger_us)
        return NULL;
    e = look_in_ledger(s, id, account);
    if (e && e->has_txn)
        return NULL; /* ids are unique in the log; the first one stays */
    if (!e)
        e = add_to_ledger(s, id, account);
    e->has_txn = true;
    e->at_us = txn->occurred_at_us;
    e->number = (uint32_t)n;
    for (size_t i = 0; i < p->condition_count; i++) {
        if (p->conditions[i].fraud_bit != NONE && s->holds[i])
            e->holds |= UINT64_C(1) << p->conditions[i].fraud_bit;
    }
    return e;
}

/* Whether the label holds over what the entry has. */
static bool is_stronger(const struct ledger_entry *e, const struct label *label)
{
    if (!e->has_label)
        return true;
    if ((int)label->source != e->source)
        return (int)label->source > e->source;
    return label->labelled_at_us >= e->labelled_at_us;
}

enum store_label store_apply_label(struct store *s, uint64_t n, const struct label *label)
{
    const struct plan *p = s->plan;
    struct account *account;
    struct ledger_entry *e;
    uint64_t id[2];
    bool was_fraud;
    size_t fraud_entity = 0;

    s->last = n;
    if (!p->has_fraud)
        return STORE_LABEL_APPLIED;
    account = store_account(s, label->account);
    ledger_id(label->account, label->transaction_id, id);
    e = look_in_ledger(s, id, account);
    if (!e || !(e->has_txn || e->has_label)) {
        if (label->known_at_us <= account->newest_us - p->ledger_us)
            return STORE_LABEL_PENDING;
        if (!e)
            e = add_to_ledger(s, id, account);
    }
    if (e->has_label && e->source == label->source && e->labelled_at_us == label->labelled_at_us &&
        e->is_fraud == label->is_fraud)
        return STORE_LABEL_SAME;
    if (!is_stronger(e, label))
        return STORE_LABEL_WEAKER;
    was_fraud = e->is_fraud;
    e->has_label = true;
    e->is_fraud = label->is_fraud;
    e->source = (uint8_t)label->source;
    e->labelled_at_us = label->labelled_at_us;
    if (!e->has_txn) {
        e->at_us = label->known_at_us;
        return STORE_LABEL_PENDING;
    }
    for (size_t i = 0; i < p->entity_count && e->is_fraud != was_fraud; i++) {
        struct entity *entity;

        if (!p->entities[i].has_fraud)
            continue;
        entity = e->entities[fraud_entity++];
        if (entity)
            entity_label(p, entity, e->at_us, e->number, e->holds, e->is_fraud ? 1 : -1);
    }
    return STORE_LABEL_APPLIED;
}

/* ---- applying ---- */

/* The entity to write to; NULL when the event is too old for one to be begun. */
static struct entity *entity_for(struct store *s, size_t type, struct account *account, int64_t at_us)
{
    struct lookup *l = &s->lookups[type];

    if (l->entity)
        return l->entity;
    if (at_us <= account->newest_us - s->plan->entities[type].idle_us)
        return NULL;
    if (l->idle) {
        entity_clear(l->layout, l->idle, &s->workshop);
        return l->idle;
    }
    return store_entity_new(s, (uint16_t)type, l->hash, l->key, l->key_len, account);
}

static void entity_apply(struct store *s, struct entity *entity, const struct txn *txn,
                         const struct event *event)
{
    const struct entity_layout *e = &s->plan->entities[entity->type];
    unsigned char *block = (unsigned char *)entity;

    if (event->at.at_us > entity->newest_us)
        entity->newest_us = event->at.at_us;
    if (!entity_insert(s->plan, entity, event, &s->workshop))
        s->late_dropped++;
    for (const struct recent *r = e->recents; r < e->recents + e->recent_count; r++) {
        struct place place = { event->at.at_us, txn->lat, txn->lon };

        if ((r->condition == NONE || event->holds[r->condition]) && (!r->has_place || txn->has_place))
            recent_insert(r, block, &place);
    }
    for (const struct lifetime *l = e->lifetimes; l < e->lifetimes + e->lifetime_count; l++)
        lifetime_add(l, block, event);
}

/* Frees some of what is idle, the more the more has come, so that what is idle stays a small part. What is
 * idle counts as gone already, so when this happens cannot be seen in a vector. */
static void sweep(struct store *s)
{
    const struct plan *p = s->plan;

    for (size_t i = 0; i < s->entities_owed; i++) {
        size_t slot = s->sweep_entities++ & (s->entities.size - 1);
        struct entity *e = s->entities.slots[slot].item;

        if (e && entity_is_idle(p, e, e->account->newest_us)) {
            table_remove_at(&s->entities, slot);
            entity_free(s, e);
            s->evicted++;
        }
    }
    s->entities_owed = 0;
}

void store_apply_txn(struct store *s, uint64_t n, const struct txn *txn, double *vector)
{
    const struct plan *p = s->plan;
    struct account *account = store_account(s, txn->account);
    struct event event = {
        .number = (uint32_t)n, .holds = s->holds, .values = s->values, .has = s->has, .texts = s->texts
    };
    struct ledger_entry *entry;
    size_t fraud_entity = 0;
    uint64_t id[2] = { 0 };

    if (txn->occurred_at_us > account->newest_us)
        account->newest_us = txn->occurred_at_us;
    if (p->has_fraud) {
        ledger_id(txn->account, txn->id, id);
        ledger_prefetch(&s->ledger, id);
    }
    look_up(s, txn, account->newest_us);
    compute_read(s, txn);
    compute_vector(s, txn, vector);
    entry = ledger_open(s, n, txn, id, account);
    event.at = s->now;
    event.is_fraud = entry && entry->is_fraud;
    for (size_t i = 0; i < p->entity_count; i++) {
        struct entity *entity = NULL;

        if (!s->lookups[i].is_missing) {
            entity = entity_for(s, i, account, txn->occurred_at_us);
            if (entity)
                entity_apply(s, entity, txn, &event);
            else
                s->late_dropped++;
        }
        if (p->entities[i].has_fraud && entry)
            entry->entities[fraud_entity++] = entity;
    }
    s->last = n;
    if (s->entities_owed >= SWEEP_EVERY)
        sweep(s);
}

void store_peek_txn(struct store *s, const struct txn *txn, double *vector)
{
    const struct account *account = account_find(s, txn->account);
    int64_t now_us =
        account && account->newest_us > txn->occurred_at_us ? account->newest_us : txn->occurred_at_us;

    look_up(s, txn, now_us);
    compute_read(s, txn);
    compute_vector(s, txn, vector);
}

/* ---- reading ---- */

uint64_t store_last(const struct store *s)
{
    return s->last;
}

void store_vector_pack(const double *vector, size_t columns, unsigned char *out)
{
    for (size_t i = 0; i < columns; i++) {
        float value = fabs(vector[i]) <= (double)FLT_MAX ? (float)vector[i] : NAN;
        uint32_t bits;

        memcpy(&bits, &value, sizeof bits);
        if (isnan(value))
            bits = 0x7fc00000; /* one spelling, so that equal vectors are equal bytes */
        for (int k = 0; k < 4; k++)
            out[4 * i + (size_t)k] = (unsigned char)(bits >> (8 * k));
    }
}

struct store_stats store_stats(const struct store *s)
{
    return (struct store_stats){
        .entities = s->entities.count,
        .cells = s->workshop.cells,
        .ledger = s->ledger.count,
        .bytes = s->workshop.pool.bytes + table_bytes(&s->entities) + ledger_bytes(&s->ledger) +
                 table_bytes(&s->accounts) + s->fixed_bytes + sizeof *s,
        .ledger_bytes = ledger_bytes(&s->ledger),
        .late_dropped = s->late_dropped,
        .capped = s->workshop.capped,
        .evicted = s->evicted,
    };
}
