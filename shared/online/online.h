/* SPDX-License-Identifier: Apache-2.0
 * online.h - a linear model that learns from each label as it arrives: FTRL-Proximal (McMahan et al. 2013,
 * "Ad Click Prediction: a View from the Trenches", algorithm 1), logistic loss, L1 and L2, a rate for each
 * coordinate.
 *
 *   w_i = 0 where |z_i| <= l1, else -(z_i - sign(z_i) l1) / ((beta + sqrt(n_i)) / alpha + l2)
 *   g_i = weight * (p - y) * x_i,  s_i = (sqrt(n_i + g_i^2) - sqrt(n_i)) / alpha
 *   z_i += g_i - s_i w_i,          n_i += g_i^2
 *
 * Coordinates are hashed from the identity of a feature, so a model outlives plans: whoever has the feature
 * reads and teaches the same weights. Each feature of a row gives one or two entries:
 *
 *   missing (NaN)  one indicator
 *   present        an indicator of the quantile bin it falls into, and its value, standardised by the
 *                  reference histogram and flattened: u = (x - median) / scale, sign(u) log(1 + |u|)
 *
 * and every row the intercept. The scale is the interquartile range / 1.349; where that is 0 (a feature that
 * mostly has one value), half of the distance between the outer edges, or the size of the only one. A bin is
 * named by the share of the reference rows below it (in 64ths), not by its number or its edges, so that a new
 * reference of the same feature finds its bins again. The two outer bins are open, and fraud lives there: they
 * are split by how often the distance from the edge, in scales, doubles past 1 (at most 16 times). A feature
 * whose reference has no edges (19 of 20 rows have one value, say: a share of frauds) is split in the same way
 * around 0, with a scale of 1/64. Two entries on one coordinate are two updates of it.
 *
 * Negatives may be subsampled: online_learn() leaves out a negative when the hash of its key is not below
 * `negatives`, and weighs those kept 1 / negatives, so that probabilities stay calibrated. Importance weights
 * (1 / p_allow) multiply in. No generator, no clock: the same examples in the same order give the same bytes.
 *
 * Progressive validation: each example is scored before it is learned from, also those left out; the figures
 * are kept by windows of `window` examples, the running one and the last full one. One thread may change a
 * model; online_margin() alone may be called by many as long as nobody does. */
#ifndef ASSAY_ONLINE_ONLINE_H
#define ASSAY_ONLINE_ONLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "stats/drift.h"

enum {
    ONLINE_BITS_MIN = 4,
    ONLINE_BITS_MAX = 22,
    ONLINE_COLUMNS_MAX = 4096,
    ONLINE_BUCKETS = 256, /* of margins, -16..16 in steps of 1/8, the outer ones open */
};

struct online_settings {
    double alpha, beta; /* rate: alpha / (beta + sqrt(n)) */
    double l1, l2;
    double negatives; /* share of the negatives that is learned from, above 0, at most 1 */
    int bits;         /* 2^bits coordinates */
    uint64_t window;  /* examples of a window of progressive validation */
};
/* alpha 0.3, beta 1, l1 1, l2 1, all negatives, 16 bits, windows of 20,000. */
extern const struct online_settings online_defaults;
/* ERR_INVALID when a figure is out of its range. */
MUST_USE enum err online_settings_check(const struct online_settings *settings, struct why *why);

/* ---- from a row of features to entries ---- */

/* How the columns of a plan become entries. Never changes; any number of threads. */
struct online_encoder;

/* identities  [columns][SHA256_BYTES], the features' identities (their normalised definitions' hash: plan.h)
 * histograms  [columns], the bundle's reference histograms; NULL: as of features without edges
 * bits        of the models it feeds */
struct online_encoder *online_encoder_new(const unsigned char *const *identities,
                                          const struct histogram *histograms, size_t columns, int bits);
void online_encoder_free(struct online_encoder *encoder);
/* At most this many entries come of a row. */
size_t online_entries_max(const struct online_encoder *encoder);

struct online_entry {
    uint32_t index;
    float value;
};
/* values: float[columns], NaN = missing. entries: room for online_entries_max(). Returns how many. */
size_t online_encode(const struct online_encoder *encoder, const float *values, struct online_entry *entries);

/* ---- the model ---- */

struct online;

/* The settings must be right (online_settings_check()). */
struct online *online_new(const struct online_settings *settings);
void online_free(struct online *model);
const struct online_settings *online_settings(const struct online *model);

/* Log-odds of fraud; with a logistic loss they are calibrated as they are. 0 before the first label. Every
 * index is below 2^bits, as an encoder of as many bits gives them. */
double online_margin(const struct online *model, const struct online_entry *entries, size_t count);
double online_probability(double margin);

/* Scores, notes the score for progressive validation, then learns. Returns the margin before learning.
 *   key     of the example (its transaction's hash), which decides whether a negative is kept
 *   weight  importance, finite and above 0; 1 for what was approved anyway
 *   amount_minor  of the payment, in one currency for all: for thresholds alone; 0 where nobody sets any */
double online_learn(struct online *model, const struct online_entry *entries, size_t count, bool is_fraud,
                    double weight, int64_t amount_minor, uint64_t key);

/* Progressive validation of a window. Sums are weighted by importance. average_precision is over buckets of
 * margins, which count as equal scores within; NaN without a fraud, log_loss NaN without an example. */
struct online_window {
    uint64_t examples, frauds;
    double log_loss; /* mean */
    double average_precision;
    double mean_probability, fraud_share; /* equal where calibrated */
};
struct online_progress {
    uint64_t examples, learned; /* of all time: seen, and learned from */
    size_t weights;             /* that are not zero */
    struct online_window running, last;
};
struct online_progress online_progress(const struct online *model);

/* The same two windows taken together, as what thresholds are set by: what was said of a class of examples in a
 * bucket of margins before they were learned from. */
struct online_bucket {
    double least;  /* probability at the bucket's lower edge; 0 for the open one */
    double weight; /* sum of importance, above 0 */
    double money;  /* sum of importance times amount, in minor units */
    bool is_fraud;
};
/* By falling probability. Returns how many there are. */
size_t online_buckets(const struct online *model, struct online_bucket buckets[2 * ONLINE_BUCKETS]);

/* ---- packed ----
 *   "assay online 1\n" | settings | counters | windows | entries (index, z, n), rising | SipHash of all before
 * Little-endian, doubles as their bits. Equal models give equal bytes. */
void online_pack(const struct online *model, struct buf *out);
/* Hostile input. On success *out is the caller's, to give to online_free(); on failure it is NULL.
 *   ERR_SYNTAX   not one, cut short or damaged
 *   ERR_INVALID  well-formed, but with figures that no model has */
MUST_USE enum err online_open(struct online **out, struct slice bytes, struct why *why);

#endif
