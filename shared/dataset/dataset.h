/* SPDX-License-Identifier: Apache-2.0
 * dataset.h - a stream of transactions and labels in the order in which they became known, whatever it is
 * read from: a CSV file through a mapping, or NDJSON lines as `assay import` and `assay simulate` write them.
 *
 * A label stands where it becomes known; of equal times labels come first, since who asks at that moment
 * knows them. After the last transaction the labels that are still due follow. Rows that cannot be read are
 * counted and told to a hook with their line, never dropped in silence. Time never runs back: a row that
 * happened before the one above it is known when it is read, which makes it a late event, as it would have
 * been live. */
#ifndef ASSAY_DATASET_DATASET_H
#define ASSAY_DATASET_DATASET_H

#include "base/buf.h"
#include "base/err.h"
#include "dataset/mapping.h"
#include "fraud/txn.h"

enum dataset_kind { DATASET_TXN, DATASET_LABEL };

struct dataset_event {
    enum dataset_kind kind;
    struct txn txn;     /* all slices are valid until the next dataset_next() */
    struct label label; /* the same */
};

struct dataset_counts {
    uint64_t transactions, labels, frauds;
    uint64_t bad;  /* rows that could not be read */
    uint64_t late; /* transactions whose time lay before the one above */
};

typedef void dataset_bad_row(void *context, uint64_t line, const char *reason);

struct dataset_options {
    uint32_t account;
    bool all_labels;          /* also those that say "legitimate" (unlabelled means the same once matured) */
    dataset_bad_row *bad_row; /* may be NULL */
    void *context;
};

struct dataset;

/* `path` may be "-" and may be compressed by zstd. The mapping is bound to the file and must outlive the
 * stream. ERR_NOT_FOUND  no such file ERR_INVALID    the file's header does not have the mapping's columns */
MUST_USE enum err dataset_open_csv(struct dataset **out, const char *path, struct mapping *mapping,
                                   const struct dataset_options *options, struct why *why);
/*   ERR_NOT_FOUND  no such file */
MUST_USE enum err dataset_open_ndjson(struct dataset **out, const char *path,
                                      const struct dataset_options *options, struct why *why);
void dataset_close(struct dataset *d);

/* The next event, or *is_end.
 *   ERR_SYNTAX, ERR_INTERNAL  the file cannot be read on */
MUST_USE enum err dataset_next(struct dataset *d, struct dataset_event *event, bool *is_end, struct why *why);

struct dataset_counts dataset_counts(const struct dataset *d);

/* One event as a line of NDJSON: the public API's body with "type" before it. */
void dataset_write(struct buf *out, const struct dataset_event *event);

#endif
