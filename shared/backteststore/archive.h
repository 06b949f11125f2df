/* SPDX-License-Identifier: Apache-2.0
 * archive.h - all decisions as chunks (backtest/chunk.h), from PostgreSQL and from a directory that keeps what does not
 * change any more.
 *
 *   DIR/lock                  held while the directory is changed
 *   DIR/index                 which chunks there are: written beside it and renamed, so it is whole or the one before
 *   DIR/<number>.chunk        the decisions of a span of decided_at
 *   DIR/rule-<key>.outcomes   what a rule said of them (backtest/outcomes.h)
 *
 * Chunks follow one another by decided_at. What was decided less than `settle_us` before a moment at which no transaction
 * was running that still runs may still get rows: such a tail is read anew each time, and kept in memory only. The last
 * chunk is written again as long as it is not full. A file that the index does not name is removed; one that is damaged is
 * made again. The directory may be removed at any time: what is open stays readable, and the next history is built from
 * PostgreSQL. It belongs to one database; another one empties it.
 *
 * Blocks; for a thread of its own or the command line. */
#ifndef ASSAY_BACKTESTSTORE_ARCHIVE_H
#define ASSAY_BACKTESTSTORE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backtest/chunk.h"
#include "base/err.h"

struct pg_session;
struct archive;

enum { ARCHIVE_SETTLE_S = 60, ARCHIVE_TAIL_MAX = 1 << 21 };

struct archive_options {
    const char *directory; /* NULL: nothing is kept */
    uint64_t
        disk_most; /* bytes that chunks may take; 0: no limit. What does not fit is read anew each time */
    int64_t settle_us;
    /* Called now and then; false: stop. `total` is an estimate, at least `done`. May be NULL. */
    bool (*hook)(void *context, uint64_t done, uint64_t total);
    void *context;
};

struct archive_counts {
    uint64_t kept;       /* decisions in chunks that were there already */
    uint64_t built;      /* in chunks that were written now */
    uint64_t tail;       /* in memory only */
    uint64_t unreadable; /* whose transaction or record cannot be read: left out */
    uint64_t bytes;      /* of all chunks on disk */
};

/* Brings the directory up to date in one snapshot and opens it all.
 *   ERR_UNAVAILABLE  the directory cannot be written
 *   ERR_TOO_LARGE    more than ARCHIVE_TAIL_MAX decisions would have to be held in memory
 *   ERR_TIMEOUT      the hook said stop
 * and those of pg_copy_out(). */
MUST_USE enum err archive_open(struct archive **out, struct pg_session *s,
                               const struct archive_options *options, struct why *why);
void archive_close(struct archive *h);

size_t archive_chunks(const struct archive *h);
struct chunk *archive_chunk(const struct archive *h, size_t i);
/* Whether it is on disk, so that what is known of it may be kept. */
bool archive_is_kept(const struct archive *h, size_t i);
struct archive_counts archive_counts(const struct archive *h);

#endif
