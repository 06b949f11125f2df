/* SPDX-License-Identifier: Apache-2.0 */
#include "protocols.h"

#include "base/array.h"
#include "base/clock.h"

void trial_release(struct trial *t)
{
    rows_release(&t->rows);
    rows_release(&t->unlabelled);
    for (size_t i = 0; i < t->pick_count; i++)
        picks_release(&t->picks[i]);
    mem_free(t->picks);
    mem_free(t->experiments);
    mem_free(t->own);
    mem_free(t->published);
    *t = (struct trial){ 0 };
}

/* Lists of rows that live as long as the trial; by number, since the array moves. */
static size_t new_picks(struct trial *t)
{
    ARRAY_RESERVE_ONE(t->picks, t->pick_count, t->pick_cap);
    t->picks[t->pick_count] = (struct picks){ 0 };
    return t->pick_count++;
}

static struct experiment *add(struct trial *t, const char *name, const char *split, int fold, size_t train,
                              size_t test)
{
    struct experiment *e;

    ARRAY_RESERVE_ONE(t->experiments, t->count, t->cap);
    e = &t->experiments[t->count++];
    *e = (struct experiment){
        .name = name,
        .split = split,
        .fold = fold,
        .rows = &t->rows,
        .columns = t->own,
        .column_count = t->own_count,
        .train = t->picks[train].rows,
        .train_count = t->picks[train].count,
        .test = t->picks[test].rows,
        .test_count = t->picks[test].count,
        .params = BOOSTER_PARAMS_DEFAULT,
    };
    return e;
}

static void set_params(struct experiment *e, size_t trees, int depth, double eta, double columns,
                       double min_child_weight)
{
    e->params.trees = trees;
    e->params.depth = depth;
    e->params.eta = eta;
    e->params.subsample = columns < 1 ? 0.8 : 1;
    e->params.colsample_bytree = columns;
    e->params.min_child_weight = min_child_weight;
    /* From even odds the first trees may cut off small groups; fine bins let them cut where the frauds begin.
     */
    e->params.base_score = 0.5;
    e->params.max_bin = 1024;
    e->params.seed = 1;
}

static size_t pick_time(struct trial *t, const struct rows *rows, int64_t from_us, int64_t until_us)
{
    size_t p = new_picks(t);

    for (size_t i = 0; i < rows->count; i++)
        if (rows->row[i].at_us >= from_us && rows->row[i].at_us < until_us)
            picks_add(&t->picks[p], i);
    return p;
}

static int64_t day_us(int year, int month, int day)
{
    return civil_days(year, month, day) * DAY_US;
}

/* ---- Fraud Detection Handbook ---- */

enum { FOLDS = 4, TRAIN_DAYS = 7, DELAY_DAYS = 7, TEST_DAYS = 7, LONG_DAYS = 35 };

/* Training starts, as the book has them: of the tests, and of the folds on which parameters may be chosen. */
static int64_t handbook_start(bool validates, int fold)
{
    return day_us(2018, validates ? 7 : 8, validates ? 11 : 15) - fold * 7 * DAY_US;
}

static void handbook_span(bool validates, int64_t *keep_from_us, int64_t *stop_us)
{
    *keep_from_us = handbook_start(validates, FOLDS - 1) + (TRAIN_DAYS - LONG_DAYS) * DAY_US;
    *stop_us = handbook_start(validates, 0) + (TRAIN_DAYS + DELAY_DAYS + TEST_DAYS) * DAY_US;
}

/* Test rows without the customers that were known to be compromised: those with a fraud in the training days,
 * and for each test day also those with a fraud that is seven days old by then. */
static size_t handbook_test(struct trial *t, int64_t start_us)
{
    const struct rows *r = &t->rows;
    int64_t test_us = start_us + (TRAIN_DAYS + DELAY_DAYS) * DAY_US;
    bool *is_known = mem_new_n(bool, r->customers.count);
    size_t p = new_picks(t);

    for (int day = 0; day < TEST_DAYS; day++) {
        for (size_t i = 0; i < r->count; i++)
            if (r->row[i].is_fraud && r->row[i].at_us >= start_us &&
                r->row[i].at_us < start_us + (TRAIN_DAYS + day) * DAY_US)
                is_known[r->row[i].customer] = true;
        for (size_t i = 0; i < r->count; i++)
            if (r->row[i].at_us >= test_us + day * DAY_US && r->row[i].at_us < test_us + (day + 1) * DAY_US &&
                !is_known[r->row[i].customer])
                picks_add(&t->picks[p], i);
    }
    mem_free(is_known);
    return p;
}

