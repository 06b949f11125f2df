/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/ab.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "stats/distribution.h"
#include "stats/interval.h"

/* An experiment over DAYS days: customers pay with a rate of their own, and what is defrauded comes in bursts. */
struct world {
    int days;
    uint64_t customers, payments_a_day;
    double fraud_share; /* of customer days */
    double caught[2];   /* share of frauds that each arm's model declines */
    double wrong[2];    /* share of good payments that it declines */
    double slice;       /* of declines that are let through; 1: all labels are seen */
};
static const struct world usual = { 10, 3000, 2000, 0.05, { 0.6, 0.6 }, { 0.01, 0.01 }, 1 };

static struct ab_design design;
static struct verdicts verdicts;

static void setup(void)
{
    design = AB_DESIGN_DEFAULT;
    design.margin = 0;
    design.control_least = 10;
    design.planned_rows = (int64_t)(usual.payments_a_day * (uint64_t)usual.days);
}

static void teardown(void)
{
    verdicts_release(&verdicts);
}

TestSuite(ab, .init = setup, .fini = teardown, .timeout = 300);

static struct ab_row payment(const struct world *w, int day, struct random *random, uint64_t salt)
{
    uint64_t customer = random_below(random, w->customers);
    /* The same on every payment of the customer's day. */
    struct random fate = { customer * 1000003 + (uint64_t)day * 7919 + salt };
    bool is_fraud = (random_next(&fate), random_unit(&fate) < w->fraud_share);
    struct ab_row row = { .at_us = day * DAY_US,
                          .amount_minor = 500 + (int64_t)random_below(random, is_fraud ? 30000 : 8000),
                          .customer = (int64_t)customer,
                          .arm = arm_of(customer, (int64_t)salt, design.share),
                          .p_label = 1,
                          .is_fraud = is_fraud };

    if (random_unit(random) < (is_fraud ? w->caught : w->wrong)[row.arm]) {
        row.action = ACTION_DECLINE;
        if (w->slice < 1)
            row.p_label = random_unit(random) < w->slice ? w->slice : 0;
    }
    return row;
}

/* A look a day until it ends; the last one. */
static struct ab_look experiment(const struct world *w, uint64_t seed)
{
    struct ab *ab = ab_new(&design);
    struct random random = { seed };
    struct ab_look look = { 0 };

    for (int day = 0; day < w->days && !look.is_last; day++) {
        for (uint64_t i = 0; i < w->payments_a_day; i++) {
            struct ab_row row = payment(w, day, &random, seed);

            ab_add(ab, &row);
        }
        verdicts_release(&verdicts);
        look = ab_take_look(ab, (day + 1) * DAY_US, &verdicts);
    }
    ab_free(ab);
    return look;
}

Test(ab, a_cheaper_candidate_is_promoted_and_a_dearer_one_is_not)
{
    struct world cheaper = usual, dearer = usual;

    cheaper.caught[ARM_CANDIDATE] = 0.95;
    dearer.caught[ARM_CANDIDATE] = 0.1;
    cr_assert_eq(experiment(&cheaper, 1).outcome, OUTCOME_PASS);
    cr_assert_eq(experiment(&dearer, 1).outcome, OUTCOME_FAIL);
}

Test(ab, good_revenue_that_is_turned_away_counts)
{
    struct world stern = usual;
    struct ab_look look;

    stern.wrong[ARM_CANDIDATE] = 0.2;
    look = experiment(&stern, 2);
    cr_assert_eq(look.outcome, OUTCOME_FAIL);
    cr_assert(look.arms[ARM_CANDIDATE].turned_away > 5 * look.arms[ARM_CHAMPION].turned_away);
}

Test(ab, without_a_control_slice_nothing_is_said_however_clear_it_looks)
{
    struct world hidden = usual;
    struct ab_look look;

    hidden.caught[ARM_CANDIDATE] = 0.99;
    hidden.slice = 0;
    look = experiment(&hidden, 3);
    cr_assert_eq(look.outcome, OUTCOME_INCONCLUSIVE);
    cr_assert(look.is_last);
    cr_assert(strstr(verdicts_find(&verdicts, "net_loss")->reason.ptr, "control slice"));
}

/* With a slice the declines that nobody saw are stood for by those that were let through. */
Test(ab, a_control_slice_gives_the_loss_that_all_labels_give)
{
    struct world sliced = usual;
    double whole = 0, seen = 0, squares = 0;
    enum { TRIALS = 60 };

    sliced.wrong[0] = sliced.wrong[1] = 0.05;
    design.planned_rows = 1 << 30; /* it never ends early */
    for (uint64_t t = 0; t < TRIALS; t++) {
        double all, some;

        sliced.slice = 1;
        all = experiment(&sliced, 100 + t).arms[ARM_CHAMPION].loss;
        sliced.slice = 0.2;
        some = experiment(&sliced, 100 + t).arms[ARM_CHAMPION].loss;
        whole += all / TRIALS;
        seen += some / TRIALS;
        squares += (some - all) * (some - all) / TRIALS;
    }
    cr_assert(fabs(seen - whole) < 4 * sqrt(squares / TRIALS), "%g against %g", seen, whole);
}

