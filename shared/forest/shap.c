/* SPDX-License-Identifier: Apache-2.0
 * shap.c - exact TreeSHAP by quadrature.
 *
 * On a way from the root to a leaf, feature j has z_j (the share of training rows that its splits let
 * through) and o_j (1 when the row itself passes all of them, else 0). The Shapley value of feature i for a
 * leaf of value v among m features is
 *
 *   v (o_i - z_i)  integral over t in 0..1 of  product over j != i of  z_j (1 - t) + o_j t
 *
 * since t^s (1-t)^(m-1-s) integrates to Shapley's weight of a coalition of s (Owen's multilinear extension).
 * The product is a polynomial of degree m - 1, for which n = m / 2 Gauss-Legendre points are exact: 4 points
 * for 8 features, where other ways keep polynomials of all sizes of coalitions. Per point t, a tree takes one
 * pass down (G: the product of all factors so far) and one pass up (S: the sum of v G over the leaves below);
 * the split that node e makes on feature i contributes S_e (o_e - z_e) / g_e, less the same of the split of i
 * above it, whose factor it has replaced (as in Linear TreeSHAP, Yu et al. 2022). Both children of a split
 * and four points are one vector of eight. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "forest/nodes.h"

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));

/* One split with both its children; the child on `side` of split s is numbered 2 * s + side. Number 0 and 1
 * are above the root. */
struct split {
    float threshold;
    uint16_t slot;
    uint16_t column;
    uint32_t parent;   /* the child that this split divides */
    uint32_t previous; /* the child nearest above that came from a split of the same column; 0 = none */
    float share[2];    /* z of `column` on the way to either child */
    float leaf[2];     /* a leaf's value; 1 where it is split again */
};

struct shap_tree {
    size_t first; /* of its splits; split i of the tree is number i + 1 */
    uint32_t splits;
    uint32_t blocks; /* of four points: 1, 2 or 4 */
};

enum { BLOCKS_MAX = 4 };

/* Float sums are emptied into doubles after this many trees. */
enum { FLUSH = 32 };

/* Points, 1 - points and weights, each four doubled into both halves. */
struct rule {
    v8 at[BLOCKS_MAX], rest[BLOCKS_MAX], weight[BLOCKS_MAX];
};

/* What a split keeps between the two passes, in vectors [left child's four points | right child's]. */
struct work {
    v8 product; /* G on the way down, S on the way up */
    v8 inverse; /* 1 / g */
    v8 weight;  /* (o - z) / g */
    v8 gain;    /* the same less that of the split above which it replaces, times the point's weight */
};

struct forest_shap {
    const struct forest *forest;
    struct split *splits;
    struct shap_tree *trees;
    float *slots;
    struct work *work;    /* of one tree: [splits + 1][blocks]; the first is above the root */
    float *passes;        /* o per child: [2 * (splits + 1)] */
    v8 *sums;             /* [columns][2]: neighbours do not wait for each other */
    struct rule rules[3]; /* for 1, 2 and 4 blocks */
};

/* Gauss-Legendre points and weights on 0..1, by Newton's method on the Legendre polynomial. */
static void gauss_legendre(size_t n, double *points, double *weights)
{
    for (size_t i = 0; i < n; i++) {
        double x = cos(3.14159265358979323846 * ((double)i + 0.75) / ((double)n + 0.5)), slope = 1;

        for (int step = 0; step < 50; step++) {
            double p0 = 1, p1 = x, dx;

            for (size_t k = 2; k <= n; k++) {
                double p2 = ((double)(2 * k - 1) * x * p1 - (double)(k - 1) * p0) / (double)k;

                p0 = p1;
                p1 = p2;
            }
            slope = (double)n * (x * p1 - p0) / (x * x - 1);
            dx = p1 / slope;
            x -= dx;
            if (fabs(dx) < 1e-15)
                break;
        }
        points[i] = (1 - x) / 2;
        weights[i] = 1 / ((1 - x * x) * slope * slope);
    }
}