static void handbook_plan(struct trial *t)
{
    for (int fold = 0; fold < FOLDS; fold++) {
        int64_t start_us = handbook_start(t->validates, fold), end_us = start_us + TRAIN_DAYS * DAY_US;
        size_t test = handbook_test(t, start_us);
        size_t week = pick_time(t, &t->rows, start_us, end_us);
        size_t history = pick_time(t, &t->rows, end_us - LONG_DAYS * DAY_US, end_us);
        struct experiment *e;

        /* The longest first, so that no core waits for one at the end. */
        e = add(t, "gbdt", "folds", fold, history, test);
        e->history_days = LONG_DAYS;
        set_params(e, 250, 4, 0.05, 0.3, 20);
        e = add(t, "gbdt", "folds", fold, week, test);
        e->history_days = TRAIN_DAYS;
        set_params(e, 300, 5, 0.03, 0.3, 5);
        e = add(t, "gbdt_published_features", "folds", fold, week, test);
        e->history_days = TRAIN_DAYS;
        e->columns = t->published;
        e->column_count = t->published_count;
        set_params(e, 50, 3, 0.3, 1, 1);
        e->params.max_bin =
            1 << 14; /* as good as XGBoost's exact search, with which the figures were published */
        e = add(t, "logistic_regression", "folds", fold, week, test);
        e->history_days = TRAIN_DAYS;
        e->learner = LEARNER_LOGISTIC;
        e->columns = t->published;
        e->column_count = t->published_count;
    }
}

#define FIGURES(auc, ap, cp)                                                                                 \
    {                                                                                                        \
        .auc_roc = (auc), .average_precision = (ap), .card_precision_100 = (cp)                              \
    }

static const struct reference handbook_references[] = {
    { "ch3", "published: logistic regression", FIGURES(0.871, 0.606, 0.291) },
    { "ch3", "published: random forest", FIGURES(0.867, 0.658, 0.287) },
    { "ch3", "published: XGBoost", FIGURES(0.862, 0.639, 0.273) },
    { "folds", "published: logistic regression", FIGURES(0.868, 0.623, 0.297) },
    { "folds", "published: random forest", FIGURES(0.870, 0.678, 0.299) },
    { "folds", "published: XGBoost, validated", FIGURES(0.869, 0.687, 0.303) },
    { "folds", "published: the best of all models", FIGURES(0.879, 0.687, 0.305) },
};

/* ---- Sparkov ---- */

static const struct {
    int64_t days; /* of the test, at the end of the file */
} sparkov = { 82 };

static void sparkov_span(bool validates, int64_t *keep_from_us, int64_t *stop_us)
{
    *stop_us = day_us(2013, 6, 22) - (validates ? sparkov.days * DAY_US : 0);
    *keep_from_us = day_us(2012, 3, 1);
}

/* Trained on what was known when the test begins: rows older than the labels' delay. */
static void sparkov_plan(struct trial *t)
{
    int64_t keep_from_us, stop_us;
    size_t train, test;
    struct experiment *e;

    sparkov_span(t->validates, &keep_from_us, &stop_us);
    test = pick_time(t, &t->rows, stop_us - sparkov.days * DAY_US, stop_us);
    train = pick_time(t, &t->rows, keep_from_us, stop_us - (sparkov.days + 7) * DAY_US);
    e = add(t, "gbdt", "time", 0, train, test);
    e->history_days = (double)(stop_us - (sparkov.days + 7) * DAY_US - keep_from_us) / (double)DAY_US;
    set_params(e, 250, 6, 0.1, 0.6, 5);
    e = add(t, "logistic_regression", "time", 0, train, test);
    e->history_days = (double)(stop_us - (sparkov.days + 7) * DAY_US - keep_from_us) / (double)DAY_US;
    e->learner = LEARNER_LOGISTIC;
}

static const struct reference sparkov_references[] = {
    { "time",
      "guide: XGBoost on plain columns, the period after this file",
      { .auc_roc = 0.997, .average_precision = 0.898, .recall_fpr_1 = 0.947, .recall_fpr_01 = 0.850 } },
    { "time", "guide: AutoGluon, Kaggle's file", { .auc_roc = 0.997, .recall_fpr_1 = 0.927 } },
};

/* ---- UCSD-FICO 2009 ---- */

static void whole_span(bool validates, int64_t *keep_from_us, int64_t *stop_us)
{
    (void)validates;
    *keep_from_us = INT64_MIN;
    *stop_us = INT64_MAX;
}

