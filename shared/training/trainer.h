/* SPDX-License-Identifier: Apache-2.0
 * trainer.h - from rows to a bundle: searched, trained, calibrated, judged on later rows, with its thresholds,
 * its baselines and its card.
 *
 * Split by event time. `until` is now (INT64_MAX: just after the last row): what became known from then on is
 * not used, and a row whose label could not have come yet (it is younger than the label delay) is in no part:
 *
 *   |-- warm-up --|---- train ----|-- label delay --|-- tune --|-- judge --|-- label delay --| until
 *                                                   a          b           c
 *
 *   train  grows the trees, with the labels that were known before a: what a model could have learnt when the
 *          tuning rows began
 *   tune   stops the boosting (XGBoost's aucpr), chooses among the trials (average precision), fits the
 *          calibration and sets the thresholds, with the labels known before `until`
 *   judge  touches nothing: it gives the figures, and is the evidence that gates ask for; with the labels known
 *          before `until`
 *
 * A label that became known later than its part allows cannot change a byte of the bundle. The model is the one
 * that was judged: it is not trained again on all rows.
 *
 * Weights. A row stands for `weight` payments (rows.h): trees, calibration, thresholds, and the figures that say
 * so below take it into account. It is 1 unless the rows' reader sampled or the control slice let a payment
 * through (trainingstore/).
 *
 * Search. Trial 0 is `params` as they are; each further one draws what has bounds, uniformly or by its logarithm,
 * from a generator that `seed` and the trial's number start: so a trial does not depend on those before it, and a
 * search that is taken up again with the finished ones gives the same bytes. The highest average precision on the
 * tuning rows wins, the earlier trial between equals.
 *
 * Calibration. Isotonic regression and Platt's sigmoid are each fitted on one half of the tuning rows' customers
 * and judged on the other, and the other way round; the lower calibration error is fitted again on all of them.
 *
 * Thresholds. By expected money under the analysts' capacity, on the tuning rows: training/thresholds.h.
 *
 * Baselines. Logistic regression on the same training rows: all frauds and at most LOGISTIC_ROWS others, the
 * intercept corrected for those left out (King and Zeng 2001). And the online model (online/), which learns from the
 * training rows and then the tuning rows, in their order, each once.
 *
 * The same rows, settings and number of threads give the same bytes. */
#ifndef ASSAY_TRAINING_TRAINER_H
#define ASSAY_TRAINING_TRAINER_H

#include "base/buf.h"
#include "booster/booster.h"
#include "bundle/bundle.h"
#include "training/rows.h"
#include "training/thresholds.h"

/* ---- search ---- */

/* What a trial may change of the parameters.  X(name in booster_params, the bundle's and the checkpoint's) */
#define TRIAL_PARAMS(X)                                                                                      \
    X(depth)                                                                                                 \
    X(eta)                                                                                                   \
    X(min_child_weight)                                                                                      \
    X(subsample)                                                                                             \
    X(colsample_bytree)                                                                                      \
    X(lambda)                                                                                                \
    X(scale_pos_weight)

enum trial_param {
#define TRIAL_ENUM(name) TRIAL_##name,
    TRIAL_PARAMS(TRIAL_ENUM)
#undef TRIAL_ENUM
        TRIAL_PARAM_COUNT
};

/* Where a value is drawn from; low = high: it stays what `params` says. */
struct trial_bounds {
    double low, high;
    bool is_log; /* uniform in its logarithm: low must be above 0 */
};

/* One finished trial. */
struct trainer_trial {
    uint32_t number;
    double values[TRIAL_PARAM_COUNT];
    uint32_t trees;
    double average_precision; /* on the tuning rows */
};

struct trainer_search {
    size_t trials; /* in all, the first with `params` as they are; 0 counts as 1 */
    uint64_t seed;
    struct trial_bounds bounds[TRIAL_PARAM_COUNT];
    const struct trainer_trial
        *done; /* of an earlier run over the same rows and settings, by rising number */
    size_t done_count;
};

/* Bounds that suit fraud: see trainer.c. `trials` is 1. */
extern const struct trainer_search TRAINER_SEARCH_DEFAULT;

enum { TRAINER_TRIALS_MAX = 1000 };

/* Trials as text, for a checkpoint: a JSON list; and back, with `number` rising. *trials is the caller's, for
 * mem_free(), `count` long. ERR_SYNTAX  not what trainer_trials_write() wrote */
void trainer_trials_write(struct buf *out, const struct trainer_trial *trials, size_t count);
MUST_USE enum err trainer_trials_read(struct trainer_trial **trials, size_t *count, struct slice text,
                                      struct why *why);

/* ---- training ---- */

enum trainer_stage {
    TRAINER_PREPARING,
    TRAINER_SEARCHING,
    TRAINER_JUDGING,
    TRAINER_BUILDING,
    TRAINER_STAGES
};
const char *trainer_stage_name(enum trainer_stage stage); /* "preparing", ... */

