/* SPDX-License-Identifier: Apache-2.0 */
#include "booster/booster.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xgboost/c_api.h>

#include "base/array.h"
#include "base/mem.h"

struct booster_matrix {
    DMatrixHandle handle;
    size_t rows, columns;
    double fraud_share; /* weighted mean of the labels; NaN without labels */
};

struct booster {
    BoosterHandle handle;
    size_t trees, columns;
};

const struct booster_params BOOSTER_PARAMS_DEFAULT = {
    .objective = "binary:logistic",
    .booster = "gbtree",
    .trees = 300,
    .depth = 6,
    .eta = 0.1,
    .min_child_weight = 1.0,
    .lambda = 1.0,
    .subsample = 1.0,
    .colsample_bytree = 1.0,
    .colsample_bylevel = 1.0,
    .colsample_bynode = 1.0,
    .scale_pos_weight = 1.0,
    .max_bin = 256,
    .seed = 1,
    .metric = "aucpr",
};

/* XGBoost's reasons are many lines, with a stack trace: the first line that says something is kept. */
static enum err refused(struct why *why, enum err err, const char *what)
{
    const char *text = XGBGetLastError();
    const char *colon = strstr(text, ".cc:");
    size_t len;

    if (colon != NULL && (colon = strstr(colon, ": ")) != NULL)
        text = colon + 2;
    while (*text == '\n' || *text == ' ')
        text++;
    len = strcspn(text, "\n");
    return err_set(why, err, "%s: %.*s", what, (int)len, text);
}

static double fraud_share(const float *labels, const float *weights, size_t rows)
{
    double sum = 0, total = 0;

    if (labels == NULL || rows == 0)
        return NAN;
    for (size_t i = 0; i < rows; i++) {
        double w = weights ? (double)weights[i] : 1.0;

        sum += w * (double)labels[i];
        total += w;
    }
    return sum / total;
}

enum err booster_matrix_new(struct booster_matrix **out, const float *features, size_t rows, size_t columns,
                            const float *labels, const float *weights, int threads, struct why *why)
{
    struct booster_matrix *m = mem_new(struct booster_matrix);
    enum err err = ERR_OK;

    *out = NULL;
    m->rows = rows;
    m->columns = columns;
    m->fraud_share = fraud_share(labels, weights, rows);
    if (XGDMatrixCreateFromMat_omp(features, rows, columns, NAN, &m->handle, threads) ||
        (labels && XGDMatrixSetFloatInfo(m->handle, "label", labels, rows)) ||
        (weights && XGDMatrixSetFloatInfo(m->handle, "weight", weights, rows))) {
        err = refused(why, ERR_INTERNAL, "rows");
        goto out;
    }
    *out = m;
    m = NULL;
out:
    booster_matrix_free(m);
    return err;
}

/* ---- rows in batches ---- */

enum { BATCH_FLOATS = 1 << 21 };

struct batches {
    const struct booster_source *source;
    DMatrixHandle proxy;
    size_t at, most; /* rows */
    float *features, *labels;
};

static void batches_reset(DataIterHandle handle)
{
    ((struct batches *)handle)->at = 0;
}

static int batches_next(DataIterHandle handle)
{
    struct batches *b = handle;
    const struct booster_source *s = b->source;
    size_t count = s->rows - b->at < b->most ? s->rows - b->at : b->most;
    char array[160];

    if (count == 0)
        return 0;
    s->fill(s->context, b->at, count, b->features);
    for (size_t i = 0; s->labels && i < count; i++)
        b->labels[i] = s->labels[b->at + i] != 0;
    snprintf(array, sizeof array,
             "{\"data\":[%zu,true],\"shape\":[%zu,%zu],\"typestr\":\"<f4\",\"version\":3}",
             (size_t)(uintptr_t)b->features, count, s->columns);
    if (XGProxyDMatrixSetDataDense(b->proxy, array) ||
        (s->labels && XGDMatrixSetFloatInfo(b->proxy, "label", b->labels, count)) ||
        (s->weights && XGDMatrixSetFloatInfo(b->proxy, "weight", s->weights + b->at, count)))
        return 0; /* the rows that are then missing are missed below */
    b->at += count;
    return 1;
}

