/* SPDX-License-Identifier: Apache-2.0
 * samples.h - a small bundle over two features, for all tests that need one. */
#ifndef ASSAY_TESTS_BUNDLE_SAMPLES_H
#define ASSAY_TESTS_BUNDLE_SAMPLES_H

#include "bundle/bundle.h"

enum { SAMPLE_BUNDLE_COLUMNS = 2, SAMPLE_BUNDLE_ROWS = 500 };

/* Everything that goes into it, made from a seed; change a field and build again. */
struct bundle_sample {
    struct arena arena;
    struct plan *plan;
    struct buf forest;
    double x[3], y[3];
    struct calibration calibration;
    float rows[SAMPLE_BUNDLE_ROWS * SAMPLE_BUNDLE_COLUMNS], margins[SAMPLE_BUNDLE_ROWS];
    struct histogram histograms[SAMPLE_BUNDLE_COLUMNS], margin_histogram;
    struct bundle_parts parts;
};

void bundle_sample_init(struct bundle_sample *s, uint32_t seed);
void bundle_sample_release(struct bundle_sample *s);

#endif
