/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "logstore/reader.h"

enum {
    CHUNK_BYTES = 8 << 20, /* no chunk is larger, whoever wrote it */
    PIECE_BYTES = 512 << 10,
    ZSTD_LEVEL = 1,
};

/* A payment's commit waits for all WAL before it. So a snapshot goes out in small pieces with pauses, and no
 * commit meets more than one or two of them. */
static const struct timespec between_pieces = { .tv_nsec = 10 * 1000 * 1000 };

const char *const history_setup[] = { "SET enable_seqscan = off",    "SET enable_sort = off",
                                      "SET enable_hashjoin = off",   "SET enable_mergejoin = off",
                                      "SET enable_bitmapscan = off", NULL };

enum err history_open(struct pg_session **out, const char *conninfo, struct why *why)
{
    enum err err = pg_session_open(out, conninfo, "features history", why);

    if (!err)
        err = pg_exec_script(*out, "SET ROLE assay_features", why);
    for (size_t i = 0; !err && history_setup[i]; i++)
        err = pg_exec_script(*out, history_setup[i], why);
    if (err) {
        pg_session_close(*out);
        *out = NULL;
    }
    return err;
}

enum err history_tip(struct pg_session *s, uint64_t *n, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, "SELECT n FROM log ORDER BY n DESC LIMIT 1", NULL, &r, why);

    *n = pg_rows(r) ? (uint64_t)pg_get_int(r, 0, 0) : 0;
    pg_result_free(r);
    return err;
}

enum err history_last_plan(struct pg_session *s, struct plan **out, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec(s, "SELECT body FROM log WHERE kind = 3 ORDER BY n DESC LIMIT 1", NULL, &r, why);

    *out = NULL;
    if (!err && pg_rows(r))
        err = plan_parse(out, pg_get_bytes(r, 0, 0), why);
    pg_result_free(r);
    return err;
}

/* ---- replay ---- */

/* Entries are applied some at a time, so that the memory that each needs can be asked for ahead. */
enum { REPLAY_AT_ONCE = 256 };

struct replay {
    struct replica *replica;
    uint64_t vectors_from;
    struct entry entries[REPLAY_AT_ONCE]; /* bodies in `scratch` */
    size_t count;
    struct arena scratch;
    const atomic_bool *is_cancelled;
};

static void replay_waiting(struct replay *p)
{
    struct why why;
    size_t bad = replica_apply(p->replica, p->entries, p->count, p->vectors_from, &p->scratch, &why);

    if (bad)
        log_event(LOG_ERROR, "entries_unreadable", "count=%zu why=%s", bad, log_quoted(slice_str(why.text)));
    p->count = 0;
    arena_reset(&p->scratch);
}

static bool on_entry(void *ctx, const struct entry *e)
{
    struct replay *p = ctx;
    struct entry *kept = &p->entries[p->count++];

    *kept = *e;
    kept->body = arena_slice(&p->scratch, e->body);
    if (p->count == REPLAY_AT_ONCE)
        replay_waiting(p);
    return !atomic_load_explicit(p->is_cancelled, memory_order_relaxed);
}

static enum err replay(struct pg_session *s, struct replica *r, uint64_t upto, uint64_t vectors_from,
                       const atomic_bool *is_cancelled, struct why *why)
{
    struct replay *p = mem_new(struct replay);
    struct log_range range = { .after = replica_last(r), .upto = upto };
    enum err err;

    p->replica = r;
    p->vectors_from = vectors_from;
    p->is_cancelled = is_cancelled;
    err = log_read(s, &range, on_entry, p, why);
    if (!err)
        replay_waiting(p);
    arena_release(&p->scratch);
    mem_free(p);
    if (!err && atomic_load(is_cancelled))
        err = err_set(why, ERR_UNAVAILABLE, "cancelled");
    return err;
}

/* ---- snapshots ---- */

static void add_plan(struct pg_params *p, const struct plan *plan)
{
    pg_add_bytes(p, slice_of(plan_hash(plan), SHA256_BYTES));
}

struct chunks {
    struct buf *state;
    ZSTD_DCtx *zstd;
    struct why *why;
    enum err err;
    size_t most;
};

static bool on_chunk(void *ctx, const struct slice *f, size_t count)
{
    struct chunks *c = ctx;
    size_t room, got;
    char *to;

    (void)count;
    room = c->most - c->state->len < CHUNK_BYTES ? c->most - c->state->len : CHUNK_BYTES;
    to = buf_reserve(c->state, room);
    got = ZSTD_decompressDCtx(c->zstd, to, room, f[0].ptr, f[0].len);
    if (ZSTD_isError(got)) {
        c->err = err_set(c->why, ERR_SYNTAX, "a chunk is damaged: %s", ZSTD_getErrorName(got));
        return false;
    }
    buf_commit(c->state, got);
    return true;
}

