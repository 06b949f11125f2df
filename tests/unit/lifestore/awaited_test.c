/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stddef.h>

#include "lifestore/awaited.h"

enum { TURN_MS = 500, FOREVER_MS = 600000, ENTRIES = 5000 };

TestSuite(awaited, .timeout = 120);

Test(awaited, entries_are_looked_for_rarer_the_longer_and_never_more_than_32_s_apart)
{
    for (int64_t n = 1; n < 200; n++) {
        int64_t start_ms = 1700000000000 + n * 7, last_ms = start_ms;
        size_t looks = 0;

        for (int64_t now_ms = start_ms + TURN_MS; now_ms < start_ms + FOREVER_MS; now_ms += TURN_MS) {
            if (!awaited_is_due(n, start_ms, now_ms - TURN_MS, now_ms))
                continue;
            cr_assert_leq(now_ms - last_ms, now_ms - start_ms < 5000 ? 500 : 32500);
            last_ms = now_ms;
            looks++;
        }
        cr_assert(looks > 30 && looks < 60, "%zu looks", looks);
    }
}

Test(awaited, old_entries_are_spread_over_the_turns)
{
    const int64_t now_ms = 1700000000000;

    for (int turn = 0; turn < 200; turn++) {
        int64_t at_ms = now_ms + turn * TURN_MS;
        size_t due = 0;

        for (int64_t n = 1; n <= ENTRIES; n++)
            due += awaited_is_due(n, now_ms - 300000, at_ms - TURN_MS, at_ms);
        cr_assert(due > 0 && due < 2 * ENTRIES * TURN_MS / 32000, "%zu at once", due);
    }
}

Test(awaited, whoever_has_never_looked_looks_for_all)
{
    for (int64_t n = 1; n < 100; n++)
        cr_assert(awaited_is_due(n, 1700000000000, 0, 1700000600000));
}
