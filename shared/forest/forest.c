/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "forest/nodes.h"

size_t forest_columns(const struct forest *f)
{
    return f->columns;
}

size_t forest_trees(const struct forest *f)
{
    return f->trees;
}

size_t forest_nodes(const struct forest *f)
{
    return f->node_count;
}

size_t forest_depth(const struct forest *f)
{
    return f->depth;
}

float forest_base_margin(const struct forest *f)
{
    return f->base_margin;
}

/* Sigmoid() of src/common/math.h: the cut keeps expf() finite, and 1e-16 is there (and does nothing). */
float forest_probability(float margin)
{
    float x = -margin < 88.7F ? -margin : 88.7F;

    return 1.0F / (expf(x) + 1.0F + 1e-16F);
}

/* ---- scratch ---- */

/* Rows that share a pass over the trees: their slots stay in the first-level cache beside a group of trees.
 */
enum { BLOCK = 16 };

/* Contributions are gathered in several sums per slot, so that additions to one hot feature do not wait for
 * each other. */
enum { LANES = 4 };

struct forest_scratch {
    float *slots; /* [BLOCK][f->slots] */
    double *sums; /* [LANES][f->slots] */
};

struct forest_scratch *forest_scratch_new(const struct forest *f)
{
    struct forest_scratch *s = mem_new(struct forest_scratch);

    s->slots = mem_new_n(float, BLOCK * f->slots);
    s->sums = mem_new_n(double, LANES * f->slots);
    return s;
}

void forest_scratch_free(struct forest_scratch *s)
{
    if (s == NULL)
        return;
    mem_free(s->slots);
    mem_free(s->sums);
    mem_free(s);
}

/* Decision() of src/common/categorical.h: right for a code in the set, left for any other; what is no code
 * (below 0, or no longer exact in float32) is in no set. */
static bool is_category_left(const struct forest *f, const struct category_split *split, float value)
{
    uint32_t code;

    if (isnan(value))
        return split->is_missing_left;
    if (value < 0.0F || value >= (float)(split->words * 32))
        return true;
    code = (uint32_t)value;
    return (f->category_bits[split->first + code / 32] >> (code % 32) & 1) == 0;
}

void forest_fill_slots(const struct forest *f, const float *row, float *slots)
{
    slots[SLOT_LEAF] = -INFINITY;
    for (size_t c = 0; c < f->columns; c++) {
        bool is_missing = isnan(row[c]);

        slots[slot_of(c, false)] = is_missing ? INFINITY : row[c];
        slots[slot_of(c, true)] = is_missing ? -INFINITY : row[c];
    }
    for (size_t i = 0; i < f->category_count; i++) {
        const struct category_split *split = &f->categories[i];

        slots[split->slot] = is_category_left(f, split, row[split->column]) ? -INFINITY : INFINITY;
    }
}

/* ---- margins ---- */

/* Adds the leaves of one group of trees, in the order of the trees. */
static inline float add_group(const struct forest *f, size_t group, const float *slots, float margin)
{
    const size_t *roots = f->roots + group * GROUP;
    size_t count = f->trees - group * GROUP;
    const struct node *n[GROUP];

    for (size_t i = 0; i < GROUP; i++)
        n[i] = f->nodes + roots[i];
    for (size_t step = f->group_depth[group]; step > 0; step--)
#pragma GCC unroll 8
        for (size_t i = 0; i < GROUP; i++)
            n[i] = node_next(n[i], slots);
    if (count >= GROUP) {
#pragma GCC unroll 8
        for (size_t i = 0; i < GROUP; i++)
            margin += n[i]->threshold;
    } else {
        for (size_t i = 0; i < count; i++)
            margin += n[i]->threshold;
    }
    return margin;
}

float forest_margin(const struct forest *f, const float *row, struct forest_scratch *s)
{
    float margin = f->base_margin;

    forest_fill_slots(f, row, s->slots);
    for (size_t group = 0; group * GROUP < f->trees; group++)
        margin = add_group(f, group, s->slots, margin);
    return margin;
}

void forest_margins(const struct forest *f, const float *features, size_t rows, float *margins,
                    struct forest_scratch *s)
{
    for (size_t first = 0; first < rows; first += BLOCK) {
        size_t count = rows - first < BLOCK ? rows - first : BLOCK;

        for (size_t i = 0; i < count; i++) {
            forest_fill_slots(f, features + (first + i) * f->columns, s->slots + i * f->slots);
            margins[first + i] = f->base_margin;
        }
        for (size_t group = 0; group * GROUP < f->trees; group++)
            for (size_t i = 0; i < count; i++)
                margins[first + i] = add_group(f, group, s->slots + i * f->slots, margins[first + i]);
    }
}

/* ---- leaves ---- */

