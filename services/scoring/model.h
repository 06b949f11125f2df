/* SPDX-License-Identifier: Apache-2.0
 * model.h - a bundle, ready to score: checked, with the memory that a row needs. */
#ifndef ASSAY_SCORING_MODEL_H
#define ASSAY_SCORING_MODEL_H

#include "base/arena.h"
#include "bundle/bundle.h"
#include "bundle/signature.h"

struct pg_session;

struct model {
    int64_t version;
    char version_text[24];
    struct bundle *bundle;
    size_t columns;
    struct arena arena;        /* of the texts below: with a NUL, as protobuf-c wants them */
    char **names, **describes; /* [columns] */
    float *row;                /* [columns]: the row under way, in the model's order */
    double *contributions;     /* [columns + 1] */
    struct forest_scratch *scratch;
    struct forest_shap *shap; /* NULL where paths are too long for it */
};

/* Reads the bundle of `version` from the registry, opens and checks it: milliseconds to seconds, so off the
 * loop. `keys`: whose signatures count; NULL: none is asked for. On success *out is the caller's, to give to
 * model_free(). Errors are those of model_read() and bundle_open(). */
MUST_USE enum err model_load(struct model **out, struct pg_session *s, int64_t version,
                             const struct trusted_keys *keys, struct why *why);
void model_free(struct model *m);

/* Scores m->row and leaves the path contributions in m->contributions. */
float model_explain(struct model *m);
/* The same with exact Shapley values. False, and nothing done, where m->shap is NULL. */
bool model_explain_exactly(struct model *m, float *margin);

#endif
