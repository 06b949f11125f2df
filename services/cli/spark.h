/* SPDX-License-Identifier: Apache-2.0
 * spark.h - small plots for a terminal: in Unicode blocks where the locale is UTF-8, else in plain ASCII. */
#ifndef ASSAY_CLI_SPARK_H
#define ASSAY_CLI_SPARK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Whether the locale of the environment writes UTF-8. */
bool spark_has_blocks(void);

/* One character for each value, from nothing at 0 to full at `most`; NaN is a space. */
void spark_line(struct buf *out, const double *values, size_t count, double most, bool has_blocks);
/* A bar of a share (0..1) of `width` characters, padded with spaces to that width. */
void spark_bar(struct buf *out, double share, size_t width, bool has_blocks);

#endif
