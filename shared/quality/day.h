/* SPDX-License-Identifier: Apache-2.0
 * day.h - what is kept of a day's decisions so that quality can be told once labels have come: whole numbers only.
 *
 * Days merge by addition, exactly: a week is the merge of seven. A decision is counted when it is read
 * (quality_day_add()), and once more when a label says that it was fraud (quality_day_label()), also weeks later;
 * a label that is taken back is taken off again. What was never labelled counts as legitimate, which is true once the
 * day has matured (maturity.h).
 *
 * A declined payment gets no label, except through the control slice with a known chance: then it stands for
 * 1 / p_label rows (stats/weighting.h). Such weighted figures are in units of 1 / QUALITY_ONE rows. A row with
 * p_label = 0 is in the plain counts and in what is expected, and nowhere in what was seen.
 *
 * Scores are kept in QUALITY_BINS bins of log-odds, 1/32 wide from -16 to 16, the outer ones open; probabilities are
 * summed besides, in units of 1 / QUALITY_ONE_P, so nothing about what is expected depends on the bins. */
#ifndef ASSAY_QUALITY_DAY_H
#define ASSAY_QUALITY_DAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "fraud/txn.h"

enum {
    QUALITY_BINS = 1024,
    QUALITY_DELAYS = 181, /* days from 0 until known, the last one and more */
    QUALITY_ONE = 1 << 16,
    QUALITY_WEIGHT_MAX = 1000, /* a row stands for no more */
};
#define QUALITY_ONE_P (UINT64_C(1) << 32)

/* X(member, how many, meaning): in this order everywhere. */
#define QUALITY_COUNTS(X)                                                                                    \
    X(actions, ACTION_COUNT, "decisions by action, and so all of them")                                      \
    X(unscored, 1, "of them, without a score: in no other count")                                            \
    X(scored, QUALITY_BINS, "decisions by score")                                                            \
    X(expected, QUALITY_BINS, "sum of their probabilities, 1 / QUALITY_ONE_P")                               \
    X(action_expected, ACTION_COUNT, "the same by action")                                                   \
    X(money, ACTION_COUNT, "their amounts, minor units, by action")                                          \
    X(money_expected, ACTION_COUNT, "sum of probability times amount, minor units")                          \
    X(excluded, ACTION_COUNT, "decisions whose label can never be seen, by action")                          \
    X(seen, QUALITY_BINS, "weighted: decisions whose label can be seen, by score")                           \
    X(seen_expected, QUALITY_BINS, "weighted: their probabilities, 1 / QUALITY_ONE_P")                       \
    X(seen_variance, QUALITY_BINS, "squared weights times p (1 - p), 1 / QUALITY_ONE_P")                     \
    X(action_seen, ACTION_COUNT, "weighted, by action")                                                      \
    X(money_seen, ACTION_COUNT, "weighted amounts, minor units")                                             \
    X(frauds, QUALITY_BINS, "weighted: of those seen, frauds, by score")                                     \
    X(action_frauds, ACTION_COUNT, "the same by action")                                                     \
    X(money_frauds, ACTION_COUNT, "their weighted amounts, minor units")                                     \
    X(delays, QUALITY_DELAYS, "frauds, unweighted, by whole days until they were known")

struct quality_day {
#define QUALITY_MEMBER(name, n, meaning) uint64_t name[n];
    QUALITY_COUNTS(QUALITY_MEMBER)
#undef QUALITY_MEMBER
};

/* A decision, the same at both times. */
struct quality_row {
    double score; /* calibrated probability; NaN without a model */
    enum action action;
    double p_label;       /* the chance that its label can be seen: 1 for what was let through, p_allow for a
                             decline of the control slice that was, 0 for other declines */
    int64_t amount_minor; /* in the base currency */
};

/* Zeroed memory is an empty day. */
void quality_day_add(struct quality_day *day, const struct quality_row *row);
/* A label made the row a fraud, `delay_days` whole days after its own day. Of a row that cannot be seen or has no
 * score only the delay is counted. */
void quality_day_label(struct quality_day *day, const struct quality_row *row, int64_t delay_days);
/* A label took back what quality_day_label() had counted; the same arguments. What was not counted is not taken. */
void quality_day_unlabel(struct quality_day *day, const struct quality_row *row, int64_t delay_days);
void quality_day_merge(struct quality_day *sum, const struct quality_day *more);

uint64_t quality_day_rows(const struct quality_day *day);
/* Frauds that are known, unweighted. */
uint64_t quality_day_frauds(const struct quality_day *day);
/* The number of the day that holds a time: days begin at midnight UTC. */
int64_t quality_day_of(int64_t at_us);
size_t quality_bin(double score);

/* Packed: "assay quality 1\n" | the counts (varint.h) | SipHash of all before, 8 bytes. */
void quality_day_pack(const struct quality_day *day, struct buf *out);
/* Hostile input. Untouched on failure.
 *   ERR_SYNTAX  not one, cut short, damaged, or with more frauds than decisions seen */
MUST_USE enum err quality_day_open(struct quality_day *day, struct slice bytes, struct why *why);

#endif
