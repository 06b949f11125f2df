/* SPDX-License-Identifier: Apache-2.0
 * verdict.h - what a window says against the reference, and when that is an alert.
 *
 * Three tests are made of each subject (layout.h), as far as they apply to it:
 *
 *   shape    the Jensen-Shannon divergence over all bins. The figure that decides: an empty bin cannot blow it up.
 *            PSI stands beside it, with a noise floor from the same draws, because people know it.
 *   missing  the share of the missing bin, two-sided
 *   unseen   the share of categories that the layout does not know, upwards
 *
 * p-values are those of stats/noise.h, which know the size of the window, that of the reference, and sparse bins; so
 * they hold at 100 decisions as at a million. Of each window, tests are of three families, and in each of them
 * Benjamini-Hochberg decides which to believe:
 *
 *   features  at alpha / 2;  score, action and fields at alpha / 4;  segments at alpha / 4
 *
 * A test is *beyond* when it is believed and its effect is at least the threshold in the settings: at a million
 * decisions everything is significant, and little of it matters. In other words: effect >= max(threshold, critical),
 * where critical is the least effect that would be believed in this window. A subject is an alarm when a test of it
 * was beyond in `windows` windows one after the other, and is over when it was not in as many (struct drift_alarms).
 *
 * False alarms. While nothing changes, the chance that any test of a window is beyond is at most alpha (5 %): each
 * family errs with at most its level (Benjamini-Hochberg with all hypotheses true, independent or positively
 * dependent), whatever the window's size. That one and the same test is beyond in two windows running has a chance of
 * at most alpha^2 in all (1 in 400 windows) where windows are independent: the reference is much larger than a window
 * (10 times or more). Against a small reference the windows share its error, and alpha is what can be promised.
 * Decisions that are not independent (one customer's follow each other) carry less: `design_effect` is how many times
 * the variance of counts is that of independent ones (Kish 1965). */
#ifndef ASSAY_DRIFT_VERDICT_H
#define ASSAY_DRIFT_VERDICT_H

#include "drift/window.h"

struct drift_settings {
    double alpha;         /* chance of anything beyond in a window in which nothing changed */
    double js_least;      /* bits; a PSI of x is about 0.18 x bits */
    double missing_least; /* change of the share */
    double unseen_least;  /* rise of the share */
    double design_effect; /* at least 1 */
    uint64_t
        rows_least; /* of a subject's decisions in the window and in the reference, before it is tested */
    uint64_t segment_rows_least; /* the same of segments */
    unsigned windows;            /* running, that make an alarm; at most 255 */
};
/* alpha 0.05; 0.002 bits (PSI 0.011), 0.01, 0.005; design effect 1; 50 and 200 decisions; 2 windows. */
extern const struct drift_settings drift_settings_default;
/* ERR_INVALID when a figure is out of its range. */
MUST_USE enum err drift_settings_check(const struct drift_settings *settings, struct why *why);

enum drift_test { DRIFT_SHAPE, DRIFT_MISSING, DRIFT_UNSEEN, DRIFT_TEST_COUNT };
/* "shape", "missing", "unseen". */
const char *drift_test_name(enum drift_test test);

struct drift_finding {
    bool is_tested;   /* else all of it is NaN or false */
    double value;     /* shape: bits; missing, unseen: the share in the window */
    double reference; /* missing, unseen: the share in the reference; shape: 0 */
    double critical;  /* the least value (of the missing: the least higher one) that would be believed */
    double threshold; /* the least value that matters */
    double p;
    bool is_beyond; /* believed, and it matters */
};

struct drift_verdict {
    const struct drift_subject *subject;
    uint64_t reference_rows, rows;
    double psi, psi_critical; /* NaN when shape was not tested */
    struct drift_finding tests[DRIFT_TEST_COUNT];
    /* The bin that adds most to the divergence, and its shares; DRIFT_NO_BIN when shape was not tested. */
    size_t bin;
    double bin_reference, bin_now;
};

/* The laws of noise against one reference. They are made when they are first asked for (a few milliseconds for each
 * subject and quarter of an octave of rows) and kept. One thread at a time. */
struct drift_judge;
/* The reference is borrowed, must outlive the judge, and must not change. The settings must be right. */
struct drift_judge *drift_judge_new(const struct drift_window *reference,
                                    const struct drift_settings *settings);
void drift_judge_free(struct drift_judge *judge);

/* Judges a window of the reference's layout. `out` has room for drift_layout_subjects(), and gets one for each, in
 * their order. Returns how many tests are beyond. */
size_t drift_judge_window(struct drift_judge *judge, const struct drift_window *window,
                          struct drift_verdict *out);

/* Makes the laws for windows of `rows` decisions in small steps, so that an event loop need not wait for all of them:
 * each call makes at most one, false when none is left to be made. */
bool drift_judge_prepare(struct drift_judge *judge, const struct drift_window *window);

/* One sentence for a person, as "amount: 18.2 % of decisions are 12 to 40, 9.9 % in the reference (JS 0.031 bits,
 * noise floor 0.004)". Only of a test that was made. */
void drift_explain(const struct drift_layout *layout, const struct drift_verdict *verdict,
                   enum drift_test test, struct buf *out);

/* ---- alarms: the same test beyond in several windows running ---- */

struct drift_alarms; /* a run for each test of each subject */
struct drift_alarms *drift_alarms_new(const struct drift_layout *layout);
void drift_alarms_free(struct drift_alarms *alarms);

enum drift_change { DRIFT_RAISED = 1, DRIFT_RESOLVED = 2 };
struct drift_alarm {
    size_t subject;
    enum drift_test test;
    enum drift_change change;
};
/* The next window's verdicts, [subjects]. What changed by them is written to `out` (room for subjects *
 * DRIFT_TEST_COUNT); returns how many. A test that could not be made (too few decisions) leaves its run as it is. */
size_t drift_alarms_step(struct drift_alarms *alarms, const struct drift_verdict *verdicts, unsigned windows,
                         struct drift_alarm *out);
bool drift_alarms_is_on(const struct drift_alarms *alarms, size_t subject, enum drift_test test);

/* Packed as numbers (varint.h) behind a version and the layout's id. */
void drift_alarms_pack(const struct drift_alarms *alarms, struct buf *out);
/* Hostile input. *out is the caller's; NULL on failure.
 *   ERR_SYNTAX   not one, or cut short
 *   ERR_INVALID  of another layout */
MUST_USE enum err drift_alarms_open(struct drift_alarms **out, const struct drift_layout *layout,
                                    struct slice bytes, struct why *why);

#endif