static double fraud_share_of(const struct booster_source *s)
{
    double sum = 0, total = 0;

    if (s->labels == NULL || s->rows == 0)
        return NAN;
    for (size_t i = 0; i < s->rows; i++) {
        double w = s->weights ? (double)s->weights[i] : 1.0;

        sum += s->labels[i] ? w : 0;
        total += w;
    }
    return sum / total;
}

enum err booster_matrix_stream(struct booster_matrix **out, const struct booster_source *source, int max_bin,
                               int threads, struct why *why)
{
    struct booster_matrix *m = mem_new(struct booster_matrix);
    struct batches b = { .source = source,
                         .most = BATCH_FLOATS / (source->columns ? source->columns : 1) + 1 };
    char config[96];
    bst_ulong rows = 0;
    enum err err = ERR_OK;

    *out = NULL;
    if (b.most > source->rows)
        b.most = source->rows ? source->rows : 1;
    b.features = mem_new_n(float, b.most * source->columns + 1);
    b.labels = mem_new_n(float, b.most);
    m->rows = source->rows;
    m->columns = source->columns;
    m->fraud_share = fraud_share_of(source);
    snprintf(config, sizeof config, "{\"missing\":NaN,\"nthread\":%d,\"max_bin\":%d}", threads, max_bin);
    if (XGProxyDMatrixCreate(&b.proxy) ||
        XGQuantileDMatrixCreateFromCallback(&b, b.proxy, NULL, batches_reset, batches_next, config,
                                            &m->handle) ||
        XGDMatrixNumRow(m->handle, &rows) || rows != source->rows) {
        err = refused(why, ERR_INTERNAL, "rows");
        goto out;
    }
    *out = m;
    m = NULL;
out:
    if (b.proxy)
        XGDMatrixFree(b.proxy);
    booster_matrix_free(m);
    mem_free(b.features);
    mem_free(b.labels);
    return err;
}

void booster_matrix_free(struct booster_matrix *m)
{
    if (m == NULL)
        return;
    if (m->handle)
        XGDMatrixFree(m->handle);
    mem_free(m);
}

static enum err set_text(struct booster *b, const char *name, const char *value, struct why *why)
{
    if (XGBoosterSetParam(b->handle, name, value))
        return refused(why, ERR_INVALID, name);
    return ERR_OK;
}

static enum err set_number(struct booster *b, const char *name, double value, struct why *why)
{
    char text[40];

    snprintf(text, sizeof text, "%.17g", value);
    return set_text(b, name, text, why);
}

static enum err set_params(struct booster *b, const struct booster_params *p,
                           const struct booster_matrix *train, struct why *why)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        { "max_depth", p->depth },
        { "max_leaves", p->max_leaves },
        { "eta", p->eta },
        { "min_child_weight", p->min_child_weight },
        { "gamma", p->gamma },
        { "lambda", p->lambda },
        { "alpha", p->alpha },
        { "max_delta_step", p->max_delta_step },
        { "subsample", p->subsample },
        { "colsample_bytree", p->colsample_bytree },
        { "colsample_bylevel", p->colsample_bylevel },
        { "colsample_bynode", p->colsample_bynode },
        { "scale_pos_weight", p->scale_pos_weight },
        { "max_bin", p->max_bin },
        { "seed", (double)p->seed },
        { "nthread", p->threads },
        { "verbosity", 0 },
    };
    const struct {
        const char *name, *value;
    } texts[] = {
        { "booster", p->booster },    { "objective", p->objective },
        { "tree_method", "hist" },    { "grow_policy", p->is_lossguide ? "lossguide" : "depthwise" },
        { "eval_metric", p->metric },
    };
    double base = p->base_score > 0 ? p->base_score : train->fraud_share;
    enum err err = ERR_OK;

    for (size_t i = 0; i < ARRAY_LEN(texts) && !err; i++)
        err = set_text(b, texts[i].name, texts[i].value, why);
    for (size_t i = 0; i < ARRAY_LEN(numbers) && !err; i++)
        err = set_number(b, numbers[i].name, numbers[i].value, why);
    if (!err && p->monotone != NULL)
        err = set_text(b, "monotone_constraints", p->monotone, why);
    /* A set without fraud, or of nothing else, has no log-odds to start from. */
    if (!err && base > 0 && base < 1)
        err = set_number(b, "base_score", base, why);
    return err;
}

