/* SPDX-License-Identifier: Apache-2.0
 * judged.h - rows of evidence as the arrays that statistics take. Private to shared/lifecycle. */
#ifndef ASSAY_LIFECYCLE_JUDGED_H
#define ASSAY_LIFECYCLE_JUDGED_H

#include "lifecycle/evidence.h"
#include "stats/paired.h"

/* The labelled rows that both models scored (or, without a champion, the candidate). */
struct judged {
    size_t n, frauds, days_count; /* days: distinct ones */
    double *candidate, *champion; /* scores */
    float *weights;               /* 1 / p_label */
    double fraud_share;           /* weighted */
    uint8_t *labels;
    int64_t *customers, *days;
    size_t *row; /* which one of the evidence */
};
void judged_init(struct judged *s, const struct evidence_row *rows, size_t count, bool has_champion);
void judged_release(struct judged *s);
/* Candidate as a, champion as b. */
struct paired_rows judged_paired(const struct judged *s);

/* What stands in a verdict when there is too little to say anything; true when there is enough. */
bool judged_is_enough(const struct judged *s, size_t rows_least, size_t frauds_least);

/* One-sided bounds: the interval whose ends each hold with `confidence`. */
struct paired_settings judged_settings(double confidence, size_t rounds, uint64_t seed);

/* How far two sets of scores lie apart, in bins of the first one's upper quantiles (from 80 % on; all below is one
 * bin), and what chance alone gives. */
struct shift {
    double psi, noise;
    size_t bins, reference_rows, rows;
};
struct shift score_shift(const double *reference, size_t reference_rows, const double *scores, size_t rows);

/* {"difference":..,"low":..,"high":..,"candidate":..,"champion":..} as members of the open object. */
struct json_out;
void write_paired(struct json_out *o, const struct paired *p);

#endif
