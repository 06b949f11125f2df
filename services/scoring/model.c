/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "modelstore/modelstore.h"

static void name_columns(struct model *m)
{
    const struct plan *plan = bundle_plan(m->bundle);

    m->names = arena_new(&m->arena, char *, m->columns);
    m->describes = arena_new(&m->arena, char *, m->columns);
    for (size_t c = 0; c < m->columns; c++) {
        const struct feature *f = plan_column(plan, c);

        m->names[c] = arena_strndup(&m->arena, f->name.ptr, f->name.len);
        m->describes[c] = arena_strndup(&m->arena, f->describe.ptr, f->describe.len);
    }
}

enum err model_load(struct model **out, struct pg_session *s, int64_t version,
                    const struct trusted_keys *keys, struct why *why)
{
    struct model *m = mem_new(struct model);
    struct why none = { 0 };
    struct buf bytes;
    enum err err;

    *out = NULL;
    buf_init(&bytes, BUNDLE_BYTES_MAX);
    m->version = version;
    snprintf(m->version_text, sizeof m->version_text, "%" PRId64, version);
    err = model_read(s, version, keys, &bytes, why);
    if (err)
        goto out;
    err = bundle_open(&m->bundle, buf_slice(&bytes), why);
    if (err)
        goto out;
    m->columns = forest_columns(bundle_forest(m->bundle));
    name_columns(m);
    m->row = mem_new_n(float, m->columns);
    m->contributions = mem_new_n(double, m->columns + 1);
    m->scratch = forest_scratch_new(bundle_forest(m->bundle));
    if (forest_shap_new(&m->shap, bundle_forest(m->bundle), &none) != ERR_OK)
        m->shap = NULL; /* path contributions are there for every model */
    *out = m;
    m = NULL;
out:
    model_free(m);
    buf_release(&bytes);
    return err;
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    forest_shap_free(m->shap);
    forest_scratch_free(m->scratch);
    mem_free(m->row);
    mem_free(m->contributions);
    bundle_close(m->bundle);
    arena_release(&m->arena);
    mem_free(m);
}

float model_explain(struct model *m)
{
    return forest_explain(bundle_forest(m->bundle), m->row, m->contributions, m->scratch);
}

bool model_explain_exactly(struct model *m, float *margin)
{
    if (m->shap == NULL)
        return false;
    *margin = forest_margin(bundle_forest(m->bundle), m->row, m->scratch);
    forest_shap(m->shap, m->row, m->contributions);
    return true;
}
