/* SPDX-License-Identifier: Apache-2.0
 * snapshot.c - a store as bytes and back.
 *
 *   magic | plan | last, late_dropped, capped | accounts | entities | ledger | checksum
 *
 * Accounts go by number, entities and ledger by hash and then key, and only what is not idle is written: so
 * equal states are equal bytes, whatever the tables look like. Totals over windows are left out; cursors find
 * them again. Integers are little-endian. */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "featurestore/few.h"
#include "featurestore/state.h"
#include "featurestore/store.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "cells are written as they lie in memory");

static const char magic[8] = "ASSAYST2";
enum { HEADER_BYTES = 8 + SHA256_BYTES + 3 * 8, PIECE_BYTES = 1 << 16 };
#define TIME_MAX (INT64_C(1) << 58)

/* ---- the checksum: hashes of pieces, each keyed by the one before ---- */

struct sum {
    uint64_t hash, pieces;
};

static void sum_add(struct sum *sum, struct slice piece)
{
    struct hash_key key;

    sum->pieces++;
    memcpy(key.bytes, &sum->hash, 8);
    memcpy(key.bytes + 8, &sum->pieces, 8);
    sum->hash = hash64(&key, piece);
}

uint64_t snapshot_checksum(struct slice bytes)
{
    struct sum sum = { 0 };

    for (size_t at = 0; at < bytes.len; at += PIECE_BYTES)
        sum_add(&sum, slice_of(bytes.ptr + at, bytes.len - at < PIECE_BYTES ? bytes.len - at : PIECE_BYTES));
    return sum.hash;
}

static bool account_is(const void *item, const void *number)
{
    return ((const struct account *)item)->number == *(const uint32_t *)number;
}

static struct account *known_account(const struct store *s, uint32_t number)
{
    struct account *a = table_find(&s->accounts, account_hash(number), account_is, &number);

    return a;
}

/* ---- saving ---- */

struct writer {
    store_write *write;
    void *context;
    enum err err;
    struct sum sum;
    size_t used;
    char piece[PIECE_BYTES];
};

static void flush(struct writer *w)
{
    if (!w->err && w->used) {
        sum_add(&w->sum, slice_of(w->piece, w->used));
        w->err = w->write(w->context, slice_of(w->piece, w->used));
    }
    w->used = 0;
}

static void put(struct writer *w, const void *bytes, size_t len)
{
    const char *from = bytes;

    while (len > 0) {
        size_t part = PIECE_BYTES - w->used < len ? PIECE_BYTES - w->used : len;

        memcpy(w->piece + w->used, from, part);
        w->used += part;
        from += part;
        len -= part;
        if (w->used == PIECE_BYTES)
            flush(w);
    }
}

static void put_u64(struct writer *w, uint64_t value)
{
    put(w, &value, sizeof value);
}

static void put_u32(struct writer *w, uint32_t value)
{
    put(w, &value, sizeof value);
}

static int by_number(const void *a, const void *b)
{
    const struct account *x = *(struct account *const *)a, *y = *(struct account *const *)b;

    return (x->number > y->number) - (x->number < y->number);
}

static int key_compare(const struct plan *p, const struct entity *x, const struct entity *y)
{
    return slice_compare(slice_of(entity_key(&p->entities[x->type], x), x->key_len),
                         slice_of(entity_key(&p->entities[y->type], y), y->key_len));
}

static int by_key(const void *a, const void *b, void *plan)
{
    const struct table_slot *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return key_compare(plan, x->item, y->item);
}

static int by_id(const void *a, const void *b)
{
    const struct table_slot *x = a, *y = b;
    const struct ledger_entry *m = x->item, *n = y->item;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (m->id[1] > n->id[1]) - (m->id[1] < n->id[1]);
}

static void save_deque(struct writer *w, const struct deque *d, size_t cell_bytes)
{
    put_u32(w, d->count);
    if (d->count)
        put(w, d->cells + d->first * cell_bytes, d->count * cell_bytes);
}

