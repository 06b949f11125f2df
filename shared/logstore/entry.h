/* SPDX-License-Identifier: Apache-2.0
 * entry.h - one row of the log, and what is in it.
 *
 * The table is told in migrations/0002_log.sql; bodies are messages of proto/assay.proto, and a plan's is its
 * normalised text. No I/O. */
#ifndef ASSAY_LOGSTORE_ENTRY_H
#define ASSAY_LOGSTORE_ENTRY_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "fraud/txn.h"

enum entry_kind { ENTRY_TXN = 1, ENTRY_LABEL = 2, ENTRY_PLAN = 3 };

struct entry {
    uint64_t n;
    enum entry_kind kind;
    uint32_t account; /* 0 for a plan */
    int64_t known_at_us;
    struct slice body; /* borrowed */
};

/* A body that was read; which member holds, the entry's kind says. */
union entry_body {
    struct txn txn;
    struct label label;
    struct slice plan;
};

/* What `body` holds points into the entry's bytes and `arena`.
 *   ERR_SYNTAX  the body cannot be read, or is of a kind that is not known */
MUST_USE enum err entry_open(union entry_body *body, const struct entry *e, struct arena *arena,
                             struct why *why);

#endif
