/* SPDX-License-Identifier: Apache-2.0
 * cron_fuzz.c - any text is a cron expression or is refused; what is one has a next time, which matches what the
 * wall shows then, and no earlier minute does. */
#include <stdlib.h>

#include "base/clock.h"
#include "cron/cron.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct why why = { 0 };
    struct cron cron;
    int64_t start_s = civil_days(2026, 2, 1) * 86400, next_s;

    if (cron_parse(&cron, slice_of(data, size), &why)) {
        if (!why.text[0])
            abort();
        return 0;
    }
    next_s = cron_next(&cron, NULL, start_s * SECOND_US) / SECOND_US;
    if (next_s <= start_s || !cron_matches(&cron, next_s))
        abort();
    for (int64_t at_s = start_s + 60; at_s < next_s && at_s < start_s + 40 * 86400; at_s += 60) {
        if (cron_matches(&cron, at_s))
            abort();
    }
    return 0;
}
