/* SPDX-License-Identifier: Apache-2.0
 * shadow.h - what a candidate would have done with the very transactions that the champion decided.
 *
 * Both models saw the same rows, so only those on which they differ carry information, and far fewer are
 * needed than in an experiment with arms. Verdicts of stage "shadow":
 *
 *   volume             enough days, rows and frauds to say anything      inconclusive until then
 *   average_precision  paired, clustered by customer                     fail: surely worse by the margin
 *   decisions          McNemar's mid-p test over matured labels, on      fail: surely worse on one, and not
 *                      frauds let through and on good ones stopped       surely better on the other
 *   money              net loss per transaction, paired bootstrap        fail: surely dearer by the margin
 *   flips              share of transactions decided differently         fail: over the limit
 *   approval_rate      share that goes through at once                   fail: below the champion's less the limit
 *   score_psi          the candidate's scores against the champion's     fail: over the limit and chance
 *
 * Declines have no labels. Where the candidate would let through what the champion declined, only the control
 * slice says what it would have cost: such rows count 1 / p_allow. Without a slice the money is bounded from
 * both sides, with all of them frauds and with none, and the verdict is inconclusive when the bounds disagree. */
#ifndef ASSAY_LIFECYCLE_SHADOW_H
#define ASSAY_LIFECYCLE_SHADOW_H

#include "lifecycle/evidence.h"

struct shadow_settings {
    int64_t days_least, days_most; /* of matured rows; after `days_most` it ends as it stands */
    size_t rows_least, frauds_least;
    double confidence; /* of one-sided bounds */
    size_t rounds;
    uint64_t seed;
    double average_precision_margin;
    double money_margin; /* in shares of the champion's net loss */
    double flips_most, approval_rate_drop_most, psi_most;
    struct loss_costs costs;
};
extern const struct shadow_settings SHADOW_SETTINGS_DEFAULT;

/* Adds the verdicts and returns the worst. OUTCOME_INCONCLUSIVE with a volume that is not there yet means
 * "go on"; shadow_is_over() says whether to. Rows in the order of time. */
enum outcome shadow_judge(const struct shadow_settings *settings, const struct evidence_row *rows,
                          size_t row_count, struct verdicts *out);

/* Whether the shadow has seen enough to end: all it needs, or its time is up.
 *   started_us, now_us  of the experiment;   label_delay_us  until a row is matured */
bool shadow_is_over(const struct shadow_settings *settings, const struct evidence_row *rows, size_t row_count,
                    int64_t started_us, int64_t now_us, int64_t label_delay_us);

#endif