static void save_few(struct writer *w, const struct entity_layout *layout, const struct entity *e)
{
    size_t width;

    put_u32(w, e->count);
    for (size_t i = 0; e->count && i < few_columns(layout); i++) {
        const unsigned char *column = few_column(layout, e, i, &width);

        put(w, column, e->count * width);
    }
    put(w, (const unsigned char *)e + layout->flags_at, few_flag_count(layout) * 16);
}

static void save_entity(struct writer *w, const struct plan *p, const struct entity *e)
{
    const struct entity_layout *layout = &p->entities[e->type];
    const unsigned char *block = (const unsigned char *)e;

    put_u32(w, e->key_len);
    put(w, entity_key(layout, e), e->key_len);
    put_u64(w, (uint64_t)e->newest_us);
    put_u32(w, e->large ? 1 : 0);
    if (!e->large)
        save_few(w, layout, e);
    for (size_t i = 0; e->large && i < layout->track_count; i++)
        save_deque(w, (const struct deque *)(e->large + layout->tracks[i].at), layout->tracks[i].cell_bytes);
    for (size_t i = 0; e->large && i < layout->variety_count; i++)
        save_deque(w, &((const struct variety_state *)(e->large + layout->varieties[i].at))->deque,
                   sizeof(struct variety_cell));
    for (size_t i = 0; i < layout->recent_count; i++)
        put(w, block + layout->recents[i].at, recent_bytes(&layout->recents[i]));
    for (size_t i = 0; i < layout->lifetime_count; i++)
        put(w, block + layout->lifetimes[i].at, lifetime_bytes(&layout->lifetimes[i]));
}

static void save_ledger(struct writer *w, const struct plan *p, const struct ledger_entry *e)
{
    put(w, e->id, sizeof e->id);
    put_u32(w, e->account);
    put_u64(w, (uint64_t)e->at_us);
    put_u64(w, e->holds);
    put_u32(w, e->number);
    put_u32(w, (e->has_txn ? 1u : 0) | (e->has_label ? 2u : 0) | (e->is_fraud ? 4u : 0) |
                   (uint32_t)e->source << 8);
    put_u64(w, (uint64_t)e->labelled_at_us);
    for (size_t i = 0; i < p->fraud_entities; i++)
        put_u32(w, e->entities[i] ? e->entities[i]->ordinal + 1 : 0);
}

enum err store_save(const struct store *s, store_write *write, void *context)
{
    struct writer *w = mem_new(struct writer);
    struct account **accounts = mem_new_n(struct account *, s->accounts.count + 1);
    struct table_slot *sorted = mem_new_n(
        struct table_slot, (s->entities.count > s->ledger.count ? s->entities.count : s->ledger.count) + 1);
    size_t count = 0;
    enum err err;

    w->write = write;
    w->context = context;
    put(w, magic, sizeof magic);
    put(w, s->plan->hash, SHA256_BYTES);
    put_u64(w, s->last);
    put_u64(w, s->late_dropped);
    put_u64(w, s->workshop.capped);

    for (size_t i = 0; i < s->accounts.size; i++) {
        if (s->accounts.slots[i].item)
            accounts[count++] = s->accounts.slots[i].item;
    }
    qsort(accounts, count, sizeof(struct account *), by_number);
    put_u64(w, count);
    for (size_t i = 0; i < count; i++) {
        put_u32(w, accounts[i]->number);
        put_u64(w, (uint64_t)accounts[i]->newest_us);
    }

    count = 0;
    for (size_t i = 0; i < s->entities.size; i++) {
        const struct entity *e = s->entities.slots[i].item;

        if (e && !entity_is_idle(s->plan, e, e->account->newest_us))
            sorted[count++] = s->entities.slots[i];
    }
    qsort_r(sorted, count, sizeof *sorted, by_key, (void *)s->plan);
    put_u64(w, count);
    for (size_t i = 0; i < count; i++) {
        ((struct entity *)sorted[i].item)->ordinal = (uint32_t)i;
        save_entity(w, s->plan, sorted[i].item);
    }

    count = 0;
    for (uint32_t i = 0; i < s->ledger.places; i++) {
        struct ledger_entry *e = ledger_get(&s->ledger, i);

        if (e && !ledger_entry_is_old(s->plan, e, known_account(s, e->account)->newest_us))
            sorted[count++] = (struct table_slot){ e->id[0], e };
    }
    qsort(sorted, count, sizeof *sorted, by_id);
    put_u64(w, count);
    for (size_t i = 0; i < count; i++)
        save_ledger(w, s->plan, sorted[i].item);

