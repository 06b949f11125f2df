/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "calls.h"
#include "features.h"
#include "keeper.h"
#include "log/log.h"
#include "partitions.h"
#include "sql.h"

enum { BATCH_ITEMS = 512, TABLE_SIZE = 1 << 14, TRIES_MAX = 3, WAITING_ITEMS_MAX = 1 << 14 };

void batch_init(struct batch *b)
{
    b->calls_last = &b->calls;
    randombytes_buf(&b->key, sizeof(b->key));
    b->table = mem_new_n(struct item *, TABLE_SIZE);
}

void batch_release(struct batch *b)
{
    mem_free(b->items);
    mem_free(b->followers);
    mem_free(b->table);
    mem_free(b->used);
}

static bool is_same_key(const struct item *a, const struct item *b)
{
    if (a->kind != b->kind || a->account != b->account || !slice_eq(a->id, b->id))
        return false;
    return a->kind == ENTRY_TXN ||
           (a->label.source == b->label.source && a->label.is_fraud == b->label.is_fraud &&
            a->label.labelled_at_us == b->label.labelled_at_us);
}

/* The earlier item of the same key; NULL, and `item` takes the place, when there is none. */
static struct item *table_put(struct batch *b, struct item *item)
{
    size_t at = (hash64(&b->key, item->id) + item->account + (size_t)item->kind) & (TABLE_SIZE - 1);

    for (; b->table[at]; at = (at + 1) & (TABLE_SIZE - 1))
        if (is_same_key(b->table[at], item))
            return b->table[at];
    b->table[at] = item;
    ARRAY_RESERVE_ONE(b->used, b->used_count, b->used_cap);
    b->used[b->used_count++] = at;
    return NULL;
}

/* ---- calls ---- */

struct call *call_new(struct arena *arena, struct grpc_request *request, size_t count)
{
    struct call *call;

    if (arena) {
        call = arena_new(arena, struct call, 1);
        call->arena = arena;
    } else {
        call = mem_new(struct call);
        call->arena = &call->own;
    }
    call->request = request;
    call->items = arena_new(call->arena, struct item, count + 1);
    call->count = count;
    for (size_t i = 0; i < count; i++)
        call->items[i].call = call;
    return call;
}

/* Answers, if there is somebody to answer, and forgets the call. */
static void call_end(struct features *f, struct call *call, enum err err, const struct why *why)
{
    if (call->request) {
        calls_reply(f, call, err, why); /* its memory is the request's */
        return;
    }
    for (size_t i = 0; i < call->count; i++)
        if (call->items[i].fate == FATE_FAILED && call->items[i].seq > f->outbox_after)
            f->outbox_after = call->items[i].seq;
    arena_release(&call->own);
    mem_free(call);
}

void batch_add_call(struct features *f, struct call *call)
{
    struct why why;
    enum err err = ERR_OK;

    if (f->role != ROLE_ACTIVE)
        err = err_set(&why, ERR_UNAVAILABLE, "this features is %s", role_name(f->role));
    else if (f->waiting_items >= WAITING_ITEMS_MAX)
        err = err_set(&why, ERR_UNAVAILABLE, "%zu items wait already", f->waiting_items);
    if (err) {
        call_end(f, call, err, &why);
        return;
    }
    call->next = NULL;
    *f->waiting_last = call;
    f->waiting_last = &call->next;
    f->waiting_items += call->count;
    loop_work(f->loop, &f->step);
}

static struct call *waiting_pop(struct features *f)
{
    struct call *call = f->waiting;

    if (!call)
        return NULL;
    f->waiting = call->next;
    if (!f->waiting)
        f->waiting_last = &f->waiting;
    f->waiting_items -= call->count;
    return call;
}

/* ---- forming ---- */

static void set_known(struct features *f, struct item *item, const void *hash, uint64_t n,
                      int64_t known_at_us)
{
    struct recent found;

    memcpy(item->stored_hash, hash, SHA256_BYTES);
    item->fate =
        item->body_hash && memcmp(item->body_hash, hash, SHA256_BYTES) == 0 ? FATE_KNOWN : FATE_CONFLICT;
    item->n = n;
    item->known_at_us = known_at_us;
    if (item->fate == FATE_KNOWN && n && replica_find(f->replica, item->account, item->id, &found) &&
        found.n == n)
        item->vector = arena_slice(item->call->arena, found.vector);
}

