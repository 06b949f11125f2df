/* SPDX-License-Identifier: Apache-2.0
 * booster.h - XGBoost behind one header: trains gradient boosted trees, and is the oracle for forest.h.
 *
 * Only trainers and tests link this; what serves links forest/. Feature rows are float[rows][columns],
 * row-major, NaN = missing. The same parameters, rows, seed and number of threads give the same bytes.
 * Source: XGBoost 1.7 C API, <xgboost/c_api.h>. */
#ifndef ASSAY_BOOSTER_BOOSTER_H
#define ASSAY_BOOSTER_BOOSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* ---- rows ---- */

/* Rows with labels, copied in: the caller's memory may go once booster_matrix_new() has returned. */
struct booster_matrix;

/*   features  float[rows][columns]
 *   labels    float[rows], 1 = fraud, 0 = legitimate; NULL for rows that are only predicted
 *   weights   float[rows], NULL = all 1
 *   ERR_INTERNAL  XGBoost refused them; *why has the first line of its reason */
MUST_USE enum err booster_matrix_new(struct booster_matrix **out, const float *features, size_t rows,
                                     size_t columns, const float *labels, const float *weights, int threads,
                                     struct why *why);

/* The same for rows to train on, without a second copy of the features: they are asked for a batch at a time, some
 * times over, and kept as numbers of bins only, in one byte or two. To predict from bins takes longer than from
 * floats, so validation rows are better off with booster_matrix_new(). */
struct booster_source {
    size_t rows, columns;
    /* Writes float[count][columns], the features of rows `from` and on. The same rows must come out each time. */
    void (*fill)(const void *context, size_t from, size_t count, float *features);
    const void *context;
    const uint8_t *labels; /* [rows], 1 = fraud; NULL as above */
    const float *weights;  /* [rows], NULL = all 1 */
};
/* `max_bin` must be that of the parameters it is trained with. */
MUST_USE enum err booster_matrix_stream(struct booster_matrix **out, const struct booster_source *source,
                                        int max_bin, int threads, struct why *why);
void booster_matrix_free(struct booster_matrix *m);

/* ---- training ---- */

struct booster;

/* Start from BOOSTER_PARAMS_DEFAULT and change what matters. */
struct booster_params {
    const char *objective; /* "binary:logistic" */
    const char *booster;   /* "gbtree"; "dart" trains too, but forest.h refuses it */
    size_t trees;          /* at most this many rounds */
    int depth;             /* 0 = no limit (grow_policy lossguide with max_leaves) */
    int max_leaves;        /* 0 = no limit */
    bool is_lossguide;     /* grow where the loss falls most rather than level by level */
    double eta;
    double min_child_weight;
    double gamma, lambda, alpha;
    double max_delta_step;
    double subsample, colsample_bytree, colsample_bylevel, colsample_bynode;
    double scale_pos_weight;
    double base_score; /* a probability; 0 = the weighted share of frauds among the training rows */
    int max_bin;
    int64_t seed;
    int threads;        /* 0 = all cores */
    const char *metric; /* "aucpr", "auc", "logloss": what early stopping watches on the validation rows */
    int patience;       /* stop after this many rounds without a better metric; 0 = never */
    /* monotone_constraints as XGBoost spells them, "(1,0,-1)"; NULL = none */
    const char *monotone;
};

extern const struct booster_params BOOSTER_PARAMS_DEFAULT;

/* Called after each round. `metric` is that of the validation rows (NaN without them). Return false to stop
 * here; what was trained so far is kept. */
typedef bool booster_round_fn(void *context, size_t rounds, double metric);

/* Trains on `train`. With `valid` (not NULL) its metric is computed each round, and with `patience` the
 * booster is cut back to its best round. The hook may be NULL. On success *out is the caller's, to give to
 * booster_close().
 *   ERR_INVALID   a parameter that XGBoost does not take
 *   ERR_INTERNAL  it failed otherwise */
MUST_USE enum err booster_train(struct booster **out, const struct booster_params *params,
                                const struct booster_matrix *train, const struct booster_matrix *valid,
                                booster_round_fn *hook, void *context, struct why *why);

/* Opens a saved model (JSON or UBJSON) by XGBoost itself. Trusts its input: only for models we made.
 *   ERR_INVALID  XGBoost does not read it */
MUST_USE enum err booster_open(struct booster **out, struct slice model, struct why *why);
void booster_close(struct booster *b);

size_t booster_trees(const struct booster *b);

enum booster_format { BOOSTER_UBJ, BOOSTER_JSON };
/* Adds the model's bytes to `out`: what forest_open() reads. */
MUST_USE enum err booster_save(const struct booster *b, enum booster_format format, struct buf *out,
                               struct why *why);

/* ---- the oracle ---- */

/*   margins        out  float[rows], log-odds before the sigmoid
 *   probabilities  out  float[rows]
 *   contributions  out  float[rows][columns + 1], exact TreeSHAP, the bias last
 *   path_contributions  the same shape, XGBoost's "approx_contribs" (Saabas)
 *   ERR_INTERNAL   XGBoost refused the rows */
MUST_USE enum err booster_margins(const struct booster *b, const float *features, size_t rows, size_t columns,
                                  float *margins, struct why *why);
MUST_USE enum err booster_probabilities(const struct booster *b, const float *features, size_t rows,
                                        size_t columns, float *probabilities, struct why *why);
MUST_USE enum err booster_contributions(const struct booster *b, const float *features, size_t rows,
                                        size_t columns, float *contributions, struct why *why);
MUST_USE enum err booster_path_contributions(const struct booster *b, const float *features, size_t rows,
                                             size_t columns, float *contributions, struct why *why);

/* One row the quick way (in-place, no matrix): what a service on XGBoost alone would call. For benchmarks. */
MUST_USE enum err booster_margin_inplace(const struct booster *b, const float *row, size_t columns,
                                         float *margin, struct why *why);

#endif
