/* SPDX-License-Identifier: Apache-2.0
 * forest_test.c - margins, probabilities and contributions against XGBoost itself; hostile model files.
 * With ASSAY_TEST_LONG set, every depth is tried with 2,000 trees (minutes). */
#include "forest/forest.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <xgboost/c_api.h>

#include "base/array.h"
#include "base/mem.h"
#include "unit/forest/models.h"

TestSuite(forest, .timeout = 1200);

static struct forest *open_forest(const struct booster *b, enum booster_format format)
{
    struct buf bytes = model_bytes(b, format);
    struct why why = { 0 };
    struct forest *f;

    cr_assert_eq(forest_open(&f, buf_slice(&bytes), &why), ERR_OK, "%s", why.text);
    buf_release(&bytes);
    return f;
}

/* How many of the sample's margins and probabilities differ from XGBoost's, one by one and in blocks. */
static size_t differing_bits(const struct booster *b, const struct forest *f, const struct sample *s)
{
    struct forest_scratch *scratch = forest_scratch_new(f);
    float *theirs = mem_new_n(float, s->rows), *ours = mem_new_n(float, s->rows);
    float *their_probabilities = mem_new_n(float, s->rows);
    struct why why = { 0 };
    size_t differ = 0;

    cr_assert_eq(booster_margins(b, s->features, s->rows, SAMPLE_COLUMNS, theirs, &why), ERR_OK, "%s",
                 why.text);
    cr_assert_eq(booster_probabilities(b, s->features, s->rows, SAMPLE_COLUMNS, their_probabilities, &why),
                 ERR_OK);
    forest_margins(f, s->features, s->rows, ours, scratch);
    for (size_t i = 0; i < s->rows; i++) {
        float one = forest_margin(f, s->features + i * SAMPLE_COLUMNS, scratch), p = forest_probability(one);

        differ += memcmp(&one, &theirs[i], sizeof one) != 0;
        differ += memcmp(&ours[i], &theirs[i], sizeof one) != 0;
        differ += memcmp(&p, &their_probabilities[i], sizeof p) != 0;
    }
    mem_free(theirs);
    mem_free(their_probabilities);
    mem_free(ours);
    forest_scratch_free(scratch);
    return differ;
}

Test(forest, gives_the_very_bits_of_xgboost_for_all_depths_and_numbers_of_trees)
{
    static const struct {
        int depth;
        size_t trees;
        double eta, gamma, subsample;
        bool is_lossguide;
    } shapes[] = {
        { 2, 10, 0.3, 0, 1, false },      { 3, 2000, 0.05, 0, 1, false }, { 4, 101, 0.1, 0, 0.7, false },
        { 5, 256, 0.1, 0.3, 0.7, false }, { 6, 300, 0.1, 0, 0.8, false }, { 7, 50, 0.2, 0.1, 1, true },
        { 8, 77, 0.1, 0, 1, false },      { 9, 33, 0.1, 0, 1, false },    { 10, 64, 0.1, 0, 0.9, false },
    };
    struct sample train = sample_new(2000, 1), test = sample_new(5600, 2);
    bool is_long = getenv("ASSAY_TEST_LONG") != NULL;
    size_t rows = 0;

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct booster_params p = BOOSTER_PARAMS_DEFAULT;
        struct booster *b;

        p.depth = shapes[i].depth;
        p.trees = is_long ? 2000 : shapes[i].trees;
        p.eta = shapes[i].eta;
        p.gamma = shapes[i].gamma;
        p.subsample = shapes[i].subsample;
        p.is_lossguide = shapes[i].is_lossguide;
        p.threads = 1;
        b = model_train(&train, &p);
        for (int format = BOOSTER_UBJ; format <= BOOSTER_JSON; format++) {
            struct forest *f = open_forest(b, (enum booster_format)format);

            cr_assert_eq(forest_columns(f), SAMPLE_COLUMNS);
            cr_assert_eq(forest_trees(f), p.trees);
            cr_assert(forest_depth(f) > 0 && (p.is_lossguide || forest_depth(f) <= (size_t)p.depth));
            cr_expect_eq(differing_bits(b, f, &test), 0, "depth %d, %zu trees", p.depth, p.trees);
            rows += test.rows;
            forest_close(f);
        }
        booster_close(b);
    }
    cr_assert_geq(rows, 100000);
    sample_release(&train);
    sample_release(&test);
}

