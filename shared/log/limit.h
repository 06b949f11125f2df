/* SPDX-License-Identifier: Apache-2.0
 * limit.h - a line a second of each kind, and how many it stands for. The time is an argument. */
#ifndef ASSAY_LOG_LIMIT_H
#define ASSAY_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_KINDS_MOST = 64 };

/* Of one event at one level. */
struct log_kind {
    const char *event; /* borrowed for ever: a literal */
    int level;
    int64_t told_us; /* when a line was last written */
    uint64_t untold; /* not written since */
};

/* Begins zeroed. */
struct log_limit {
    struct log_kind kinds[LOG_KINDS_MOST];
    size_t count;
};

/* Whether a line may be written at `now_us` (monotonic); then *suppressed says how many were not since the last. Kinds
 * beyond LOG_KINDS_MOST share the last one's second. */
bool log_limit_take(struct log_limit *limit, const char *event, int level, int64_t now_us,
                    uint64_t *suppressed);

#endif
