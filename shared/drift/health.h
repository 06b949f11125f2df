/* SPDX-License-Identifier: Apache-2.0
 * health.h - whether the data itself is sound, as whole numbers that merge by addition as windows do: how much comes,
 * how late, how often twice, how much was decided without a part, and whether features served are those recomputed.
 *
 * Lateness is from when a payment happened until it became known, in bins whose upper ends are
 * drift_lateness_ends_us: the last bin is open. */
#ifndef ASSAY_DRIFT_HEALTH_H
#define ASSAY_DRIFT_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* X(name, meaning): each a count, in this order everywhere. */
#define DRIFT_HEALTH_LIST(X)                                                                                 \
    X(decisions, "decisions made")                                                                           \
    X(degraded, "of them, without some part (features, model, rules)")                                       \
    X(unscored, "of them, without a score")                                                                  \
    X(duplicates, "requests whose transaction was known already")                                            \
    X(conflicts, "of them, with another body")                                                               \
    X(out_of_order, "payments that happened before one that was known earlier")                              \
    X(labels, "labels that came")                                                                            \
    X(frauds, "of them, saying fraud")                                                                       \
    X(recomputed, "decisions whose features were computed again from the log")                               \
    X(mismatched, "of them, with a feature that differs in a bit; must be 0")                                \
    X(mismatched_values, "features that differed, over all of them")

enum { DRIFT_LATENESS_BINS = 10 };
/* 1 s, 10 s, 1 min, 5 min, 15 min, 1 h, 6 h, 1 d, 7 d. */
extern const int64_t drift_lateness_ends_us[DRIFT_LATENESS_BINS - 1];

struct drift_health {
#define DRIFT_HEALTH_MEMBER(name, meaning) uint64_t name;
    DRIFT_HEALTH_LIST(DRIFT_HEALTH_MEMBER)
#undef DRIFT_HEALTH_MEMBER
    uint64_t lateness[DRIFT_LATENESS_BINS];
    int64_t first_us, last_us; /* of decisions; see drift_health_init() */
};

/* Nothing yet: counts 0, first_us INT64_MAX, last_us INT64_MIN. */
void drift_health_init(struct drift_health *h);
/* A decision made at at_us on a payment of occurred_at_us that became known at known_at_us. */
void drift_health_decision(struct drift_health *h, int64_t at_us, int64_t occurred_at_us, int64_t known_at_us,
                           bool is_degraded, bool is_scored);
void drift_health_merge(struct drift_health *sum, const struct drift_health *more);

/* Decisions a second from first to last; NaN below two or with all at one time. */
double drift_health_rate(const struct drift_health *h);
/* The upper end of the bin in which a share of the payments lies below (0.99: its 99th percentile, rounded up to a
 * bin); INT64_MAX in the open bin, 0 without payments. */
int64_t drift_health_lateness_us(const struct drift_health *h, double share);
/* part / whole; NaN when the whole is 0. */
double drift_share(uint64_t part, uint64_t whole);

/* Packed as numbers (varint.h) behind a version; equal healths give equal bytes. */
void drift_health_pack(const struct drift_health *h, struct buf *out);
/* Hostile input. Untouched on failure.
 *   ERR_SYNTAX  not one, or cut short */
MUST_USE enum err drift_health_open(struct drift_health *h, struct slice bytes, struct why *why);

#endif
