/* SPDX-License-Identifier: Apache-2.0
 * format.h - inside cel/: "%s of %.2f".format([a, b]), as the string extension has it. */
#ifndef ASSAY_CEL_FORMAT_H
#define ASSAY_CEL_FORMAT_H

#include "cel/ast.h"

/* Adds the text to *out. CEL_FAULT_COUNT is success; CEL_FAULT_ARGUMENT: a clause that is none, or a value that
 * it does not take; CEL_FAULT_RANGE: fewer values than clauses. */
enum cel_fault text_format(struct slice pattern, const struct cel_value *list, struct buf *out,
                           struct machine *m);

#endif