struct trainer_progress {
    enum trainer_stage stage;
    double share; /* of the whole that is done, 0..1, rising */
    size_t trial, trials, rounds;
    double metric; /* aucpr of the tuning rows after so many rounds; NaN when there is none */
    /* The trial that has just ended, for the checkpoint; NULL between. */
    const struct trainer_trial *finished;
};
/* Called after each round and between stages. False: stop. */
typedef bool trainer_hook(void *context, const struct trainer_progress *progress);

struct trainer {
    struct slice name; /* of the model */
    int64_t created_at_us, until_us, label_delay_us, warm_up_us;
    int64_t history_us; /* train on so much before the label delay at most; 0 = on all */
    /* Shares of the time between warm-up and c, 0..1, and at most so long (0: no cap). */
    double tune, judge;
    int64_t tune_most_us, judge_most_us;
    struct threshold_costs costs;
    struct booster_params params; /* base_score, monotone: as booster.h says; the catalogue's hints if NULL */
    struct trainer_search search;
    trainer_hook *hook; /* may be NULL */
    void *context;
};

/* What training begins with until somebody says otherwise, for the tables of options that show it. */
#define TRAINER_TUNE         0.1
#define TRAINER_JUDGE        0.15
#define TRAINER_WARM_UP_DAYS 7
#define TRAINER_TREES        500
#define TRAINER_DEPTH        5
#define TRAINER_ETA          0.08
#define TRAINER_SEED         1

/* The splits, costs and capacities above and one trial; no warm-up, and parameters that are still to be set. */
extern const struct trainer TRAINER_DEFAULT;
/* The same with all of the above and the other parameters that suit fraud: what `assay train` and a retraining
 * begin with. */
struct trainer trainer_usual(void);

/* One part of the split, by number of row, rising. */
struct trainer_part {
    uint32_t *rows;
    uint8_t *labels; /* what held before `known_us` */
    float *weights;
    size_t count, frauds;
    int64_t from_us, until_us, known_us;
};
struct trainer_split {
    struct trainer_part train, tune, judge;
};

/* What each part would hold: for gates, which compare others on the same rows. *out is the caller's, to release.
 *   ERR_INVALID  too little history: a part has no frauds, or nothing else */
MUST_USE enum err trainer_split(struct trainer_split *out, const struct trainer *t, const struct rows *rows,
                                struct why *why);
void trainer_split_release(struct trainer_split *s);

/* How good scores are, on the judging rows. */
struct trainer_figures {
    double auc_roc, average_precision;       /* weighted */
    double recall_fpr_1, card_precision_100; /* of the rows as they are */
};

struct trainer_result {
    size_t train_rows, train_frauds, tune_rows, tune_frauds, judge_rows, judge_frauds;
    size_t trees, trials, best_trial;
    struct trainer_figures figures, logistic, online;
    double calibration_error; /* weighted, 20 bins */
    bool is_platt;            /* else isotonic */
    struct bundle_thresholds thresholds;
    /* Money of the judging rows, weighted: of frauds, declined rightly, declined wrongly. */
    int64_t fraud_minor, caught_minor, lost_minor;
    double review_share, challenge_share, decline_share; /* of the judging rows, weighted */
};

/* Trains on `rows`, whose columns are the plan's, and adds the bundle's bytes to `out`. The bundle's metrics are
 * a JSON object; besides the figures above, as average_precision, auc_roc, recall_at_fpr_1, card_precision_100,
 * calibration_error, brier, log_loss, fraud_minor, caught_minor, wrongly_declined_minor, held_out_rows,
 * held_out_frauds (the judging rows), it has
 *
 *   "actions"      {"decline": share, "review": share, "challenge": share}
 *   "calibration"  {"method": "isotonic" | "platt", "isotonic": error, "platt": error}, out of their own rows
 *   "parts"        {"train" | "tune" | "judge": {"from", "until", "labels_known", "rows", "frauds", "weight",
 *                   "labels": {"customer" | "analyst" | "issuer" | "chargeback":
 *                              {"frauds": n, "others": n, "median_delay_days": d}, "none": n}}}:
 *                   two clocks, what people found soon and what came back late
 *   "baselines"    {"logistic_regression" | "online": {"average_precision", "auc_roc", "recall_at_fpr_1",
 *                   "card_precision_100"}}
 *   "search"       {"best": number, "trials": [{"number", each parameter, "trees", "average_precision"}]}
 *   "curves"       {"precision_recall": [[recall, precision], ...],
 *                   "reliability": [[mean probability, share of frauds, weight], ...],
 *                   "money": [[threshold, saved, caught, wrongly declined], ...], in minor units,
 *                   "margins": {"edges": [...], "frauds": [weights], "others": [weights]}}
 *
 *   ERR_INVALID  too little history: a part has no frauds, or nothing else; or a bound that cannot be
 *   ERR_TIMEOUT  the hook said stop; nothing was added */
MUST_USE enum err trainer_run(const struct trainer *t, const struct rows *rows, const struct plan *plan,
                              struct buf *out, struct trainer_result *result, struct why *why);

#endif
