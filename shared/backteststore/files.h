/* SPDX-License-Identifier: Apache-2.0
 * files.h - inside backteststore/: files that are whole or not there. */
#ifndef ASSAY_BACKTESTSTORE_FILES_H
#define ASSAY_BACKTESTSTORE_FILES_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

/* Writes `name` below `directory` under another name, makes it durable where asked to, and renames it.
 *   ERR_UNAVAILABLE  it cannot be written */
MUST_USE enum err files_write(const char *directory, const char *name, struct slice bytes, bool is_durable,
                              struct why *why);
/* Maps a file for reading. An empty slice when it is not there, is empty, or cannot be read. */
struct slice files_map(const char *directory, const char *name);
void files_unmap(struct slice bytes);
void files_remove(const char *directory, const char *name);
/* Makes the directory, and those above it, where they are not there.   ERR_UNAVAILABLE  it cannot be made */
MUST_USE enum err files_make_directory(const char *directory, struct why *why);
/* Waits for `lock` below the directory; *fd is for close().   ERR_UNAVAILABLE  it cannot be made */
MUST_USE enum err files_lock(const char *directory, int *fd, struct why *why);

#endif
