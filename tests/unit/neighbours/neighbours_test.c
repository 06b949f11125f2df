/* SPDX-License-Identifier: Apache-2.0
 * neighbours_test.c - the index against brute force over the same rows, and against XGBoost's own leaves. */
#include "neighbours/neighbours.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <xgboost/c_api.h>

#include "base/array.h"
#include "base/mem.h"
#include "forest/forest.h"
#include "unit/forest/models.h"

TestSuite(neighbours, .timeout = 300);

/* Rows as a forest makes them: each is one of some kinds of payment, and leaves its kind's leaf now and then. */
struct world {
    size_t trees, leaves, rows;
    uint16_t *cells; /* [rows][trees] */
    uint64_t state;
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->state = w->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((w->state >> 33) % below);
}

static struct world world_new(size_t trees, size_t leaves, size_t rows, uint32_t kinds)
{
    struct world w = { trees, leaves, rows, mem_new_n(uint16_t, rows * trees), 7 };
    uint16_t *centres = mem_new_n(uint16_t, kinds * trees);

    for (size_t i = 0; i < kinds * trees; i++)
        centres[i] = (uint16_t)draw(&w, (uint32_t)leaves);
    for (size_t r = 0; r < rows; r++) {
        uint32_t kind = draw(&w, kinds), noise = 5 + draw(&w, 90);

        for (size_t t = 0; t < trees; t++)
            w.cells[r * trees + t] =
                draw(&w, 100) < noise ? (uint16_t)draw(&w, (uint32_t)leaves) : centres[kind * trees + t];
    }
    mem_free(centres);
    return w;
}

static const uint16_t *row_of(const struct world *w, size_t r)
{
    return w->cells + r * w->trees;
}

/* Keys rise with the rows, from 1; rows are of groups 0, 1, 0, 1, ... */
static struct neighbours *index_of(const struct world *w, size_t most)
{
    struct neighbours *x = neighbours_new(w->trees, w->leaves, most);

    for (size_t r = 0; r < w->rows; r++)
        neighbours_put(x, &(struct neighbours_item){ r + 1, r % 2, false }, row_of(w, r));
    return x;
}

static size_t matches(const struct world *w, size_t a, size_t b)
{
    size_t count = 0;

    for (size_t t = 0; t < w->trees; t++)
        count += row_of(w, a)[t] == row_of(w, b)[t];
    return count;
}

static int by_nearness(const void *a, const void *b)
{
    const struct neighbour *x = a, *y = b;

    if (x->matches != y->matches)
        return x->matches < y->matches ? 1 : -1;
    return (x->key < y->key) - (x->key > y->key);
}

/* All rows of the asker's group that share a leaf with it, the nearest first; the caller's. */
static struct neighbour *by_force(const struct world *w, size_t asker, size_t *count)
{
    struct neighbour *all = mem_new_n(struct neighbour, w->rows);

    *count = 0;
    for (size_t r = 0; r < w->rows; r++)
        if (r != asker && r % 2 == asker % 2 && matches(w, asker, r))
            all[(*count)++] = (struct neighbour){ r + 1, matches(w, asker, r) };
    qsort(all, *count, sizeof *all, by_nearness);
    return all;
}

static struct neighbours_question asks(const struct world *w, size_t asker, enum neighbours_way way)
{
    return (struct neighbours_question){ row_of(w, asker), asker % 2, asker + 1, way };
}

Test(neighbours, an_exact_search_gives_what_comparing_every_row_gives)
{
    static const struct {
        size_t trees, leaves, rows;
    } shapes[] = { { 1, 2, 200 },    { 7, 256, 63 },    { 100, 64, 1000 },  { 255, 256, 700 },
                   { 600, 40, 900 }, { 40, 257, 1000 }, { 300, 65536, 500 } };

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct world w = world_new(shapes[i].trees, shapes[i].leaves, shapes[i].rows, 6);
        struct neighbours *x = index_of(&w, w.rows);

        for (size_t asker = 0; asker < w.rows; asker += 17) {
            struct neighbours_question q = asks(&w, asker, NEIGHBOURS_EXACT);
            struct neighbour found[50];
            size_t all, count = neighbours_search(x, &q, found, 50, NULL);
            struct neighbour *wanted = by_force(&w, asker, &all);

            cr_assert_eq(count, all < 50 ? all : 50);
            for (size_t k = 0; k < count; k++) {
                cr_assert_eq(found[k].key, wanted[k].key);
                cr_assert_eq(found[k].matches, wanted[k].matches);
            }
            mem_free(wanted);
        }
        neighbours_free(x);
        mem_free(w.cells);
    }
}