/* ---- the two passes ---- */

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* One child's four points, in both halves. */
#define SPREAD(vector, side)                                                                                 \
    __builtin_shufflevector(((const v4 *)&(vector))[side], ((const v4 *)&(vector))[side], 0, 1, 2, 3, 0, 1,  \
                            2, 3)
/* One figure for the left child's points, another for the right's. */
#define BOTH(pair)                                                                                           \
    {                                                                                                        \
        (pair)[0], (pair)[0], (pair)[0], (pair)[0], (pair)[1], (pair)[1], (pair)[1], (pair)[1]               \
    }
#define EIGHT(x)                                                                                             \
    {                                                                                                        \
        (x), (x), (x), (x), (x), (x), (x), (x)                                                               \
    }

ALWAYS_INLINE void explain_tree(struct forest_shap *shap, const struct shap_tree *tree,
                                const struct rule *rule, uint32_t blocks)
{
    const struct split *splits = shap->splits + tree->first;
    const v8i right_half = { 0, 0, 0, 0, -1, -1, -1, -1 };
    struct work *work = shap->work;
    float *passes = shap->passes;

    for (uint32_t i = 0; i < tree->splits; i++) {
        const struct split *s = &splits[i];
        const struct work *above = work + (size_t)(s->parent / 2) * blocks,
                          *before = work + (size_t)(s->previous / 2) * blocks;
        struct work *own = work + (size_t)(i + 1) * blocks;
        v8 value = EIGHT(shap->slots[s->slot]), threshold = EIGHT(s->threshold), share = BOTH(s->share);
        v8 so_far = EIGHT(passes[s->previous]);
        /* Left's lanes keep what the row has passed so far if it goes left, right's if it goes right. */
        v8 passed = (v8)((v8i)so_far & ((value < threshold) ^ right_half));

        passes[2 * (i + 1)] = passed[0];
        passes[2 * (i + 1) + 1] = passed[4];
        for (uint32_t b = 0; b < blocks; b++) {
            v8 factor = share * rule->rest[b] + passed * rule->at[b], inverse = 1.0F / factor,
               weight = (passed - share) * inverse;

            own[b].product =
                SPREAD(above[b].product, s->parent % 2) * factor * SPREAD(before[b].inverse, s->previous % 2);
            own[b].inverse = inverse;
            own[b].weight = weight;
            own[b].gain = (weight - SPREAD(before[b].weight, s->previous % 2)) * rule->weight[b];
        }
    }
    for (uint32_t i = tree->splits; i-- > 0;) {
        const struct split *s = &splits[i];
        struct work *own = work + (size_t)(i + 1) * blocks, *above = work + (size_t)(s->parent / 2) * blocks;
        v8 leaf = BOTH(s->leaf), *sums = &shap->sums[2 * s->column + i % 2], sum = *sums;

        for (uint32_t b = 0; b < blocks; b++) {
            v8 below = own[b].product * leaf;

            sum += own[b].gain * below;
            /* The child above has no other use for its G now. */
            ((v4 *)&above[b].product)[s->parent % 2] = __builtin_shufflevector(below, below, 0, 1, 2, 3) +
                                                       __builtin_shufflevector(below, below, 4, 5, 6, 7);
        }
        *sums = sum;
    }
}

ALWAYS_INLINE void explain_all(struct forest_shap *shap, double *contributions)
{
    const struct forest *f = shap->forest;

    for (size_t t = 0; t < f->trees; t++) {
        const struct shap_tree *tree = &shap->trees[t];

        for (uint32_t b = 0; b < tree->blocks; b++) /* the last tree left its S here, or a split */
            shap->work[b] = (struct work){ .product = EIGHT(1.0F), .inverse = EIGHT(1.0F) };
        if (tree->blocks == 1)
            explain_tree(shap, tree, &shap->rules[0], 1);
        else if (tree->blocks == 2)
            explain_tree(shap, tree, &shap->rules[1], 2);
        else
            explain_tree(shap, tree, &shap->rules[2], 4);
        if (t % FLUSH != FLUSH - 1 && t + 1 != f->trees)
            continue;
        for (size_t c = 0; c < f->columns; c++) {
            v8 sum = shap->sums[2 * c] + shap->sums[2 * c + 1];

            for (size_t i = 0; i < 8; i++)
                contributions[c] += (double)sum[i];
            shap->sums[2 * c] = shap->sums[2 * c + 1] = (v8){ 0 };
        }
    }
}

