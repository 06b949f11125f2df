/* SPDX-License-Identifier: Apache-2.0
 * reading.h - inside backteststore/: decisions of a span of decided_at, with their transactions, into a chunk. */
#ifndef ASSAY_BACKTESTSTORE_READING_H
#define ASSAY_BACKTESTSTORE_READING_H

#include "backtest/chunk.h"
#include "pg/session.h"

/* What a plan calls its columns. */
struct known_plan {
    unsigned char hash[SHA256_BYTES];
    struct chunk_feature *features;
    size_t count;
};

struct reading {
    struct pg_session *session;
    struct known_plan *plans;
    size_t plan_count;
    bool (*hook)(void *context, uint64_t done, uint64_t total);
    void *context;
    uint64_t done, total, unreadable;
    struct chunk_builder *builder;
    struct arena arena;
    bool is_stopped;
    enum err err;
    struct why why;
};

MUST_USE enum err reading_init(struct reading *r, struct pg_session *s, struct why *why);
void reading_release(struct reading *r);

/* The decisions of [from, until), in the order of decided_at; at most CHUNK_ROWS_MAX of them. Appends to an empty
 * `out`.   ERR_TIMEOUT  the hook said stop; others are those of pg_copy_out() and chunk_builder_add() */
MUST_USE enum err reading_chunk(struct reading *r, int64_t from_us, int64_t until_us, struct buf *out,
                                struct why *why);

/* Where spans of about CHUNK_WANTED decisions end, from `from_us` on: *ends rises, and its last is `until_us` (the caller's,
 * for mem_free()). *counts has as many. */
enum { CHUNK_WANTED = 60000 };
MUST_USE enum err reading_spans(struct reading *r, int64_t from_us, int64_t until_us, int64_t **ends,
                                uint64_t **counts, size_t *count, struct why *why);

#endif