struct forest_leaves {
    const struct forest *forest;
    uint16_t *number; /* per node; of what is no leaf, nothing */
    size_t most;
};

enum err forest_leaves_new(struct forest_leaves **out, const struct forest *f, struct why *why)
{
    struct forest_leaves *l = mem_new(struct forest_leaves);

    *out = NULL;
    l->forest = f;
    l->number = mem_new_n(uint16_t, f->node_count + 1);
    for (size_t t = 0; t < f->trees; t++) { /* its nodes lie behind its root, up to the next root */
        size_t end = t + 1 < f->trees ? f->roots[t + 1] : f->node_count, count = 0;

        for (size_t n = f->roots[t]; n < end; n++)
            if (node_is_leaf(&f->nodes[n]))
                l->number[n] = (uint16_t)count++;
        if (count > FOREST_LEAVES_MAX) {
            forest_leaves_free(l);
            return err_set(why, ERR_TOO_LARGE, "tree %zu has %zu leaves, more than %d", t, count,
                           FOREST_LEAVES_MAX);
        }
        if (count > l->most)
            l->most = count;
    }
    *out = l;
    return ERR_OK;
}

void forest_leaves_free(struct forest_leaves *l)
{
    if (l == NULL)
        return;
    mem_free(l->number);
    mem_free(l);
}

size_t forest_leaves_most(const struct forest_leaves *l)
{
    return l->most;
}

void forest_leaves_find(const struct forest_leaves *l, const float *row, uint16_t *leaves,
                        struct forest_scratch *s)
{
    const struct forest *f = l->forest;

    forest_fill_slots(f, row, s->slots);
    for (size_t group = 0; group * GROUP < f->trees; group++) {
        size_t count = f->trees - group * GROUP < GROUP ? f->trees - group * GROUP : GROUP;
        const struct node *n[GROUP];

        for (size_t i = 0; i < GROUP; i++)
            n[i] = f->nodes + f->roots[group * GROUP + i];
        for (size_t step = f->group_depth[group]; step > 0; step--)
#pragma GCC unroll 8
            for (size_t i = 0; i < GROUP; i++)
                n[i] = node_next(n[i], s->slots);
        for (size_t i = 0; i < count; i++)
            leaves[group * GROUP + i] = l->number[n[i] - f->nodes];
    }
}

/* ---- path contributions ---- */

float forest_explain(const struct forest *f, const float *row, double *contributions,
                     struct forest_scratch *s)
{
    const float *slots = s->slots;
    float margin = f->base_margin;

    forest_fill_slots(f, row, s->slots);
    memset(s->sums, 0, LANES * f->slots * sizeof *s->sums);
    for (size_t group = 0; group * GROUP < f->trees; group++) {
        size_t count = f->trees - group * GROUP < GROUP ? f->trees - group * GROUP : GROUP;
        const struct node *n[GROUP];

        for (size_t i = 0; i < GROUP; i++)
            n[i] = f->nodes + f->roots[group * GROUP + i];
        /* A leaf gives its change again and again to the leaves' slot, which nobody reads. */
        for (size_t step = f->group_depth[group]; step > 0; step--) {
#pragma GCC unroll 8
            for (size_t i = 0; i < GROUP; i++) {
                const struct node *next = node_next(n[i], slots);

                if (i < count)
                    s->sums[(i % LANES) * f->slots + n[i]->slot] += (double)f->change[next - f->nodes];
                n[i] = next;
            }
        }
        for (size_t i = 0; i < count; i++)
            margin += n[i]->threshold;
    }
    for (size_t c = 0; c < f->columns; c++) {
        double sum = 0;

        for (size_t lane = 0; lane < LANES; lane++)
            sum += s->sums[lane * f->slots + slot_of(c, false)] + s->sums[lane * f->slots + slot_of(c, true)];
        contributions[c] = sum;
    }
    for (size_t i = 0; i < f->category_count; i++)
        for (size_t lane = 0; lane < LANES; lane++)
            contributions[f->categories[i].column] +=
                (double)s->sums[lane * f->slots + f->categories[i].slot];
    contributions[f->columns] = f->bias;
    return margin;
}

size_t forest_top(const struct forest *f, const double *contributions, size_t *columns, size_t most)
{
    size_t count = 0;

    for (size_t c = 0; c < f->columns; c++) {
        double size = fabs(contributions[c]);
        size_t at = count;

        if (size == 0 || (count == most && size <= fabs(contributions[columns[most - 1]])))
            continue;
        if (count < most)
            count++;
        else
            at = most - 1;
        for (; at > 0 && fabs(contributions[columns[at - 1]]) < size; at--)
            columns[at] = columns[at - 1];
        columns[at] = c;
    }
    return count;
}
