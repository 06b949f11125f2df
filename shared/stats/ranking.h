/* SPDX-License-Identifier: Apache-2.0
 * ranking.h - how well scores put frauds before the rest: AUC ROC, average precision, precision and recall at
 * a false positive rate, Card Precision@k.
 *
 * Scores are any finite numbers, higher = more suspicious; labels are 0 or 1. Equal scores are one rank, so
 * no figure depends on the order of the rows. A figure that is not defined (one class only) is NaN. */
#ifndef ASSAY_STATS_RANKING_H
#define ASSAY_STATS_RANKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/resample.h"

/* The chance that a fraud scores above a legitimate one, a tie counting half: the Mann-Whitney U with
 * midranks (Hanley and McNeil 1982). O(n log n). */
double auc_roc(const double *scores, const uint8_t *labels, size_t n);

/* Sum over distinct thresholds of (recall step) * precision, not interpolated: scikit-learn's
 * average_precision_score. */
double average_precision(const double *scores, const uint8_t *labels, size_t n);

/* Both where row i counts `weights[i]` times (NULL: once), for rows that stand for more than themselves. */
double auc_roc_weighted(const double *scores, const uint8_t *labels, const float *weights, size_t n);
double average_precision_weighted(const double *scores, const uint8_t *labels, const float *weights,
                                  size_t n);

/* Rows that are sorted once to be weighed many times, as a bootstrap does. */
struct ranking {
    size_t n;
    uint32_t *units; /* in falling order of the scores, as all of these */
    uint8_t *flags;
    float *weights; /* NULL: 1 each */
};
/* *r is the caller's, to release; nothing is borrowed.
 *   weights  above 0; NULL: 1 each
 *   units    what is drawn that a row belongs to (resample.h); NULL: the row's own number */
void ranking_init(struct ranking *r, const double *scores, const uint8_t *labels, const float *weights,
                  const uint32_t *units, size_t n);
void ranking_release(struct ranking *r);
/* Average precision with each row's weight times `times[its unit]`; NULL: once each. O(n). NaN without a fraud
 * that was drawn. */
double ranking_average_precision(const struct ranking *r, const uint32_t *times);

/* One point of the curve. All rows with a score at or above `threshold` are called fraud. */
struct operating_point {
    double threshold;
    double precision, recall, false_positive_rate;
    size_t flagged, caught;
};

/* The point with the highest recall whose false positive rate is at most `fpr`. A threshold of +inf flags
 * nothing. */
struct operating_point point_at_fpr(const double *scores, const uint8_t *labels, size_t n, double fpr);
/* The point of a given threshold. */
struct operating_point point_at_threshold(const double *scores, const uint8_t *labels, size_t n,
                                          double threshold);

/* The Fraud Detection Handbook's Card Precision@k (Le Borgne et al. 2022, chapter 4, "Precision top-k").
 * Per day each customer counts once, with its highest score and its highest label; customers found on an
 * earlier day are left out; the k highest scores (ties: the lower customer number first) are looked at, and
 * the frauds among them are found. The day's figure is frauds / k; the result is the mean over the days.
 *   days, customers  in  of each row; days in any numbering, taken in rising order
 *   per_day          out NULL, or one figure for each distinct day
 * NaN when there are no rows. */
double card_precision_at_k(const double *scores, const uint8_t *labels, const int64_t *days,
                           const int64_t *customers, size_t n, size_t k, double *per_day);

/* The same, sorted once. */
struct card_ranking {
    size_t days, customer_count;
    size_t *starts;      /* [days + 1] */
    uint32_t *customers; /* of each day in the order in which they are looked at, joined */
    uint8_t *labels;
    uint32_t *left; /* [customer_count], scratch: not yet found */
};
/* *r is the caller's, to release; nothing is borrowed. */
void card_ranking_init(struct card_ranking *r, const double *scores, const uint8_t *labels,
                       const int64_t *days, const struct clusters *customers, size_t n);
void card_ranking_release(struct card_ranking *r);
/* With each customer taken times[customer] times (NULL: once), each of them a customer of its own who is to be
 * found. The mean is over all days of the rows. */
double card_ranking_precision(struct card_ranking *r, size_t k, const uint32_t *times, double *per_day);

#endif
