/* SPDX-License-Identifier: Apache-2.0
 * window.h - what was decided in a stretch of time or in a number of decisions, as whole numbers.
 *
 * A window holds counts only, so windows merge exactly: merging is addition (and the lesser and greater of times),
 * in any order and any grouping. Counting one decision of 39 features takes about half a microsecond and allocates
 * nothing.
 *
 *   by time    base windows of a fixed width (an hour): a decision belongs to that of its drift_slot(); a day is the
 *              merge of 24 of them, and whoever reads decisions out of order adds to the window they belong to
 *   by count   a window that is full (rows == n) is closed and the next one begun; with decisions read in a fixed
 *              order the same decisions are in it whoever reads them, and after whatever restart
 *
 * The reference is a window as any other: drift_reference() fills it from the bundle; what a bundle does not know
 * (actions, fields, segments) comes from a baseline, decisions that are known to have been good ones, by
 * drift_reference_complete(). */
#ifndef ASSAY_DRIFT_WINDOW_H
#define ASSAY_DRIFT_WINDOW_H

#include "drift/layout.h"

enum { DRIFT_WINDOW_BYTES_MAX = 1 << 24 };
#define DRIFT_ROWS_MAX (UINT64_C(1) << 53)

struct drift_window {
    const struct drift_layout *layout; /* borrowed */
    uint64_t rows;
    int64_t first_us, last_us; /* least and greatest at_us; INT64_MAX and INT64_MIN while empty */
    uint64_t *counts;          /* of all subjects, one after the other */
};

/* Empty. The layout must outlive it. */
void drift_window_init(struct drift_window *w, const struct drift_layout *layout);
void drift_window_release(struct drift_window *w);
void drift_window_clear(struct drift_window *w);

/* One decision; everything is borrowed for the call. */
struct drift_row {
    int64_t at_us;
    const float *features; /* [columns] in the layout's order, NaN = missing; NULL: none were served, and the
                              features' bins stay as they are */
    double margin;         /* NaN: no model scored it */
    enum action action;
    struct slice fields[DRIFT_FIELD_COUNT]; /* empty: missing */
};
void drift_window_add(struct drift_window *w, const struct drift_row *row);

/* sum += more. Both are of equal layouts (drift_layout_id()); others are a fault of the caller. */
void drift_window_merge(struct drift_window *sum, const struct drift_window *more);
bool drift_window_equal(const struct drift_window *a, const struct drift_window *b);

/* The number of the base window that holds a time: times in [slot * width, (slot + 1) * width). Also before 1970. */
int64_t drift_slot(int64_t at_us, int64_t width_us);

/* Counts of the subject; [subject->bins]. */
static inline const uint64_t *drift_window_counts(const struct drift_window *w,
                                                  const struct drift_subject *subject)
{
    return w->counts + subject->offset;
}
/* How many decisions stand in the subject's bins. */
uint64_t drift_window_rows(const struct drift_window *w, const struct drift_subject *subject);

/* The bundle's reference counts of features and score into an empty window. The layout is of that bundle; `rows` is
 * then the number of training rows. The score's come from held-out rows, fewer than those of the features. */
void drift_reference(struct drift_window *w, const struct bundle *bundle);
/* Subjects of which the reference has no rows get the baseline's counts. For segments and fields the baseline is
 * made of the decisions whose categories the layout was made from, or of any later good time. */
void drift_reference_complete(struct drift_window *reference, const struct drift_window *baseline);

/* Packed: "assay window 1\n" | layout's id | rows, times, counts (varint.h) | SipHash of all before, 8 bytes. Some
 * hundred bytes to a few KB. Equal windows give equal bytes. */
void drift_window_pack(const struct drift_window *w, struct buf *out);
/* Hostile input. *w is initialised in any case, empty on failure.
 *   ERR_SYNTAX     not one, cut short, damaged, or with counts that no window has
 *   ERR_INVALID    of another layout
 *   ERR_TOO_LARGE  over DRIFT_WINDOW_BYTES_MAX */
MUST_USE enum err drift_window_open(struct drift_window *w, const struct drift_layout *layout,
                                    struct slice bytes, struct why *why);

#endif
