/* SPDX-License-Identifier: Apache-2.0
 * chunk.h - some ten thousand decisions as columns: what a backtest reads.
 *
 * A chunk is one block of bytes, the same in memory and in a file, and is never changed once built:
 *
 *   0    "ASSAYBT1"
 *   8    rows, columns: u32 each
 *   16   bytes of the whole: u64
 *   24   hash of the directory: u64
 *   32   the directory: 128 bytes a column (chunk.c), then the columns, each aligned to 8
 *
 * Numbers are little-endian, as on all machines that this runs on. A number column is its values; a text column is
 * u16 codes[rows], padded to 4, u32 count, u32 ends[count], bytes; a feature is float[rows], or, where it has at most 256
 * values, u32 count, float values[count], u8 codes[rows]. Each column has a hash of its own, which is compared when the
 * column is first asked for: what is not asked for is not read. The hashes find damage, not malice; the structure is
 * checked as hostile input, so that no file can make a reader look outside of it.
 *
 * A decision takes 94 bytes, 2 a text column and 1 or 4 a feature, and the texts that are distinct within the chunk:
 * with 40 features about 250 bytes in all. */
#ifndef ASSAY_BACKTEST_CHUNK_H
#define ASSAY_BACKTEST_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fraud/txn.h"
#include "policy/policy.h"

enum { CHUNK_ROWS_MAX = 65535, CHUNK_FEATURES_MAX = 4096, CHUNK_NAME_MAX = 64, CHUNK_DEGRADED_MAX = 8 };

/* One feature, as a plan defines it: the name that rules use, and its identity (SHA-256). */
struct chunk_feature {
    char name[CHUNK_NAME_MAX + 1];
    unsigned char identity[SHA256_BYTES];
};

/* One decision. Texts are borrowed. */
struct chunk_row {
    struct txn txn;
    int64_t decided_at_us;
    uint64_t n; /* in the log; 0: not there yet */
    bool has_score;
    double score;
    struct policy_thresholds thresholds;
    enum action action;          /* of the policy, whatever the control slice then did */
    enum policy_decider decider; /* 0: the record does not say */
    bool is_let_through;         /* by the control slice */
    double p_allow;
    struct slice ruleset, model;
    struct slice degraded; /* parts, with a space between them */
};

/* A key for a transaction's id: what labels are found by. 64 bits: among ten million two are the same with a chance of
 * 1 in 300,000. */
uint64_t chunk_id_hash(uint32_t account, struct slice id);

/* ---- building ---- */

struct chunk_builder;
struct chunk_builder *chunk_builder_new(void);
void chunk_builder_free(struct chunk_builder *b);

/* Adds a row; `features` [count] tell what `vector` holds (NULL: nothing), and must stay until the end.
 *   ERR_TOO_LARGE  CHUNK_ROWS_MAX rows are there, or more than CHUNK_FEATURES_MAX features */
MUST_USE enum err chunk_builder_add(struct chunk_builder *b, const struct chunk_row *row,
                                    const struct chunk_feature *features, const float *vector, size_t count,
                                    struct why *why);
/* Appends the chunk to an empty `out`; the builder is empty again. */
void chunk_builder_end(struct chunk_builder *b, struct buf *out);

/* ---- reading ---- */

struct chunk;

/* `bytes` are borrowed and start at a multiple of 8.   ERR_INVALID  not a whole chunk */
MUST_USE enum err chunk_open(struct chunk **out, struct slice bytes, struct why *why);
void chunk_close(struct chunk *c);

size_t chunk_rows(const struct chunk *c);
/* Of the directory, which has the hashes of all columns: another chunk, another one. */
uint64_t chunk_identity(const struct chunk *c);
size_t chunk_feature_count(const struct chunk *c);
/* NULL for none; the chunk's. */
const char *chunk_feature_name(const struct chunk *c, size_t feature, const unsigned char **identity);

/* The rule sets by which its decisions were made, each once. */
void chunk_rulesets(const struct chunk *c, void (*each)(void *context, struct slice version), void *context);

/* Which texts of a transaction are wanted; numbers always are. */
struct chunk_wants {
    bool texts[TXN_TEXT_COUNT];
    bool id, currency, attributes;
};

/* Makes ready what is wanted; can be asked for more later.   ERR_INVALID  it is damaged */
MUST_USE enum err chunk_want(struct chunk *c, const struct chunk_wants *wants, struct why *why);
MUST_USE enum err chunk_want_feature(struct chunk *c, size_t feature, struct why *why);

/* Row `i`, without the texts that were not asked for. Attributes are `arena`'s, the other texts the chunk's. */
void chunk_row(const struct chunk *c, size_t i, struct arena *arena, struct chunk_row *out);
/* The value of a feature that was asked for; NaN: missing. */
float chunk_feature_value(const struct chunk *c, size_t feature, size_t i);
uint64_t chunk_row_id_hash(const struct chunk *c, size_t i);
int64_t chunk_known_at(const struct chunk *c, size_t i);
uint32_t chunk_account(const struct chunk *c, size_t i);
/* Text that is always there: the parts of a degraded decision. Returns their number. */
size_t chunk_degraded(const struct chunk *c, size_t i, const struct slice **parts);

#endif
