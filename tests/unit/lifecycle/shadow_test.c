/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/shadow.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "stats/distribution.h"
#include "stats/interval.h"

/* Payments of 3,000 customers over ten days, two in a hundred of them frauds, and two models that see the same
 * signal through noise of their own. */
enum { ROWS = 30000, DAYS = 10, CUSTOMERS = 3000 };

static struct shadow_settings settings;
static struct evidence_row *rows;
static struct verdicts verdicts;

static double normal(struct random *r)
{
    return normal_quantile((random_unit(r) + 1e-12) / (1 + 2e-12));
}

static uint8_t action_of(double score)
{
    return score >= 0.5 ? ACTION_DECLINE : score >= 0.3 ? ACTION_REVIEW : ACTION_APPROVE;
}

/* `quality` is how far frauds lie above the rest; 3 is good. */
static double score_of(bool is_fraud, double shared, double own, double quality)
{
    double margin = (is_fraud ? quality : 0) + 0.9 * shared + 0.43 * own;

    return 1 / (1 + exp(-(2 * margin - 5)));
}

static void fill(double champion, double candidate)
{
    struct random random = { 11 };

    for (size_t i = 0; i < ROWS; i++) {
        struct evidence_row *r = &rows[i];
        double shared = normal(&random);

        *r = (struct evidence_row){ .at_us = (int64_t)i * DAYS * DAY_US / ROWS,
                                    .amount_minor = 1000 + (int64_t)random_below(&random, 20000),
                                    .customer = (int64_t)random_below(&random, CUSTOMERS),
                                    .p_label = 1,
                                    .is_fraud = random_unit(&random) < 0.02,
                                    .is_matured = true };
        r->champion = score_of(r->is_fraud, shared, normal(&random), champion);
        r->candidate = score_of(r->is_fraud, shared, normal(&random), candidate);
        r->champion_action = action_of(r->champion);
        r->candidate_action = action_of(r->candidate);
    }
}

/* What the champion declined has a label only where the control slice, a share of them, let it through. */
static void hide(double share)
{
    struct random random = { 12 };

    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].champion_action == ACTION_DECLINE)
            rows[i].p_label = random_unit(&random) < share ? share : 0;
}

static void setup(void)
{
    settings = SHADOW_SETTINGS_DEFAULT;
    rows = mem_new_n(struct evidence_row, ROWS);
}

static void teardown(void)
{
    mem_free(rows);
    verdicts_release(&verdicts);
}

TestSuite(shadow, .init = setup, .fini = teardown, .timeout = 180);

static enum outcome judge(void)
{
    enum outcome outcome = shadow_judge(&settings, rows, ROWS, &verdicts);

    for (size_t i = 0; i < verdicts.count; i++)
        printf("%-12s %-17s %.*s\n", outcome_name(verdicts.items[i].outcome), verdicts.items[i].gate,
               SLICE_ARG(verdicts.items[i].reason));
    return outcome;
}

static enum outcome of(const char *gate)
{
    return verdicts_find(&verdicts, gate)->outcome;
}

Test(shadow, a_better_candidate_passes)
{
    fill(3, 3.3);
    cr_assert_eq(judge(), OUTCOME_PASS);
    cr_assert_eq(verdicts.count, 7);
}

Test(shadow, the_same_model_passes)
{
    fill(3, 3);
    for (size_t i = 0; i < ROWS; i++) {
        rows[i].candidate = rows[i].champion;
        rows[i].candidate_action = rows[i].champion_action;
    }
    cr_assert_eq(judge(), OUTCOME_PASS);
}

Test(shadow, a_worse_candidate_fails_on_ranking_decisions_and_money)
{
    fill(3, 1.5);
    cr_assert_eq(judge(), OUTCOME_FAIL);
    cr_assert_eq(of("average_precision"), OUTCOME_FAIL);
    cr_assert_eq(of("decisions"), OUTCOME_FAIL);
    cr_assert_eq(of("money"), OUTCOME_FAIL);
    cr_assert_eq(of("volume"), OUTCOME_PASS);
}

