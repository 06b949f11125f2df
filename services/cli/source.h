/* SPDX-License-Identifier: Apache-2.0
 * source.h - lines of a file or a pipe, taken when they are wanted; a pipe that has none yet says so and
 * calls when it has. */
#ifndef ASSAY_CLI_SOURCE_H
#define ASSAY_CLI_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "loop/loop.h"

struct source;

enum source_state { SOURCE_LINE, SOURCE_LATER, SOURCE_END };

/* `path` "-" is standard input. `on_more` is called from the loop after SOURCE_LATER.
 *   ERR_NOT_FOUND  it cannot be opened */
MUST_USE enum err source_open(struct source **out, struct loop *loop, const char *path,
                              void (*on_more)(void *arg), void *arg, struct why *why);
void source_close(struct source *s);

/* The next line that is not empty, without its end; valid until the next call. A line of more than 1 MiB, and
 * a failure to read, are the end. */
enum source_state source_line(struct source *s, struct slice *line);
uint64_t source_lines(const struct source *s);
/* 0 to 1; below 0 when nobody knows how much there is. */
double source_share_done(const struct source *s);

#endif
