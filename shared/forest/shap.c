/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/mem.h"
#include "forest/nodes.h"

struct forest_shap {
    const struct forest *forest;
};

enum err forest_shap_new(struct forest_shap **out, const struct forest *f, struct why *why)
{
    (void)why;
    *out = mem_new(struct forest_shap);
    (*out)->forest = f;
    return ERR_OK;
}

void forest_shap_free(struct forest_shap *shap)
{
    mem_free(shap);
}

void forest_shap(struct forest_shap *shap, const float *row, double *contributions)
{
    struct forest_scratch *s = forest_scratch_new(shap->forest);

    forest_explain(shap->forest, row, contributions, s);
    forest_scratch_free(s);
}