/* True when the state in memory says all that there is to say about it. */
static bool is_answered_from_memory(struct features *f, struct item *item)
{
    struct recent found;

    if (item->kind != ENTRY_TXN || item->seq || !replica_find(f->replica, item->account, item->id, &found) ||
        !found.body_hash)
        return false;
    set_known(f, item, found.body_hash, found.n, found.known_at_us);
    return true;
}

static void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->used_count; i++)
        b->table[b->used[i]] = NULL;
    b->used_count = 0;
    b->calls = NULL;
    b->calls_last = &b->calls;
    b->count = b->follower_count = b->begin = b->end = 0;
    b->tries = 0;
    b->is_open = b->has_looked = b->is_uncertain = b->has_labels = false;
}

static void take_call(struct features *f, struct call *call)
{
    struct batch *b = &f->batch;

    call->next = NULL;
    *b->calls_last = call;
    b->calls_last = &call->next;
    for (size_t i = 0; i < call->count; i++) {
        struct item *item = &call->items[i];

        if (is_answered_from_memory(f, item))
            continue;
        item->leader = table_put(b, item);
        if (item->leader) {
            ARRAY_RESERVE_ONE(b->followers, b->follower_count, b->follower_cap);
            b->followers[b->follower_count++] = item;
            continue;
        }
        ARRAY_RESERVE_ONE(b->items, b->count, b->cap);
        b->items[b->count++] = item;
        b->has_labels |= item->kind == ENTRY_LABEL;
    }
}

/* What came of the earlier one is what a later one of the same key finds. */
static void settle_follower(const struct features *f, struct item *item)
{
    const struct item *leader = item->leader;
    struct recent found;

    item->n = leader->n;
    item->known_at_us = leader->known_at_us;
    item->is_pending = leader->is_pending;
    item->fate = leader->fate == FATE_FAILED ? FATE_FAILED : FATE_KNOWN;
    if (item->kind == ENTRY_LABEL || item->fate == FATE_FAILED)
        return;
    if (!item->body_hash || memcmp(item->body_hash, leader->stored_hash, SHA256_BYTES) != 0) {
        item->fate = FATE_CONFLICT;
        return;
    }
    if (leader->vector.len)
        item->vector = arena_slice(item->call->arena, leader->vector);
    else if (replica_find(f->replica, item->account, item->id, &found) && found.n == item->n)
        item->vector = arena_slice(item->call->arena, found.vector);
}

static void batch_end(struct features *f, enum err err, const struct why *why)
{
    struct batch *b = &f->batch;
    struct call *call = b->calls;

    for (size_t i = 0; !err && i < b->follower_count; i++)
        settle_follower(f, b->followers[i]);
    batch_clear(b);
    while (call) {
        struct call *next = call->next;

        call_end(f, call, err, why);
        call = next;
    }
    loop_work(f->loop, &f->step);
}

bool batch_form(struct features *f)
{
    struct batch *b = &f->batch;
    struct call *call;

    assert(!b->is_open);
    while (f->waiting) {
        int64_t now = loop_mono_us(f->loop);

        while (b->count < BATCH_ITEMS && (call = waiting_pop(f)) != NULL) {
            struct why why;

            if (call->deadline_us < now || grpc_request_is_gone(call->request))
                call_end(f, call,
                         err_set(&why, ERR_TIMEOUT, "the deadline passed before anything was written"), &why);
            else
                take_call(f, call);
        }
        if (b->count) {
            b->is_open = true;
            b->end = b->count;
            b->began_us = now;
            return true;
        }
        if (b->calls)
            batch_end(f, ERR_OK, NULL); /* everything was known */
    }
    return false;
}

void batch_form_outbox(struct features *f, struct call *call)
{
    struct batch *b = &f->batch;

    assert(!b->is_open);
    take_call(f, call);
    b->is_open = true;
    b->end = b->count;
    b->began_us = loop_mono_us(f->loop);
}

void batch_fail_all(struct features *f, bool also_open, enum err err, const char *text)
{
    struct call *call;
    struct why why;

    err_set(&why, err, "%s", text);
    while ((call = waiting_pop(f)) != NULL)
        call_end(f, call, err, &why);
    if (also_open && f->batch.is_open)
        batch_end(f, err, &why);
}

/* ---- looking up ---- */

/* Keeps only what is still to be done: open items, and those whose row in the outbox must go. */
static void compact(struct batch *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->count; i++)
        if (b->items[i]->fate == FATE_OPEN || (b->items[i]->seq && b->items[i]->fate == FATE_KNOWN))
            b->items[kept++] = b->items[i];
    b->count = kept;
    b->begin = 0;
    b->end = kept;
}

