/* SPDX-License-Identifier: Apache-2.0
 * reader.h - reads the log in its order, for whoever builds a state from it: serving, training, checking.
 *
 * One writer commits one transaction after another, so what is visible has no holes. */
#ifndef ASSAY_LOGSTORE_READER_H
#define ASSAY_LOGSTORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "logstore/entry.h"
#include "pg/session.h"

/* What a query must select, first and in this order, for the two functions below it. */
#define LOG_COLUMNS "l.n, l.kind, l.account, l.known_at, l.body"
enum { LOG_COLUMN_COUNT = 5 };

/* The entry of a row; it borrows from the row. */
struct entry entry_of_row(const struct pg_result *rows, size_t row);
/* The same of a row as pg_copy_out() gives it. */
struct entry entry_of_fields(const struct slice *fields);

/* Entries behind `after` up to and with `upto`, of one account or, for 0, of all. */
struct log_range {
    uint64_t after, upto;
    uint32_t account;
};
#define LOG_WHOLE ((struct log_range){ .upto = UINT64_MAX })

/* False: enough; log_read() then returns ERR_OK. */
typedef bool log_entry_fn(void *ctx, const struct entry *e);

/* Calls `each` for every entry of the range, in the log's order. Blocks. Errors are those of pg_copy_out(). */
MUST_USE enum err log_read(struct pg_session *s, const struct log_range *range, log_entry_fn *each, void *ctx,
                           struct why *why);

#endif
