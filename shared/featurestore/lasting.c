/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/lasting.h"

size_t recent_bytes(const struct recent *r)
{
    return sizeof(uint64_t) + RECENT_MAX * sizeof(int64_t) * (r->has_place ? 3 : 1);
}

static unsigned char *recent_row(const struct recent *r, const unsigned char *block, int row)
{
    return (unsigned char *)block + r->at + sizeof(uint64_t) + (size_t)row * RECENT_MAX * sizeof(int64_t);
}

bool recent_find(const struct recent *r, const unsigned char *block, int64_t at_us, struct place *out)
{
    uint64_t count = load_u64(block + r->at);
    const unsigned char *times = recent_row(r, block, 0);

    for (uint64_t i = count; i-- > 0;) {
        out->at_us = load_i64(times + 8 * i);
        if (out->at_us > at_us)
            continue;
        if (r->has_place) {
            memcpy(&out->lat, recent_row(r, block, 1) + 8 * i, sizeof out->lat);
            memcpy(&out->lon, recent_row(r, block, 2) + 8 * i, sizeof out->lon);
        }
        return true;
    }
    return false;
}

static void row_insert(unsigned char *row, uint64_t count, uint64_t i, const void *value)
{
    if (count == RECENT_MAX) { /* the oldest gives way; `i` counts without it */
        memmove(row, row + 8, 8 * i);
    } else {
        memmove(row + 8 * (i + 1), row + 8 * i, 8 * (count - i));
    }
    memcpy(row + 8 * i, value, 8);
}

void recent_insert(const struct recent *r, unsigned char *block, const struct place *place)
{
    uint64_t count = load_u64(block + r->at), i = count;
    const unsigned char *times = recent_row(r, block, 0);

    while (i > 0 && load_i64(times + 8 * (i - 1)) > place->at_us)
        i--;
    if (count == RECENT_MAX && i-- == 0)
        return; /* older than all that are kept */
    row_insert(recent_row(r, block, 0), count, i, &place->at_us);
    if (r->has_place) {
        row_insert(recent_row(r, block, 1), count, i, &place->lat);
        row_insert(recent_row(r, block, 2), count, i, &place->lon);
    }
    if (count < RECENT_MAX)
        store_u64(block + r->at, count + 1);
}

bool recent_is_valid(const struct recent *r, const unsigned char *block, int64_t newest_us)
{
    uint64_t count = load_u64(block + r->at);
    int64_t before = INT64_MIN;

    for (uint64_t i = 0; i < count && count <= RECENT_MAX; i++) {
        int64_t at_us = load_i64(recent_row(r, block, 0) + 8 * i);

        if (at_us < before || at_us > newest_us)
            return false;
        before = at_us;
    }
    return count <= RECENT_MAX;
}

size_t lifetime_bytes(const struct lifetime *l)
{
    return l->column.op == OP_SQUARES ? 16 : 8;
}

void lifetime_add(const struct lifetime *l, unsigned char *block, const struct event *event)
{
    const struct column *c = &l->column;
    unsigned char *total = block + l->at;
    int64_t value = c->op == OP_FIRST ? event->at.at_us : c->value == NONE ? 0 : event->values[c->value];

    if (!is_in_column(event, c))
        return;
    switch (c->op) {
    case OP_COUNT:
        store_u64(total, load_u64(total) + 1);
        break;
    case OP_SUM:
        store_u64(total, load_u64(total) + (uint64_t)value);
        break;
    case OP_SQUARES:
        store_u128(total, load_u128(total) + square(value));
        break;
    case OP_MIN:
    case OP_FIRST:
        if (value < load_i64(total))
            store_i64(total, value);
        break;
    case OP_MAX:
        if (value > load_i64(total))
            store_i64(total, value);
        break;
    case OP_FRAUD:
    case OP_LAST_FRAUD:
    case OP_LAST_LEGIT:
        break;
    }
}