Test(shadow, one_that_declines_far_more_is_stopped_by_what_needs_no_labels)
{
    fill(3, 3);
    for (size_t i = 0; i < ROWS; i++) {
        rows[i].candidate = rows[i].champion;
        rows[i].candidate_action = i % 10 ? rows[i].champion_action : ACTION_DECLINE;
    }
    cr_assert_eq(judge(), OUTCOME_FAIL);
    cr_assert_eq(of("flips"), OUTCOME_FAIL);
    cr_assert_eq(of("approval_rate"), OUTCOME_FAIL);
    cr_assert_eq(of("average_precision"), OUTCOME_PASS);
    cr_assert_eq(of("score_psi"), OUTCOME_PASS);
}

Test(shadow, scores_that_lie_elsewhere_are_stopped)
{
    fill(3, 3);
    for (size_t i = 0; i < ROWS; i++)
        rows[i].candidate = rows[i].champion / 100;
    judge();
    cr_assert_eq(of("score_psi"), OUTCOME_FAIL);
    cr_assert_eq(of("average_precision"), OUTCOME_PASS);
}

Test(shadow, goes_on_until_there_is_enough_or_time_is_up)
{
    int64_t delay_us = 7 * DAY_US, end_us = settings.days_most * DAY_US + delay_us;

    fill(3, 3.3);
    cr_assert(shadow_is_over(&settings, rows, ROWS, 0, 17 * DAY_US, delay_us));
    for (size_t i = ROWS / 2; i < ROWS; i++)
        rows[i].is_matured = false;
    cr_assert_not(shadow_is_over(&settings, rows, ROWS, 0, 17 * DAY_US, delay_us), "five days are matured");
    cr_assert(shadow_is_over(&settings, rows, ROWS, 0, end_us, delay_us));
    cr_assert_eq(judge(), OUTCOME_INCONCLUSIVE);
    cr_assert_eq(verdicts.count, 1, "nothing is said of what is not there");
}

Test(shadow, without_a_control_slice_what_declines_would_have_cost_is_only_bounded)
{
    fill(3, 3.3);
    hide(0);
    cr_assert_eq(judge(), OUTCOME_INCONCLUSIVE);
    cr_assert_eq(of("money"), OUTCOME_INCONCLUSIVE);
    cr_assert(strstr(verdicts_find(&verdicts, "money")->reason.ptr, "without a label"));
}

static double money_difference(void)
{
    const struct verdict *v;
    const char *at;

    judge();
    v = verdicts_find(&verdicts, "money");
    at = strstr(v->evidence.ptr, "\"difference\":");
    cr_assert_not_null(at);
    return strtod(at + sizeof "\"difference\":" - 1, NULL);
}

/* The mean over many slices of the weighted figure is the figure that all labels give. */
Test(shadow, a_control_slice_makes_up_for_the_labels_that_declines_hide)
{
    struct random random = { 13 };
    double whole, sum = 0, squares = 0;
    enum { DRAWS = 60 };

    fill(3, 3.3);
    settings.rounds = 20;
    whole = money_difference();
    for (size_t d = 0; d < DRAWS; d++) {
        double estimate;

        for (size_t i = 0; i < ROWS; i++)
            if (rows[i].champion_action == ACTION_DECLINE)
                rows[i].p_label = random_unit(&random) < 0.2 ? 0.2 : 0;
        verdicts_release(&verdicts);
        estimate = money_difference();
        sum += estimate;
        squares += estimate * estimate;
    }
    sum /= DRAWS;
    squares = sqrt((squares / DRAWS - sum * sum) / DRAWS); /* of the mean */
    cr_assert(fabs(sum - whole) < 4 * squares + 0.01 * fabs(whole), "%g +- %g against %g", sum, squares,
              whole);
}