/* The same for processors with and without AVX2 (x86-64 alone promises vectors of four). */
#if defined __x86_64__
static void __attribute__((target("avx2,fma"))) explain_avx2(struct forest_shap *shap, double *contributions)
{
    explain_all(shap, contributions);
}
#endif

static void explain_plain(struct forest_shap *shap, double *contributions)
{
    explain_all(shap, contributions);
}

void forest_shap(struct forest_shap *shap, const float *row, double *contributions)
{
    const struct forest *f = shap->forest;

    forest_fill_slots(f, row, shap->slots);
    memset(contributions, 0, f->columns * sizeof *contributions);
    contributions[f->columns] = f->bias;
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        explain_avx2(shap, contributions);
    else
#endif
        explain_plain(shap, contributions);
}

/* ---- preparation ---- */

/* A share of nothing would make 1 / g infinite; what it multiplies is as good as nothing all the same. */
static const float LEAST_SHARE = 1e-12F;

/* The next higher of the kinds of blocks, for `features` different features on one path; 0 = too many. */
static uint32_t blocks_for(size_t features)
{
    if (features <= 8)
        return 1;
    if (features <= 16)
        return 2;
    return features <= FOREST_SHAP_FEATURES_MAX ? 4 : 0;
}

/* Where a split came from: its node, and which child of which split that is. */
struct origin {
    size_t node;
    uint32_t child;
    uint32_t features; /* different ones above */
};

struct preparing {
    struct forest_shap *shap;
    size_t count; /* splits of all trees so far */
    struct origin *waiting;
    size_t waiting_cap;
    uint16_t *column_of_slot;
};

/* The child nearest above, on the way to `child`, that came from a split of `column`; 0 = none. */
static uint32_t previous_of(const struct split *splits, uint32_t child, uint16_t column)
{
    while (child >= 2) {
        const struct split *s = &splits[child / 2 - 1];

        if (s->column == column)
            return child;
        child = s->parent;
    }
    return 0;
}

static enum err prepare_tree(struct preparing *p, size_t t, struct why *why)
{
    const struct forest *f = p->shap->forest;
    struct split *splits = p->shap->splits + p->count;
    size_t waiting = 0, most = 0;
    uint32_t count = 0; /* splits done; those waiting stand behind them */

    p->shap->trees[t].first = p->count;
    if (!node_is_leaf(&f->nodes[f->roots[t]])) {
        ARRAY_RESERVE_ONE(p->waiting, waiting, p->waiting_cap);
        p->waiting[waiting++] = (struct origin){ .node = f->roots[t] };
    }
    /* Level by level: neighbours in the arrays do not wait for each other's results. */
    while (count < waiting) {
        struct origin at = p->waiting[count];
        const struct node *n = &f->nodes[at.node];
        struct split *s = &splits[count++];
        uint32_t features;

        s->threshold = n->threshold;
        s->slot = n->slot;
        s->column = p->column_of_slot[n->slot];
        s->parent = at.child;
        s->previous = previous_of(splits, at.child, s->column);
        features = at.features + (s->previous == 0);
        most = features > most ? features : most;
        for (unsigned side = 0; side < 2; side++) {
            size_t child = at.node + n->step + side;
            float above = s->previous ? splits[s->previous / 2 - 1].share[s->previous % 2] : 1.0F;
            float cover = f->cover[at.node], share = above * (cover > 0 ? f->cover[child] / cover : 0.5F);

            s->share[side] = share > LEAST_SHARE ? share : LEAST_SHARE;
            s->leaf[side] = 1.0F;
            if (node_is_leaf(&f->nodes[child])) {
                s->leaf[side] = f->nodes[child].threshold;
                continue;
            }
            ARRAY_RESERVE_ONE(p->waiting, waiting, p->waiting_cap);
            p->waiting[waiting++] = (struct origin){ child, 2 * count + side, features };
        }
    }
    p->shap->trees[t].splits = count;
    p->shap->trees[t].blocks = blocks_for(most);
    p->count += count;
    if (p->shap->trees[t].blocks == 0)
        return err_set(why, ERR_TOO_LARGE,
                       "tree %zu has a path of %zu features; Shapley values are for up to %d", t, most,
                       FOREST_SHAP_FEATURES_MAX);
    return ERR_OK;
}