    flush(w);
    if (!w->err)
        w->err = write(context, slice_of(&w->sum.hash, sizeof w->sum.hash));
    err = w->err;
    mem_free(w);
    mem_free(accounts);
    mem_free(sorted);
    return err;
}

static enum err write_buf(void *context, struct slice piece)
{
    buf_add_slice(context, piece);
    return ERR_OK;
}

void store_save_buf(const struct store *s, struct buf *out)
{
    enum err err = store_save(s, write_buf, out);

    (void)err; /* a buffer takes all, or says so itself */
}

/* ---- loading: whatever is not what store_save() writes is refused ---- */

struct reader {
    struct slice rest;
    bool is_short;
};

static const unsigned char *get(struct reader *r, size_t len)
{
    const unsigned char *at = (const unsigned char *)r->rest.ptr;

    if (r->is_short || len > r->rest.len) {
        r->is_short = true;
        return NULL;
    }
    r->rest = slice_of(r->rest.ptr + len, r->rest.len - len);
    return at;
}

static uint64_t get_u64(struct reader *r)
{
    const unsigned char *at = get(r, 8);

    return at ? load_u64(at) : 0;
}

static uint32_t get_u32(struct reader *r)
{
    const unsigned char *at = get(r, 4);
    uint32_t value = 0;

    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

static bool is_time(int64_t at_us)
{
    return at_us >= -TIME_MAX && at_us <= TIME_MAX;
}

static enum err damaged(struct why *why, const char *what)
{
    return err_set(why, ERR_SYNTAX, "the snapshot is damaged: %s", what);
}

static enum err load_accounts(struct store *s, struct reader *r, struct why *why)
{
    uint64_t count = get_u64(r);
    int64_t before = -1;

    for (uint64_t i = 0; i < count && !r->is_short; i++) {
        uint32_t number = get_u32(r);
        int64_t newest_us = (int64_t)get_u64(r);

        if (r->is_short)
            break;
        if (number <= before || (newest_us != NEVER_US && !is_time(newest_us)))
            return damaged(why, "accounts");
        before = number;
        store_account(s, number)->newest_us = newest_us;
    }
    return r->is_short ? damaged(why, "it ends among the accounts") : ERR_OK;
}

/* Whether a key is built as store.c builds it, for this plan. */
static bool is_key(const struct plan *p, const char *key, uint32_t len, uint32_t *account, uint16_t *type)
{
    size_t at = 6;

    if (len < 6)
        return false;
    memcpy(account, key, 4);
    memcpy(type, key + 4, 2);
    if (*type >= p->entity_count)
        return false;
    for (size_t i = 0; i < p->entities[*type].field_count; i++) {
        size_t field;

        if (at + 3 > len || key[at] < TXN_VALUE_NUMBER || key[at] > TXN_VALUE_BOOL)
            return false;
        field = (size_t)(unsigned char)key[at + 1] | (size_t)(unsigned char)key[at + 2] << 8;
        if (field > 256)
            return false;
        at += 3 + field;
    }
    return at == len;
}

static const unsigned char *load_deque(struct reader *r, struct deque *d, uint32_t cell_bytes,
                                       struct workshop *w)
{
    uint32_t count = get_u32(r);
    const unsigned char *cells;

    if (count > STORE_CELLS_MAX)
        return NULL;
    cells = get(r, (size_t)count * cell_bytes);
    if (!cells)
        return NULL;
    deque_reserve(d, cell_bytes, count, w);
    if (count)
        memcpy(d->cells, cells, (size_t)count * cell_bytes);
    d->count = count;
    w->cells += count;
    return cells;
}

static bool load_few(struct store *s, struct reader *r, struct entity *e)
{
    const struct entity_layout *layout = &s->plan->entities[e->type];
    uint32_t count = get_u32(r);
    const unsigned char *from;
    size_t width;

    if (r->is_short || count > SMALL_MAX)
        return false;
    few_reserve(layout, e, count, &s->workshop);
    for (size_t i = 0; count && i < few_columns(layout); i++) {
        unsigned char *column = few_column(layout, e, i, &width);

        from = get(r, count * width);
        if (!from)
            return false;
        memcpy(column, from, count * width);
    }
    from = get(r, few_flag_count(layout) * 16);
    if (!from)
        return false;
    memcpy((unsigned char *)e + layout->flags_at, from, few_flag_count(layout) * 16);
    e->count = (uint8_t)count;
    s->workshop.cells += count;
    return few_are_valid(layout, e);
}

static bool load_large(struct store *s, struct reader *r, struct entity *e)
{
    const struct entity_layout *layout = &s->plan->entities[e->type];

    entity_enlarge(layout, e, &s->workshop);
    for (size_t i = 0; i < layout->track_count; i++) {
        const struct track *t = &layout->tracks[i];

        if (!load_deque(r, (struct deque *)(e->large + t->at), t->cell_bytes, &s->workshop) ||
            !track_is_valid(t, e->large, e->newest_us))
            return false;
    }
    for (size_t i = 0; i < layout->variety_count; i++) {
        const struct variety *v = &layout->varieties[i];
        struct variety_state *state = (struct variety_state *)(e->large + v->at);

        if (!load_deque(r, &state->deque, sizeof(struct variety_cell), &s->workshop) ||
            !variety_is_valid(v, e->large, e->newest_us))
            return false;
        variety_rebuild(v, e->large, &s->workshop);
    }
    return true;
}

static bool load_entity_state(struct store *s, struct reader *r, struct entity *e)
{
    const struct entity_layout *layout = &s->plan->entities[e->type];
    unsigned char *block = (unsigned char *)e;
    uint32_t is_large = get_u32(r);

    if (is_large > 1)
        return false;
    if (is_large) {
        if (!load_large(s, r, e))
            return false;
    } else if (!load_few(s, r, e)) {
        return false;
    }
    for (size_t i = 0; i < layout->recent_count; i++) {
        size_t bytes = recent_bytes(&layout->recents[i]);
        const unsigned char *from = get(r, bytes);

        if (!from)
            return false;
        memcpy(block + layout->recents[i].at, from, bytes);
        if (!recent_is_valid(&layout->recents[i], block, e->newest_us))
            return false;
    }
    for (size_t i = 0; i < layout->lifetime_count; i++) {
        size_t bytes = lifetime_bytes(&layout->lifetimes[i]);
        const unsigned char *from = get(r, bytes);

        if (!from)
            return false;
        memcpy(block + layout->lifetimes[i].at, from, bytes);
    }
    return true;
}

static enum err load_entities(struct store *s, struct reader *r, struct entity ***all, uint64_t *all_count,
                              struct why *why)
{
    uint64_t count = get_u64(r);
    const struct entity *before = NULL;

    if (count > r->rest.len / 8 || count > UINT32_MAX)
        return damaged(why, "more entities than it has room for");
    *all = mem_new_n(struct entity *, count + 1);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t key_len = get_u32(r), number = 0;
        uint16_t type = 0;
        const char *key = key_len <= ENTITY_KEY_MAX ? (const char *)get(r, key_len) : NULL;
        int64_t newest_us = (int64_t)get_u64(r);
        struct account *account;
        struct entity *e;

        if (!key || r->is_short || !is_key(s->plan, key, key_len, &number, &type) || !is_time(newest_us))
            return damaged(why, "an entity's head");
        account = known_account(s, number);
        if (!account || newest_us > account->newest_us ||
            newest_us <= account->newest_us - s->plan->entities[type].idle_us)
            return damaged(why, "an entity's times");
        e = store_entity_new(s, type, store_key_hash(key, key_len), key, key_len, account);
        e->newest_us = newest_us;
        if (before &&
            (before->hash > e->hash || (before->hash == e->hash && key_compare(s->plan, before, e) >= 0)))
            return damaged(why, "entities out of order");
        if (!load_entity_state(s, r, e))
            return damaged(why, "an entity's events");
        before = e;
        (*all)[(*all_count)++] = e;
    }
    return r->is_short ? damaged(why, "it ends among the entities") : ERR_OK;
}

