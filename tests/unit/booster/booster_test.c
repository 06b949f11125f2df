/* SPDX-License-Identifier: Apache-2.0
 * booster_test.c - training, early stopping, saving. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "booster/booster.h"

enum { ROWS = 2000, COLUMNS = 4 };

static float rows[ROWS * COLUMNS], labels[ROWS];
static struct why why;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void setup(void)
{
    uint32_t state = 7;

    for (size_t i = 0; i < ROWS; i++) {
        for (size_t c = 0; c < COLUMNS; c++)
            rows[i * COLUMNS + c] = (float)(next_random(&state) % 1000) / 1000.0F;
        labels[i] = rows[i * COLUMNS] + rows[i * COLUMNS + 1] * rows[i * COLUMNS + 2] > 0.9F;
    }
}

static struct booster_matrix *matrix_of(size_t from, size_t count)
{
    struct booster_matrix *m;

    cr_assert_eq(booster_matrix_new(&m, rows + from * COLUMNS, count, COLUMNS, labels + from, NULL, 1, &why),
                 ERR_OK, "%s", why.text);
    return m;
}

static struct booster_params small_params(void)
{
    struct booster_params p = BOOSTER_PARAMS_DEFAULT;

    p.trees = 40;
    p.depth = 3;
    p.threads = 1;
    return p;
}

TestSuite(booster, .init = setup, .timeout = 180);

Test(booster, learns_and_reads_back_what_it_saved)
{
    struct booster_params p = small_params();
    struct booster_matrix *m = matrix_of(0, ROWS);
    struct booster *b, *again;
    float before[ROWS], after[ROWS];
    size_t right = 0;
    struct buf saved;

    cr_assert_eq(booster_train(&b, &p, m, NULL, NULL, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(booster_trees(b), 40);
    for (int format = BOOSTER_UBJ; format <= BOOSTER_JSON; format++) {
        buf_init(&saved, 0);
        cr_assert_eq(booster_save(b, (enum booster_format)format, &saved, &why), ERR_OK);
        cr_assert_eq(booster_open(&again, buf_slice(&saved), &why), ERR_OK, "%s", why.text);
        cr_assert_eq(booster_margins(b, rows, ROWS, COLUMNS, before, &why), ERR_OK);
        cr_assert_eq(booster_margins(again, rows, ROWS, COLUMNS, after, &why), ERR_OK);
        cr_assert_arr_eq(before, after, sizeof before);
        booster_close(again);
        buf_release(&saved);
    }
    for (size_t i = 0; i < ROWS; i++)
        right += (before[i] > 0) == (labels[i] > 0);
    cr_assert_gt(right, ROWS * 95 / 100);
    booster_close(b);
    booster_matrix_free(m);
}

static bool stop_at_five(void *context, size_t rounds, double metric)
{
    *(double *)context = metric;
    return rounds < 5;
}

Test(booster, stops_when_the_hook_says_so)
{
    struct booster_params p = small_params();
    struct booster_matrix *train = matrix_of(0, ROWS / 2), *valid = matrix_of(ROWS / 2, ROWS / 2);
    struct booster *b;
    double metric = NAN;

    cr_assert_eq(booster_train(&b, &p, train, valid, stop_at_five, &metric, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(booster_trees(b), 5);
    cr_assert(metric > 0.5 && metric <= 1);
    booster_close(b);
    booster_matrix_free(train);
    booster_matrix_free(valid);
}

Test(booster, is_cut_back_to_its_best_round)
{
    struct booster_params p = small_params();
    struct booster_matrix *train = matrix_of(0, 60), *valid = matrix_of(ROWS / 2, ROWS / 2);
    struct booster *b;
    struct buf saved;

    p.trees = 500;
    p.patience = 3;
    p.eta = 0.5;
    p.metric = "logloss";
    cr_assert_eq(booster_train(&b, &p, train, valid, NULL, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert(booster_trees(b) > 0 && booster_trees(b) < 100, "%zu", booster_trees(b));
    buf_init(&saved, 0);
    cr_assert_eq(booster_save(b, BOOSTER_JSON, &saved, &why), ERR_OK);
    buf_release(&saved);
    booster_close(b);
    booster_matrix_free(train);
    booster_matrix_free(valid);
}

Test(booster, refuses_a_parameter_that_xgboost_does_not_know)
{
    struct booster_params p = small_params();
    struct booster_matrix *m = matrix_of(0, 100);
    struct booster *b;

    p.objective = "binary:guess";
    cr_assert_eq(booster_train(&b, &p, m, NULL, NULL, NULL, &why), ERR_INVALID);
    cr_assert_null(b);
    cr_assert_neq(why.text[0], '\0');
    booster_matrix_free(m);
}

Test(booster, refuses_bytes_that_are_no_model)
{
    struct booster *b;

    cr_assert_eq(booster_open(&b, SLICE("{\"learner\": 1}"), &why), ERR_INVALID);
    cr_assert_null(b);
}

/* ---- rows in batches ---- */

