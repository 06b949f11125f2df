/* SPDX-License-Identifier: Apache-2.0 */
#include "transit.h"

enum {
    MEAN_PART = 8,
    DEVIATION_PART = 4,
    DEVIATIONS = 4,
    WAY_BACK_US = 5000, /* the least that the deviation counts for: the answer has to get there too */
};

void transit_add(struct transit *t, int64_t took_us)
{
    int64_t off_us = took_us - t->mean_us;

    if (!t->mean_us) {
        *t = (struct transit){ took_us, took_us / 2 };
        return;
    }
    t->deviation_us += ((off_us < 0 ? -off_us : off_us) - t->deviation_us) / DEVIATION_PART;
    t->mean_us += off_us / MEAN_PART;
}

int64_t transit_reserve_us(const struct transit *t, int64_t oldest_us, int64_t most_us)
{
    int64_t spread_us = DEVIATIONS * t->deviation_us;
    int64_t reserve_us = (oldest_us > t->mean_us ? oldest_us : t->mean_us) +
                         (spread_us > WAY_BACK_US ? spread_us : WAY_BACK_US);

    return reserve_us < most_us ? reserve_us : most_us;
}
