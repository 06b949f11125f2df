/* SPDX-License-Identifier: Apache-2.0
 * table.h - from a 64-bit hash to an item: open addressing, linear probing, removal by shifting back.
 * Internal to featurestore/. The items are the caller's; so is comparing full keys. */
#ifndef ASSAY_FEATURESTORE_TABLE_H
#define ASSAY_FEATURESTORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct table {
    struct table_slot {
        uint64_t hash;
        void *item; /* NULL: empty */
    } * slots;
    size_t size, count; /* size is a power of two, or 0 */
};

typedef bool table_is_same(const void *item, const void *key);

static inline size_t table_bytes(const struct table *t)
{
    return t->size * sizeof *t->slots;
}

static inline void table_prefetch(const struct table *t, uint64_t hash)
{
    if (t->size)
        __builtin_prefetch(&t->slots[hash & (t->size - 1)]);
}

static inline void *table_find(const struct table *t, uint64_t hash, table_is_same *is_same, const void *key)
{
    if (!t->size)
        return NULL;
    for (size_t i = hash & (t->size - 1); t->slots[i].item; i = (i + 1) & (t->size - 1)) {
        if (t->slots[i].hash == hash && is_same(t->slots[i].item, key))
            return t->slots[i].item;
    }
    return NULL;
}

/* Most likely the item with that hash, without looking at it. */
static inline void *table_guess(const struct table *t, uint64_t hash)
{
    for (size_t i = hash & (t->size - 1); t->size && t->slots[i].item; i = (i + 1) & (t->size - 1)) {
        if (t->slots[i].hash == hash)
            return t->slots[i].item;
    }
    return NULL;
}

static inline void table_put(struct table *t, uint64_t hash, void *item)
{
    size_t i = hash & (t->size - 1);

    while (t->slots[i].item)
        i = (i + 1) & (t->size - 1);
    t->slots[i] = (struct table_slot){ hash, item };
}

/* Adds an item that is not there. */
static inline void table_add(struct table *t, uint64_t hash, void *item)
{
    if (t->count + 1 > t->size / 3 * 2) {
        struct table old = *t;

        t->size = old.size ? 2 * old.size : 64;
        t->slots = mem_new_n(struct table_slot, t->size);
        for (size_t i = 0; i < old.size; i++) {
            if (old.slots[i].item)
                table_put(t, old.slots[i].hash, old.slots[i].item);
        }
        mem_free(old.slots);
    }
    table_put(t, hash, item);
    t->count++;
}

static inline void table_remove_at(struct table *t, size_t hole)
{
    size_t mask = t->size - 1;

    for (size_t i = (hole + 1) & mask; t->slots[i].item; i = (i + 1) & mask) {
        if (((i - t->slots[i].hash) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole].item = NULL;
    t->count--;
}

#endif
