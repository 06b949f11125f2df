/* SPDX-License-Identifier: Apache-2.0
 * index.h - inside backteststore/: which chunks a directory has, as a text of lines.
 *
 *   assay history 1 <database>
 *   mark <at_us> <first transaction that had not begun>
 *   chunk <number> <from_us> <until_us> <rows> <bytes> <identity> */
#ifndef ASSAY_BACKTESTSTORE_INDEX_H
#define ASSAY_BACKTESTSTORE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { INDEX_MARKS = 64, INDEX_CHUNKS_MAX = 1 << 16, INDEX_BYTES_MAX = 16 << 20 };

/* At that time all transactions below `next` had begun; what was decided before is settled when none of them runs. */
struct index_mark {
    int64_t at_us;
    uint64_t next;
};

struct index_chunk {
    uint64_t number;
    int64_t from_us, until_us; /* of decided_at, [from, until) */
    uint64_t rows, bytes, identity;
};

struct index {
    uint64_t database;
    struct index_mark marks[INDEX_MARKS]; /* the oldest first */
    size_t mark_count;
    struct index_chunk *chunks; /* in the order of time */
    size_t count, cap;
};

/* Reads what index_write() wrote. Hostile input: *index is empty on failure.
 *   ERR_INVALID  it is none, or not of this version, or chunks overlap */
MUST_USE enum err index_read(struct index *index, struct slice text, struct why *why);
void index_write(const struct index *index, struct buf *out);
void index_release(struct index *index);

/* Remembers a moment; the oldest but one goes when there is no room. */
void index_mark(struct index *index, int64_t at_us, uint64_t next);
/* Up to when everything is settled, if all transactions below `oldest` have ended; INT64_MIN when that is not known. */
int64_t index_settled(const struct index *index, uint64_t oldest);

#endif
