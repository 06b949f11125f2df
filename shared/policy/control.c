/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/control.h"

#include <string.h>

#include "base/clock.h"

enum { HEAD_BYTES = 8, CUSTOMER_MAX = 128 };

int32_t control_day(int64_t known_at_us)
{
    return (int32_t)(known_at_us / DAY_US - (known_at_us % DAY_US < 0));
}

bool control_is_candidate(const struct control_slice *slice, enum policy_decider decider, enum action action,
                          int64_t amount_base_minor)
{
    return slice && slice->share > 0 && decider == POLICY_BY_THRESHOLD && action == ACTION_DECLINE &&
           amount_base_minor <= slice->amount_most;
}

static void put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

bool control_is_drawn(const struct control_slice *slice, uint32_t account, struct slice customer, int32_t day)
{
    unsigned char text[HEAD_BYTES + CUSTOMER_MAX];
    size_t len = customer.len < CUSTOMER_MAX ? customer.len : CUSTOMER_MAX;

    put_u32(text, account);
    put_u32(text + 4, (uint32_t)day);
    memcpy(text + HEAD_BYTES, customer.ptr, len);
    /* 53 bits: every value is exact, and below 1. */
    return (double)(hash64(&slice->key, slice_of(text, HEAD_BYTES + len)) >> 11) * 0x1p-53 < slice->share;
}
