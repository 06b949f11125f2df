/* SPDX-License-Identifier: Apache-2.0
 * figures.h - how well a model and its thresholds did, from the counts of matured days; and how well they will have
 * done on days whose labels are still to come.
 *
 * Realised figures are of decisions whose label can be seen, weighted by 1 / p_label; `excluded` says how many of the
 * flagged could not. Scores are in bins of 1/32 of log-odds: rows of one bin rank as equal, which is
 * stats/ranking.h's average precision of scores rounded to bins. The exact figure of the unrounded scores lies between
 * `ap_low` and `ap_high`, whatever the order within bins. Card Precision@k needs customers: it is
 * computed apart, when a day has matured (cards.h).
 *
 * Estimated figures (confidence-based performance estimation, NannyML's CBPE): a decision with the calibrated
 * probability p is p frauds and 1 - p legitimate ones. They hold while the model is calibrated, so under a change of
 * what comes in, and not when fraud itself changes. So they never stand alone: quality_track_add() compares them with
 * what was realised once the day has matured, and the error of the past stands beside each new estimate. */
#ifndef ASSAY_QUALITY_FIGURES_H
#define ASSAY_QUALITY_FIGURES_H

#include "quality/day.h"

/* X(name, meaning): in this order everywhere. What is not defined (no fraud, nothing flagged) is NaN. */
#define QUALITY_FIGURES(X)                                                                                   \
    X(rows, "decisions (weighted, where realised)")                                                          \
    X(frauds, "of them frauds")                                                                              \
    X(fraud_rate, "their share")                                                                             \
    X(average_precision, "of the ranking by score")                                                          \
    X(precision, "frauds among the flagged")                                                                 \
    X(recall, "of the frauds, those flagged")                                                                \
    X(false_positive_rate, "of the legitimate, those flagged")                                               \
    X(money_caught, "amounts of frauds that were flagged, minor units")                                      \
    X(money_lost, "amounts of frauds that were not")                                                         \
    X(money_turned_away, "amounts of the legitimate that were declined")
enum quality_figure {
#define QUALITY_ENUM(name, meaning) QUALITY_##name,
    QUALITY_FIGURES(QUALITY_ENUM)
#undef QUALITY_ENUM
        QUALITY_FIGURE_COUNT
};
const char *quality_figure_name(enum quality_figure figure);

struct quality_figures {
    double values[QUALITY_FIGURE_COUNT];
    double ap_low, ap_high;
    uint64_t excluded; /* flagged decisions of which nothing can be seen; 0 of an estimate */
};
/* `least` is the mildest action that counts as flagged: ACTION_REVIEW, say. */
void quality_realised(struct quality_figures *out, const struct quality_day *day, enum action least);
void quality_estimated(struct quality_figures *out, const struct quality_day *day, enum action least);

/* ---- how far estimates were off, in the past ---- */

/* Differences estimate - realised of each figure, in units of 1e-6 of it (money: minor units), so that tracks merge
 * exactly. Zeroed memory is an empty one. */
struct quality_track {
    int64_t sums[QUALITY_FIGURE_COUNT];
    uint64_t absolute[QUALITY_FIGURE_COUNT];
    uint64_t days[QUALITY_FIGURE_COUNT]; /* on which both were defined */
};
void quality_track_add(struct quality_track *track, const struct quality_figures *estimated,
                       const struct quality_figures *realised);
/* Mean difference and mean absolute difference; NaN before the first day. */
double quality_track_bias(const struct quality_track *track, enum quality_figure figure);
double quality_track_error(const struct quality_track *track, enum quality_figure figure);
/* Packed as numbers (varint.h) behind a version. Opening is of hostile input, untouched on failure: ERR_SYNTAX. */
void quality_track_pack(const struct quality_track *track, struct buf *out);
MUST_USE enum err quality_track_open(struct quality_track *track, struct slice bytes, struct why *why);

/* ---- calibration ---- */

enum { QUALITY_GROUPS = 10 };
struct quality_group {
    double rows, expected, happened; /* weighted */
};
/* Of matured days. Groups are of about equal weight by rising score, whole bins (Naeini et al. 2015's adaptive bins).
 *   ratio     frauds / expected: above 1 the model says too little
 *   ece       weighted mean of |expected - happened| / rows over the groups
 *   z, p      Spiegelhalter-like test of the total: (happened - expected) / sqrt(sum of w^2 p (1 - p)), two-sided
 *   chi2, p_shape  Hosmer and Lemeshow 1980 over the groups, those with fewer than 5 expected frauds joined with the
 *             next one, chi-squared with as many degrees of freedom as groups (probabilities were not fitted here)
 * NaN without decisions. */
struct quality_calibration {
    double expected, happened, ratio, ece, z, p, chi2, p_shape;
    size_t group_count, tested_groups;
    struct quality_group groups[QUALITY_GROUPS];
};
void quality_calibration(struct quality_calibration *out, const struct quality_day *day);

#endif
