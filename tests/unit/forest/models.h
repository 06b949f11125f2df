/* SPDX-License-Identifier: Apache-2.0
 * models.h - synthetic rows and models trained on them, for all tests that need a forest. */
#ifndef ASSAY_TESTS_FOREST_MODELS_H
#define ASSAY_TESTS_FOREST_MODELS_H

#include "booster/booster.h"

enum { SAMPLE_COLUMNS = 12 };

struct sample {
    size_t rows;
    float *features; /* [rows][SAMPLE_COLUMNS]; some whole numbers with many ties, one value in ten missing */
    float *labels;
};

struct sample sample_new(size_t rows, uint32_t seed);
void sample_release(struct sample *s);

/* Trains on rows of the sample; the test fails when XGBoost refuses. */
struct booster *model_train(const struct sample *s, const struct booster_params *params);
/* The model's bytes, to be mem_free()d through the buf. */
struct buf model_bytes(const struct booster *b, enum booster_format format);

#endif
