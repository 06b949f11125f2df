/* SPDX-License-Identifier: Apache-2.0
 * forest_bench.c - rows through 300 trees of depth 6: our forest beside XGBoost on one thread, in one run,
 * and whether they agree: margins to the bit, Shapley values to 1e-5. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/report.h"
#include "booster/booster.h"
#include "forest/forest.h"

enum {
    ROWS = 20000,
    COLUMNS = 40,
    ROUNDS = 5,
    MARGIN_ROWS = 2000, /* of XGBoost, which takes longer */
    PATH_ROWS = 200,
    SHAP_ROWS = 50,
    AGREE_ROWS = 500, /* whose Shapley values are compared */
};

struct world {
    float *x, *labels, *margins, *theirs; /* [ROWS][COLUMNS], [ROWS], [ROWS], [ROWS][COLUMNS + 1] */
    double contributions[COLUMNS + 1];
    struct booster *trained, *booster; /* as trained, and as XGBoost reads what was saved */
    struct forest *forest;
    struct forest_scratch *scratch;
    struct forest_shap *shap;
    struct buf model;
    double sum; /* keeps what is computed */
};

static uint32_t state = 12345;

static float uniform(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (float)(state >> 8) / 16777216.0F;
}

static void must_work(enum err err, const char *what, const struct why *why)
{
    if (err)
        bench_fail("forest: %s: %s", what, why->text);
}

static void train(struct world *a)
{
    struct booster_params p = BOOSTER_PARAMS_DEFAULT;
    struct booster_matrix *m;
    struct why why = { 0 };

    for (size_t i = 0; i < ROWS; i++) {
        float *row = a->x + i * COLUMNS;

        for (size_t c = 0; c < COLUMNS; c++)
            row[c] = uniform() < 0.05F ? NAN : (c % 2 ? floorf(uniform() * 30) : uniform() * 100);
        a->labels[i] = (float)((row[0] > 60) + (row[1] > 20) * (row[2] < 30)) + uniform() * 2 > 2.0F;
    }
    p.trees = 300;
    p.depth = 6;
    p.threads = 1;
    must_work(booster_matrix_new(&m, a->x, ROWS, COLUMNS, a->labels, NULL, 1, &why), "rows", &why);
    must_work(booster_train(&a->trained, &p, m, NULL, NULL, NULL, &why), "train", &why);
    booster_matrix_free(m);
    buf_init(&a->model, 0);
    must_work(booster_save(a->trained, BOOSTER_UBJ, &a->model, &why), "save", &why);
    must_work(booster_open(&a->booster, buf_slice(&a->model), &why), "open by XGBoost", &why);
    must_work(forest_open(&a->forest, buf_slice(&a->model), &why), "open", &why);
    must_work(forest_shap_new(&a->shap, a->forest, &why), "prepare Shapley values", &why);
    a->scratch = forest_scratch_new(a->forest);
}

/* ---- what is measured: a number of rows, one by one unless it says otherwise ---- */

static void our_margins(struct world *a, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        a->sum += (double)forest_margin(a->forest, a->x + i * COLUMNS, a->scratch);
}

static void our_block(struct world *a, size_t rows)
{
    forest_margins(a->forest, a->x, rows, a->margins, a->scratch);
}

static void our_paths(struct world *a, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        a->sum += (double)forest_explain(a->forest, a->x + i * COLUMNS, a->contributions, a->scratch);
}

static void our_shap(struct world *a, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        forest_shap(a->shap, a->x + i * COLUMNS, a->contributions);
}

static void their_margins(struct world *a, size_t rows)
{
    struct why why = { 0 };

    for (size_t i = 0; i < rows; i++)
        must_work(booster_margin_inplace(a->booster, a->x + i * COLUMNS, COLUMNS, &a->margins[i], &why),
                  "predict", &why);
}

static void their_block(struct world *a, size_t rows)
{
    struct why why = { 0 };

    must_work(booster_margins(a->booster, a->x, rows, COLUMNS, a->margins, &why), "predict", &why);
}

static void their_paths(struct world *a, size_t rows)
{
    struct why why = { 0 };

    for (size_t i = 0; i < rows; i++)
        must_work(booster_path_contributions(a->booster, a->x + i * COLUMNS, 1, COLUMNS, a->theirs, &why),
                  "path contributions", &why);
}

static void their_shap(struct world *a, size_t rows)
{
    struct why why = { 0 };

    for (size_t i = 0; i < rows; i++)
        must_work(booster_contributions(a->booster, a->x + i * COLUMNS, 1, COLUMNS, a->theirs, &why),
                  "contributions", &why);
}

