/* SPDX-License-Identifier: Apache-2.0
 * forest_fuzz.c - a model file, JSON or UBJSON, whatever its bytes: it is refused, or rows are scored with it
 * within its memory, the same by every way there is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "forest/forest.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { ROWS = 5 };

static void fill(float *rows, size_t columns)
{
    static const float values[ROWS] = { NAN, 0.0F, -1e30F, 1e30F, 3.0F };

    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < columns; c++)
            rows[r * columns + c] = (r + c) % 7 == 6 ? NAN : values[r];
}

static void score(const struct forest *f)
{
    size_t columns = forest_columns(f);
    struct forest_scratch *s = forest_scratch_new(f);
    float *rows = mem_new_n(float, ROWS *columns), margins[ROWS];
    double *contributions = mem_new_n(double, columns + 1);
    struct forest_shap *shap;

    fill(rows, columns);
    forest_margins(f, rows, ROWS, margins, s);
    for (size_t r = 0; r < ROWS; r++) {
        float one = forest_margin(f, rows + r * columns, s),
              explained = forest_explain(f, rows + r * columns, contributions, s);

        if (memcmp(&one, &margins[r], sizeof one) != 0 || memcmp(&one, &explained, sizeof one) != 0)
            abort();
        forest_probability(one);
    }
    if (forest_shap_new(&shap, f, NULL) == ERR_OK) {
        for (size_t r = 0; r < ROWS; r++)
            forest_shap(shap, rows + r * columns, contributions);
        forest_shap_free(shap);
    }
    mem_free(contributions);
    mem_free(rows);
    forest_scratch_free(s);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct forest *f;
    struct why why = { 0 };

    if (forest_open(&f, slice_of(data, size), &why) == ERR_OK)
        score(f);
    else if (f != NULL || why.text[0] == '\0')
        abort();
    forest_close(f);
    return 0;
}
