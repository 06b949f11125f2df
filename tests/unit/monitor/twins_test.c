/* SPDX-License-Identifier: Apache-2.0
 * twins_test.c - payments that were sent twice, compared with looking at each pair. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../../../services/monitor/twins.h"
#include "base/clock.h"

enum { MANY = 12000 };

Test(twins, are_those_that_every_pair_would_show)
{
    struct twins *t = calloc(1, sizeof *t);
    static uint64_t hashes[MANY];
    static int64_t times[MANY];
    uint32_t seed = 3;

    for (size_t i = 0; i < MANY; i++) {
        bool expected = false;

        seed = seed * 1664525u + 1013904223u;
        hashes[i] = (seed >> 8) % 3000 * 8192 + (seed >> 20) % 3; /* many share a slot */
        times[i] = (int64_t)((seed >> 4) % 400) * SECOND_US;
        for (size_t k = i > TWINS_BACK ? i - TWINS_BACK : 0; k < i; k++)
            expected = expected || (hashes[k] == hashes[i] && llabs(times[k] - times[i]) <= MINUTE_US);
        cr_assert_eq(twins_add(t, hashes[i], times[i]), expected, "payment %zu", i);
    }
    free(t);
}