static bool load_ledger_entry(struct store *s, struct reader *r, struct entity *const *all,
                              uint64_t all_count, uint64_t before[2])
{
    const struct plan *p = s->plan;
    uint64_t id[2] = { get_u64(r), get_u64(r) };
    uint32_t number = get_u32(r), flags;
    struct account *account = r->is_short ? NULL : known_account(s, number);
    struct ledger_entry *e;
    size_t k = 0;

    if (!account || (before && (id[0] < before[0] || (id[0] == before[0] && id[1] <= before[1]))))
        return false;
    e = store_ledger_new(s, id, account);
    e->at_us = (int64_t)get_u64(r);
    e->holds = get_u64(r);
    e->number = get_u32(r);
    flags = get_u32(r);
    e->has_txn = flags & 1;
    e->has_label = flags & 2;
    e->is_fraud = flags & 4;
    e->source = (uint8_t)(flags >> 8);
    e->labelled_at_us = (int64_t)get_u64(r);
    for (size_t i = 0; i < p->entity_count; i++) {
        uint32_t ordinal;

        if (!p->entities[i].has_fraud)
            continue;
        ordinal = get_u32(r);
        if (ordinal) {
            if (!e->has_txn || ordinal > all_count || all[ordinal - 1]->type != i ||
                all[ordinal - 1]->account != account || all[ordinal - 1]->newest_us < e->at_us)
                return false;
            e->entities[k] = all[ordinal - 1];
        }
        k++;
    }
    return !r->is_short && (e->has_txn || e->has_label) && (e->has_label || (!e->is_fraud && !e->source)) &&
           !(flags & ~(uint32_t)0xff07) && e->source < LABEL_SOURCE_COUNT && is_time(e->at_us) &&
           !ledger_entry_is_old(p, e, account->newest_us) && !(e->has_txn && e->at_us > account->newest_us);
}

