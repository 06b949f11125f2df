/* SPDX-License-Identifier: Apache-2.0 */
#include "twins.h"

#include "base/clock.h"

/* Whether the one with that number plus 1 is still held. */
static bool is_held(const struct twins *t, uint64_t number)
{
    return number && number + TWINS_BACK > t->count;
}

bool twins_add(struct twins *t, uint64_t hash, int64_t occurred_at_us)
{
    uint64_t *slot = &t->newest[hash % TWINS_SLOTS];
    bool has_twin = false;

    for (uint64_t at = *slot; is_held(t, at) && !has_twin; at = t->ring[(at - 1) % TWINS_BACK].before) {
        int64_t apart = occurred_at_us - t->ring[(at - 1) % TWINS_BACK].occurred_at_us;

        has_twin = t->ring[(at - 1) % TWINS_BACK].hash == hash && apart <= MINUTE_US && apart >= -MINUTE_US;
    }
    t->ring[t->count % TWINS_BACK].hash = hash;
    t->ring[t->count % TWINS_BACK].occurred_at_us = occurred_at_us;
    t->ring[t->count % TWINS_BACK].before = *slot;
    *slot = ++t->count;
    return has_twin;
}
