/* SPDX-License-Identifier: Apache-2.0 */
#include "lifestore/awaited.h"

#include <stddef.h>

enum { SPREAD_MS = 97 }; /* between the moments of two entries */

static int64_t period_ms(int64_t age_ms)
{
    static const struct {
        int64_t age_ms, period_ms;
    } steps[] = { { 5000, 500 }, { 30000, 2000 }, { 120000, 8000 }, { INT64_MAX, 32000 } };
    size_t i = 0;

    while (age_ms >= steps[i].age_ms && steps[i].age_ms < INT64_MAX)
        i++;
    return steps[i].period_ms;
}

bool awaited_is_due(int64_t n, int64_t since_ms, int64_t looked_ms, int64_t now_ms)
{
    int64_t period = period_ms(now_ms - since_ms), phase = n % (INT64_MAX / SPREAD_MS / 2) * SPREAD_MS;

    phase %= period;
    return (now_ms + phase) / period != (looked_ms + phase) / period;
}