/* Reads one snapshot's bytes and checks them. */
static enum err read_state(struct pg_session *s, const struct plan *plan, uint64_t n, size_t total,
                           struct slice sha, struct buf *state, struct why *why)
{
    struct chunks c = { .state = state, .zstd = ZSTD_createDCtx(), .why = why, .most = total };
    char hex[SHA256_HEX_SIZE], query[256];
    unsigned char digest[SHA256_BYTES];
    enum err err;

    hex_encode(plan_hash(plan), SHA256_BYTES, hex);
    snprintf(query, sizeof(query),
             "SELECT bytes FROM snapshot_chunks WHERE n = %" PRIu64 " AND plan = '\\x%s' ORDER BY chunk", n,
             hex);
    err = pg_copy_out(s, query, on_chunk, &c, why);
    ZSTD_freeDCtx(c.zstd);
    if (!err)
        err = c.err;
    if (err)
        return err;
    sha256(buf_slice(state), digest);
    if (state->len != total || !slice_eq(slice_of(digest, sizeof(digest)), sha))
        return err_set(why, ERR_SYNTAX, "its checksum is wrong");
    return ERR_OK;
}

/* Loads the newest good snapshot at or before `from`; *out is NULL when there is none. */
static enum err load_newest(struct pg_session *s, const struct plan *plan, uint64_t from, struct store **out,
                            uint64_t *n, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    struct buf state;
    enum err err;

    *out = NULL;
    add_plan(&p, plan);
    pg_add_i64(&p, from < INT64_MAX ? (int64_t)from : INT64_MAX);
    err = pg_exec(s,
                  "SELECT n, total_bytes, sha256 FROM snapshots WHERE plan = $1::bytea AND n <= $2::int8 "
                  "ORDER BY n DESC",
                  &p, &r, why);
    buf_init(&state, 0);
    for (size_t i = 0; !err && !*out && i < pg_rows(r); i++) {
        enum err bad;

        *n = (uint64_t)pg_get_int(r, i, 0);
        buf_clear(&state);
        bad = read_state(s, plan, *n, (size_t)pg_get_int(r, i, 1), pg_get_bytes(r, i, 2), &state, why);
        if (!bad)
            bad = store_load(out, plan, buf_slice(&state), why);
        if (bad == ERR_UNKNOWN || bad == ERR_UNAVAILABLE)
            err = bad;
        else if (bad) /* an older one, or the whole log, gives the same state */
            log_event(LOG_ERROR, "snapshot_bad", "n=%" PRIu64 " why=%s", *n,
                      log_quoted(slice_str(why->text)));
    }
    buf_release(&state);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

enum err history_build(struct replica **out, struct pg_session *s, struct plan *plan, uint64_t from,
                       uint64_t upto, size_t recent_max, const atomic_bool *is_cancelled,
                       struct history_source *source, struct why *why)
{
    struct store *store = NULL;
    int64_t began = clock_mono_us(), loaded;
    uint64_t n = 0;
    enum err err = load_newest(s, plan, from, &store, &n, why);

    *out = NULL;
    if (err) {
        plan_free(plan);
        return err;
    }
    loaded = clock_mono_us();
    *out = replica_new(plan, store, store ? n : 0, recent_max);
    err = replay(s, *out, upto, from + 1, is_cancelled, why);
    *source = (struct history_source){ .snapshot = store ? n : 0,
                                       .load_us = loaded - began,
                                       .replay_us = clock_mono_us() - loaded };
    if (err) {
        replica_free(*out);
        *out = NULL;
    }
    return err;
}

enum err history_newest(struct pg_session *s, const struct plan *plan, uint64_t *n, int64_t *created_at_us,
                        struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_plan(&p, plan);
    err = pg_exec(s, "SELECT n, created_at FROM snapshots WHERE plan = $1::bytea ORDER BY n DESC LIMIT 1", &p,
                  &r, why);
    *n = pg_rows(r) ? (uint64_t)pg_get_int(r, 0, 0) : 0;
    *created_at_us = pg_rows(r) ? pg_get_time_us(r, 0, 1) : 0;
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

/* The compressed chunks of a state that is being written. */
struct writing {
    struct buf pending, *chunks;
    size_t count, cap;
    uint64_t total;
    crypto_hash_sha256_state sha; /* over the state, which is never in memory as a whole */
};

static void chunk_out(struct writing *w)
{
    size_t room = ZSTD_compressBound(w->pending.len), got;
    struct slice raw = buf_slice(&w->pending);
    char *to;

    ARRAY_RESERVE_ONE(w->chunks, w->count, w->cap);
    buf_init(&w->chunks[w->count], 0);
    to = buf_reserve(&w->chunks[w->count], room);
    got = ZSTD_compress(to, room, raw.ptr, raw.len, ZSTD_LEVEL);
    buf_commit(&w->chunks[w->count++], got); /* cannot fail with that much room */
    buf_clear(&w->pending);
}

static enum err on_piece(void *ctx, struct slice piece)
{
    struct writing *w = ctx;

    w->total += piece.len;
    crypto_hash_sha256_update(&w->sha, (const unsigned char *)piece.ptr, piece.len);
    while (piece.len) {
        size_t room = PIECE_BYTES - w->pending.len, take = piece.len < room ? piece.len : room;

        buf_add(&w->pending, piece.ptr, take);
        piece = slice_of(piece.ptr + take, piece.len - take);
        if (w->pending.len == PIECE_BYTES)
            chunk_out(w);
    }
    return ERR_OK;
}

static enum err insert_snapshot(struct pg_session *s, const struct replica *r, const struct writing *w,
                                uint64_t epoch, bool is_kept, struct slice sha, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    pg_add_i64(&p, (int64_t)replica_last(r));
    add_plan(&p, replica_plan(r));
    pg_add_i64(&p, (int64_t)epoch);
    pg_add_i32(&p, (int32_t)w->count);
    pg_add_i64(&p, (int64_t)w->total);
    pg_add_bytes(&p, sha);
    pg_add_bool(&p, is_kept);
    err = pg_exec(s,
                  "INSERT INTO snapshots (n, plan, epoch, chunks, total_bytes, sha256, is_kept) "
                  "VALUES ($1::int8, $2::bytea, $3::int8, $4::int4, $5::int8, $6::bytea, $7::bool)",
                  &p, NULL, why);
    for (size_t i = 0; !err && i < w->count; i++) {
        pg_params_clear(&p);
        pg_add_i64(&p, (int64_t)replica_last(r));
        add_plan(&p, replica_plan(r));
        pg_add_i32(&p, (int32_t)i);
        pg_add_bytes(&p, buf_slice(&w->chunks[i]));
        err = pg_exec(s, "INSERT INTO snapshot_chunks VALUES ($1::int8, $2::bytea, $3::int4, $4::bytea)", &p,
                      NULL, why);
        nanosleep(&between_pieces, NULL);
    }
    pg_params_release(&p);
    return err;
}

static enum err forget_old(struct pg_session *s, const struct plan *plan, int keep, struct why *why)
{
    struct pg_params p = { 0 };
    enum err err;

    add_plan(&p, plan);
    pg_add_i32(&p, keep);
    /* Those of other plans can still serve a rollback of a model for a day. */
    err =
        pg_exec(s,
                "DELETE FROM snapshots WHERE NOT is_kept AND ((plan = $1::bytea AND n < (SELECT min(n) FROM "
                "(SELECT n FROM snapshots WHERE plan = $1::bytea ORDER BY n DESC LIMIT $2::int4) newest)) "
                "OR (plan <> $1::bytea AND created_at < now() - interval '1 day'))",
                &p, NULL, why);
    pg_params_release(&p);
    return err;
}

enum err history_save(struct pg_session *s, const struct replica *r, uint64_t epoch, bool is_kept, int keep,
                      uint64_t *bytes, struct why *why)
{
    struct writing w = { 0 };
    unsigned char digest[SHA256_BYTES];
    bool is_there;
    enum err err;

    crypto_hash_sha256_init(&w.sha);
    buf_init(&w.pending, 0);
    err = store_save(replica_store(r), on_piece, &w);
    if (!err && w.pending.len)
        chunk_out(&w);
    buf_release(&w.pending);
    crypto_hash_sha256_final(&w.sha, digest);
    if (!err)
        err = pg_exec_script(s, "BEGIN", why);
    if (!err)
        err = insert_snapshot(s, r, &w, epoch, is_kept, slice_of(digest, sizeof(digest)), why);
    if (!err)
        err = forget_old(s, replica_plan(r), keep, why);
    is_there = err && strcmp(pg_sqlstate(s), "23505") == 0;
    err = pg_commit_or_abort(s, err, why);
    if (is_there)
        err = ERR_OK;
    for (size_t i = 0; i < w.count; i++)
        buf_release(&w.chunks[i]);
    mem_free(w.chunks);
    *bytes = w.total;
    return err;
}
