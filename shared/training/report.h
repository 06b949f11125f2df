/* SPDX-License-Identifier: Apache-2.0
 * report.h - a model's figures on the judging rows, and the bundle's metrics. Inside shared/training only. */
#ifndef ASSAY_TRAINING_REPORT_H
#define ASSAY_TRAINING_REPORT_H

#include "training/trainer.h"

/* A model beside the forest. */
struct baseline {
    const char *name;
    struct trainer_figures figures; /* NaN: it could not be trained */
};

struct report {
    const struct rows *rows;
    const struct trainer_split *split;
    const double *margins, *scores; /* of the judging rows; calibrated */
    const struct trainer_trial *trials;
    size_t trial_count;
    double isotonic_error, platt_error;
    double decline_cost;
    const struct baseline *baselines;
    size_t baseline_count;
    const struct trainer_result *result;
};

/* How well `scores` rank the rows of a part. */
struct trainer_figures report_figures(const struct rows *rows, const struct trainer_part *part,
                                      const double *scores);
/* Adds the JSON object that trainer.h tells. */
void report_write(struct buf *out, const struct report *r);

#endif
