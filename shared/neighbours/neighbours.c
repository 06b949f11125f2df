/* SPDX-License-Identifier: Apache-2.0 */
#include "neighbours/neighbours.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK = 64 /* rows */, BYTE_LEAVES = 256, NO_ROW = UINT32_MAX };

/* ---- rows by age: the oldest first ---- */

struct place {
    uint32_t row;
    uint64_t key; /* that the row had then */
};

struct ring {
    struct place *places;
    size_t first, count, cap;
};

static void ring_push(struct ring *r, struct place place)
{
    if (r->count == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        struct place *places = mem_new_n(struct place, cap);

        for (size_t i = 0; i < r->count; i++)
            places[i] = r->places[(r->first + i) % r->cap];
        mem_free(r->places);
        *r = (struct ring){ places, 0, r->count, cap };
    }
    r->places[(r->first + r->count++) % r->cap] = place;
}

static struct place ring_take(struct ring *r)
{
    struct place place = r->places[r->first];

    r->first = (r->first + 1) % r->cap;
    r->count--;
    return place;
}

/* ---- the index ---- */

struct row {
    uint64_t key;
    uint32_t group;
    bool is_kept;
};

struct neighbours {
    size_t trees, width, rows_max, count;
    uint32_t *order; /* [trees] which tree stands where */
    struct row *rows;
    size_t row_cap;
    unsigned char **blocks; /* each [trees][BLOCK] of `width` bytes */
    struct ring ordinary, kept;
    uint32_t *slots; /* rows by key: open addressing, a power of two of them, at most half full */
    size_t slot_count;
};

