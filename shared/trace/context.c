/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/context.h"

#include <sodium.h>

#include "base/hash.h"

enum {
    VERSION_LEN = 3,
    TRACE_ID_AT = VERSION_LEN,
    TRACE_ID_LEN = 32,
    SPAN_AT = 36,
    SPAN_LEN = 16,
    FLAGS_AT = 53,
    PARENT_LEN = 55
};

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

static unsigned flags_of(const char *parent)
{
    return (unsigned)(hex_digit(parent[FLAGS_AT]) << 4 | hex_digit(parent[FLAGS_AT + 1]));
}

/* The last 56 bits of a random trace id are what its sampling may be decided by. */
static bool is_drawn(const unsigned char id[16], double share)
{
    uint64_t draw = 0;

    for (size_t i = 9; i < 16; i++)
        draw = draw << 8 | id[i];
    return (double)draw < share * 0x1p56;
}

static void put_span(struct trace *t, const unsigned char span[8])
{
    char hex[TRACE_SPAN_SIZE];

    hex_encode(span, 8, hex);
    memcpy(t->parent + SPAN_AT, hex, SPAN_LEN);
}

void trace_begin(struct trace *t, struct slice traceparent, const unsigned char random[TRACE_RANDOM_BYTES],
                 double sampled)
{
    char hex[TRACE_ID_LEN + 1];

    memcpy(t->parent, "00-", VERSION_LEN);
    if (is_valid(traceparent)) {
        memcpy(t->parent + TRACE_ID_AT, traceparent.ptr + TRACE_ID_AT, TRACE_ID_LEN);
        memcpy(t->parent + FLAGS_AT, traceparent.ptr + FLAGS_AT, 2);
        memcpy(t->caller, traceparent.ptr + SPAN_AT, SPAN_LEN);
        t->caller[SPAN_LEN] = '\0';
    } else {
        hex_encode(random, TRACE_ID_LEN / 2, hex);
        memcpy(t->parent + TRACE_ID_AT, hex, TRACE_ID_LEN);
        memcpy(t->parent + FLAGS_AT, is_drawn(random, sampled) ? "03" : "02", 2); /* 2: the id is random */
        t->caller[0] = '\0';
    }
    t->parent[SPAN_AT - 1] = t->parent[FLAGS_AT - 1] = '-';
    t->parent[PARENT_LEN] = '\0';
    put_span(t, random + TRACE_ID_LEN / 2);
}

void trace_below(struct trace *t, const struct trace *above, const unsigned char random[TRACE_RANDOM_BYTES])
{
    memcpy(t->parent, above->parent, TRACE_PARENT_SIZE);
    memcpy(t->caller, above->parent + SPAN_AT, SPAN_LEN);
    t->caller[SPAN_LEN] = '\0';
    put_span(t, random);
}

bool trace_asks(struct slice traceparent)
{
    return is_valid(traceparent) && (flags_of(traceparent.ptr) & 1);
}

bool trace_is_sampled(const struct trace *t)
{
    return *t->parent && (flags_of(t->parent) & 1);
}

struct slice trace_id(const struct trace *t)
{
    return slice_of(t->parent + TRACE_ID_AT, TRACE_ID_LEN);
}

struct slice trace_span(const struct trace *t)
{
    return slice_of(t->parent + SPAN_AT, SPAN_LEN);
}
