/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/evidence.h"

#include <criterion/criterion.h>

TestSuite(evidence);

Test(evidence, a_decision_costs_what_it_lets_through_and_what_it_turns_away)
{
    struct loss_costs costs = { .decline_cost = 0.5, .review_minor = 200, .challenge_cost = 0.1 };

    cr_assert_eq(decision_loss(&costs, ACTION_APPROVE, true, 10000), 10000);
    cr_assert_eq(decision_loss(&costs, ACTION_APPROVE, false, 10000), 0);
    cr_assert_eq(decision_loss(&costs, ACTION_DECLINE, true, 10000), 0);
    cr_assert_eq(decision_loss(&costs, ACTION_DECLINE, false, 10000), 5000);
    cr_assert_eq(decision_loss(&costs, ACTION_REVIEW, true, 10000), 200);
    cr_assert_eq(decision_loss(&costs, ACTION_REVIEW, false, 10000), 200);
    cr_assert_eq(decision_loss(&costs, ACTION_CHALLENGE, true, 10000), 0);
    cr_assert_eq(decision_loss(&costs, ACTION_CHALLENGE, false, 10000), 1000);
}

Test(evidence, the_worst_verdict_is_the_outcome)
{
    struct verdicts v = { 0 };
    struct buf json;

    buf_init(&json, 0);
    buf_add_str(&json, "{\"rows\":3}");
    cr_assert_eq(verdicts_outcome(&v, 0), OUTCOME_PASS);
    verdicts_add(&v, STAGE_VALIDATION, "size", OUTCOME_PASS, &json, "%d bytes", 17);
    verdicts_add(&v, STAGE_VALIDATION, "calibration", OUTCOME_INCONCLUSIVE, NULL, "too few");
    cr_assert_eq(verdicts_outcome(&v, 0), OUTCOME_INCONCLUSIVE);
    verdicts_add(&v, STAGE_VALIDATION, "latency", OUTCOME_FAIL, NULL, "slow");
    verdicts_add(&v, STAGE_VALIDATION, "leak", OUTCOME_PASS, NULL, "none");
    cr_assert_eq(verdicts_outcome(&v, 0), OUTCOME_FAIL);
    cr_assert_eq(verdicts_outcome(&v, 3), OUTCOME_PASS, "of the last one alone");
    cr_assert(slice_eq_str(verdicts_find(&v, "size")->reason, "17 bytes"));
    cr_assert(slice_eq_str(verdicts_find(&v, "size")->evidence, "{\"rows\":3}"));
    cr_assert(slice_eq_str(verdicts_find(&v, "leak")->evidence, "{}"));
    cr_assert_null(verdicts_find(&v, "golden_rows"));
    buf_release(&json);
    verdicts_release(&v);
}
