/* SPDX-License-Identifier: Apache-2.0
 * bundle.h - a model and all that belongs to it, as one immutable piece of bytes.
 *
 *   "assay bundle 1\n" | manifest's length, 8 bytes LE | manifest (JSON) | parts | SHA-256 of all before
 *
 * The manifest names each part with its length, in their order: the forest, the plan (the features'
 * normalised definitions), golden rows, the model card; and holds what is small itself: thresholds,
 * calibration, reference histograms, metrics, the training window. Equal contents give equal bytes. The
 * bundle's identity is the SHA-256 of all of its bytes, as `sha256sum` prints it for an exported file.
 *
 * A bundle never changes once open; any number of threads may read it. */
#ifndef ASSAY_BUNDLE_BUNDLE_H
#define ASSAY_BUNDLE_BUNDLE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "featurestore/plan.h"
#include "forest/forest.h"
#include "stats/calibration.h"
#include "stats/drift.h"

enum {
    BUNDLE_BYTES_MAX = 1 << 29,
    BUNDLE_NAME_MAX = 64,
    BUNDLE_GOLDEN_MAX = 4096, /* rows */
    BUNDLE_KNOTS_MAX = 4096,
    BUNDLE_EDGES_MAX = 256,
};

/* Calibrated probabilities; at or above the figure the action holds. 2.0 and above means never. */
struct bundle_thresholds {
    double challenge, review, decline;
};
/* Whether any probability reaches any of them. */
static inline bool bundle_thresholds_reach(const struct bundle_thresholds *t)
{
    return t->challenge < 2 || t->review < 2 || t->decline < 2;
}

/* What it was trained on, in event time. */
struct bundle_training {
    int64_t from_us, until_us; /* transactions in [from, until) */
    int64_t label_delay_us;
    int64_t labels_known_us; /* labels known later were not used */
    uint64_t rows, frauds;
};

/* What bundle_build() puts together; everything is borrowed for the call. */
struct bundle_parts {
    struct slice name; /* of the model, [a-z][a-z0-9_-]{0,63}: the `name` in the registry */
    int64_t created_at_us;
    struct slice forest;     /* XGBoost's UBJSON or JSON */
    const struct plan *plan; /* its columns are the forest's, in the same order (see plan_select()) */
    const struct calibration *calibration; /* NULL: the logistic function of the margin */
    struct bundle_thresholds thresholds;
    /* Rows that each opening scores again: float[golden_rows][columns] and the margins that XGBoost itself
     * gave. At least one; a few hundred, frauds among them, are a good choice. */
    const float *golden;
    const float *golden_margins;
    size_t golden_rows;
    const struct histogram *histograms;       /* [columns], of the training rows; NULL: none */
    const struct histogram *margin_histogram; /* of margins on held-out rows; NULL: none */
    struct slice metrics;    /* a JSON object of figures: {"average_precision":0.74}; empty: {} */
    struct slice parameters; /* a JSON object of what it was trained with; empty: {} */
    struct bundle_training training;
    struct slice card; /* the model card, Markdown */
};

/* Adds the bundle's bytes to `out`, and opens them to see that they will open.
 *   ERR_INVALID  the parts do not fit each other; *why says which */
MUST_USE enum err bundle_build(struct buf *out, const struct bundle_parts *parts, struct why *why);

struct bundle;

/* Opens a bundle's bytes, copied where needed; hostile input. Scores the golden rows: a margin that differs
 * by one bit refuses the bundle, so that what serves is what was trained. On success *out is the caller's, to
 * give to bundle_close(); on failure it is NULL. ERR_SYNTAX    no bundle, cut short or damaged ERR_INVALID
 * well-formed, but its parts do not fit each other, or the golden rows disagree ERR_TOO_LARGE over a cap */
MUST_USE enum err bundle_open(struct bundle **out, struct slice bytes, struct why *why);
void bundle_close(struct bundle *b);

/* Everything below is the bundle's own and lives as long as it. */
struct slice bundle_name(const struct bundle *b);
/* SHA256_BYTES bytes. */
const unsigned char *bundle_hash(const struct bundle *b);
int64_t bundle_created_at_us(const struct bundle *b);
const struct forest *bundle_forest(const struct bundle *b);
const struct plan *bundle_plan(const struct bundle *b);
struct bundle_thresholds bundle_thresholds(const struct bundle *b);
struct bundle_training bundle_training(const struct bundle *b);
/* [plan_columns()], or NULL when it has none. */
const struct histogram *bundle_histograms(const struct bundle *b);
const struct histogram *bundle_margin_histogram(const struct bundle *b);
/* JSON objects. */
struct slice bundle_metrics(const struct bundle *b);
struct slice bundle_parameters(const struct bundle *b);
struct slice bundle_card(const struct bundle *b);
/* The manifest as it stands in the bytes. */
struct slice bundle_manifest(const struct bundle *b);
size_t bundle_golden_rows(const struct bundle *b);

/* The calibrated probability of a margin. */
double bundle_score(const struct bundle *b, float margin);

#endif
