/* SPDX-License-Identifier: Apache-2.0
 * forest.h - scores rows with the trees that XGBoost trained: the same bits, in a small part of its time.
 *
 * Reads the model files of XGBoost 1.x to 3.x, JSON and UBJSON, as hostile input. A margin is the log-odds:
 * float32, the trees added in their order to the base margin, exactly as XGBoost adds them, so it equals
 * XGBoost's bit for bit. NaN is "missing" and goes the way the model says.
 *
 * Reads: gbtree with one output and the objectives binary:logistic, binary:logitraw and reg:logistic, with
 * numeric and categorical splits. Refuses, by name: dart, gblinear, several classes or targets, all other
 * objectives.
 *
 * A forest never changes once open: any number of threads may score with it, each with its own scratch.
 * Source of all that must be equal: XGBoost 1.7.4, src/predictor/cpu_predictor.cc; doc/model.schema. */
#ifndef ASSAY_FOREST_FOREST_H
#define ASSAY_FOREST_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* What a model may have at most; beyond, it is refused with ERR_TOO_LARGE. */
enum {
    FOREST_TREES_MAX = 50000,
    FOREST_NODES_MAX = 1 << 26, /* in all trees */
    FOREST_DEPTH_MAX = 128,
    FOREST_COLUMNS_MAX = 16384,
};

struct forest;

/* Opens a model's bytes, which are not needed afterwards. On success *out is the caller's, to give to
 * forest_close(); on failure it is NULL.
 *   ERR_SYNTAX     neither JSON nor UBJSON, or no XGBoost model
 *   ERR_INVALID    a model, but broken or of a kind that is not read; *why says what
 *   ERR_TOO_LARGE  over one of the caps above */
MUST_USE enum err forest_open(struct forest **out, struct slice model, struct why *why);
void forest_close(struct forest *f);

size_t forest_columns(const struct forest *f);
size_t forest_trees(const struct forest *f);
/* Nodes in all trees, leaves included. */
size_t forest_nodes(const struct forest *f);
/* Levels of splits above the deepest leaf. */
size_t forest_depth(const struct forest *f);
/* Where the margin starts before the first tree. */
float forest_base_margin(const struct forest *f);

/* XGBoost's sigmoid, bit for bit: the probability that belongs to a margin. */
float forest_probability(float margin);

/* What a thread needs to score with `f`: made once, so that a row allocates nothing. Not for two threads at
 * once, and not for another forest. */
struct forest_scratch;
struct forest_scratch *forest_scratch_new(const struct forest *f);
void forest_scratch_free(struct forest_scratch *s);

/*   row   in   float[columns], NaN = missing; borrowed for the call */
float forest_margin(const struct forest *f, const float *row, struct forest_scratch *s);

/* The same for many rows, with the trees read once per block of rows: for replay and backtests.
 *   features  in   float[rows][columns], row-major
 *   margins   out  float[rows] */
void forest_margins(const struct forest *f, const float *features, size_t rows, float *margins,
                    struct forest_scratch *s);

/* Path contributions (Saabas): each split on a row's way gives its feature the change of the expected margin.
 * Cheap enough for every transaction; what a split deeper in the tree shares with one above it goes to the
 * deeper one, which forest_shap() divides fairly.
 *   contributions  out  double[columns + 1], log-odds, the bias last; they sum to the margin
 * Returns the margin, the same bits as forest_margin(). */
float forest_explain(const struct forest *f, const float *row, double *contributions,
                     struct forest_scratch *s);

/* The `most` columns that moved the margin farthest, farthest first, of equals the first; those that did not move it
 * are left out. Returns how many there are. FOREST_TOLD of them are told with a decision. */
enum { FOREST_TOLD = 8 };
size_t forest_top(const struct forest *f, const double *contributions, size_t *columns, size_t most);

/* Which leaf of each tree a row comes to: two rows are alike to a forest as far as they share leaves (Breiman, "Random
 * Forests", 2001, proximities). Two bytes a node; the forest must outlive it. Any number of threads may look leaves up.
 *   ERR_TOO_LARGE  a tree has more than FOREST_LEAVES_MAX leaves */
enum { FOREST_LEAVES_MAX = 1 << 16 };
struct forest_leaves;
MUST_USE enum err forest_leaves_new(struct forest_leaves **out, const struct forest *f, struct why *why);
void forest_leaves_free(struct forest_leaves *l);
/* Leaves of the tree that has the most. */
size_t forest_leaves_most(const struct forest_leaves *l);
/*   leaves  out  uint16_t[trees], the number of the leaf in its tree, from 0, below forest_leaves_most() */
void forest_leaves_find(const struct forest_leaves *l, const float *row, uint16_t *leaves,
                        struct forest_scratch *s);

/* Exact Shapley values of the path-dependent game (TreeSHAP), for which the forest is laid out once more
 * (about 64 bytes a split). The forest must outlive it.
 *   ERR_TOO_LARGE  a path has more than FOREST_SHAP_FEATURES_MAX different features */
enum { FOREST_SHAP_FEATURES_MAX = 32 };
struct forest_shap;
MUST_USE enum err forest_shap_new(struct forest_shap **out, const struct forest *f, struct why *why);
void forest_shap_free(struct forest_shap *shap);
/*   contributions  out  double[columns + 1], log-odds, the bias last; they sum to the margin
 * Uses memory in `shap`: one thread at a time. */
void forest_shap(struct forest_shap *shap, const float *row, double *contributions);

/* ---- one column at a time ---- */

/* Where the margin may change along each column, found once for a forest, which must outlive it. It never changes: any
 * number of threads may use it. */
struct forest_splits;
struct forest_splits *forest_splits_new(const struct forest *f);
void forest_splits_free(struct forest_splits *s);
/* The finite values at which a tree's way may change, rising, each once: from one on, up to but without the next, no
 * value of the column changes the margin. Of a column of categories: the codes that its splits know. */
size_t forest_splits_of(const struct forest_splits *s, size_t column, const float **values);

/* A row whose columns are given other values, one step after the other: a step costs the trees that split between the
 * value before and the value after. One thread at a time. */
struct forest_walk;
struct forest_walk *forest_walk_new(const struct forest_splits *s);
void forest_walk_free(struct forest_walk *w);
/* Takes a copy of the row; the margin is that of forest_margin(). */
float forest_walk_begin(struct forest_walk *w, const float *row);
/* The column has this value now (NaN: missing), the others what they had: the same bits as forest_margin() gives. */
float forest_walk_set(struct forest_walk *w, size_t column, float value);

#endif
