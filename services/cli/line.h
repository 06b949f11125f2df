/* SPDX-License-Identifier: Apache-2.0
 * line.h - a line of a stream of transactions and labels, a JSON object a line, as `assay simulate` and
 * `assay import` write it and `assay replay` sends it.
 *
 *   {"type":"transaction", ...the body of POST /v1/transactions...}
 *   {"type":"label", ...the body of POST /v1/labels...}
 *
 * Lines are in the order of their known_at. They are cut apart here, not checked: that is the API's part. */
#ifndef ASSAY_CLI_LINE_H
#define ASSAY_CLI_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* One member of an object, as it stands: the name without its quotes, the value with them. */
struct line_member {
    struct slice name, value;
};

/* Steps through the members of the object that `text` begins with; start with *at = 0. False at the end, and
 * where the text is no JSON (then *is_broken is set). */
bool line_next(struct slice text, size_t *at, struct line_member *m, bool *is_broken);
/* The same through the elements of a list. */
bool line_next_element(struct slice text, size_t *at, struct slice *value, bool *is_broken);
/* The inside of a string as it stands, escapes and all; empty when the value is no string. */
struct slice line_string(struct slice value);

enum line_kind { LINE_TRANSACTION, LINE_LABEL };

struct line {
    enum line_kind kind;
    struct slice id; /* as it stands in the line */
    int64_t amount_minor;
    bool is_fraud; /* of a label */
};

/* Reads a line, and appends it to `body` without its "type".
 *   ERR_SYNTAX  it is no such object */
MUST_USE enum err line_read(struct line *item, struct slice line, struct buf *body, struct why *why);

#endif
