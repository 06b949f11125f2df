/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest/outcomes.h"

#include "base/array.h"
#include "base/hash.h"

static const char magic[8] = "ASSAYRO1";
static const struct hash_key sum_key = { "assay rule sums" };

struct item {
    uint64_t chunk;
    size_t bytes;
    const uint8_t *bits;
    bool is_own;
};

struct outcomes_of_rule {
    struct item *items;
    size_t count, cap;
    bool is_changed;
};

struct head {
    uint64_t chunk, bytes, sum;
};

static size_t padded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static void add(struct outcomes_of_rule *o, struct item item)
{
    ARRAY_RESERVE_ONE(o->items, o->count, o->cap);
    o->items[o->count++] = item;
}

struct outcomes_of_rule *rule_outcomes_open(struct slice bytes)
{
    struct outcomes_of_rule *o = mem_new(struct outcomes_of_rule);
    size_t at = sizeof magic;

    if (bytes.len < sizeof magic || bytes.len > OUTCOMES_BYTES_MAX ||
        memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return o;
    while (bytes.len - at >= sizeof(struct head)) {
        struct head head;
        const char *bits = bytes.ptr + at + sizeof head;

        memcpy(&head, bytes.ptr + at, sizeof head);
        at += sizeof head;
        if (head.bytes > bytes.len - at || padded(head.bytes) > bytes.len - at)
            break;
        at += padded(head.bytes);
        if (hash64(&sum_key, slice_of(bits, head.bytes)) == head.sum)
            add(o, (struct item){ head.chunk, head.bytes, (const uint8_t *)bits, false });
    }
    return o;
}

void rule_outcomes_close(struct outcomes_of_rule *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->count; i++) {
        if (o->items[i].is_own)
            mem_free((void *)(uintptr_t)o->items[i].bits);
    }
    mem_free(o->items);
    mem_free(o);
}

const uint8_t *rule_outcomes_find(const struct outcomes_of_rule *o, uint64_t chunk, size_t bytes)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->items[i].chunk == chunk && o->items[i].bytes == bytes)
            return o->items[i].bits;
    }
    return NULL;
}

void rule_outcomes_add(struct outcomes_of_rule *o, uint64_t chunk, const uint8_t *bits, size_t bytes)
{
    uint8_t *copy = mem_new_n(uint8_t, bytes + 1);

    memcpy(copy, bits, bytes);
    add(o, (struct item){ chunk, bytes, copy, true });
    o->is_changed = true;
}

bool rule_outcomes_changed(const struct outcomes_of_rule *o)
{
    return o->is_changed;
}

void rule_outcomes_write(const struct outcomes_of_rule *o, bool (*is_kept)(void *context, uint64_t chunk),
                         void *context, struct buf *out)
{
    static const char zeros[8];

    buf_add(out, magic, sizeof magic);
    for (size_t i = 0; i < o->count; i++) {
        const struct item *item = &o->items[i];
        struct slice bits = slice_of(item->bits, item->bytes);
        struct head head = { item->chunk, item->bytes, hash64(&sum_key, bits) };

        if (!is_kept(context, item->chunk))
            continue;
        buf_add(out, &head, sizeof head);
        buf_add_slice(out, bits);
        buf_add(out, zeros, padded(item->bytes) - item->bytes);
    }
}