static float ulps_apart(double a, double b)
{
    return (float)(fabs(a - b) / (1e-12 + 1.2e-7 * fmax(1.0, fabs(b))));
}

Test(forest, path_contributions_sum_to_the_margin_and_equal_xgboosts)
{
    struct sample s = sample_new(2000, 3);
    struct booster_params p = BOOSTER_PARAMS_DEFAULT;
    struct booster *b;
    struct forest *f;
    struct forest_scratch *scratch;
    float *theirs = mem_new_n(float, s.rows *(SAMPLE_COLUMNS + 1));
    double ours[SAMPLE_COLUMNS + 1];
    struct why why = { 0 };

    p.trees = 150;
    p.threads = 1;
    b = model_train(&s, &p);
    f = open_forest(b, BOOSTER_UBJ);
    scratch = forest_scratch_new(f);
    cr_assert_eq(booster_path_contributions(b, s.features, s.rows, SAMPLE_COLUMNS, theirs, &why), ERR_OK);
    for (size_t i = 0; i < s.rows; i++) {
        const float *row = s.features + i * SAMPLE_COLUMNS;
        float margin = forest_explain(f, row, ours, scratch), again = forest_margin(f, row, scratch);
        double sum = 0;

        cr_assert_eq(memcmp(&margin, &again, sizeof margin), 0);
        for (size_t c = 0; c <= SAMPLE_COLUMNS; c++) {
            sum += ours[c];
            cr_assert_lt(fabs(ours[c] - (double)theirs[i * (SAMPLE_COLUMNS + 1) + c]), 1e-5);
        }
        cr_assert_lt(ulps_apart(sum, (double)margin), 40, "%.9g for %.9g", sum, (double)margin);
    }
    mem_free(theirs);
    forest_scratch_free(scratch);
    forest_close(f);
    booster_close(b);
    sample_release(&s);
}

Test(forest, shapley_values_sum_to_the_margin_and_equal_xgboosts)
{
    static const struct {
        int depth;
        size_t trees;
    } shapes[] = { { 2, 300 }, { 6, 150 }, { 10, 40 }, { 14, 10 } };
    struct sample s = sample_new(400, 4);
    float *theirs = mem_new_n(float, s.rows *(SAMPLE_COLUMNS + 1));
    double ours[SAMPLE_COLUMNS + 1];
    struct why why = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct booster_params p = BOOSTER_PARAMS_DEFAULT;
        struct sample train = sample_new(1500, 5);
        struct forest_scratch *scratch;
        struct forest_shap *shap;
        struct booster *b;
        struct forest *f;

        p.depth = shapes[i].depth;
        p.trees = shapes[i].trees;
        p.threads = 1;
        p.min_child_weight = 0.1;
        b = model_train(&train, &p);
        f = open_forest(b, BOOSTER_UBJ);
        scratch = forest_scratch_new(f);
        cr_assert_eq(forest_shap_new(&shap, f, &why), ERR_OK, "%s", why.text);
        cr_assert_eq(booster_contributions(b, s.features, s.rows, SAMPLE_COLUMNS, theirs, &why), ERR_OK);
        for (size_t r = 0; r < s.rows; r++) {
            const float *row = s.features + r * SAMPLE_COLUMNS;
            double sum = 0, margin = (double)forest_margin(f, row, scratch);

            forest_shap(shap, row, ours);
            for (size_t c = 0; c <= SAMPLE_COLUMNS; c++) {
                sum += ours[c];
                cr_assert_lt(fabs(ours[c] - (double)theirs[r * (SAMPLE_COLUMNS + 1) + c]), 1e-5,
                             "depth %d, row %zu, column %zu: %.9g, not %.9g", p.depth, r, c, ours[c],
                             (double)theirs[r * (SAMPLE_COLUMNS + 1) + c]);
            }
            cr_assert_lt(fabs(sum - margin), 1e-5, "%.9g for %.9g", sum, margin);
        }
        forest_shap_free(shap);
        forest_scratch_free(scratch);
        forest_close(f);
        booster_close(b);
        sample_release(&train);
    }
    mem_free(theirs);
    sample_release(&s);
}

