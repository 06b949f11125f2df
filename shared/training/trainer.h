/* SPDX-License-Identifier: Apache-2.0
 * trainer.h - from rows to a bundle: trained, calibrated, judged on later rows, with its thresholds and its
 * card.
 *
 * Split by time. `until` is now: what became known later is not used, and a row whose label could not have
 * come yet (it is younger than the label delay) is in no part. The newest part of the others is held out;
 * between it and the training rows lie those whose labels were not known when the held-out time began:
 *
 *   |--- warm-up ---|------- training -------|-- label delay --|-- held out --|-- label delay --| until
 *
 * The held-out rows stop the boosting, fit the calibration, set the thresholds and give the figures; so the
 * figures lean a little to the good side, and the model is the one that was judged: it is not trained again
 * on all rows.
 *
 * Thresholds. `decline` is the probability above which declining saved the most on the held-out rows: a
 * fraud's amount is saved, a good payment's amount times `decline_cost` is lost. `review` and `challenge` are
 * set by capacity: of the payments below `decline`, the most suspicious share is reviewed, the next is
 * challenged, but nobody whose probability is not above the overall share of frauds. */
#ifndef ASSAY_TRAINING_TRAINER_H
#define ASSAY_TRAINING_TRAINER_H

#include "base/buf.h"
#include "booster/booster.h"
#include "bundle/bundle.h"
#include "training/rows.h"

struct trainer {
    struct slice name; /* of the model */
    int64_t created_at_us, until_us, label_delay_us, warm_up_us;
    double held_out; /* share of the time that is held out, 0..1 */
    double decline_cost, review_capacity, challenge_capacity;
    struct booster_params params;
    booster_round_fn *hook;
    void *context;
};

extern const struct trainer TRAINER_DEFAULT;

struct trainer_result {
    size_t train_rows, train_frauds, held_rows, held_frauds, trees;
    double auc_roc, average_precision, recall_fpr_1, calibration_error;
    struct bundle_thresholds thresholds;
    int64_t fraud_minor, caught_minor,
        lost_minor; /* held-out money: of frauds, declined rightly, declined wrongly */
    double review_share, challenge_share, decline_share;
};

/* Trains on `rows`, whose columns are the plan's, and adds the bundle's bytes to `out`.
 *   ERR_INVALID  too little history: no frauds, or none to hold out */
MUST_USE enum err trainer_run(const struct trainer *t, const struct rows *rows, const struct plan *plan,
                              struct buf *out, struct trainer_result *result, struct why *why);

#endif
