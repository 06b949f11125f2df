/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include <sodium.h>

#include "base/hash.h"

enum { TRACE_ID_AT = 3, TRACE_ID_LEN = 32, SPAN_AT = 36, SPAN_LEN = 16, FLAGS_AT = 53, PARENT_LEN = 55 };

static bool is_hex(struct slice text, size_t at, size_t len)
{
    for (size_t i = at; i < at + len; i++) {
        char c = text.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static bool is_zero(struct slice text, size_t at, size_t len)
{
    for (size_t i = at; i < at + len; i++) {
        if (text.ptr[i] != '0')
            return false;
    }
    return true;
}

static bool is_valid(struct slice t)
{
    if (t.len < PARENT_LEN || !is_hex(t, 0, 2) || slice_starts_with(t, SLICE("ff")))
        return false;
    if (slice_starts_with(t, SLICE("00")) ? t.len != PARENT_LEN
                                          : t.len > PARENT_LEN && t.ptr[PARENT_LEN] != '-')
        return false;
    return t.ptr[2] == '-' && t.ptr[SPAN_AT - 1] == '-' && t.ptr[FLAGS_AT - 1] == '-' &&
           is_hex(t, TRACE_ID_AT, TRACE_ID_LEN) && !is_zero(t, TRACE_ID_AT, TRACE_ID_LEN) &&
           is_hex(t, SPAN_AT, SPAN_LEN) && !is_zero(t, SPAN_AT, SPAN_LEN) && is_hex(t, FLAGS_AT, 2);
}

const unsigned char *trace_throw(struct trace_dice *dice)
{
    if (dice->left < TRACE_RANDOM_BYTES) {
        randombytes_buf(dice->bytes, sizeof dice->bytes);
        dice->left = sizeof dice->bytes;
    }
    dice->left -= TRACE_RANDOM_BYTES;
    return dice->bytes + dice->left;
}

void trace_begin(struct trace *t, struct slice traceparent, const unsigned char random[TRACE_RANDOM_BYTES])
{
    char hex[2 * TRACE_RANDOM_BYTES + 1];

    hex_encode(random, TRACE_RANDOM_BYTES, hex);
    memcpy(t->parent, "00-", 3);
    if (is_valid(traceparent)) {
        memcpy(t->parent + TRACE_ID_AT, traceparent.ptr + TRACE_ID_AT, TRACE_ID_LEN);
        memcpy(t->parent + FLAGS_AT, traceparent.ptr + FLAGS_AT, 2);
    } else {
        memcpy(t->parent + TRACE_ID_AT, hex, TRACE_ID_LEN);
        memcpy(t->parent + FLAGS_AT, "02", 2); /* not sampled; the id is random */
    }
    t->parent[SPAN_AT - 1] = t->parent[FLAGS_AT - 1] = '-';
    memcpy(t->parent + SPAN_AT, hex + TRACE_ID_LEN, SPAN_LEN);
    t->parent[PARENT_LEN] = '\0';
}

struct slice trace_id(const struct trace *t)
{
    return slice_of(t->parent + TRACE_ID_AT, TRACE_ID_LEN);
}
