/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/forest/models.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/mem.h"

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static float uniform(uint32_t *state)
{
    return (float)(next_random(state) >> 8) / 16777216.0F;
}

struct sample sample_new(size_t rows, uint32_t seed)
{
    struct sample s = { .rows = rows,
                        .features = mem_new_n(float, rows *SAMPLE_COLUMNS),
                        .labels = mem_new_n(float, rows) };
    uint32_t state = seed * 2654435761u + 1;

    for (size_t i = 0; i < rows; i++) {
        float *row = s.features + i * SAMPLE_COLUMNS;
        float odds;

        for (size_t c = 0; c < SAMPLE_COLUMNS; c++) {
            if (c % 3 == 0)
                row[c] = floorf(uniform(&state) * 20.0F) - 5.0F; /* counts: many ties, on the thresholds */
            else if (c % 3 == 1)
                row[c] = expf(6.0F * uniform(&state)) / 7.0F; /* amounts */
            else
                row[c] = uniform(&state) - 0.5F;
        }
        odds = row[2] * 6.0F + (row[0] > 3.0F) * row[5] * 4.0F + (row[1] > 20.0F) -
               (row[4] < 1.0F) * row[8] * 5.0F;
        s.labels[i] = odds + 2.0F * uniform(&state) > 2.2F;
        for (size_t c = 0; c < SAMPLE_COLUMNS; c++)
            if (uniform(&state) < 0.1F)
                row[c] = NAN;
    }
    return s;
}

void sample_release(struct sample *s)
{
    mem_free(s->features);
    mem_free(s->labels);
}

struct booster *model_train(const struct sample *s, const struct booster_params *params)
{
    struct booster_matrix *m;
    struct booster *b;
    struct why why = { 0 };

    cr_assert_eq(booster_matrix_new(&m, s->features, s->rows, SAMPLE_COLUMNS, s->labels, NULL, 1, &why),
                 ERR_OK, "%s", why.text);
    cr_assert_eq(booster_train(&b, params, m, NULL, NULL, NULL, &why), ERR_OK, "%s", why.text);
    booster_matrix_free(m);
    return b;
}

struct buf model_bytes(const struct booster *b, enum booster_format format)
{
    struct why why = { 0 };
    struct buf bytes;

    buf_init(&bytes, 0);
    cr_assert_eq(booster_save(b, format, &bytes, &why), ERR_OK, "%s", why.text);
    return bytes;
}
