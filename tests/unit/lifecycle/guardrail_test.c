/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/guardrail.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats/drift.h"
#include "stats/distribution.h"
#include "stats/interval.h"

enum { PERIODS = 28, ROWS = 1000 };

/* How a model behaves; customers have moods of their own, so that their payments are not independent. */
struct behaviour {
    double approved, reviewed, errors, slow, shift;
};
static const struct behaviour usual = { 0.97, 0.01, 0.001, 0.005, 0 };

static struct guardrail_settings settings;
static struct verdicts verdicts;

static void setup(void)
{
    settings = GUARDRAIL_SETTINGS_DEFAULT;
}

static void teardown(void)
{
    verdicts_release(&verdicts);
}

TestSuite(guardrail, .init = setup, .fini = teardown, .timeout = 120);

static void fill(struct guard_counts *periods, const struct behaviour *b, struct random *random)
{
    for (size_t p = 0; p < PERIODS; p++) {
        periods[p] = (struct guard_counts){ 0 };
        for (size_t i = 0; i < ROWS; i++) {
            double u = random_unit(random), at = random_unit(random) * 10 - 9 + b->shift;
            enum action action = u < b->approved                 ? ACTION_APPROVE
                                 : u < b->approved + b->reviewed ? ACTION_REVIEW
                                                                 : ACTION_DECLINE;

            guard_count(&periods[p], action, 1 / (1 + exp(-at)), random_unit(random) < b->errors,
                        random_unit(random) < b->slow);
        }
    }
}

static enum outcome judge(const struct behaviour *reference, const struct behaviour *current, uint64_t seed)
{
    struct guard_counts a[PERIODS], b[PERIODS], own = { 0 };
    struct random random = { seed };

    fill(b, &usual, &random);
    for (size_t p = 0; p < PERIODS; p++)
        guard_add(&own, &b[p]);
    fill(a, reference, &random);
    fill(b, current, &random);
    return guardrails_judge(&settings, a, b, PERIODS, false, &own, &verdicts);
}

Test(guardrail, nothing_breaks_while_nothing_changes)
{
    cr_assert_eq(judge(&usual, &usual, 1), OUTCOME_PASS);
    cr_assert_eq(verdicts.count, 5);
}

Test(guardrail, each_breaks_on_what_it_guards_and_on_nothing_else)
{
    static const struct {
        const char *gate;
        struct behaviour behaviour;
    } cases[] = {
        { "approval_rate", { 0.92, 0.01, 0.001, 0.005, 0 } },
        { "review_load", { 0.965, 0.03, 0.001, 0.005, 0 } },
        { "error_rate", { 0.97, 0.01, 0.02, 0.005, 0 } },
        { "slow_rate", { 0.97, 0.01, 0.001, 0.04, 0 } },
        { "score_psi", { 0.97, 0.01, 0.001, 0.005, 4 } },
    };

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        verdicts_release(&verdicts);
        cr_assert_eq(judge(&usual, &cases[c].behaviour, 2), OUTCOME_FAIL);
        for (size_t i = 0; i < verdicts.count; i++) {
            const struct verdict *v = &verdicts.items[i];
            bool is_meant = strcmp(v->gate, cases[c].gate) == 0;

            cr_assert_eq(v->outcome, is_meant ? OUTCOME_FAIL : OUTCOME_PASS, "%s: %.*s", v->gate,
                         SLICE_ARG(v->reason));
        }
    }
}

Test(guardrail, what_gets_better_breaks_nothing)
{
    static const struct behaviour better = { 0.995, 0.001, 0, 0, 0 };

    cr_assert_eq(judge(&usual, &better, 3), OUTCOME_PASS);
}

Test(guardrail, too_few_transactions_are_inconclusive)
{
    struct guard_counts a = { .rows = 20, .approved = 20 }, b = { .rows = 20 };

    cr_assert_eq(guardrails_judge(&settings, &a, &b, 1, false, NULL, &verdicts), OUTCOME_INCONCLUSIVE);
}

