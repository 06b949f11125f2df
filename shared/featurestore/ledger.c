/* SPDX-License-Identifier: Apache-2.0 */
#include "featurestore/ledger.h"

#include <string.h>

#include "base/array.h"
#include "base/mem.h"

enum { SMALL_CHUNKS = 2, SLOTS_MIN = 64, SWEEP_MOST = 4, LOOKS_MOST = 64 };

void ledger_init(struct ledger *l, size_t entities)
{
    size_t bytes = sizeof(struct ledger_entry) + entities * sizeof(struct entity *);

    *l = (struct ledger){ .entry_bytes = (uint32_t)bytes,
                          .chunk_entries = (uint32_t)(MEM_LARGE_PAGE / bytes) };
}

void ledger_release(struct ledger *l)
{
    for (size_t i = 0; i < l->chunk_count; i++)
        mem_unmap(l->chunks[i], MEM_LARGE_PAGE);
    mem_free(l->chunks);
    mem_free(l->slots);
}

size_t ledger_bytes(const struct ledger *l)
{
    return (size_t)l->places * l->entry_bytes + l->chunk_cap * sizeof *l->chunks + l->size * sizeof *l->slots;
}

static struct ledger_entry *entry_at(const struct ledger *l, uint32_t place)
{
    return (struct ledger_entry *)(l->chunks[place / l->chunk_entries] +
                                   (size_t)(place % l->chunk_entries) * l->entry_bytes);
}

struct ledger_entry *ledger_get(const struct ledger *l, uint32_t place)
{
    struct ledger_entry *e = entry_at(l, place);

    return e->is_used ? e : NULL;
}

/* ---- the table: open addressing, linear probing, removal by shifting back. The tag alone says where a slot
 * belongs, so that nothing is read but slots until a tag fits. ---- */

static uint32_t tag_of(const uint64_t id[2])
{
    return (uint32_t)(id[0] >> 32);
}

static void slot_put(struct ledger *l, uint64_t slot)
{
    size_t i = slot >> 32 & (l->size - 1);

    while (l->slots[i])
        i = (i + 1) & (l->size - 1);
    l->slots[i] = slot;
}

static void slots_reserve(struct ledger *l)
{
    struct ledger old = *l;

    if (l->count < l->size / 4 * 3)
        return;
    l->size = old.size ? 2 * old.size : SLOTS_MIN;
    l->slots = mem_new_n(uint64_t, l->size);
    for (size_t i = 0; i < old.size; i++) {
        if (old.slots[i])
            slot_put(l, old.slots[i]);
    }
    mem_free(old.slots);
}

static void slot_remove(struct ledger *l, uint32_t tag, uint32_t place)
{
    size_t mask = l->size - 1, hole = tag & mask;

    while (l->slots[hole] != ((uint64_t)tag << 32 | (place + 1)))
        hole = (hole + 1) & mask;
    for (size_t i = (hole + 1) & mask; l->slots[i]; i = (i + 1) & mask) {
        if (((i - (l->slots[i] >> 32)) & mask) >= ((i - hole) & mask)) {
            l->slots[hole] = l->slots[i];
            hole = i;
        }
    }
    l->slots[hole] = 0;
}

struct ledger_entry *ledger_find(const struct ledger *l, const uint64_t id[2])
{
    uint32_t tag = tag_of(id);

    for (size_t i = tag & (l->size - 1); l->size && l->slots[i]; i = (i + 1) & (l->size - 1)) {
        if (l->slots[i] >> 32 == tag) {
            struct ledger_entry *e = entry_at(l, (uint32_t)l->slots[i] - 1);

            if (e->id[0] == id[0] && e->id[1] == id[1])
                return e;
        }
    }
    return NULL;
}

/* ---- entries ---- */

static void queue_push(struct ledger *l, uint32_t place)
{
    entry_at(l, place)->next = 0;
    if (l->newest)
        entry_at(l, l->newest - 1)->next = place + 1;
    else
        l->oldest = place + 1;
    l->newest = place + 1;
}

static uint32_t queue_pop(struct ledger *l)
{
    uint32_t place = l->oldest - 1;

    l->oldest = entry_at(l, place)->next;
    if (!l->oldest)
        l->newest = 0;
    return place;
}

struct ledger_entry *ledger_add(struct ledger *l, const uint64_t id[2])
{
    uint32_t place = l->free - 1;
    struct ledger_entry *e;

    if (!l->free) {
        place = l->places++;
        if (place / l->chunk_entries == l->chunk_count) {
            ARRAY_RESERVE_ONE(l->chunks, l->chunk_count, l->chunk_cap);
            l->chunks[l->chunk_count] = mem_map(MEM_LARGE_PAGE, l->chunk_count >= SMALL_CHUNKS);
            l->chunk_count++;
        }
    }
    e = entry_at(l, place);
    if (l->free)
        l->free = e->next;
    memset(e, 0, l->entry_bytes);
    e->id[0] = id[0];
    e->id[1] = id[1];
    e->is_used = true;
    slots_reserve(l);
    slot_put(l, (uint64_t)tag_of(id) << 32 | (place + 1));
    queue_push(l, place);
    l->count++;
    return e;
}

void ledger_sweep(struct ledger *l, ledger_is_old *is_old, const void *context)
{
    for (int i = 0; i < SWEEP_MOST && l->oldest; i++) {
        struct ledger_entry *e = entry_at(l, l->oldest - 1);
        uint32_t place;

        if (!is_old(context, e)) {
            if (++l->looks % LOOKS_MOST == 0)
                queue_push(l, queue_pop(l));
            return;
        }
        place = queue_pop(l);
        slot_remove(l, tag_of(e->id), place);
        e->is_used = false;
        e->next = l->free;
        l->free = place + 1;
        l->count--;
    }
}
