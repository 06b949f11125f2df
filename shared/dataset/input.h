/* SPDX-License-Identifier: Apache-2.0
 * input.h - the bytes of a file or of standard input, decompressed when they are zstd's (RFC 8878). */
#ifndef ASSAY_DATASET_INPUT_H
#define ASSAY_DATASET_INPUT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

struct input;

/* `path`, or "-" for standard input. *out is the caller's, to close.
 *   ERR_NOT_FOUND  it cannot be opened */
MUST_USE enum err input_open(struct input **out, const char *path, struct why *why);
void input_close(struct input *in);

/* The next piece, valid until the next call; *is_last says that nothing follows (the piece may be empty).
 *   ERR_INTERNAL  it cannot be read
 *   ERR_SYNTAX    it is damaged or cut short */
MUST_USE enum err input_next(struct input *in, struct slice *piece, bool *is_last, struct why *why);

#endif