/* The connection has gone: nobody knows what was committed until the log is read again. */
static bool is_lost(struct features *f, const struct pg_reply *reply)
{
    if (reply->err != ERR_UNKNOWN && pg_pool_is_up(f->session))
        return false;
    if (f->batch.calls && !f->batch.calls->request) {
        batch_end(f, reply->err, &reply->why); /* the outbox is simply read again */
        return true;
    }
    f->batch.is_uncertain = true;
    f->batch.has_looked = false;
    return true;
}

static void on_lookup(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    struct batch *b = &f->batch;
    const struct pg_result *ids, *labels;
    bool is_any_known = false;

    keeper_session_done(f);
    if (reply->err) {
        if (!is_lost(f, reply))
            batch_end(f, reply->err, &reply->why);
        return;
    }
    ids = reply->results[0];
    for (size_t i = 0; i < pg_rows(ids); i++) {
        struct item *item = b->items[pg_get_int(ids, i, 0)];

        set_known(f, item, pg_get_bytes(ids, i, 1).ptr, (uint64_t)pg_get_int(ids, i, 2),
                  pg_get_time_us(ids, i, 3));
        is_any_known = true;
    }
    labels = reply->results[1];
    for (size_t i = 0; i < pg_rows(labels); i++) {
        struct item *item = b->items[pg_get_int(labels, i, 0)];

        if (pg_get_bool(labels, i, 1))
            item->fate = FATE_KNOWN;
        item->is_pending = !pg_get_bool(labels, i, 2);
    }
    b->expects_known = is_any_known;
    b->has_looked = true;
    compact(b);
}

static void send_lookup(struct features *f)
{
    struct batch *b = &f->batch;
    struct pg_unit *unit = pg_unit_new(f->session);
    struct pg_params *p = pg_unit_add(unit, SQL_LOOKUP_IDS);
    struct pg_array *at = pg_add_array(p, PG_INT4), *accounts = pg_add_array(p, PG_INT4),
                    *ids = pg_add_array(p, PG_TEXT);
    struct pg_array *sources, *times, *frauds;

    for (size_t i = b->begin; i < b->count; i++) {
        const struct item *item = b->items[i];

        if (item->kind != ENTRY_TXN || item->seq || item->fate != FATE_OPEN)
            continue;
        pg_array_i32(at, (int32_t)i);
        pg_array_i32(accounts, (int32_t)item->account);
        pg_array_text(ids, item->id);
    }
    p = pg_unit_add(unit, SQL_LOOKUP_LABELS);
    at = pg_add_array(p, PG_INT4);
    accounts = pg_add_array(p, PG_INT4);
    ids = pg_add_array(p, PG_TEXT);
    sources = pg_add_array(p, PG_INT2);
    times = pg_add_array(p, PG_TIMESTAMPTZ);
    frauds = pg_add_array(p, PG_BOOL);
    for (size_t i = b->begin; i < b->count; i++) {
        const struct item *item = b->items[i];

        if (item->kind != ENTRY_LABEL || item->fate != FATE_OPEN)
            continue;
        pg_array_i32(at, (int32_t)i);
        pg_array_i32(accounts, (int32_t)item->account);
        pg_array_text(ids, item->id);
        pg_array_i16(sources, (int16_t)item->label.source);
        pg_array_time_us(times, item->label.labelled_at_us);
        pg_array_bool(frauds, item->label.is_fraud);
    }
    pg_unit_is_read(unit);
    keeper_session_send(f, unit, on_lookup);
}

/* ---- appending ---- */

static void apply_range(struct features *f)
{
    struct batch *b = &f->batch;
    size_t added = 0;

    for (size_t i = b->begin; i < b->end; i++) {
        struct item *item = b->items[i];
        const struct item *later = i + STORE_AHEAD < b->end ? b->items[i + STORE_AHEAD] : NULL;

        if (later && later->kind == ENTRY_TXN && later->fate == FATE_OPEN)
            replica_expect(f->replica, &later->txn);
        if (item->fate != FATE_OPEN)
            continue;
        item->fate = FATE_ADDED;
        if (item->kind == ENTRY_TXN) {
            struct slice vector = replica_add_txn(f->replica, item->n, &item->txn, item->body_hash);

            item->vector = arena_slice(item->call->arena, vector);
            item->known_at_us = item->txn.known_at_us;
            if (item->body_hash)
                memcpy(item->stored_hash, item->body_hash, SHA256_BYTES);
        } else {
            replica_add_label(f->replica, item->n, &item->label);
        }
        metric_inc(f->metrics, M_ENTRIES, item->kind == ENTRY_TXN ? f->series_txn : f->series_label);
        added++;
    }
    metric_observe_size(f->metrics, M_APPEND_ITEMS, 0, added);
    metric_observe_us(f->metrics, M_APPEND_SECONDS, 0, clock_mono_us() - b->began_us);
}

