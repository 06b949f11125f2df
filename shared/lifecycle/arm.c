/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/arm.h"

#include <string.h>

#include "base/hash.h"

enum arm arm_of(uint64_t arm_hash, int64_t salt, double share)
{
    struct hash_key key = { { 0 } };
    unsigned char customer[8];
    uint64_t drawn;

    for (size_t i = 0; i < sizeof customer; i++) {
        key.bytes[i] = (unsigned char)((uint64_t)salt >> (8 * i));
        customer[i] = (unsigned char)(arm_hash >> (8 * i));
    }
    memcpy(key.bytes + 8, "assayarm", 8);
    drawn = hash64(&key, slice_of(customer, sizeof customer));
    return (double)(drawn >> 11) * 0x1p-53 < share ? ARM_CANDIDATE : ARM_CHAMPION;
}

const char *arm_name(enum arm arm)
{
    static const char *const names[] = { [ARM_CHAMPION] = "champion", [ARM_CANDIDATE] = "challenger" };

    return names[arm];
}
