/* SPDX-License-Identifier: Apache-2.0
 * gates.h - registered -> validated: what a bundle must show before it may score anything that was real.
 *
 * Each gate gives one verdict of stage "validation"; all are run, so that a person sees everything at once.
 *
 *   gate               stops                                          evidence it needs
 *   golden_rows        damaged bytes, margins that differ by a bit    the bundle
 *   features           a feature that nobody declares                 `known`
 *   size, latency      what would not fit into the path's time        the bundle; a clock
 *   leak               a feature that knows what came later           vectors as trained and as served; rows
 *   calibration        scores that are no probabilities               rows
 *   average_precision  ranking worse than the champion's              rows, the champion
 *   card_precision     the first 100 customers of a day, the same     rows, the champion
 *   score_psi          scores that lie elsewhere than on held-out     rows, the bundle's reference
 *
 * Rows are out of time for the candidate: they came after all that it was trained and calibrated on, and are
 * matured. A row without a label says nothing to the gates that need one. Where there are too few rows or
 * frauds a gate is inconclusive and says how many it wants. */
#ifndef ASSAY_LIFECYCLE_GATES_H
#define ASSAY_LIFECYCLE_GATES_H

#include "bundle/bundle.h"
#include "lifecycle/evidence.h"

struct gate_settings {
    size_t frauds_least, rows_least; /* of labelled rows, to say anything about quality */
    double confidence;               /* of the one-sided bounds below */
    size_t rounds;                   /* of the bootstrap */
    uint64_t seed;
    /* How much worse than the champion it may be at the bound: of average precision and of CP@100. */
    double average_precision_margin, card_precision_margin;
    /* Calibration error may exceed what chance gives a calibrated model by this share of the rate of frauds. */
    double calibration_margin;
    double psi_most; /* beyond what chance gives, against the reference of its own held-out rows */
    /* The same, against the champion's scores on the same rows: a better model moves scores too, so this only stops
     * what lies somewhere else altogether. */
    double psi_champion_most;
    int64_t row_ns_most;   /* of the forest, for one row; 0: not measured */
    size_t row_steps_most; /* comparisons for one row at most: trees times depth */
    size_t bytes_most;     /* of the bundle */
    /* leak: a share of rows whose value of one feature may differ between training and serving; what one
     * feature alone may reach of average precision, in shares of the way from the champion's to 1. */
    double vector_differences_most, single_feature_most;
};
extern const struct gate_settings GATE_SETTINGS_DEFAULT;

/* Nanoseconds on a clock that only goes forward. */
typedef int64_t gate_clock(void *context);

struct gate_input {
    struct slice bundle;           /* the candidate's bytes */
    const struct bundle *champion; /* NULL: there is none, and nothing is compared */
    const struct plan *known;      /* what may be computed here; NULL: anything that compiles */

    /* Labelled or not, in the order of time; scores of both models on what was served at that moment. */
    const struct evidence_row *rows;
    size_t row_count;

    /* For the leak gate: the same transactions twice, float[vector_count][the candidate's columns], as the
     * trainer had them and as they were served or are recomputed from the log as of that moment; whose row
     * each is, in `vector_rows`. 0: the gate is inconclusive. */
    const float *trained_vectors, *served_vectors;
    const size_t *vector_rows;
    size_t vector_count;

    gate_clock *clock; /* NULL: time is not measured, steps are counted */
    void *clock_context;
};

/* Adds one verdict a gate, in the order above, and returns the worst. */
enum outcome gates_run(const struct gate_settings *settings, const struct gate_input *input,
                       struct verdicts *out);

#endif