/* ---- categorical splits ---- */

#define XGB(call) cr_assert_eq((call), 0, "%s", XGBGetLastError())

static DMatrixHandle categorical_matrix(const float *rows, size_t count, const float *labels)
{
    const char *types[] = { "c", "q", "c" };
    DMatrixHandle m;

    XGB(XGDMatrixCreateFromMat(rows, count, 3, NAN, &m));
    XGB(XGDMatrixSetStrFeatureInfo(m, "feature_type", types, 3));
    if (labels)
        XGB(XGDMatrixSetFloatInfo(m, "label", labels, count));
    return m;
}

static void copy_result(BoosterHandle b, DMatrixHandle m, const char *type, float *out)
{
    bst_ulong const *shape;
    bst_ulong dims, count = 1;
    const float *result;
    char config[160];

    snprintf(
        config, sizeof config,
        "{\"type\":%s,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false}",
        type);
    XGB(XGBoosterPredictFromDMatrix(b, m, config, &shape, &dims, &result));
    for (bst_ulong i = 0; i < dims; i++)
        count *= shape[i];
    memcpy(out, result, count * sizeof *out);
}

/* Column by column from row to row, by any step. */
static void expect_walks(const struct forest *f, const float *rows, size_t count,
                         struct forest_scratch *scratch)
{
    struct forest_splits *splits = forest_splits_new(f);
    struct forest_walk *walk = forest_walk_new(splits);
    size_t columns = forest_columns(f);
    float *row = mem_new_n(float, columns);

    memcpy(row, rows, columns * sizeof *row);
    cr_assert_eq(forest_walk_begin(walk, row), forest_margin(f, row, scratch));
    for (size_t i = 1; i < count; i++) {
        for (size_t c = 0; c < columns; c++) {
            row[c] = rows[i * columns + c];
            cr_assert_eq(forest_walk_set(walk, c, row[c]), forest_margin(f, row, scratch));
        }
    }
    mem_free(row);
    forest_walk_free(walk);
    forest_splits_free(splits);
}