static const float *filled_from;

static void fill(const void *context, size_t from, size_t count, float *features)
{
    const size_t *first = context;

    memcpy(features, filled_from + (*first + from) * COLUMNS, count * COLUMNS * sizeof *features);
}

static struct booster_matrix *stream_of(size_t from, size_t count, const uint8_t *flags, const float *weights)
{
    struct booster_source source = { .rows = count,
                                     .columns = COLUMNS,
                                     .fill = fill,
                                     .context = &from,
                                     .labels = flags + from,
                                     .weights = weights ? weights + from : NULL };
    struct booster_matrix *m;

    cr_assert_eq(booster_matrix_stream(&m, &source, BOOSTER_PARAMS_DEFAULT.max_bin, 1, &why), ERR_OK, "%s",
                 why.text);
    return m;
}

/* With fewer values than bins each value is a bin of its own, so that nothing is rounded away: the trees must be the
 * very same, early stopping included. */
Test(booster, learns_the_same_from_rows_in_batches_as_from_rows_at_once)
{
    static float coarse[ROWS * COLUMNS], weights[ROWS];
    static uint8_t flags[ROWS];
    struct booster_params p = small_params();

    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        coarse[i] = i % 17 == 0 ? NAN : floorf(rows[i] * 100);
    for (size_t i = 0; i < ROWS; i++) {
        flags[i] = labels[i] > 0;
        weights[i] = 1 + (float)(i % 3);
    }
    filled_from = coarse;
    p.trees = 200;
    p.patience = 5;
    p.eta = 0.4;
    for (int is_weighted = 0; is_weighted < 2; is_weighted++) {
        const float *w = is_weighted ? weights : NULL;
        struct booster_matrix *train[2], *valid;
        float margins[2][ROWS];
        size_t trees[2];

        cr_assert_eq(booster_matrix_new(&train[0], coarse, ROWS / 2, COLUMNS, labels, w, 1, &why), ERR_OK);
        cr_assert_eq(booster_matrix_new(&valid, coarse + ROWS / 2 * COLUMNS, ROWS / 2, COLUMNS,
                                        labels + ROWS / 2, w ? w + ROWS / 2 : NULL, 1, &why),
                     ERR_OK);
        train[1] = stream_of(0, ROWS / 2, flags, w);
        for (int i = 0; i < 2; i++) {
            struct booster *b;

            cr_assert_eq(booster_train(&b, &p, train[i], valid, NULL, NULL, &why), ERR_OK, "%s", why.text);
            trees[i] = booster_trees(b);
            cr_assert_eq(booster_margins(b, coarse, ROWS, COLUMNS, margins[i], &why), ERR_OK);
            booster_close(b);
            booster_matrix_free(train[i]);
        }
        booster_matrix_free(valid);
        cr_assert_eq(trees[0], trees[1]);
        cr_assert_lt(trees[0], p.trees);
        cr_assert_arr_eq(margins[0], margins[1], sizeof margins[0]);
    }
}