/* Two arms of one model, a look a day: the issue of peeking. */
static void equal_models(double share, uint64_t payments_a_day)
{
    enum { TRIALS = 2000 };
    struct world world = usual;
    uint64_t promoted = 0, failed = 0, looked = 0;
    struct interval likely;

    world.days = 7;
    world.payments_a_day = payments_a_day;
    design.share = share;
    design.effective_least = 10; /* a third of what is usual, so that nearly all of them are judged */
    design.planned_rows = (int64_t)(world.payments_a_day * (uint64_t)world.days);
    for (uint64_t t = 0; t < TRIALS; t++) {
        struct ab_look look = experiment(&world, 1000 + t);

        looked += isnan(look.bound) ? 0 : 1;
        promoted += look.outcome == OUTCOME_PASS;
        failed += look.outcome == OUTCOME_FAIL;
    }
    likely = clopper_pearson(promoted, TRIALS, 0.95);
    printf("share %.1f: of %d equal pairs %llu were judged, %llu promoted (%.4f to %.4f), %llu rejected\n",
           share, TRIALS, (unsigned long long)looked, (unsigned long long)promoted, likely.low, likely.high,
           (unsigned long long)failed);
    cr_assert_geq(looked, TRIALS * 9 / 10, "nearly all of them come to a verdict on loss");
    cr_assert_leq(likely.low, design.alpha);
    likely = clopper_pearson(failed, TRIALS, 0.95);
    cr_assert_leq(likely.low, design.alpha);
}

Test(ab, equal_models_are_promoted_no_more_often_than_promised)
{
    equal_models(0.5, 1000);
}

Test(ab, equal_models_are_promoted_no_more_often_than_promised_by_a_small_arm_either)
{
    equal_models(0.1, 3000);
}

/* A candidate whose loss is lower by a quarter, over as many rows as the plan says. */
Test(ab, the_plan_gives_the_power_it_was_made_for)
{
    enum { TRIALS = 300, PAST = 20000 };
    struct world world = usual;
    struct ab_row *past = mem_new_n(struct ab_row, PAST);
    struct random random = { 77 };
    double loss = 0, other = 0, effect, power = 0.8;
    uint64_t promoted = 0;
    struct interval likely;
    int64_t needed;

    world.customers = 100000; /* few payments of each, so that how long it runs does not matter */
    world.wrong[0] = world.wrong[1] = 0;
    world.caught[0] = 0.5;
    world.caught[1] = 0.6;
    design.control_least = 0;
    for (size_t i = 0; i < PAST; i++) {
        past[i] = payment(&world, (int)(i / 2000), &random, 5);
        loss += past[i].is_fraud ? (double)past[i].amount_minor * (1 - world.caught[0]) : 0;
        other += past[i].is_fraud ? (double)past[i].amount_minor * (1 - world.caught[1]) : 0;
        past[i].action =
            past[i].is_fraud && random_unit(&random) < world.caught[0] ? ACTION_DECLINE : ACTION_APPROVE;
        past[i].arm = ARM_CHAMPION;
    }
    effect = 1 - other / loss;
    needed = ab_rows_needed(&design, past, PAST, effect, power);
    cr_assert_gt(needed, 0);
    world.days = 10;
    world.payments_a_day = (uint64_t)needed / 10 + 1;
    design.planned_rows = needed;
    for (uint64_t t = 0; t < TRIALS; t++)
        promoted += experiment(&world, 5000 + t).outcome == OUTCOME_PASS;
    likely = clopper_pearson(promoted, TRIALS, 0.95);
    printf("effect %.2f needs %lld rows; power %.3f to %.3f\n", effect, (long long)needed, likely.low,
           likely.high);
    cr_assert(likely.high > power - 0.05 && likely.low < power + 0.05);
    mem_free(past);
}

Test(ab, an_end_without_a_verdict_says_how_long_it_would_have_taken)
{
    struct world short_one = usual, long_one = usual;
    struct ab_look look;

    /* Few of the declines get a label. */
    short_one.days = 4;
    short_one.slice = long_one.slice = 0.1;
    design.control_least = 60;
    ab_plan(&design, (double)usual.payments_a_day, short_one.days);
    look = experiment(&short_one, 3);
    cr_assert_eq(look.outcome, OUTCOME_INCONCLUSIVE);
    cr_assert(look.is_last && isnan(look.bound) && look.days == 4);
    cr_assert(look.days_needed > 4 && isfinite(look.days_needed), "%f", look.days_needed);
    cr_assert_not_null(
        strstr(verdicts_find(&verdicts, "net_loss")->reason.ptr, "to find a tenth less it takes about"));
    cr_assert_not_null(strstr(verdicts_find(&verdicts, "net_loss")->reason.ptr, "of 60 that each needs"));
    long_one.days = (int)ceil(1.3 * look.days_needed);
    ab_plan(&design, (double)usual.payments_a_day, long_one.days);
    look = experiment(&long_one, 4);
    cr_assert(!isnan(look.bound), "then there is enough to say something");

    /* Nothing of them does. */
    short_one.slice = 0;
    ab_plan(&design, (double)usual.payments_a_day, short_one.days);
    look = experiment(&short_one, 3);
    cr_assert(isinf(look.days_needed));
    cr_assert_not_null(strstr(verdicts_find(&verdicts, "net_loss")->reason.ptr, "no number of days"));
}

