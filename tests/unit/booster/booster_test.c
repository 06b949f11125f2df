/* SPDX-License-Identifier: Apache-2.0
 * booster_test.c - training, early stopping, saving. */
#include <criterion/criterion.h>
#include <math.h>

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

TestSuite(booster, .init = setup, .timeout = 60);

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
