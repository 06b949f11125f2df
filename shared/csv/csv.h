/* SPDX-License-Identifier: Apache-2.0
 * csv.h - comma-separated values (RFC 4180): bytes in, records out, nothing lost in silence.
 *
 * The caller feeds pieces of any size. A record ends with LF or CRLF, or at the end of the input; a field in
 * double quotes may hold commas, line ends and doubled quotes. Empty lines are skipped. A record that breaks
 * the rules is reported with its line and reason, and reading goes on at the next line, so that one bad row
 * costs one row. */
#ifndef ASSAY_CSV_CSV_H
#define ASSAY_CSV_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { CSV_FIELDS_MAX = 1024, CSV_RECORD_MAX = 1 << 20 };

enum csv_state {
    CSV_START, /* of a field */
    CSV_BARE,
    CSV_QUOTED,
    CSV_QUOTE, /* a quote within quotes: the end, or the first of two */
    CSV_SKIP,  /* to the end of a line that is not well-formed */
};

struct csv {
    struct buf text;   /* the record's bytes, unquoted */
    size_t *ends;      /* where each field ends in `text` */
    struct slice *out; /* the fields of the last record */
    size_t count, cap;
    enum csv_state state;
    bool is_after_cr, has_bytes, is_bad;
    const char *reason;
    uint64_t line, record_line; /* of the next byte, and where the record began; from 1 */
};

enum csv_result {
    CSV_MORE,   /* all bytes were taken: feed the next piece, or say that there is none */
    CSV_RECORD, /* csv_fields() has it */
    CSV_BAD,    /* a line broke the rules: csv_reason() */
    CSV_END,    /* only after is_last */
};

void csv_init(struct csv *csv);
void csv_release(struct csv *csv);

/* Takes bytes from the front of *bytes until a record is complete. With `is_last` the end of *bytes is the
 * end of the input. Call again with what is left. */
enum csv_result csv_next(struct csv *csv, struct slice *bytes, bool is_last);

/* The fields of the record, valid until the next csv_next(). */
const struct slice *csv_fields(const struct csv *csv, size_t *count);
/* The line that the record, or the bad one, began on. */
uint64_t csv_line(const struct csv *csv);
/* What was wrong, after CSV_BAD. A constant; it never quotes the input. */
const char *csv_reason(const struct csv *csv);

#endif