static void tell_refused(const struct item *item, const struct why *why)
{
    const struct grpc_request *request = item->call->request;
    struct slice parent = { 0 };

    if (request)
        parent = grpc_request_metadata(request, SLICE("traceparent"));
    log_limited(LOG_ERROR, "item_refused", "account=%" PRIu32 " id=%s why=%s parent=%s", item->account,
                log_quoted(item->id), log_quoted(slice_str(why->text)), log_quoted(parent));
}

static void on_append(void *ctx, const struct pg_reply *reply)
{
    struct features *f = ctx;
    struct batch *b = &f->batch;

    keeper_session_done(f);
    if (!reply->err) {
        apply_range(f);
        b->begin = b->end;
        b->end = b->count;
        if (b->begin == b->count)
            batch_end(f, ERR_OK, NULL); /* now rather than in the next step: somebody waits */
        return;
    }
    if (is_lost(f, reply))
        return;
    if (reply->failed == 0 && reply->err == ERR_INVALID) {
        log_event(LOG_ERROR, "epoch_passed", "epoch=%" PRIu64, f->epoch);
        batch_end(f, ERR_UNAVAILABLE, &(struct why){ "another features has begun an epoch" });
        pg_pool_reset(f->session);
    } else if (pg_reply_is_conflict(reply) && b->tries++ < TRIES_MAX) {
        /* Rolled back in favour of another: ingestion reserves ids too, in an order of its own. */
        b->has_looked = false;
    } else if (strcmp(reply->sqlstate, "23505") == 0 && b->tries++ < TRIES_MAX) {
        b->has_looked = false; /* a key is taken: find out which */
        b->expects_known = true;
    } else if (pg_reply_is_data_error(reply)) {
        if (b->end - b->begin == 1) {
            struct item *item = b->items[b->begin];

            item->fate = FATE_FAILED;
            tell_refused(item, &reply->why);
            b->begin = b->end;
            b->end = b->count;
        } else {
            b->end = b->begin + (b->end - b->begin) / 2;
        }
    } else {
        log_limited(LOG_ERROR, "append_failed", "why=%s", log_quoted(slice_str(reply->why.text)));
        batch_end(f, reply->err == ERR_INTERNAL ? ERR_INTERNAL : ERR_UNAVAILABLE, &reply->why);
    }
}

static void add_new_ids(const struct features *f, struct pg_unit *unit)
{
    const struct batch *b = &f->batch;
    struct pg_params *p = pg_unit_add(unit, SQL_ADD_IDS);
    struct pg_array *accounts = pg_add_array(p, PG_INT4), *ids = pg_add_array(p, PG_TEXT),
                    *hashes = pg_add_array(p, PG_BYTEA), *times = pg_add_array(p, PG_TIMESTAMPTZ),
                    *ns = pg_add_array(p, PG_INT8);

    pg_add_i64(p, (int64_t)f->epoch);
    for (size_t i = b->begin; i < b->end; i++) {
        const struct item *item = b->items[i];

        if (item->kind != ENTRY_TXN || item->seq || item->fate != FATE_OPEN)
            continue;
        pg_array_i32(accounts, (int32_t)item->account);
        pg_array_text(ids, item->id);
        pg_array_bytes(hashes, slice_of(item->body_hash, SHA256_BYTES));
        pg_array_time_us(times, item->txn.known_at_us);
        pg_array_i64(ns, (int64_t)item->n);
    }
}

static void add_labels(const struct features *f, struct pg_unit *unit)
{
    const struct batch *b = &f->batch;
    struct pg_params *p = pg_unit_add(unit, SQL_ADD_LABELS);
    struct pg_array *accounts = pg_add_array(p, PG_INT4), *ids = pg_add_array(p, PG_TEXT),
                    *sources = pg_add_array(p, PG_INT2), *labelled = pg_add_array(p, PG_TIMESTAMPTZ),
                    *frauds = pg_add_array(p, PG_BOOL), *known = pg_add_array(p, PG_TIMESTAMPTZ),
                    *ns = pg_add_array(p, PG_INT8);

    for (size_t i = b->begin; i < b->end; i++) {
        const struct item *item = b->items[i];

        if (item->kind != ENTRY_LABEL || item->fate != FATE_OPEN)
            continue;
        pg_array_i32(accounts, (int32_t)item->account);
        pg_array_text(ids, item->id);
        pg_array_i16(sources, (int16_t)item->label.source);
        pg_array_time_us(labelled, item->label.labelled_at_us);
        pg_array_bool(frauds, item->label.is_fraud);
        pg_array_time_us(known, item->label.known_at_us);
        pg_array_i64(ns, (int64_t)item->n);
    }
}

