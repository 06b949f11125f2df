/* SPDX-License-Identifier: Apache-2.0
 * file.h - whole files, in and out. */
#ifndef ASSAY_CLI_FILE_H
#define ASSAY_CLI_FILE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* The whole of a file in `arena`.
 *   ERR_NOT_FOUND  it cannot be read   ERR_TOO_LARGE  it has more than `cap` bytes */
MUST_USE enum err file_read(struct slice *text, const char *path, size_t cap, struct arena *arena,
                            struct why *why);

/* Makes the file, or replaces what it held.   ERR_UNAVAILABLE  it cannot be written */
MUST_USE enum err file_write(const char *path, struct slice bytes, struct why *why);

#endif
