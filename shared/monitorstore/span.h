/* SPDX-License-Identifier: Apache-2.0
 * span.h - what the last hours of a model say against its reference: the windows by hour (windows.h) merged, which is
 * exact, and judged as a window by count is (drift/verdict.h).
 *
 * Blocking (pg/session.h). */
#ifndef ASSAY_MONITORSTORE_SPAN_H
#define ASSAY_MONITORSTORE_SPAN_H

#include "drift/verdict.h"
#include "monitorstore/verdicts.h"

/* What a verdict says, as it is kept: figures of tests that were made, and a sentence. Slices are the arena's. `number`,
 * `at_us`, `lane`, `version` and `is_alarm` are left to the caller. */
struct found found_of_verdict(const struct drift_layout *layout, const struct drift_verdict *verdict,
                              struct arena *arena);

enum { SPAN_HOURS_MAX = 24 * 400 };

/* Judges the `hours` hours up to the model's last decision. Of segments those that are beyond are told, of all else
 * those that could be tested; what stands out most comes first. Their window's number is 0, and none is an alarm: that
 * takes several windows.
 *   ERR_NOT_FOUND  the model is not watched in the lane
 * and those of pg/pg.h and model_read(). */
MUST_USE enum err span_judge(struct pg_session *s, int32_t lane, int64_t version, int64_t hours,
                             const struct drift_settings *settings, struct found **out, size_t *count,
                             struct arena *arena, struct why *why);

/* How a subject's decisions lie in its bins: in the reference, and in a closed window by count. */
struct span_bin {
    struct slice text; /* what is in it, as "3.5 to 12"; the arena's */
    uint64_t reference, now;
};
struct span_bins {
    int64_t number, at_us; /* of the window */
    uint64_t reference_rows, rows;
    struct span_bin *bins; /* the arena's */
    size_t count;
};
/* Of the first subject of that name; an empty kind or field: any.
 *   ERR_NOT_FOUND  the model is not watched in the lane, the window is not kept any more, or there is no such subject
 * and those of pg/pg.h and model_read(). */
MUST_USE enum err span_bins_read(struct pg_session *s, int32_t lane, int64_t version, int64_t number,
                                 struct slice kind, struct slice field, struct slice name,
                                 struct span_bins *out, struct arena *arena, struct why *why);

#endif