typedef void work_fn(struct world *a, size_t rows);

static double seconds_of(work_fn *work, struct world *a, size_t rows)
{
    int64_t began = clock_mono_us();

    work(a, rows);
    return (double)(clock_mono_us() - began) / 1e6;
}

static const struct {
    const char *name, *against;
    work_fn *ours, *theirs;
    size_t our_rows, their_rows;
    struct goal goals[RESULT_GOALS];
} cases[] = {
    { "forest/margin, one row",
      "XGBoost's C API in place",
      our_margins,
      their_margins,
      ROWS,
      MARGIN_ROWS,
      { { RATIO_AT_LEAST, 5 }, { RATIO_AT_LEAST, 8 } } },
    { "forest/margins, many rows",
      "XGBoost, one matrix of them",
      our_block,
      their_block,
      ROWS,
      ROWS,
      { { 0 } } },
    { "forest/path contributions, one row",
      "XGBoost's approx_contribs",
      our_paths,
      their_paths,
      ROWS,
      PATH_ROWS,
      { { 0 } } },
    { "forest/exact contributions, one row",
      "XGBoost's pred_contribs",
      our_shap,
      their_shap,
      MARGIN_ROWS,
      SHAP_ROWS,
      { { RATIO_AT_LEAST, 30 } } },
};

/* Turn by turn, the best round of each: what the code takes when the machine lets it. */
static void measure(struct world *a)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double ours = INFINITY, theirs = INFINITY;
        char note[64];

        for (int round = 0; round < ROUNDS; round++) {
            ours = fmin(ours, seconds_of(cases[i].ours, a, cases[i].our_rows) / (double)cases[i].our_rows);
            theirs = fmin(theirs,
                          seconds_of(cases[i].theirs, a, cases[i].their_rows) / (double)cases[i].their_rows);
        }
        snprintf(note, sizeof note, "%.2f us a row, theirs %.2f us", ours * 1e6, theirs * 1e6);
        report(&(struct result){ .name = cases[i].name,
                                 .value = 1 / ours,
                                 .unit = "rows/s",
                                 .baseline = 1 / theirs,
                                 .against = cases[i].against,
                                 .goals = { cases[i].goals[0], cases[i].goals[1] },
                                 .note = note });
    }
}

static void compare(struct world *a)
{
    struct why why = { 0 };
    double apart = 0;
    size_t differ = 0;
    char note[96];

    must_work(booster_margins(a->booster, a->x, ROWS, COLUMNS, a->margins, &why), "predict", &why);
    for (size_t i = 0; i < ROWS; i++) {
        float ours = forest_margin(a->forest, a->x + i * COLUMNS, a->scratch);

        differ += memcmp(&ours, &a->margins[i], sizeof ours) != 0;
    }
    must_work(booster_contributions(a->booster, a->x, AGREE_ROWS, COLUMNS, a->theirs, &why), "contributions",
              &why);
    for (size_t i = 0; i < AGREE_ROWS; i++) {
        forest_shap(a->shap, a->x + i * COLUMNS, a->contributions);
        for (size_t c = 0; c <= COLUMNS; c++)
            apart = fmax(apart, fabs(a->contributions[c] - (double)a->theirs[i * (COLUMNS + 1) + c]));
    }
    snprintf(note, sizeof note, "of %d; %zu trees, %zu nodes, %d columns", ROWS, forest_trees(a->forest),
             forest_nodes(a->forest), COLUMNS);
    report(&(struct result){ .name = "forest/margins with another bit",
                             .value = (double)differ,
                             .unit = "rows",
                             .goals = { { VALUE_AT_MOST, 0 } },
                             .note = note });
    report(&(struct result){ .name = "forest/exact contributions, farthest apart",
                             .value = apart,
                             .unit = "log-odds",
                             .goals = { { VALUE_AT_MOST, 1e-5 } } });
}

int main(void)
{
    struct world a = {
        .x = mem_new_n(float, (size_t)ROWS *COLUMNS),
        .labels = mem_new_n(float, ROWS),
        .margins = mem_new_n(float, ROWS),
        .theirs = mem_new_n(float, (size_t)ROWS *(COLUMNS + 1)),
    };

    train(&a);
    measure(&a);
    compare(&a);
    forest_shap_free(a.shap);
    forest_scratch_free(a.scratch);
    forest_close(a.forest);
    booster_close(a.booster);
    booster_close(a.trained);
    buf_release(&a.model);
    mem_free(a.x);
    mem_free(a.labels);
    mem_free(a.margins);
    mem_free(a.theirs);
    return a.sum != a.sum;
}
