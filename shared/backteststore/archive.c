/* SPDX-License-Identifier: Apache-2.0 */
#include "backteststore/archive.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "backteststore/files.h"
#include "backteststore/index.h"
#include "backteststore/reading.h"

enum { EXTEND_FROM = CHUNK_WANTED / 10 }; /* fewer settled rows than that stay in the tail */

struct piece {
    struct chunk *chunk;
    struct slice mapped; /* of a file; else */
    struct buf own;
};

struct archive {
    struct piece *pieces;
    size_t count, cap;
    struct archive_counts counts;
};

/* One bringing up to date. */
struct update {
    const struct archive_options *options;
    struct archive *history;
    struct index index;
    struct reading reading;
    int64_t settled_us; /* everything before is there for good */
    int lock;
};

static void piece_release(struct piece *p)
{
    chunk_close(p->chunk);
    files_unmap(p->mapped);
    buf_release(&p->own);
}

static void chunk_name(char name[64], uint64_t number)
{
    snprintf(name, 64, "%" PRIu64 ".chunk", number);
}

/* ---- what is there ---- */

static bool add_file(struct update *u, const struct index_chunk *c)
{
    struct archive *h = u->history;
    struct piece piece = { 0 };
    struct why why;
    char name[64];

    chunk_name(name, c->number);
    piece.mapped = files_map(u->options->directory, name);
    if (piece.mapped.len != c->bytes || chunk_open(&piece.chunk, piece.mapped, &why) ||
        chunk_identity(piece.chunk) != c->identity || chunk_rows(piece.chunk) != c->rows) {
        piece_release(&piece);
        return false;
    }
    ARRAY_RESERVE_ONE(h->pieces, h->count, h->cap);
    h->pieces[h->count++] = piece;
    return true;
}

static enum err open_own(struct update *u, struct buf *bytes, struct why *why)
{
    struct archive *h = u->history;
    struct piece piece = { .own = *bytes };
    enum err err = chunk_open(&piece.chunk, buf_slice(bytes), why);

    *bytes = (struct buf){ 0 };
    if (err) {
        piece_release(&piece);
        return err;
    }
    ARRAY_RESERVE_ONE(h->pieces, h->count, h->cap);
    h->pieces[h->count++] = piece;
    return ERR_OK;
}

/* Opens what the index names. From the first chunk on that is not whole, all is read again. */
static void open_known(struct update *u)
{
    size_t good = 0;

    while (good < u->index.count && add_file(u, &u->index.chunks[good]))
        good++;
    u->index.count = good;
    for (size_t i = 0; i < good; i++)
        u->history->counts.kept += u->index.chunks[i].rows;
}

static void read_index(struct update *u, uint64_t database)
{
    struct slice text = files_map(u->options->directory, "index");
    struct why why;

    if (text.len > INDEX_BYTES_MAX || index_read(&u->index, text, &why) || u->index.database != database) {
        index_release(&u->index);
        u->index.database = database;
    }
    files_unmap(text);
}

/* The index is the truth: whatever it does not name is in the way. */
static void remove_unknown(const struct update *u)
{
    DIR *dir = opendir(u->options->directory);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        uint64_t number = 0;
        bool is_known = false, is_chunk;
        char name[64];

        is_chunk = sscanf(entry->d_name, "%" SCNu64 ".chunk", &number) == 1;
        chunk_name(name, number);
        for (size_t i = 0; i < u->index.count && is_chunk; i++)
            is_known = is_known || (u->index.chunks[i].number == number && strcmp(name, entry->d_name) == 0);
        /* Files of rules are written without the lock: another run may be at it. */
        if ((is_chunk && !is_known) ||
            (strstr(entry->d_name, ".new") && strncmp(entry->d_name, "rule-", 5) != 0))
            files_remove(u->options->directory, entry->d_name);
    }
    if (dir)
        closedir(dir);
}

static enum err write_index(struct update *u, struct why *why)
{
    struct buf text = { 0 };
    enum err err;

    index_write(&u->index, &text);
    err = files_write(u->options->directory, "index", buf_slice(&text), true, why);
    buf_release(&text);
    return err;
}

/* ---- what is new ---- */

static uint64_t disk_bytes(const struct index *index)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < index->count; i++)
        bytes += index->chunks[i].bytes;
    return bytes;
}

