/* SPDX-License-Identifier: Apache-2.0
 * online_fuzz.c - any bytes are a packed online model or are refused; what is one is packed again as the same
 * bytes, and goes on to score and to learn. The checksum is made to fit, or nothing behind it would ever be
 * read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "online/online.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void use(struct online *model)
{
    const struct online_entry entries[] = { { 0, 1 }, { 3, -4 }, { 15, 4 }, { 3, 1 } };

    if (isnan(online_margin(model, entries, 4)))
        abort();
    for (uint64_t i = 0; i < 8; i++)
        online_learn(model, entries, 4, i % 3 == 0, 1 + (double)i, (int64_t)i, i);
    if (isnan(online_margin(model, entries, 4)))
        abort();
    online_progress(model);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct hash_key key = { "assay online 1\n" };
    struct why why = { 0 };
    struct online *model;
    struct buf again;
    char *bytes;
    uint64_t sum;

    if (size < 8 || size > 65536)
        return 0;
    bytes = mem_alloc(size, 1);
    memcpy(bytes, data, size);
    sum = hash64(&key, slice_of(bytes, size - 8));
    for (int i = 0; i < 8; i++)
        bytes[size - 8 + (size_t)i] = (char)(sum >> 8 * i);
    if (online_open(&model, slice_of(bytes, size), &why)) {
        if (!why.text[0] || model)
            abort();
    } else {
        buf_init(&again, 0);
        online_pack(model, &again);
        if (!slice_eq(buf_slice(&again), slice_of(bytes, size)))
            abort();
        buf_release(&again);
        use(model);
        online_free(model);
    }
    mem_free(bytes);
    return 0;
}
