/* SPDX-License-Identifier: Apache-2.0 */
#include "backtest/labels.h"

#include "base/mem.h"

struct held {
    uint64_t key;
    int64_t labelled_at_us;
    uint8_t source, state; /* LABEL_NONE: the place is free */
};

struct labels {
    struct held *table;
    size_t size, count; /* a power of two, at least twice the count */
};

struct labels *labels_new(void)
{
    return mem_new(struct labels);
}

void labels_free(struct labels *l)
{
    if (!l)
        return;
    mem_free(l->table);
    mem_free(l);
}

/* The keys are hashes already. */
static struct held *place_of(const struct labels *l, uint64_t key)
{
    size_t mask = l->size - 1, i = key & mask;

    while (l->table[i].state != LABEL_NONE && l->table[i].key != key)
        i = (i + 1) & mask;
    return &l->table[i];
}

static void grow(struct labels *l)
{
    struct held *old = l->table;
    size_t size = l->size;

    l->size = size ? 2 * size : 1024;
    l->table = mem_new_n(struct held, l->size);
    for (size_t i = 0; i < size; i++) {
        if (old[i].state != LABEL_NONE)
            *place_of(l, old[i].key) = old[i];
    }
    mem_free(old);
}

void labels_add(struct labels *l, uint64_t key, enum label_source source, int64_t labelled_at_us,
                bool is_fraud)
{
    struct held *held;

    if (2 * l->count >= l->size)
        grow(l);
    held = place_of(l, key);
    if (held->state == LABEL_NONE)
        l->count++;
    else if (held->source > source || (held->source == source && held->labelled_at_us > labelled_at_us))
        return;
    *held = (struct held){ key, labelled_at_us, (uint8_t)source, is_fraud ? LABEL_FRAUD : LABEL_GOOD };
}

enum label_state labels_find(const struct labels *l, uint64_t key)
{
    return l->size ? (enum label_state)place_of(l, key)->state : LABEL_NONE;
}