static uint64_t next_number(const struct index *index)
{
    uint64_t next = 1;

    for (size_t i = 0; i < index->count; i++)
        next = index->chunks[i].number >= next ? index->chunks[i].number + 1 : next;
    return next;
}

/* Writes a chunk that was built and names it in the index. *is_full: there was no room, and `bytes` is as it was. */
static enum err keep_chunk(struct update *u, int64_t from_us, int64_t until_us, struct buf *bytes,
                           bool *is_full, struct why *why)
{
    struct index_chunk c = { .number = next_number(&u->index), .from_us = from_us, .until_us = until_us };
    struct chunk *opened;
    char name[64];
    enum err err;

    *is_full = u->index.count == INDEX_CHUNKS_MAX ||
               (u->options->disk_most && disk_bytes(&u->index) + bytes->len > u->options->disk_most);
    if (*is_full)
        return ERR_OK;
    err = chunk_open(&opened, buf_slice(bytes), why);
    if (err)
        return err;
    c.rows = chunk_rows(opened);
    c.bytes = bytes->len;
    c.identity = chunk_identity(opened);
    chunk_close(opened);
    chunk_name(name, c.number);
    err = files_write(u->options->directory, name, buf_slice(bytes), true, why);
    buf_release(bytes);
    if (err)
        return err;
    ARRAY_RESERVE_ONE(u->index.chunks, u->index.count, u->index.cap);
    u->index.chunks[u->index.count++] = c;
    err = write_index(u, why);
    if (!err && !add_file(u, &c))
        err = err_set(why, ERR_UNAVAILABLE, "%s/%s is not what was written", u->options->directory, name);
    u->history->counts.built += c.rows;
    return err;
}

/* All from `from_us` on into memory. */
static enum err read_tail(struct update *u, int64_t from_us, struct why *why)
{
    int64_t *ends = NULL;
    uint64_t *counts = NULL;
    size_t count = 0;
    enum err err = reading_spans(&u->reading, from_us, INT64_MAX, &ends, &counts, &count, why);

    for (size_t i = 0; i < count && !err; i++)
        u->history->counts.tail += counts[i];
    if (!err && u->history->counts.tail > ARCHIVE_TAIL_MAX)
        err = err_set(why, ERR_TOO_LARGE,
                      "%" PRIu64 " decisions are not kept in a directory, and at most %d fit in memory",
                      u->history->counts.tail, ARCHIVE_TAIL_MAX);
    for (size_t i = 0; i < count && !err; i++) {
        struct buf bytes = { 0 };

        err = reading_chunk(&u->reading, from_us, ends[i], &bytes, why);
        if (!err)
            err = open_own(u, &bytes, why);
        buf_release(&bytes);
        from_us = ends[i];
    }
    mem_free(ends);
    mem_free(counts);
    return err;
}

/* Lets go of the last chunk when it is not full, so that it is made again with what came since. */
static void reopen_last(struct update *u)
{
    struct archive *h = u->history;

    if (u->index.count == 0 || u->index.chunks[u->index.count - 1].rows >= CHUNK_WANTED)
        return;
    u->index.count--;
    h->counts.kept -= u->index.chunks[u->index.count].rows;
    piece_release(&h->pieces[--h->count]);
}

static int64_t kept_until(const struct update *u)
{
    return u->index.count ? u->index.chunks[u->index.count - 1].until_us : INT64_MIN;
}

/* Chunks of what is settled; *from_us gets where they end. */
static enum err extend(struct update *u, int64_t *from_us, struct why *why)
{
    int64_t *ends = NULL;
    uint64_t *counts = NULL, rows = 0;
    size_t count = 0;
    bool is_full = false;
    enum err err;

    *from_us = kept_until(u);
    if (u->settled_us <= *from_us)
        return ERR_OK;
    err = reading_spans(&u->reading, *from_us, u->settled_us, &ends, &counts, &count, why);
    for (size_t i = 0; i < count && !err; i++)
        rows += counts[i];
    mem_free(ends);
    mem_free(counts);
    if (err || rows == 0 || (rows < EXTEND_FROM && u->index.count))
        return err;
    reopen_last(u);
    *from_us = kept_until(u);
    err = reading_spans(&u->reading, *from_us, u->settled_us, &ends, &counts, &count, why);
    for (size_t i = 0; i < count && !err && !is_full; i++) {
        struct buf bytes = { 0 };

        err = reading_chunk(&u->reading, *from_us, ends[i], &bytes, why);
        if (!err)
            err = keep_chunk(u, *from_us, ends[i], &bytes, &is_full, why);
        if (!err && !is_full)
            *from_us = ends[i];
        buf_release(&bytes);
    }
    mem_free(ends);
    mem_free(counts);
    return err;
}