Test(forest, gives_the_very_bits_of_xgboost_for_categorical_splits)
{
    enum { ROWS = 4000 };
    /* Codes that no training row had, in and beyond the words of a set, and half ones. */
    static const float odd[] = { 0.5F,        12.9F,       39.0F, 63.0F, 64.0F, 95.0F, 200.0F,
                                 16777215.0F, 16777216.0F, 3e9F,  -1.0F, -0.5F, NAN };
    static const char *const onehot[] = { "1", "100" }, *const trees = "40";
    float *rows = mem_new_n(float, ROWS * 3), *labels = mem_new_n(float, ROWS),
          *theirs = mem_new_n(float, ROWS * 4);
    uint32_t state = 99;

    for (size_t i = 0; i < ROWS; i++) {
        for (size_t c = 0; c < 3; c++) {
            state = state * 1664525u + 1013904223u;
            rows[i * 3 + c] = state >> 28 == 0 ? NAN : (float)(state >> 10 & (c == 0 ? 31u : 63u));
        }
        labels[i] = (float)(state >> 9 & 7) + (fmodf(rows[i * 3], 5) == 2 ? 6.0F : 0.0F) +
                        (fmodf(rows[i * 3 + 2], 7) == 3 ? 5.0F : 0.0F) >
                    7.0F;
    }
    for (size_t k = 0; k < ARRAY_LEN(onehot); k++) {
        DMatrixHandle train = categorical_matrix(rows, ROWS, labels), test;
        struct forest_scratch *scratch;
        struct forest_shap *shap;
        BoosterHandle b;
        double ours[4];
        const char *bytes;
        struct why why = { 0 };
        struct forest *f;
        bst_ulong len;
        float *probes = mem_new_n(float, ROWS * 3);

        XGB(XGBoosterCreate(&train, 1, &b));
        XGB(XGBoosterSetParam(b, "tree_method", "approx"));
        XGB(XGBoosterSetParam(b, "objective", "binary:logistic"));
        XGB(XGBoosterSetParam(b, "max_cat_to_onehot", onehot[k]));
        XGB(XGBoosterSetParam(b, "nthread", "1"));
        for (int i = 0; i < atoi(trees); i++)
            XGB(XGBoosterUpdateOneIter(b, i, train));
        memcpy(probes, rows, ROWS * 3 * sizeof *probes);
        for (size_t i = 0; i < ROWS; i += 5)
            probes[i * 3 + (i / 5) % 2 * 2] = odd[i / 5 % ARRAY_LEN(odd)];
        test = categorical_matrix(probes, ROWS, NULL);
        for (int format = 0; format < 2; format++) {
            XGB(XGBoosterSaveModelToBuffer(b, format ? "{\"format\":\"json\"}" : "{\"format\":\"ubj\"}", &len,
                                           &bytes));
            cr_assert_eq(forest_open(&f, slice_of(bytes, len), &why), ERR_OK, "%s", why.text);
            scratch = forest_scratch_new(f);
            cr_assert_eq(forest_shap_new(&shap, f, &why), ERR_OK, "%s", why.text);
            copy_result(b, test, "1", theirs);
            for (size_t i = 0; i < ROWS; i++) {
                float margin = forest_margin(f, probes + i * 3, scratch);

                cr_assert_eq(memcmp(&margin, &theirs[i], sizeof margin), 0, "row %zu: %g %g %g", i,
                             (double)probes[i * 3], (double)probes[i * 3 + 1], (double)probes[i * 3 + 2]);
            }
            expect_walks(f, probes, 400, scratch);
            copy_result(b, test, "2", theirs);
            for (size_t i = 0; i < 200; i++) {
                forest_shap(shap, probes + i * 3, ours);
                for (size_t c = 0; c < 4; c++)
                    cr_assert_lt(fabs(ours[c] - (double)theirs[i * 4 + c]), 1e-5);
            }
            forest_shap_free(shap);
            forest_scratch_free(scratch);
            forest_close(f);
        }
        mem_free(probes);
        XGB(XGDMatrixFree(test));
        XGB(XGDMatrixFree(train));
        XGB(XGBoosterFree(b));
    }
    mem_free(rows);
    mem_free(labels);
    mem_free(theirs);
}

/* ---- what is refused, and other spellings ---- */

/* A model of one tree: column 0 below 5 (or missing) gives -1, else 1. `%s` are, in their order: the
 * booster's name, base_score, num_class, the objective; then left_children, right_children, parents,
 * split_indices, split_conditions, default_left. */