static enum err eval_metric(struct booster *b, int round, const struct booster_matrix *valid, double *metric,
                            struct why *why)
{
    DMatrixHandle matrix[] = { valid->handle };
    const char *names[] = { "valid" }, *text, *colon;

    if (XGBoosterEvalOneIter(b->handle, round, matrix, names, 1, &text))
        return refused(why, ERR_INTERNAL, "evaluate");
    colon = strrchr(text, ':'); /* "[3]\tvalid-aucpr:0.61" */
    *metric = colon ? strtod(colon + 1, NULL) : (double)NAN;
    return ERR_OK;
}

static enum err cut_to(struct booster *b, size_t rounds, struct why *why)
{
    BoosterHandle cut;

    if (XGBoosterSlice(b->handle, 0, (int)rounds, 1, &cut))
        return refused(why, ERR_INTERNAL, "cut back");
    XGBoosterFree(b->handle);
    b->handle = cut;
    b->trees = rounds;
    return ERR_OK;
}

enum err booster_train(struct booster **out, const struct booster_params *params,
                       const struct booster_matrix *train, const struct booster_matrix *valid,
                       booster_round_fn *hook, void *context, struct why *why)
{
    struct booster *b = mem_new(struct booster);
    bool is_less_better = strcmp(params->metric, "auc") != 0 && strcmp(params->metric, "aucpr") != 0;
    DMatrixHandle known[] = { train->handle, valid ? valid->handle : NULL };
    double best = is_less_better ? INFINITY : -INFINITY;
    size_t best_rounds = 0;
    enum err err = ERR_OK;

    *out = NULL;
    b->columns = train->columns;
    if (XGBoosterCreate(known, valid ? 2 : 1, &b->handle)) {
        err = refused(why, ERR_INTERNAL, "create");
        goto out;
    }
    err = set_params(b, params, train, why);
    if (err)
        goto out;
    for (size_t round = 0; round < params->trees; round++) {
        double metric = NAN;

        if (XGBoosterUpdateOneIter(b->handle, (int)round, train->handle)) {
            err = refused(why, round == 0 ? ERR_INVALID : ERR_INTERNAL, "train");
            goto out;
        }
        b->trees = round + 1;
        if (valid != NULL && (params->patience > 0 || hook != NULL)) {
            err = eval_metric(b, (int)round, valid, &metric, why);
            if (err)
                goto out;
            if (is_less_better ? metric < best : metric > best) {
                best = metric;
                best_rounds = round + 1;
            }
        }
        if (hook != NULL && !hook(context, round + 1, metric))
            break;
        if (params->patience > 0 && best_rounds > 0 && round + 1 - best_rounds >= (size_t)params->patience)
            break;
    }
    if (params->patience > 0 && best_rounds > 0 && best_rounds < b->trees) {
        err = cut_to(b, best_rounds, why);
        if (err)
            goto out;
    }
    *out = b;
    b = NULL;
out:
    booster_close(b);
    return err;
}

enum err booster_open(struct booster **out, struct slice model, struct why *why)
{
    struct booster *b = mem_new(struct booster);
    bst_ulong columns;
    int rounds;
    enum err err = ERR_OK;

    *out = NULL;
    if (XGBoosterCreate(NULL, 0, &b->handle) ||
        XGBoosterLoadModelFromBuffer(b->handle, model.ptr, model.len) ||
        XGBoosterSetParam(b->handle, "nthread", "1") || XGBoosterGetNumFeature(b->handle, &columns) ||
        XGBoosterBoostedRounds(b->handle, &rounds)) {
        err = refused(why, ERR_INVALID, "open model");
        goto out;
    }
    b->columns = columns;
    b->trees = (size_t)rounds;
    *out = b;
    b = NULL;
out:
    booster_close(b);
    return err;
}