/* As many days as are said to be needed give the power: the world of a look that came to nothing, lived again. */
Test(ab, the_days_that_are_said_to_be_needed_find_a_tenth)
{
    enum { TRIALS = 200 };
    struct world alike = usual, cheaper = usual;
    uint64_t promoted = 0;
    double days = 0;
    struct interval likely;

    alike.customers = cheaper.customers = 100000;
    alike.wrong[0] = alike.wrong[1] = cheaper.wrong[0] = cheaper.wrong[1] = 0;
    alike.caught[0] = alike.caught[1] = cheaper.caught[0] = 0.5;
    cheaper.caught[1] = 0.5 + AB_EFFECT / 2; /* of the frauds' half that is let through */
    alike.days = 2;
    design.margin = 0.1;
    design.control_least = 0;
    for (uint64_t t = 0; t < 10; t++) {
        struct ab_look look;

        ab_plan(&design, (double)usual.payments_a_day, alike.days);
        look = experiment(&alike, 300 + t);
        if (!isnan(look.days_needed))
            days = fmax(days, look.days_needed);
    }
    cr_assert_gt(days, alike.days);
    cheaper.days = (int)ceil(days);
    ab_plan(&design, (double)usual.payments_a_day, cheaper.days);
    for (uint64_t t = 0; t < TRIALS; t++)
        promoted += experiment(&cheaper, 700 + t).outcome == OUTCOME_PASS;
    likely = clopper_pearson(promoted, TRIALS, 0.95);
    printf("%.0f days; power %.3f to %.3f\n", ceil(days), likely.low, likely.high);
    cr_assert_gt(likely.high, AB_POWER - 0.05);
}

Test(ab, a_plan_of_many_days_is_lived_to_its_end)
{
    ab_plan(&design, 1000, 60);
    cr_assert_eq(design.planned_rows, 60000);
    cr_assert_geq(design.days_most, 60);
    ab_plan(&design, 0, 1.5);
    cr_assert_eq(design.planned_rows, 1, "above nothing, whatever came before");
    cr_assert_geq(design.days_most, 2);
}

Test(ab, not_worse_than_the_margin_is_easier_to_show_than_better)
{
    struct world same = usual;
    struct ab_look strict, lenient;

    strict = experiment(&same, 8);
    design.margin = 1;
    lenient = experiment(&same, 8);
    cr_assert_neq(strict.outcome, OUTCOME_PASS);
    cr_assert_eq(lenient.outcome, OUTCOME_PASS);
    cr_assert_float_eq(lenient.margin, lenient.arms[ARM_CHAMPION].loss, 1e-9);
}

Test(ab, what_was_spent_before_a_restart_stays_spent)
{
    struct ab *whole = ab_new(&design), *again = NULL;
    struct random random = { 9 };
    struct ab_row *rows = mem_new_n(struct ab_row, usual.payments_a_day * 10);
    size_t count = 0;
    struct buf progress;
    struct why why = { 0 };

    buf_init(&progress, 0);
    for (int day = 0; day < 10; day++) {
        struct ab_look look;

        for (uint64_t i = 0; i < usual.payments_a_day; i++) {
            rows[count] = payment(&usual, day, &random, 9);
            ab_add(whole, &rows[count]);
            if (again)
                ab_add(again, &rows[count]);
            count++;
        }
        look = ab_take_look(whole, (day + 1) * DAY_US, &verdicts);
        if (again) {
            struct ab_look other = ab_take_look(again, (day + 1) * DAY_US, &verdicts);

            cr_assert_eq(look.outcome, other.outcome);
            cr_assert_eq(look.difference, other.difference);
            cr_assert(look.bound == other.bound || (isnan(look.bound) && isnan(other.bound)),
                      "day %d: %.17g %.17g", day, look.bound, other.bound);
        }
        if (day == 4) { /* the process ends; another one reads the rows and the looks again */
            ab_progress(whole, &progress);
            again = ab_new(&design);
            for (size_t i = 0; i < count; i++)
                ab_add(again, &rows[i]);
            cr_assert_eq(ab_restore(again, buf_slice(&progress), &why), ERR_OK, "%s", why.text);
        }
    }
    cr_assert_neq(ab_restore(again, SLICE("{}"), &why), ERR_OK);
    cr_assert_neq(ab_restore(again, SLICE("{\"looks\":[{\"rows\":5},{\"rows\":4}]}"), &why), ERR_OK);
    cr_assert_neq(ab_restore(again, SLICE("looks"), &why), ERR_OK);
    ab_free(whole);
    ab_free(again);
    mem_free(rows);
    buf_release(&progress);
}