static const char small_format[] =
    "{\"learner\":{\"attributes\":{},\"feature_names\":[],\"feature_types\":[],\"gradient_booster\":{"
    "\"model\":{"
    "\"gbtree_model_param\":{\"num_parallel_tree\":\"1\",\"num_trees\":\"1\",\"size_leaf_vector\":\"0\"},"
    "\"tree_info\":[0],\"trees\":[{\"base_weights\":[0,0,0],\"categories\":[],\"categories_nodes\":[],"
    "\"categories_segments\":[],\"categories_sizes\":[],\"default_left\":%s,\"id\":0,\"left_children\":%s,"
    "\"loss_changes\":[1,0,0],\"parents\":%s,\"right_children\":%s,\"split_conditions\":%s,\"split_indices\":"
    "%s,"
    "\"split_type\":[0,0,0],\"sum_hessian\":[3,1,2],\"tree_param\":{\"num_deleted\":\"0\",\"num_feature\":"
    "\"2\","
    "\"num_nodes\":\"3\",\"size_leaf_vector\":\"0\"}}]},\"name\":\"%s\"},\"learner_model_param\":{\"base_"
    "score\":"
    "\"%s\",\"num_class\":\"%s\",\"num_feature\":\"2\",\"num_target\":\"1\"},\"objective\":{\"name\":\"%s\","
    "\"reg_loss_param\":{\"scale_pos_weight\":\"1\"}}},\"version\":[1,7,4]}";

struct small {
    const char *default_left, *left, *parents, *right, *conditions, *columns, *booster, *base_score, *classes,
        *objective;
};

static const struct small sound = { "[1,0,0]",        "[1,-1,-1]",      "[2147483647,0,0]",
                                    "[2,-1,-1]",      "[5E0,-1E0,1E0]", "[0,0,0]",
                                    "gbtree",         "5E-1",           "0",
                                    "binary:logistic" };

static enum err open_small(struct forest **f, const struct small *s, struct why *why)
{
    char text[2048];
    int len = snprintf(text, sizeof text, small_format, s->default_left, s->left, s->parents, s->right,
                       s->conditions, s->columns, s->booster, s->base_score, s->classes, s->objective);

    *why = (struct why){ 0 };
    return forest_open(f, slice_of(text, (size_t)len), why);
}

Test(forest, reads_base_score_as_all_versions_of_xgboost_write_it)
{
    static const char *const spellings[] = { "5E-1", "0.5", "[5E-1]", "[0.5]", "5.0000000E-1" };
    static const float rows[][2] = { { 4.9F, 0 }, { 5.0F, 0 }, { NAN, 0 } };

    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        struct forest_scratch *scratch;
        struct small s = sound;
        struct forest *f;
        struct why why;

        s.base_score = spellings[i];
        cr_assert_eq(open_small(&f, &s, &why), ERR_OK, "%s: %s", spellings[i], why.text);
        scratch = forest_scratch_new(f);
        cr_assert_eq(forest_base_margin(f), 0.0F);
        cr_assert_eq(forest_margin(f, rows[0], scratch), -1.0F);
        cr_assert_eq(forest_margin(f, rows[1], scratch), 1.0F);
        cr_assert_eq(forest_margin(f, rows[2], scratch), -1.0F);
        forest_scratch_free(scratch);
        forest_close(f);
    }
}

