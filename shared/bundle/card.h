/* SPDX-License-Identifier: Apache-2.0
 * card.h - the model card: what a model is, what it is for, how good it is and where it must not be trusted.
 *
 * Markdown under the nine headings of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), every
 * figure of which is read from what the bundle itself holds: plan, thresholds, training window, and the JSON of
 * metrics and parameters (training/trainer.h says what stands there). What is not there is said to be missing, so
 * that a bundle of an older trainer has a card too.
 *
 * The card shows pictures that stand beside it as files, drawn from the "curves" of the metrics: `assay models
 * card` writes them. Everything is hostile input: a bundle's JSON may hold anything. No state; any thread. */
#ifndef ASSAY_BUNDLE_CARD_H
#define ASSAY_BUNDLE_CARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "bundle/bundle.h"

/* Adds the card of what bundle_build() would put together from `parts`; of these, forest, golden rows and card are
 * not looked at. */
void card_write(struct buf *out, const struct bundle_parts *parts);

/* X(plot, file, title) */
#define CARD_PLOTS(X)                                                                                        \
    X(CARD_PRECISION_RECALL, "precision_recall.svg", "Precision and recall")                                 \
    X(CARD_RELIABILITY, "reliability.svg", "Reliability of the probabilities")                               \
    X(CARD_SCORES, "scores.svg", "Scores of frauds and of others")                                           \
    X(CARD_MONEY, "money.svg", "Money by the decline threshold")

enum card_plot {
#define CARD_ENUM(plot, file, title) plot,
    CARD_PLOTS(CARD_ENUM)
#undef CARD_ENUM
        CARD_PLOT_COUNT
};
const char *card_plot_file(enum card_plot plot);
const char *card_plot_title(enum card_plot plot);

/* Adds the picture as SVG. False, and nothing added, when the metrics have no such curve. `decline` is the
 * threshold to mark. */
bool card_plot(struct buf *out, enum card_plot plot, struct slice metrics, double decline);

#endif