static enum err load_ledger(struct store *s, struct reader *r, struct entity *const *all, uint64_t all_count,
                            struct why *why)
{
    uint64_t count = get_u64(r), before[2];

    if (r->is_short || count > r->rest.len / 8 || (count && !s->plan->has_fraud))
        return damaged(why, "more labels than it has room for");
    for (uint64_t i = 0; i < count; i++) {
        struct slice at = r->rest;

        if (!load_ledger_entry(s, r, all, all_count, i ? before : NULL))
            return damaged(why, "a label");
        memcpy(before, at.ptr, sizeof before);
    }
    return r->rest.len ? damaged(why, "something follows its end") : ERR_OK;
}

enum err store_load(struct store **out, const struct plan *plan, struct slice snapshot, struct why *why)
{
    struct store *s = NULL;
    struct entity **all = NULL;
    uint64_t all_count = 0;
    struct reader r;
    enum err err;

    *out = NULL;
    if (snapshot.len < HEADER_BYTES + 8 || memcmp(snapshot.ptr, magic, 7) != 0)
        return damaged(why, "it is none");
    if (snapshot.ptr[7] != magic[7])
        return err_set(why, ERR_CONFLICT, "the snapshot is of another version of the format");
    if (load_u64((const unsigned char *)snapshot.ptr + snapshot.len - 8) !=
        snapshot_checksum(slice_of(snapshot.ptr, snapshot.len - 8)))
        return damaged(why, "the checksum does not fit");
    if (memcmp(snapshot.ptr + 8, plan->hash, SHA256_BYTES) != 0)
        return err_set(why, ERR_CONFLICT, "the snapshot is of another plan");
    r = (struct reader){ .rest =
                             slice_of(snapshot.ptr + 8 + SHA256_BYTES, snapshot.len - 8 - 8 - SHA256_BYTES) };
    s = store_new(plan);
    s->last = get_u64(&r);
    s->late_dropped = get_u64(&r);
    s->workshop.capped = get_u64(&r);
    err = load_accounts(s, &r, why);
    if (!err)
        err = load_entities(s, &r, &all, &all_count, why);
    if (!err)
        err = load_ledger(s, &r, all, all_count, why);
    mem_free(all);
    if (err)
        store_free(s);
    else
        *out = s;
    return err;
}