Test(neighbours, a_sketch_finds_nearly_all_that_brute_force_finds_and_tells_no_wrong_proximity)
{
    struct world w = world_new(900, 48, 6000, 40);
    struct neighbours *x = index_of(&w, w.rows);
    size_t hits = 0, wanted_count = 0;

    for (size_t asker = 0; asker < w.rows; asker += 60) {
        struct neighbours_question q = asks(&w, asker, NEIGHBOURS_SKETCH);
        struct neighbour found[20];
        bool was_exact;
        size_t all, count = neighbours_search(x, &q, found, 20, &was_exact);
        struct neighbour *wanted = by_force(&w, asker, &all);

        cr_assert_not(was_exact);
        cr_assert_eq(count, 20);
        for (size_t k = 0; k < count; k++) {
            cr_assert_eq(found[k].matches, matches(&w, asker, (size_t)found[k].key - 1));
            hits += found[k].matches >= wanted[19].matches; /* as good as the twentieth */
            wanted_count++;
        }
        mem_free(wanted);
    }
    cr_log_info("recall of the nearest 20: %.4f\n", (double)hits / (double)wanted_count);
    cr_assert_geq((double)hits / (double)wanted_count, 0.95);
    neighbours_free(x);
    mem_free(w.cells);
}

Test(neighbours, a_small_index_is_searched_exactly_and_a_large_one_by_a_sketch)
{
    struct world w = world_new(8, 4, 500, 3);
    struct neighbours *x = index_of(&w, w.rows), *large;
    struct neighbours_question q = asks(&w, 0, NEIGHBOURS_AUTO);
    uint16_t *leaves = mem_new_n(uint16_t, 50000);
    struct neighbour found[3];
    bool was_exact = false;

    neighbours_search(x, &q, found, 3, &was_exact);
    cr_assert(was_exact);
    large = neighbours_new(50000, 2, 3000);
    for (size_t r = 0; r < 2800; r++)
        neighbours_put(large, &(struct neighbours_item){ r + 1, 0, false }, leaves);
    q = (struct neighbours_question){ .leaves = leaves };
    cr_assert_eq(neighbours_search(large, &q, found, 3, &was_exact), 3);
    cr_assert_not(was_exact);
    cr_assert_eq(found[0].matches, 50000);
    cr_assert_eq(found[0].key, 2800);
    neighbours_free(x);
    neighbours_free(large);
    mem_free(leaves);
    mem_free(w.cells);
}

static bool has_key(const struct neighbours *x, uint64_t key, size_t trees)
{
    uint16_t *leaves = mem_new_n(uint16_t, trees);
    struct neighbours_question q = { .leaves = leaves, .except = UINT64_MAX };
    struct neighbour *found = mem_new_n(struct neighbour, neighbours_count(x));
    size_t count = neighbours_search(x, &q, found, neighbours_count(x), NULL);
    bool is_there = false;

    for (size_t i = 0; i < count; i++)
        is_there |= found[i].key == key;
    mem_free(found);
    mem_free(leaves);
    return is_there;
}

Test(neighbours, a_full_index_forgets_the_oldest_and_keeps_frauds_for_longer)
{
    enum { ROWS = 100, TREES = 5 };
    struct neighbours *x = neighbours_new(TREES, 8, ROWS);
    const uint16_t leaves[TREES] = { 0 };

    for (uint64_t key = 1; key <= 1000; key++)
        neighbours_put(x, &(struct neighbours_item){ key, 0, key % 50 == 0 }, leaves);
    cr_assert_eq(neighbours_count(x), ROWS);
    cr_assert_eq(neighbours_kept(x), 20);
    for (uint64_t key = 1; key <= 1000; key++)
        cr_assert_eq(has_key(x, key, TREES), key % 50 == 0 || key > 1000 - 82, "%d", (int)key);
    for (uint64_t key = 1001; key <= 1500; key++)
        neighbours_put(x, &(struct neighbours_item){ key, 0, true }, leaves);
    cr_assert_eq(neighbours_count(x), ROWS);
    cr_assert_leq(neighbours_kept(x), ROWS / 2 + 1);
    cr_assert(has_key(x, 1500, TREES));
    cr_assert_not(has_key(x, 50, TREES));
    neighbours_free(x);
}

Test(neighbours, a_row_that_is_put_in_again_is_there_once_with_its_new_leaves)
{
    struct world w = world_new(30, 8, 400, 4);
    struct neighbours *x = neighbours_new(w.trees, w.leaves, 150);
    struct neighbour found[150];
    struct neighbours_question q;

    for (size_t i = 0; i < 4000; i++) {
        size_t r = draw(&w, 400);
        uint64_t key = 1 + draw(&w, 140);

        neighbours_put(x, &(struct neighbours_item){ key, 0, draw(&w, 10) == 0 }, row_of(&w, r));
        q = (struct neighbours_question){ .leaves = row_of(&w, r) };
        cr_assert_geq(neighbours_search(x, &q, found, 150, NULL), 1);
        cr_assert_eq(found[0].matches, w.trees);
        cr_assert_leq(neighbours_count(x), 140);
    }
    q = (struct neighbours_question){ .leaves = row_of(&w, 0) };
    for (size_t i = 0, count = neighbours_search(x, &q, found, 150, NULL); i < count; i++)
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(found[i].key, found[k].key);
    neighbours_free(x);
    mem_free(w.cells);
}

