/* SPDX-License-Identifier: Apache-2.0
 * resample.h - the cluster bootstrap: whole customers are drawn with replacement, with all of their rows.
 *
 * A round is told as how many times each cluster was drawn. Whatever is sorted or looked up is so once, before
 * the first round; a round then walks prepared rows with these counts (ranking.h). Draws come from
 * interval.h's generator: the same seed and clusters give the same rounds on every machine. */
#ifndef ASSAY_STATS_RESAMPLE_H
#define ASSAY_STATS_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "stats/interval.h"

/* Which cluster each row belongs to, numbered 0..count-1 in rising order of the callers' ids. */
struct clusters {
    size_t count;
    uint32_t *of; /* [rows] */
};
/* *c is the caller's, to release. `ids` NULL: each row is a cluster of its own. */
void clusters_init(struct clusters *c, const int64_t *ids, size_t n);
void clusters_release(struct clusters *c);

/* As many draws as there are clusters; times[i] is how often cluster i was drawn. */
void clusters_draw(const struct clusters *c, struct random *random, uint32_t *times);

enum { RESAMPLE_FIGURES_MAX = 16 };
/* Figures of one round, from how often each cluster was drawn; times NULL: each once, the sample itself. */
typedef void (*resample_figures)(void *context, const uint32_t *times, double *figures);

/* Figures of the sample itself and their percentile intervals over `rounds` rounds. All figures of a round
 * come from the same draw. A round counts for each figure that is not NaN in it (a recall without a fraud);
 * `defined` says how many did, and with fewer than half of them the interval is NaN.
 *   count   figures, at most RESAMPLE_FIGURES_MAX
 *   out     [count] */
struct resampled {
    double value;
    double deviation; /* standard, of the rounds */
    struct interval interval;
    double share_positive; /* of the defined rounds, figure > 0, half of those at 0 */
    size_t defined;
};
void resample(const struct clusters *c, resample_figures figures, void *context, size_t count, size_t rounds,
              double confidence, uint64_t seed, struct resampled *out);

#endif