Test(forest, refuses_models_that_are_broken_or_of_another_kind)
{
    static const struct {
        const char *what;
        struct small change; /* NULL members are as in a sound model */
    } cases[] = {
        { "dart", { .booster = "dart" } },
        { "gblinear", { .booster = "gblinear" } },
        { "an unknown booster", { .booster = "forest" } },
        { "several classes", { .classes = "3" } },
        { "another objective", { .objective = "rank:pairwise" } },
        { "multi:softprob", { .objective = "multi:softprob" } },
        { "base_score 0", { .base_score = "0" } },
        { "base_score 1", { .base_score = "1E0" } },
        { "two base scores", { .base_score = "[5E-1,5E-1]" } },
        { "no base score", { .base_score = "" } },
        { "NaN as base score", { .base_score = "NaN" } },
        { "a child that is its own parent", { .left = "[0,-1,-1]" } },
        { "a child out of range", { .left = "[3,-1,-1]" } },
        { "a negative child", { .left = "[-2,-1,-1]" } },
        { "the same child twice", { .right = "[1,-1,-1]" } },
        { "one child only", { .right = "[-1,-1,-1]" } },
        { "a right child of a leaf", { .right = "[2,2,-1]" } },
        { "a cycle", { .left = "[1,1,-1]", .right = "[2,2,-1]" } },
        { "another parent", { .parents = "[2147483647,0,1]" } },
        { "too few nodes", { .left = "[1,-1]" } },
        { "too many nodes", { .left = "[1,-1,-1,-1]" } },
        { "a column out of range", { .columns = "[2,0,0]" } },
        { "a negative column", { .columns = "[-1,0,0]" } },
        { "a threshold that is NaN", { .conditions = "[NaN,-1,1]" } },
        { "an infinite threshold", { .conditions = "[1E39,-1,1]" } },
        { "an infinite leaf", { .conditions = "[5,-Infinity,1]" } },
        { "default_left of 2", { .default_left = "[2,0,0]" } },
        { "texts for numbers", { .left = "[\"1\",-1,-1]" } },
        { "a fraction for an index", { .left = "[1.5,-1,-1]" } },
        { "a comma too many", { .left = "[1,-1,-1,]" } },
        { "no array", { .left = "7" } },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct small *c = &cases[i].change;
        struct forest *f;
        struct why why;
        struct small s = {
            .default_left = c->default_left ? c->default_left : sound.default_left,
            .left = c->left ? c->left : sound.left,
            .parents = c->parents ? c->parents : sound.parents,
            .right = c->right ? c->right : sound.right,
            .conditions = c->conditions ? c->conditions : sound.conditions,
            .columns = c->columns ? c->columns : sound.columns,
            .booster = c->booster ? c->booster : sound.booster,
            .base_score = c->base_score ? c->base_score : sound.base_score,
            .classes = c->classes ? c->classes : sound.classes,
            .objective = c->objective ? c->objective : sound.objective,
        };
        enum err err = open_small(&f, &s, &why);

        cr_assert(err == ERR_INVALID || err == ERR_SYNTAX || err == ERR_TOO_LARGE, "%s: %s", cases[i].what,
                  err_name(err));
        cr_assert_null(f);
        cr_assert_neq(why.text[0], '\0', "%s", cases[i].what);
    }
}

Test(forest, refuses_dart_as_xgboost_writes_it_by_its_name)
{
    struct sample s = sample_new(500, 6);
    struct booster_params p = BOOSTER_PARAMS_DEFAULT;
    struct why why = { 0 };

    p.trees = 5;
    p.threads = 1;
    p.booster = "dart";
    for (int format = BOOSTER_UBJ; format <= BOOSTER_JSON; format++) {
        struct booster *b = model_train(&s, &p);
        struct buf bytes = model_bytes(b, (enum booster_format)format);
        struct forest *f;

        cr_assert_eq(forest_open(&f, buf_slice(&bytes), &why), ERR_INVALID);
        cr_assert(strstr(why.text, "dart") != NULL, "%s", why.text);
        buf_release(&bytes);
        booster_close(b);
    }
    sample_release(&s);
}

Test(forest, refuses_a_file_that_is_cut_anywhere)
{
    struct sample s = sample_new(300, 7);
    struct booster_params p = BOOSTER_PARAMS_DEFAULT;
    struct booster *b;
    struct why why = { 0 };

    p.trees = 3;
    p.threads = 1;
    b = model_train(&s, &p);
    for (int format = BOOSTER_UBJ; format <= BOOSTER_JSON; format++) {
        struct buf bytes = model_bytes(b, (enum booster_format)format);
        struct forest *f;

        for (size_t len = 0; len < bytes.len; len++) {
            cr_assert_neq(forest_open(&f, slice_of(buf_slice(&bytes).ptr, len), &why), ERR_OK,
                          "%zu of %zu bytes", len, bytes.len);
            cr_assert_null(f);
        }
        buf_release(&bytes);
    }
    booster_close(b);
    sample_release(&s);
}