static size_t greatest_common_divisor(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Steps of about the golden section, so that each beginning is spread over the whole forest. */
static void order_trees(struct neighbours *x)
{
    size_t step = x->trees * 618 / 1000 + 1;

    while (greatest_common_divisor(step, x->trees) != 1)
        step++;
    for (size_t i = 0; i < x->trees; i++)
        x->order[i] = (uint32_t)(i * step % x->trees);
}

static size_t width_of(size_t leaves)
{
    return leaves <= BYTE_LEAVES ? 1 : 2;
}

struct neighbours *neighbours_new(size_t trees, size_t leaves, size_t rows)
{
    struct neighbours *x = mem_new(struct neighbours);

    assert(trees > 0 && leaves <= 65536 && rows > 0 && rows < NO_ROW / 4);
    x->trees = trees;
    x->width = width_of(leaves);
    x->rows_max = rows;
    x->order = mem_new_n(uint32_t, trees);
    order_trees(x);
    x->blocks = mem_new_n(unsigned char *, rows / BLOCK + 1);
    return x;
}

void neighbours_free(struct neighbours *x)
{
    if (x == NULL)
        return;
    for (size_t i = 0; i * BLOCK < x->count; i++)
        mem_free(x->blocks[i]);
    mem_free(x->blocks);
    mem_free(x->order);
    mem_free(x->rows);
    mem_free(x->ordinary.places);
    mem_free(x->kept.places);
    mem_free(x->slots);
    mem_free(x);
}

size_t neighbours_row_bytes(size_t trees, size_t leaves)
{
    return trees * width_of(leaves) + 2 * sizeof(struct row) + 8 * sizeof(uint32_t);
}

size_t neighbours_count(const struct neighbours *x)
{
    return x->count;
}

size_t neighbours_kept(const struct neighbours *x)
{
    return x->kept.count;
}

/* ---- rows by key ---- */

/* The finalizer of MurmurHash3: keys are places in a log, which nobody chooses. */
static size_t home_of(const struct neighbours *x, uint64_t key)
{
    key ^= key >> 33;
    key *= UINT64_C(0xff51afd7ed558ccd);
    key ^= key >> 33;
    key *= UINT64_C(0xc4ceb9fe1a85ec53);
    key ^= key >> 33;
    return (size_t)key & (x->slot_count - 1);
}

/* Where the key is, or belongs. */
static size_t slot_of(const struct neighbours *x, uint64_t key)
{
    size_t at = home_of(x, key);

    while (x->slots[at] != NO_ROW && x->rows[x->slots[at]].key != key)
        at = (at + 1) & (x->slot_count - 1);
    return at;
}

static void rehash(struct neighbours *x)
{
    x->slot_count = x->slot_count ? 2 * x->slot_count : 1024;
    mem_free(x->slots);
    x->slots = mem_new_n(uint32_t, x->slot_count);
    memset(x->slots, 0xff, x->slot_count * sizeof *x->slots);
    for (size_t i = 0; i < x->count; i++)
        x->slots[slot_of(x, x->rows[i].key)] = (uint32_t)i;
}

/* Those behind it move up, so that no search ends too early. */
static void forget_key(struct neighbours *x, uint64_t key)
{
    size_t mask = x->slot_count - 1, hole = slot_of(x, key), at = hole;

    x->slots[hole] = NO_ROW;
    while (x->slots[at = (at + 1) & mask] != NO_ROW) {
        size_t home = home_of(x, x->rows[x->slots[at]].key);

        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        x->slots[hole] = x->slots[at];
        x->slots[at] = NO_ROW;
        hole = at;
    }
}

/* ---- putting in ---- */

static void set_leaves(struct neighbours *x, size_t row, const uint16_t *leaves)
{
    unsigned char *block = x->blocks[row / BLOCK];

    for (size_t i = 0; i < x->trees; i++) {
        size_t cell = i * BLOCK + row % BLOCK;

        if (x->width == 1)
            block[cell] = (unsigned char)leaves[x->order[i]];
        else
            ((uint16_t *)(void *)block)[cell] = leaves[x->order[i]];
    }
}

static uint32_t add_row(struct neighbours *x)
{
    uint32_t row = (uint32_t)x->count;

    if (x->count == x->row_cap) {
        x->row_cap = x->row_cap ? 2 * x->row_cap : 1024;
        x->rows = mem_grow(x->rows, x->row_cap, sizeof *x->rows);
    }
    if (row % BLOCK == 0)
        x->blocks[row / BLOCK] = mem_alloc(x->trees * BLOCK, x->width);
    x->count++;
    return row;
}

/* The row that has been there for the longest, of those that may go. What became a kept one, or another row, since it
 * came in is passed over. */
static uint32_t oldest(struct neighbours *x)
{
    while (x->ordinary.count && x->kept.count <= x->rows_max / 2) {
        struct place at = ring_take(&x->ordinary);

        if (x->rows[at.row].key == at.key && !x->rows[at.row].is_kept)
            return at.row;
    }
    return ring_take(&x->kept).row;
}

void neighbours_put(struct neighbours *x, const struct neighbours_item *item, const uint16_t *leaves)
{
    bool was_kept = false, is_new = false;
    uint32_t row;

    if (2 * (x->count + 1) > x->slot_count)
        rehash(x);
    row = x->slots[slot_of(x, item->key)];
    if (row == NO_ROW) {
        is_new = true;
        if (x->count < x->rows_max) {
            row = add_row(x);
        } else {
            row = oldest(x);
            forget_key(x, x->rows[row].key);
        }
        x->slots[slot_of(x, item->key)] = row;
    } else {
        was_kept = x->rows[row].is_kept;
    }
    x->rows[row] = (struct row){ item->key, item->group, item->is_kept || was_kept };
    set_leaves(x, row, leaves);
    if (item->is_kept && !was_kept)
        ring_push(&x->kept, (struct place){ row, item->key });
    else if (is_new)
        ring_push(&x->ordinary, (struct place){ row, item->key });
}

/* ---- counting ---- */

/* Adds to counts[BLOCK] in how many of the block's first trees each row has the wanted leaf. */
static void count_bytes(const unsigned char *restrict cells, const uint16_t *restrict wanted, size_t trees,
                        uint16_t *restrict counts)
{
    enum { MOST = 255 };

    for (size_t first = 0; first < trees; first += MOST) {
        size_t end = trees - first < MOST ? trees : first + MOST;
        unsigned char near[BLOCK] = { 0 };

        for (size_t t = first; t < end; t++) {
            unsigned char leaf = (unsigned char)wanted[t];

            for (size_t i = 0; i < BLOCK; i++)
                near[i] = (unsigned char)(near[i] + (cells[t * BLOCK + i] == leaf));
        }
        for (size_t i = 0; i < BLOCK; i++)
            counts[i] = (uint16_t)(counts[i] + near[i]);
    }
}

static void count_words(const uint16_t *restrict cells, const uint16_t *restrict wanted, size_t trees,
                        uint16_t *restrict counts)
{
    for (size_t t = 0; t < trees; t++)
        for (size_t i = 0; i < BLOCK; i++)
            counts[i] = (uint16_t)(counts[i] + (cells[t * BLOCK + i] == wanted[t]));
}

static size_t count_row(const struct neighbours *x, size_t row, const uint16_t *wanted)
{
    const unsigned char *block = x->blocks[row / BLOCK];
    size_t count = 0;

    for (size_t t = 0; t < x->trees; t++) {
        size_t cell = t * BLOCK + row % BLOCK;

        count += (x->width == 1 ? block[cell] : ((const uint16_t *)(const void *)block)[cell]) == wanted[t];
    }
    return count;
}

/* ---- the best so far: a heap, the worst on top ---- */

struct best {
    size_t matches;
    uint64_t key;
    uint32_t row;
};

struct heap {
    struct best *items;
    size_t count, most;
};

static bool is_worse(const struct best *a, const struct best *b)
{
    return a->matches != b->matches ? a->matches < b->matches : a->key < b->key;
}

static void sink(struct heap *h, size_t at)
{
    struct best item = h->items[at];
    size_t child;

    while ((child = 2 * at + 1) < h->count) {
        child += child + 1 < h->count && is_worse(&h->items[child + 1], &h->items[child]);
        if (!is_worse(&h->items[child], &item))
            break;
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = item;
}

static void heap_offer(struct heap *h, struct best item)
{
    size_t at;

    if (h->count == h->most) {
        if (h->most && is_worse(&h->items[0], &item)) {
            h->items[0] = item;
            sink(h, 0);
        }
        return;
    }
    at = h->count++;
    while (at > 0 && is_worse(&item, &h->items[(at - 1) / 2])) {
        h->items[at] = h->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->items[at] = item;
}

/* What is left in the heap's place is the best first. */
static void heap_sort(struct heap *h)
{
    size_t count = h->count;

    while (h->count > 1) {
        struct best worst = h->items[0];

        h->items[0] = h->items[--h->count];
        h->items[h->count] = worst;
        sink(h, 0);
    }
    h->count = count;
}

/* ---- searching ---- */

static void offer(const struct neighbours *x, const struct neighbours_question *q, struct heap *h, size_t row,
                  size_t matches)
{
    const struct row *r = &x->rows[row];

    if (matches && r->group == q->group && r->key != q->except)
        heap_offer(h, (struct best){ matches, r->key, (uint32_t)row });
}

/* By the first `trees` of the order. */
static void scan(const struct neighbours *x, const struct neighbours_question *q, const uint16_t *wanted,
                 size_t trees, struct heap *h)
{
    for (size_t first = 0; first < x->count; first += BLOCK) {
        const unsigned char *block = x->blocks[first / BLOCK];
        size_t rows = x->count - first < BLOCK ? x->count - first : BLOCK;
        uint16_t counts[BLOCK] = { 0 };
        size_t least;

        if (x->width == 1)
            count_bytes(block, wanted, trees, counts);
        else
            count_words((const uint16_t *)(const void *)block, wanted, trees, counts);
        least = h->count == h->most && h->most ? h->items[0].matches : 1;
        for (size_t i = 0; i < rows; i++)
            if (counts[i] >= least)
                offer(x, q, h, first + i, counts[i]);
    }
}

static void search_sketch(const struct neighbours *x, const struct neighbours_question *q,
                          const uint16_t *wanted, struct heap *out)
{
    size_t trees = x->trees < NEIGHBOURS_SKETCH_TREES ? x->trees : NEIGHBOURS_SKETCH_TREES;
    struct heap sketch = { .most = out->most > NEIGHBOURS_SKETCH_ROWS ? out->most : NEIGHBOURS_SKETCH_ROWS };

    sketch.items = mem_new_n(struct best, sketch.most + 1);
    scan(x, q, wanted, trees, &sketch);
    for (size_t i = 0; i < sketch.count; i++)
        offer(x, q, out, sketch.items[i].row, count_row(x, sketch.items[i].row, wanted));
    mem_free(sketch.items);
}

size_t neighbours_search(const struct neighbours *x, const struct neighbours_question *q,
                         struct neighbour *out, size_t most, bool *was_exact)
{
    bool is_exact = q->way == NEIGHBOURS_EXACT ||
                    (q->way == NEIGHBOURS_AUTO && x->count <= NEIGHBOURS_EXACT_CELLS / x->trees);
    struct heap best = { mem_new_n(struct best, most + 1), 0, most };
    uint16_t *wanted = mem_new_n(uint16_t, x->trees);

    for (size_t i = 0; i < x->trees; i++)
        wanted[i] = q->leaves[x->order[i]];
    if (is_exact)
        scan(x, q, wanted, x->trees, &best);
    else
        search_sketch(x, q, wanted, &best);
    heap_sort(&best);
    for (size_t i = 0; i < best.count; i++)
        out[i] = (struct neighbour){ best.items[i].key, best.items[i].matches };
    if (was_exact)
        *was_exact = is_exact;
    mem_free(wanted);
    mem_free(best.items);
    return best.count;
}