static void *new_vectors(size_t n)
{
    void *vectors = aligned_alloc(sizeof(v8), (n ? n : 1) * sizeof(v8));

    if (vectors == NULL)
        abort();
    memset(vectors, 0, (n ? n : 1) * sizeof(v8));
    return vectors;
}

static void fill_rules(struct forest_shap *shap)
{
    for (size_t r = 0; r < 3; r++) {
        size_t blocks = (size_t)1 << r;
        double points[4 * BLOCKS_MAX], weights[4 * BLOCKS_MAX];

        gauss_legendre(4 * blocks, points, weights);
        for (size_t i = 0; i < 4 * blocks; i++)
            for (size_t half = 0; half < 8; half += 4) {
                shap->rules[r].at[i / 4][half + i % 4] = (float)points[i];
                shap->rules[r].rest[i / 4][half + i % 4] = (float)(1 - points[i]);
                shap->rules[r].weight[i / 4][half + i % 4] = (float)weights[i];
            }
    }
}

enum err forest_shap_new(struct forest_shap **out, const struct forest *f, struct why *why)
{
    struct forest_shap *shap = new_vectors((sizeof *shap + sizeof(v8) - 1) / sizeof(v8));
    struct preparing p = { .shap = shap };
    size_t most = BLOCKS_MAX;
    enum err err = ERR_OK;

    *out = NULL;
    shap->forest = f;
    fill_rules(shap);
    shap->splits = mem_new_n(struct split, f->node_count / 2 + 1);
    shap->trees = mem_new_n(struct shap_tree, f->trees + 1);
    shap->slots = mem_new_n(float, f->slots);
    shap->sums = new_vectors(2 * f->columns);
    p.column_of_slot = mem_new_n(uint16_t, f->slots);
    for (size_t c = 0; c < f->columns; c++)
        p.column_of_slot[slot_of(c, false)] = p.column_of_slot[slot_of(c, true)] = (uint16_t)c;
    for (size_t i = 0; i < f->category_count; i++)
        p.column_of_slot[f->categories[i].slot] = (uint16_t)f->categories[i].column;
    for (size_t t = 0; t < f->trees && !err; t++) {
        err = prepare_tree(&p, t, why);
        if ((size_t)(shap->trees[t].splits + 1) * shap->trees[t].blocks > most)
            most = (size_t)(shap->trees[t].splits + 1) * shap->trees[t].blocks;
    }
    if (err)
        goto out;
    shap->work = new_vectors(most * sizeof(struct work) / sizeof(v8));
    shap->passes = mem_new_n(float, 2 * most + 2);
    shap->passes[0] = shap->passes[1] = 1.0F;
    *out = shap;
    shap = NULL;
out:
    forest_shap_free(shap);
    mem_free(p.waiting);
    mem_free(p.column_of_slot);
    return err;
}

void forest_shap_free(struct forest_shap *shap)
{
    if (shap == NULL)
        return;
    mem_free(shap->splits);
    mem_free(shap->trees);
    mem_free(shap->slots);
    mem_free(shap->passes);
    free(shap->work);
    free(shap->sums);
    free(shap);
}
