/* SPDX-License-Identifier: Apache-2.0
 * zone_fuzz.c - any bytes are a zone or are refused; a zone answers within its limits, and a schedule in it goes
 * on. */
#include <stdlib.h>

#include "base/clock.h"
#include "cron/cron.h"
#include "cron/zone.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const int64_t times_s[] = { -4000000000, -1, 0, 1000000000, 1793000000, 4102444800, 32503680000 };
    struct why why = { 0 };
    struct zone *zone;
    struct cron cron;

    if (zone_open(&zone, slice_of(data, size), &why)) {
        if (!why.text[0] || zone)
            abort();
        return 0;
    }
    if (cron_parse(&cron, SLICE("30 2 * * *"), &why))
        abort();
    for (size_t i = 0; i < sizeof times_s / sizeof *times_s; i++) {
        int32_t offset = zone_offset(zone, times_s[i]);
        int64_t instant = zone_instant(zone, times_s[i] + offset), next_us = times_s[i] * SECOND_US;

        if (offset < -26 * 3600 || offset > 26 * 3600)
            abort();
        /* What the wall shows now it showed first now or earlier. */
        if (instant > times_s[i] || instant < times_s[i] - 53 * 3600)
            abort();
        for (int n = 0; n < 5; n++) {
            int64_t after_us = next_us;

            next_us = cron_next(&cron, zone, after_us);
            if (next_us <= after_us)
                abort();
        }
    }
    zone_close(zone);
    return 0;
}