/* ---- the snapshot ---- */

struct moment {
    uint64_t database, oldest, next;
    int64_t now_us;
};

static enum err look(struct pg_session *s, struct moment *m, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(s,
                "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8, "
                "pg_snapshot_xmax(pg_current_snapshot())::text::int8, now(), "
                "hashtextextended((SELECT system_identifier::text FROM pg_control_system()) || '/' || "
                "(SELECT oid::text FROM pg_database WHERE datname = current_database()) || '/' || "
                "current_schema(), 0)",
                NULL, &r, why);

    if (!err)
        *m = (struct moment){ .oldest = (uint64_t)pg_get_int(r, 0, 0),
                              .next = (uint64_t)pg_get_int(r, 0, 1),
                              .now_us = pg_get_time_us(r, 0, 2),
                              .database = (uint64_t)pg_get_int(r, 0, 3) };
    pg_result_free(r);
    return err;
}

static enum err update_kept(struct update *u, const struct moment *m, int64_t *from_us, struct why *why)
{
    int64_t settled;
    enum err err = files_make_directory(u->options->directory, why);

    if (!err)
        err = files_lock(u->options->directory, &u->lock, why);
    if (err)
        return err;
    read_index(u, m->database);
    open_known(u);
    index_mark(&u->index, m->now_us, m->next);
    settled = index_settled(&u->index, m->oldest);
    u->settled_us = settled == INT64_MIN ? INT64_MIN : settled - u->options->settle_us;
    err = extend(u, from_us, why);
    if (!err)
        err = write_index(u, why);
    if (!err)
        remove_unknown(u);
    u->history->counts.bytes = disk_bytes(&u->index);
    return err;
}

static enum err update(struct update *u, struct pg_session *s, struct why *why)
{
    struct moment m;
    int64_t from_us = INT64_MIN;
    enum err err = look(s, &m, why);

    if (!err)
        err = reading_init(&u->reading, s, why);
    u->reading.hook = u->options->hook;
    u->reading.context = u->options->context;
    if (!err && u->options->directory)
        err = update_kept(u, &m, &from_us, why);
    if (!err)
        err = read_tail(u, from_us, why);
    u->history->counts.unreadable = u->reading.unreadable;
    return err;
}

enum err archive_open(struct archive **out, struct pg_session *s, const struct archive_options *options,
                      struct why *why)
{
    struct update u = { .options = options, .history = mem_new(struct archive), .lock = -1 };
    enum err err;

    *out = NULL;
    /* Rows are found one by one from the span of time: a plan over the whole log would read it for each chunk. */
    err = pg_exec_script(s,
                         "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_hashjoin = off; "
                         "SET LOCAL enable_mergejoin = off; SET LOCAL jit = off",
                         why);
    if (!err) {
        struct why ignored;

        err = update(&u, s, why);
        if (pg_exec_script(s, "ROLLBACK", err ? &ignored : why) && !err)
            err = ERR_UNAVAILABLE;
    }
    if (u.lock >= 0)
        close(u.lock);
    reading_release(&u.reading);
    index_release(&u.index);
    if (err) {
        archive_close(u.history);
        return err;
    }
    *out = u.history;
    return ERR_OK;
}

void archive_close(struct archive *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++)
        piece_release(&h->pieces[i]);
    mem_free(h->pieces);
    mem_free(h);
}

size_t archive_chunks(const struct archive *h)
{
    return h->count;
}

struct chunk *archive_chunk(const struct archive *h, size_t i)
{
    return h->pieces[i].chunk;
}

bool archive_is_kept(const struct archive *h, size_t i)
{
    return h->pieces[i].mapped.len > 0;
}

struct archive_counts archive_counts(const struct archive *h)
{
    return h->counts;
}
