/* SPDX-License-Identifier: Apache-2.0
 * forest_test.c - margins, probabilities and contributions against XGBoost itself; hostile model files. */
#include "forest/forest.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <xgboost/c_api.h>

#include "base/array.h"
#include "base/mem.h"
#include "unit/forest/models.h"

TestSuite(forest, .timeout = 240);

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
    struct sample train = sample_new(2000, 1), test = sample_new(6000, 2);
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