void booster_close(struct booster *b)
{
    if (b == NULL)
        return;
    if (b->handle)
        XGBoosterFree(b->handle);
    mem_free(b);
}

size_t booster_trees(const struct booster *b)
{
    return b->trees;
}

enum err booster_save(const struct booster *b, enum booster_format format, struct buf *out, struct why *why)
{
    bst_ulong len;
    const char *bytes;

    if (XGBoosterSaveModelToBuffer(b->handle,
                                   format == BOOSTER_JSON ? "{\"format\":\"json\"}" : "{\"format\":\"ubj\"}",
                                   &len, &bytes))
        return refused(why, ERR_INTERNAL, "save");
    if (!buf_add(out, bytes, len))
        return err_set(why, ERR_TOO_LARGE, "a model of %llu bytes is over the cap", (unsigned long long)len);
    return ERR_OK;
}

/* The `type` of XGBoosterPredictFromDMatrix(). */
enum { PREDICT_VALUE = 0, PREDICT_MARGIN = 1, PREDICT_CONTRIBUTIONS = 2, PREDICT_PATH_CONTRIBUTIONS = 3 };

static enum err predict(const struct booster *b, int type, const float *features, size_t rows, size_t columns,
                        float *out, size_t width, struct why *why)
{
    char config[160];
    DMatrixHandle matrix = NULL;
    const bst_ulong *shape;
    const float *result;
    bst_ulong dims;
    size_t count = 1;
    enum err err = ERR_OK;

    if (rows == 0)
        return ERR_OK;
    snprintf(
        config, sizeof config,
        "{\"type\":%d,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false}",
        type);
    if (XGDMatrixCreateFromMat_omp(features, rows, columns, NAN, &matrix, 1) ||
        XGBoosterPredictFromDMatrix(b->handle, matrix, config, &shape, &dims, &result)) {
        err = refused(why, ERR_INTERNAL, "predict");
        goto out;
    }
    for (bst_ulong i = 0; i < dims; i++)
        count *= shape[i];
    if (count != rows * width) {
        err = err_set(why, ERR_INTERNAL, "predict: %zu figures for %zu rows", count, rows);
        goto out;
    }
    memcpy(out, result, count * sizeof *out);
out:
    if (matrix)
        XGDMatrixFree(matrix);
    return err;
}

enum err booster_margins(const struct booster *b, const float *features, size_t rows, size_t columns,
                         float *margins, struct why *why)
{
    return predict(b, PREDICT_MARGIN, features, rows, columns, margins, 1, why);
}

enum err booster_probabilities(const struct booster *b, const float *features, size_t rows, size_t columns,
                               float *probabilities, struct why *why)
{
    return predict(b, PREDICT_VALUE, features, rows, columns, probabilities, 1, why);
}

enum err booster_contributions(const struct booster *b, const float *features, size_t rows, size_t columns,
                               float *contributions, struct why *why)
{
    return predict(b, PREDICT_CONTRIBUTIONS, features, rows, columns, contributions, columns + 1, why);
}

enum err booster_path_contributions(const struct booster *b, const float *features, size_t rows,
                                    size_t columns, float *contributions, struct why *why)
{
    return predict(b, PREDICT_PATH_CONTRIBUTIONS, features, rows, columns, contributions, columns + 1, why);
}

enum err booster_margin_inplace(const struct booster *b, const float *row, size_t columns, float *margin,
                                struct why *why)
{
    char array[160];
    const bst_ulong *shape;
    const float *result;
    bst_ulong dims;

    snprintf(array, sizeof array, "{\"data\":[%zu,true],\"shape\":[1,%zu],\"typestr\":\"<f4\",\"version\":3}",
             (size_t)(uintptr_t)row, columns);
    if (XGBoosterPredictFromDense(
            b->handle, array,
            "{\"type\":1,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,"
            "\"missing\":NaN,\"cache_id\":0}",
            NULL, &shape, &dims, &result))
        return refused(why, ERR_INTERNAL, "predict in place");
    *margin = result[0];
    return ERR_OK;
}