Test(neighbours, an_empty_index_and_a_question_for_nothing_find_nothing)
{
    struct neighbours *x = neighbours_new(3, 4, 10);
    const uint16_t leaves[3] = { 1, 2, 3 };
    struct neighbours_question q = { .leaves = leaves };
    struct neighbour found[1];

    cr_assert_eq(neighbours_search(x, &q, found, 1, NULL), 0);
    neighbours_put(x, &(struct neighbours_item){ 1, 0, false }, leaves);
    cr_assert_eq(neighbours_search(x, &q, found, 0, NULL), 0);
    q.except = 1;
    cr_assert_eq(neighbours_search(x, &q, found, 1, NULL), 0);
    q = (struct neighbours_question){ .leaves = leaves, .group = 1 };
    cr_assert_eq(neighbours_search(x, &q, found, 1, NULL), 0);
    neighbours_free(x);
}

/* ---- leaves ---- */

#define MUST_XGB(call) cr_assert_eq((call), 0, "%s", XGBGetLastError())

/* The nodes that XGBoost says rows come to, [rows][trees]. */
static void ask_xgboost(struct slice model, const struct sample *s, size_t trees, float *nodes)
{
    static const char config[] = "{\"type\": 6, \"training\": false, \"iteration_begin\": 0, "
                                 "\"iteration_end\": 0, \"strict_shape\": false}";
    BoosterHandle booster;
    DMatrixHandle rows;
    const bst_ulong *shape;
    bst_ulong dim, count = 1;
    const float *found;

    MUST_XGB(XGBoosterCreate(NULL, 0, &booster));
    MUST_XGB(XGBoosterLoadModelFromBuffer(booster, model.ptr, model.len));
    MUST_XGB(XGDMatrixCreateFromMat(s->features, s->rows, SAMPLE_COLUMNS, __builtin_nanf(""), &rows));
    MUST_XGB(XGBoosterPredictFromDMatrix(booster, rows, config, &shape, &dim, &found));
    for (bst_ulong i = 0; i < dim; i++)
        count *= shape[i];
    cr_assert_eq(count, s->rows * trees);
    memcpy(nodes, found, count * sizeof *nodes);
    XGDMatrixFree(rows);
    XGBoosterFree(booster);
}

Test(neighbours, rows_share_a_leaf_of_a_forest_when_xgboost_says_so)
{
    static const struct {
        int depth;
        size_t trees;
    } shapes[] = { { 3, 20 }, { 6, 61 }, { 9, 16 } };
    struct sample train = sample_new(1500, 1), test = sample_new(120, 2);

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct booster_params p = BOOSTER_PARAMS_DEFAULT;
        size_t trees = shapes[i].trees;
        float *nodes = mem_new_n(float, test.rows *trees);
        uint16_t *leaves = mem_new_n(uint16_t, test.rows * trees);
        struct why why = { 0 };
        struct forest_scratch *scratch;
        struct forest_leaves *l;
        struct booster *b;
        struct forest *f;
        struct buf bytes;

        p.depth = shapes[i].depth;
        p.trees = trees;
        b = model_train(&train, &p);
        bytes = model_bytes(b, BOOSTER_UBJ);
        cr_assert_eq(forest_open(&f, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
        cr_assert_eq(forest_leaves_new(&l, f, &why), ERR_OK, "%s", why.text);
        scratch = forest_scratch_new(f);
        ask_xgboost(buf_slice(&bytes), &test, trees, nodes);
        for (size_t r = 0; r < test.rows; r++) {
            forest_leaves_find(l, test.features + r * SAMPLE_COLUMNS, leaves + r * trees, scratch);
            for (size_t t = 0; t < trees; t++)
                cr_assert_lt(leaves[r * trees + t], forest_leaves_most(l));
        }
        for (size_t a = 0; a < test.rows; a++)
            for (size_t c = 0; c < a; c++)
                for (size_t t = 0; t < trees; t++)
                    cr_assert_eq(leaves[a * trees + t] == leaves[c * trees + t],
                                 nodes[a * trees + t] == nodes[c * trees + t]);
        forest_scratch_free(scratch);
        forest_leaves_free(l);
        forest_close(f);
        booster_close(b);
        buf_release(&bytes);
        mem_free(nodes);
        mem_free(leaves);
    }
    sample_release(&train);
    sample_release(&test);
}