/* Rows of the outbox: their ids are there, without a place in the log. */
static void move_outbox(const struct features *f, struct pg_unit *unit)
{
    const struct batch *b = &f->batch;
    struct pg_params *p = pg_unit_add(unit, SQL_SET_IDS);
    struct pg_array *accounts = pg_add_array(p, PG_INT4), *ids = pg_add_array(p, PG_TEXT),
                    *ns = pg_add_array(p, PG_INT8), *seqs;

    pg_add_i64(p, (int64_t)f->epoch);
    seqs = pg_add_array(pg_unit_add(unit, SQL_DELETE_OUTBOX), PG_INT8);
    for (size_t i = b->begin; i < b->end; i++) {
        const struct item *item = b->items[i];

        if (!item->seq)
            continue;
        pg_array_i64(seqs, item->seq);
        if (item->kind != ENTRY_TXN || item->fate != FATE_OPEN)
            continue;
        pg_array_i32(accounts, (int32_t)item->account);
        pg_array_text(ids, item->id);
        pg_array_i64(ns, (int64_t)item->n);
    }
    /* Copies of a label are one label: their rows go with the last of those that are appended. */
    for (size_t i = 0; b->end == b->count && i < b->follower_count; i++)
        if (b->followers[i]->seq && b->followers[i]->leader->fate != FATE_FAILED)
            pg_array_i64(seqs, b->followers[i]->seq);
}

static void add_entries(const struct features *f, struct pg_unit *unit)
{
    const struct batch *b = &f->batch;
    struct pg_params *p = pg_unit_add(unit, SQL_ADD_ENTRIES);
    struct pg_array *ns = pg_add_array(p, PG_INT8), *kinds = pg_add_array(p, PG_INT2),
                    *accounts = pg_add_array(p, PG_INT4), *times = pg_add_array(p, PG_TIMESTAMPTZ),
                    *bodies = pg_add_array(p, PG_BYTEA);

    pg_add_i64(p, (int64_t)f->epoch);
    for (size_t i = b->begin; i < b->end; i++) {
        const struct item *item = b->items[i];

        if (item->fate != FATE_OPEN)
            continue;
        pg_array_i64(ns, (int64_t)item->n);
        pg_array_i16(kinds, (int16_t)item->kind);
        pg_array_i32(accounts, (int32_t)item->account);
        pg_array_time_us(times, item->kind == ENTRY_TXN ? item->txn.known_at_us : item->label.known_at_us);
        pg_array_bytes(bodies, item->body);
    }
}

/* One transaction for [begin, end): n is given in their order, without holes, since nothing is left out. */
static void send_append(struct features *f)
{
    struct batch *b = &f->batch;
    struct pg_unit *unit;
    uint64_t n = replica_last(f->replica);
    int64_t from = INT64_MAX, to = INT64_MIN;
    size_t ids = 0, labels = 0, moved = 0;

    for (size_t i = b->begin; i < b->end; i++) {
        struct item *item = b->items[i];
        int64_t known = item->kind == ENTRY_TXN ? item->txn.known_at_us : item->label.known_at_us;

        moved += item->seq != 0;
        if (item->fate != FATE_OPEN)
            continue;
        item->n = ++n;
        ids += item->kind == ENTRY_TXN && !item->seq;
        labels += item->kind == ENTRY_LABEL;
        from = known < from ? known : from;
        to = known > to ? known : to;
    }
    if (from <= to && partitions_are_made(f, from, to))
        return;
    unit = pg_unit_new(f->session);
    pg_add_i64(pg_unit_add(unit, SQL_CHECK_EPOCH), (int64_t)f->epoch);
    if (ids)
        add_new_ids(f, unit);
    if (labels)
        add_labels(f, unit);
    if (moved)
        move_outbox(f, unit);
    if (n > replica_last(f->replica))
        add_entries(f, unit);
    keeper_session_send(f, unit, on_append);
}

void batch_continue(struct features *f)
{
    struct batch *b = &f->batch;

    if (!b->has_looked && (b->expects_known || b->has_labels || b->is_uncertain))
        send_lookup(f);
    else if (b->begin < b->count)
        send_append(f);
    else
        batch_end(f, ERR_OK, NULL);
}
