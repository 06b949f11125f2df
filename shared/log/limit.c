/* SPDX-License-Identifier: Apache-2.0 */
#include "log/limit.h"

#include <string.h>

#include "base/clock.h"

static struct log_kind *kind_of(struct log_limit *limit, const char *event, int level, int64_t now_us)
{
    for (size_t i = 0; i < limit->count; i++) {
        struct log_kind *kind = &limit->kinds[i];

        if (kind->level == level && strcmp(kind->event, event) == 0)
            return kind;
    }
    if (limit->count < LOG_KINDS_MOST)
        limit->kinds[limit->count++] =
            (struct log_kind){ .event = event, .level = level, .told_us = now_us - SECOND_US };
    return &limit->kinds[limit->count - 1];
}

bool log_limit_take(struct log_limit *limit, const char *event, int level, int64_t now_us,
                    uint64_t *suppressed)
{
    struct log_kind *kind = kind_of(limit, event, level, now_us);

    if (now_us - kind->told_us < SECOND_US) {
        kind->untold++;
        return false;
    }
    *suppressed = kind->untold;
    kind->untold = 0;
    kind->told_us = now_us;
    return true;
}
