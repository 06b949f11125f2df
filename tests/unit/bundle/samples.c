/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/bundle/samples.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/clock.h"
#include "booster/booster.h"

static const char catalogue_text[] = "entities: {customer: customer_id}\n"
                                     "features:\n"
                                     "  - {name: amount, expr: tx.amount, describe: amount of the payment}\n"
                                     "  - {name: customer_count_24h, count: customer, window: 24h}\n";

void bundle_sample_init(struct bundle_sample *s, uint32_t seed)
{
    struct booster_params params = BOOSTER_PARAMS_DEFAULT;
    float labels[SAMPLE_BUNDLE_ROWS];
    struct booster_matrix *matrix;
    struct catalogue catalogue;
    struct booster *b;
    struct why why = { 0 };
    double column[SAMPLE_BUNDLE_ROWS];

    *s = (struct bundle_sample){ 0 };
    for (size_t i = 0; i < SAMPLE_BUNDLE_ROWS; i++) {
        float *row = s->rows + i * SAMPLE_BUNDLE_COLUMNS;

        seed = seed * 1664525u + 1013904223u;
        row[0] = (float)(seed >> 20);
        row[1] = seed >> 8 & 8 ? NAN : (float)(seed >> 10 & 15);
        labels[i] = row[0] > 3000;
    }
    cr_assert_eq(catalogue_parse(&catalogue, slice_str(catalogue_text), &s->arena, &why), ERR_OK, "%s",
                 why.text);
    cr_assert_eq(plan_build(&s->plan, &catalogue, &why), ERR_OK, "%s", why.text);
    params.trees = 10;
    params.depth = 3;
    params.threads = 1;
    cr_assert_eq(booster_matrix_new(&matrix, s->rows, SAMPLE_BUNDLE_ROWS, SAMPLE_BUNDLE_COLUMNS, labels, NULL,
                                    1, &why),
                 ERR_OK);
    cr_assert_eq(booster_train(&b, &params, matrix, NULL, NULL, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(booster_margins(b, s->rows, SAMPLE_BUNDLE_ROWS, SAMPLE_BUNDLE_COLUMNS, s->margins, &why),
                 ERR_OK);
    buf_init(&s->forest, 0);
    cr_assert_eq(booster_save(b, BOOSTER_UBJ, &s->forest, &why), ERR_OK);
    booster_close(b);
    booster_matrix_free(matrix);

    for (size_t c = 0; c <= SAMPLE_BUNDLE_COLUMNS; c++) {
        struct histogram *h = c < SAMPLE_BUNDLE_COLUMNS ? &s->histograms[c] : &s->margin_histogram;

        for (size_t i = 0; i < SAMPLE_BUNDLE_ROWS; i++)
            column[i] =
                (double)(c < SAMPLE_BUNDLE_COLUMNS ? s->rows[i * SAMPLE_BUNDLE_COLUMNS + c] : s->margins[i]);
        histogram_init_quantiles(h, column, SAMPLE_BUNDLE_ROWS, 10);
        for (size_t i = 0; i < SAMPLE_BUNDLE_ROWS; i++)
            histogram_add(h, column[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        s->x[i] = (double)i - 1.0;
        s->y[i] = 2.0 * s->x[i] - 0.1;
    }
    s->calibration = (struct calibration){ .count = 3, .x = s->x, .y = s->y };
    s->parts = (struct bundle_parts){
        .name = SLICE("sample"),
        .created_at_us = 1600000000 * SECOND_US,
        .forest = buf_slice(&s->forest),
        .plan = s->plan,
        .calibration = &s->calibration,
        .thresholds = { .challenge = 2.0, .review = 0.3, .decline = 0.8 },
        .golden = s->rows,
        .golden_margins = s->margins,
        .golden_rows = 100,
        .histograms = s->histograms,
        .margin_histogram = &s->margin_histogram,
        .metrics = SLICE("{\"average_precision\": 0.75}"),
        .parameters = SLICE("{\"trees\": 10}"),
        .training = { .from_us = 1500000000 * SECOND_US,
                      .until_us = 1510000000 * SECOND_US,
                      .label_delay_us = 7 * DAY_US,
                      .labels_known_us = 1510000000 * SECOND_US + 1,
                      .rows = SAMPLE_BUNDLE_ROWS,
                      .frauds = 40 },
        .card = SLICE("# A model\n\nFor tests.\n"),
    };
}

void bundle_sample_release(struct bundle_sample *s)
{
    for (size_t c = 0; c < SAMPLE_BUNDLE_COLUMNS; c++)
        histogram_release(&s->histograms[c]);
    histogram_release(&s->margin_histogram);
    buf_release(&s->forest);
    plan_free(s->plan);
    arena_release(&s->arena);
}
