/* SPDX-License-Identifier: Apache-2.0
 * layout.h - what is counted of each decision: bins of features, score, action, transaction fields and segments.
 *
 * A layout is made from a model's bundle (edges of its reference histograms) and from the categories that the
 * transaction fields are known to have. It never changes, any number of threads may read it, and windows (window.h)
 * of equal layouts merge by addition. It is a list of subjects, each a run of bins in one array of counts:
 *
 *   feature        one for each column of the model: the bundle's bins, the last for missing (NaN)
 *   score          the model's margin in the bins of the bundle's margin histogram, the last for missing
 *   action         one bin for each action
 *   field          channel, country, mcc: one bin for each known category, then unseen (any other), then missing
 *   segment score  for each category of each field (unseen and missing too): bins as of the score
 *   segment action the same: bins as of the action
 *
 * Two models that decide at once (an experiment's arms) have two layouts, and windows of their own. */
#ifndef ASSAY_DRIFT_LAYOUT_H
#define ASSAY_DRIFT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "bundle/bundle.h"
#include "fraud/txn.h"
#include "stats/drift.h"

enum {
    DRIFT_CATEGORIES_MAX = 48, /* of one field; what is rarer is counted as unseen */
    DRIFT_NAME_MAX = 64,       /* bytes of a feature's or category's name */
    DRIFT_COUNTS_MAX = 1 << 20,
    DRIFT_LAYOUT_BYTES_MAX = 1 << 24,
};

/* The transaction fields that are watched. */
enum drift_field { DRIFT_CHANNEL, DRIFT_COUNTRY, DRIFT_MCC, DRIFT_FIELD_COUNT };
/* "channel", "country", "mcc". */
const char *drift_field_name(enum drift_field field);

enum drift_kind {
    DRIFT_FEATURE,
    DRIFT_SCORE,
    DRIFT_ACTION,
    DRIFT_FIELD,
    DRIFT_SEGMENT_SCORE,
    DRIFT_SEGMENT_ACTION,
    DRIFT_KIND_COUNT
};
/* "feature", "score", "action", "field", "segment_score", "segment_action". */
const char *drift_kind_name(enum drift_kind kind);

#define DRIFT_NO_BIN SIZE_MAX

struct drift_subject {
    enum drift_kind kind;
    enum drift_field field; /* of DRIFT_FIELD and of segments */
    struct slice name;      /* "amount", "score", "action", "channel"; of a segment its category: "pos", and
                               "(unseen)", "(missing)" */
    size_t offset, bins;    /* in the array of counts */
    size_t missing_bin, unseen_bin; /* among its bins, or DRIFT_NO_BIN */
    const double *edges;            /* of features and scores: bins - 2 of them (stats/drift.h); else NULL */
};

struct drift_layout;

/* What a field is known to have, most frequent first; what is behind DRIFT_CATEGORIES_MAX is left out. */
struct drift_categories {
    const struct slice *names; /* none empty, no two equal, each at most DRIFT_NAME_MAX bytes */
    size_t count;
};

/* For those who have no bundle. Histograms are looked at for their edges alone.
 *   ERR_INVALID  names or categories that are too long, empty or not unique, edges that do not rise, or more than
 *                DRIFT_COUNTS_MAX bins */
struct drift_source {
    const struct slice *features;       /* names, [columns] */
    const struct histogram *histograms; /* [columns] */
    size_t columns;
    const struct histogram *margins; /* NULL: scores are not watched (one bin) */
    struct drift_categories fields[DRIFT_FIELD_COUNT];
};
MUST_USE enum err drift_layout_new(struct drift_layout **out, const struct drift_source *source,
                                   struct why *why);
/* The same of a model. Columns are those of bundle_plan(), in its order; a bundle without histograms gives features
 * with one bin beside the missing one. *out is the caller's, to give to drift_layout_free(). */
MUST_USE enum err drift_layout_of_bundle(struct drift_layout **out, const struct bundle *bundle,
                                         const struct drift_categories fields[DRIFT_FIELD_COUNT],
                                         struct why *why);
void drift_layout_free(struct drift_layout *layout);

/* Equal layouts, and only these, have equal identities. */
uint64_t drift_layout_id(const struct drift_layout *layout);
/* Features first, in the order of columns; then score, action, the fields, the segments. The layout's own. */
size_t drift_layout_subjects(const struct drift_layout *layout);
const struct drift_subject *drift_layout_subject(const struct drift_layout *layout, size_t subject);
/* The first of this kind and name (for segments: and field), or SIZE_MAX. */
size_t drift_layout_find(const struct drift_layout *layout, enum drift_kind kind, enum drift_field field,
                         struct slice name);
/* What a bin is in words: "< 3.5", "3.5 to 12", ">= 12", "missing", "pos", "unseen", "decline". `text` is the
 * caller's. */
enum { DRIFT_BIN_TEXT = 96 };
const char *drift_bin_text(const struct drift_layout *layout, const struct drift_subject *subject, size_t bin,
                           char text[DRIFT_BIN_TEXT]);

/* Packed: "assay layout 1\n" | numbers, names, edges (varint.h) | SipHash of all before, 8 bytes. Equal layouts give
 * equal bytes. */
void drift_layout_pack(const struct drift_layout *layout, struct buf *out);
/* Hostile input. *out is the caller's; NULL on failure.
 *   ERR_SYNTAX   not one, cut short or damaged
 *   ERR_INVALID  as of drift_layout_new()
 *   ERR_TOO_LARGE over DRIFT_LAYOUT_BYTES_MAX */
MUST_USE enum err drift_layout_open(struct drift_layout **out, struct slice bytes, struct why *why);

#endif