/* The published folds stand in the file's order: row i is of fold i mod 10 (the attribute says the same). */
static void ucsd_plan(struct trial *t)
{
    struct experiment *e;
    size_t train = new_picks(t), test = new_picks(t);
    size_t cut = t->rows.count * 8 / 10;
    int64_t cut_us = t->rows.count ? t->rows.row[cut].at_us : 0;

    for (int fold = 0; fold < 10; fold++) {
        size_t others = new_picks(t), mine = new_picks(t);

        for (size_t i = 0; i < t->unlabelled.count; i++)
            picks_add(&t->picks[(int)(i % 10) == fold ? mine : others], i);
        for (int plain = 0; plain < 2; plain++) {
            e = add(t, plain ? "logistic_regression" : "gbdt", "folds", fold, others, mine);
            e->rows = &t->unlabelled;
            e->learner = plain ? LEARNER_LOGISTIC : LEARNER_GBDT;
            set_params(e, 300, 6, 0.05, 0.5, 2);
        }
    }
    for (size_t i = 0; i < t->rows.count; i++) {
        if (i >= cut)
            picks_add(&t->picks[test], i);
        else if (t->rows.row[i].at_us < cut_us - 7 * DAY_US)
            picks_add(&t->picks[train], i);
    }
    for (int plain = 0; plain < 2; plain++) {
        e = add(t, plain ? "logistic_regression" : "gbdt", "time", 0, train, test);
        e->learner = plain ? LEARNER_LOGISTIC : LEARNER_GBDT;
        set_params(e, 300, 6, 0.05, 0.5, 2);
    }
}

static const struct reference ucsd_references[] = {
    { "folds",
      "guide: logistic regression",
      { .auc_roc = 0.865, .average_precision = 0.279, .lift_20 = 3.89 } },
    { "folds", "guide: random forest", { .auc_roc = 0.930, .average_precision = 0.520, .lift_20 = 4.51 } },
    { "folds", "guide: XGBoost", { .auc_roc = 0.931, .average_precision = 0.499, .lift_20 = 4.42 } },
};

/* ---- Fraud e-commerce ---- */

static void fraudecom_plan(struct trial *t)
{
    size_t train = new_picks(t), test = new_picks(t), cut = t->rows.count * 8 / 10;
    struct experiment *e;

    for (size_t i = 0; i < t->rows.count; i++)
        picks_add(&t->picks[i < cut ? train : test], i);
    for (int plain = 0; plain < 2; plain++) {
        e = add(t, plain ? "logistic_regression" : "gbdt", "time", 0, train, test);
        e->learner = plain ? LEARNER_LOGISTIC : LEARNER_GBDT;
        set_params(e, 100, 3, 0.05, 0.5, 20);
    }
}

static const struct reference fraudecom_references[] = {
    { "time", "guide, full file: AFD TFI", { .auc_roc = 0.636, .recall_fpr_1 = 0.099 } },
    { "time", "guide, full file: AutoGluon", { .auc_roc = 0.522, .recall_fpr_1 = 0.012 } },
};

const struct protocol protocols[] = {
    { .name = "handbook",
      .file = "handbook/transactions.csv.zst",
      .published = "handbook-published",
      .title = "Fraud Detection Handbook: 7 days to train, 7 days of delay, 7 days of test, compromised "
               "cards removed",
      .figures = FIGURE_CARD_PRECISION,
      .references = handbook_references,
      .reference_count = ARRAY_LEN(handbook_references),
      .span = handbook_span,
      .plan = handbook_plan },
    { .name = "sparkov",
      .file = "sparkov/transactions-train.csv.zst",
      .title = "Sparkov: the last 82 days as test, trained on what was known before",
      .figures = FIGURE_RECALL_1 | FIGURE_RECALL_01,
      .references = sparkov_references,
      .reference_count = ARRAY_LEN(sparkov_references),
      .span = sparkov_span,
      .plan = sparkov_plan },
    { .name = "ucsd",
      .file = "ucsd-fico-2009/transactions.csv.zst",
      .title =
          "UCSD-FICO 2009: the ten published folds (features without labels), and the last fifth by time",
      .figures = FIGURE_RECALL_1 | FIGURE_LIFT,
      .references = ucsd_references,
      .reference_count = ARRAY_LEN(ucsd_references),
      .needs_unlabelled = true,
      .span = whole_span,
      .plan = ucsd_plan },
    { .name = "fraudecom",
      .file = "fraudecom-part/transactions.csv.zst",
      .title = "Fraud e-commerce, a fifth of the file: 80 % to train, 20 % of test, by time",
      .figures = FIGURE_RECALL_1,
      .references = fraudecom_references,
      .reference_count = ARRAY_LEN(fraudecom_references),
      .span = whole_span,
      .plan = fraudecom_plan },
};
const size_t protocol_count = ARRAY_LEN(protocols);
