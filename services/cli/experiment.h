/* SPDX-License-Identifier: Apache-2.0
 * experiment.h - models that are trained on some rows and judged on others, a few at a time. */
#ifndef ASSAY_CLI_EXPERIMENT_H
#define ASSAY_CLI_EXPERIMENT_H

#include "booster/booster.h"
#include "training/rows.h"

/* What is told of a model on one test set. */
struct figures {
    double auc_roc, average_precision, card_precision_100;
    double recall_fpr_1, recall_fpr_01; /* recall at false positive rates of 1 % and 0.1 % */
    double lift_20;                     /* share of the frauds in the highest fifth, over a fifth */
    size_t train_rows, test_rows, train_frauds, test_frauds;
};

enum learner { LEARNER_GBDT, LEARNER_LOGISTIC };

struct experiment {
    const char *name;  /* of the model */
    const char *split; /* of the data */
    int fold;          /* within the split */
    double history_days;
    enum learner learner;
    struct booster_params params;
    const struct rows *rows;
    const size_t *columns; /* of the rows; borrowed */
    size_t column_count;
    const uint32_t *train, *test; /* row numbers; borrowed */
    size_t train_count, test_count;

    struct figures figures; /* the result */
    enum err err;
    struct why why;
};

/* Runs all of them, `threads` at a time, each on one thread, so that the result does not depend on how many;
 * tells each on standard error when it is done. The first failure is returned. */
MUST_USE enum err experiments_run(struct experiment *all, size_t count, size_t threads, struct why *why);

/* Row numbers, growing. */
struct picks {
    uint32_t *rows;
    size_t count, cap;
};
void picks_add(struct picks *p, size_t row);
void picks_release(struct picks *p);

#endif