Test(guardrail, a_break_is_found_again_however_good_the_time_after_it)
{
    struct guard_counts a[2 * PERIODS], b[2 * PERIODS];
    struct random random = { 4 };
    struct behaviour broken = usual;

    broken.approved = 0.9;
    fill(a, &usual, &random);
    fill(a + PERIODS, &usual, &random);
    fill(b, &broken, &random);
    fill(b + PERIODS, &usual, &random);
    cr_assert_eq(guardrails_judge(&settings, a, b, PERIODS, false, &b[PERIODS], &verdicts), OUTCOME_FAIL);
    cr_assert_eq(guardrails_judge(&settings, a, b, 2 * PERIODS, false, &b[PERIODS], &verdicts), OUTCOME_FAIL);
}

Test(guardrail, the_watch_compares_with_the_champion_before)
{
    struct guard_counts before = { 0 }, days[PERIODS], reference[PERIODS];
    struct behaviour broken = usual;
    struct random random = { 5 };

    fill(days, &usual, &random);
    for (size_t p = 0; p < PERIODS; p++)
        guard_add(&before, &days[p]);
    for (size_t p = 0; p < PERIODS; p++)
        reference[p] = before;
    fill(days, &usual, &random);
    cr_assert_eq(guardrails_judge(&settings, reference, days, PERIODS, true, &before, &verdicts),
                 OUTCOME_PASS);
    broken.approved = 0.92;
    fill(days, &broken, &random);
    cr_assert_eq(guardrails_judge(&settings, reference, days, PERIODS, true, &before, &verdicts),
                 OUTCOME_FAIL);
}

/* How often `gate` is broken in TRIALS lives of 28 looks. */
static void expect_few_alarms(const char *gate, const struct behaviour *edge)
{
    enum { TRIALS = 400 };
    uint64_t alarms = 0;
    struct interval likely;

    for (size_t t = 0; t < TRIALS; t++) {
        verdicts_release(&verdicts);
        judge(&usual, edge, 100 + t);
        alarms += verdicts_find(&verdicts, gate)->outcome == OUTCOME_FAIL;
    }
    likely = clopper_pearson(alarms, TRIALS, 0.95);
    printf("%-14s %llu false alarms in %d: %.3f to %.3f\n", gate, (unsigned long long)alarms, TRIALS,
           likely.low, likely.high);
    cr_assert_leq(likely.low, settings.alpha, "%s", gate);
}

/* What scores differ by when all of them are shifted, as ever more of them show it. */
static double psi_of_shift(double shift)
{
    struct guard_counts counts[2] = { { 0 }, { 0 } };
    struct random random = { 99 };

    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < 2000000; i++) {
            double at = random_unit(&random) * 10 - 9 + (side ? shift : 0);

            counts[side].scores[guard_bin(1 / (1 + exp(-at)))]++;
        }
    return psi(counts[0].scores, counts[1].scores, GUARD_BINS);
}

/* Each at the very edge of what is allowed, looked at after each of 28 periods. */
Test(guardrail, false_alarms_are_no_more_than_promised)
{
    struct behaviour edges[5] = { usual, usual, usual, usual, usual };

    settings.alpha = 0.05;
    settings.design_effect = 1;
    edges[0].approved -= settings.approval_rate_drop;
    edges[1].reviewed += settings.review_load_rise;
    edges[2].errors += settings.error_rate_rise;
    edges[3].slow += settings.slow_rate_rise;
    expect_few_alarms("approval_rate", &edges[0]);
    expect_few_alarms("review_load", &edges[1]);
    expect_few_alarms("error_rate", &edges[2]);
    expect_few_alarms("slow_rate", &edges[3]);
    settings.psi_most = 0;
    expect_few_alarms("score_psi", &usual);
    edges[4].shift = 0.5;
    settings.psi_most = psi_of_shift(edges[4].shift);
    expect_few_alarms("score_psi", &edges[4]);
}

Test(guardrail, bins_rise_with_the_score)
{
    size_t last = 0;

    for (double score = 1e-6; score < 1; score += 1e-4) {
        cr_assert_geq(guard_bin(score), last);
        last = guard_bin(score);
    }
    cr_assert_eq(guard_bin(0), 0);
    cr_assert_eq(guard_bin(1), GUARD_BINS - 1);
}
