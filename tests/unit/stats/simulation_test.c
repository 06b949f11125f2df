/* SPDX-License-Identifier: Apache-2.0
 * Experiments as they are run: customers in arms, payments by the day, losses that are mostly zero and
 * long-tailed and come in bursts on one card, a look each day. Told are the shares that crossed, with their
 * exact intervals. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "stats/always_valid.h"
#include "stats/clustered.h"
#include "stats/distribution.h"
#include "stats/sequential.h"

#ifdef __SANITIZE_ADDRESS__
enum { SCALE = 10 }; /* checked code is slow */
#else
enum { SCALE = 1 };
#endif
enum { DAYS = 28, CUSTOMERS_MAX = 8000, LOSSES = 4096 };

struct world {
    size_t customers;
    double share;     /* of the customers in the candidate's arm */
    double payments;  /* of a customer and day, on average */
    double reduction; /* of the fraud that is missed, by the candidate */
    double declines;  /* more of the good payments that the candidate declines */
};

/* Of 20 customers 12 pay seldom, 6 three times as often, 2 ten times as often. */
static size_t draw_customer(struct random *r, size_t customers)
{
    uint64_t draw = random_next(r), place = draw >> 32;
    size_t fifth = customers / 20, of_all = (size_t)((draw & 0xffff) * 50 >> 16);

    if (of_all < 12)
        return (size_t)(place * (12 * fifth) >> 32);
    if (of_all < 30)
        return 12 * fifth + (size_t)(place * (6 * fifth) >> 32);
    return 18 * fifth + (size_t)(place * (2 * fifth) >> 32);
}

struct customer {
    bool is_candidate;
    int stolen_from, stolen_until; /* days */
    double loss, approved, count;
};

struct day {
    struct cluster_sums loss[2], approved[2]; /* by arm: 1 is the candidate's */
};

static double losses[LOSSES];

/* Log-normal losses with a standard deviation of 1.3 times their mean, drawn from a table of its quantiles. */
static void setup(void)
{
    for (size_t i = 0; i < LOSSES; i++)
        losses[i] = floor(100 * exp(4 + 1.0 * normal_quantile(((double)i + 0.5) / LOSSES)));
}

TestSuite(simulation, .init = setup, .timeout = 600);

static double weekday(int d)
{
    return d % 7 >= 5 ? 0.6 : 1;
}

/* One experiment: what is known at the end of each day. */
static void run(const struct world *w, struct random *r, struct day days[DAYS])
{
    static struct customer customers[CUSTOMERS_MAX];
    struct day now;

    memset(&now, 0, sizeof now);
    for (size_t c = 0; c < w->customers; c++) {
        bool is_stolen = random_unit(r) < 0.12;
        int from = (int)random_below(r, DAYS);

        customers[c] = (struct customer){ .is_candidate = random_unit(r) < w->share,
                                          .stolen_from = is_stolen ? from : DAYS,
                                          .stolen_until = from + 1 + (int)random_below(r, 6) };
    }
    for (int d = 0; d < DAYS; d++) {
        double factor = weekday(d) * (0.8 + 0.4 * random_unit(r));
        size_t payments = (size_t)(w->payments * factor * (double)w->customers);

        for (size_t i = 0; i < payments; i++) {
            struct customer *c = &customers[draw_customer(r, w->customers)];
            bool is_stolen = d >= c->stolen_from && d < c->stolen_until;
            double fraud = is_stolen ? 0.4 : 0.002, missed = 0.3, declined = 0.01, loss = 0;
            double draw = random_unit(r);
            bool is_approved = true;

            if (c->is_candidate) {
                missed *= 1 - w->reduction;
                declined += w->declines;
            }
            if (draw < fraud) { /* missed, or declined */
                is_approved = draw < fraud * missed;
                loss = is_approved ? losses[random_next(r) % LOSSES] : 0;
            } else if (draw > 1 - declined) {
                is_approved = false;
                loss = 50; /* the margin that was not earned */
            }
            cluster_sums_move(&now.loss[c->is_candidate], c->loss, c->count, c->loss + loss, c->count + 1);
            cluster_sums_move(&now.approved[c->is_candidate], c->approved, c->count,
                              c->approved + is_approved, c->count + 1);
            c->loss += loss;
            c->approved += is_approved;
            c->count++;
        }
        days[d] = now;
    }
}

/* The champion's loss less the candidate's: above 0 the candidate is better. */
static struct estimate gain(const struct day *day)
{
    return cluster_difference(&day->loss[0], &day->loss[1]);
}

static struct estimate approval_gain(const struct day *day)
{
    return cluster_difference(&day->approved[1], &day->approved[0]);
}

/* What a design knows before: how sure it will be at the end, and of what. */
struct pilot {
    double loss_variance, loss_effect, approval_variance, approval_effect, effective;
};

static struct pilot fly(const struct world *w, int experiments, uint64_t seed)
{
    struct random r = { seed };
    struct pilot p = { .effective = 0 };
    struct day days[DAYS];

    for (int e = 0; e < experiments; e++) {
        struct estimate loss, approval;

        run(w, &r, days);
        loss = gain(&days[DAYS - 1]);
        approval = approval_gain(&days[DAYS - 1]);
        p.loss_variance += loss.variance / experiments;
        p.loss_effect += loss.value / experiments;
        p.approval_variance += approval.variance / experiments;
        p.approval_effect += approval.value / experiments;
        p.effective += loss.effective / experiments;
    }
    return p;
}

/* Information is told by what only grows: the payments, against those that are planned. */
static double payments_of(const struct day *day)
{
    return day->loss[0].n + day->loss[1].n;
}

static double payments_planned(const struct world *w)
{
    return w->payments * (double)w->customers * DAYS / 7 * (5 + 2 * 0.6);
}

static void plan_fractions(double fractions[DAYS])
{
    for (int d = 0; d < DAYS; d++)
        fractions[d] = (d ? fractions[d - 1] : 0) + weekday(d) / (DAYS / 7 * (5 + 2 * 0.6));
}

static enum sequential_outcome test_by_day(const struct sequential_design *design, const struct world *w,
                                           const struct day *days)
{
    struct sequential_test test;
    enum sequential_outcome outcome = SEQUENTIAL_CONTINUE;

    cr_assert(!sequential_init(&test, design, payments_planned(w), NULL));
    for (int d = 0; d < DAYS && outcome == SEQUENTIAL_CONTINUE; d++)
        outcome = sequential_look(&test, payments_of(&days[d]), estimate_z(gain(&days[d])), d == DAYS - 1);
    sequential_release(&test);
    return outcome;
}

/* ---- what is told and expected ---- */

static void tell(const char *what, size_t count, size_t all)
{
    struct interval i = clopper_pearson(count, all, 0.95);

    printf("%s: %zu of %zu, %.2f %% (%.2f to %.2f)\n", what, count, all, 100 * (double)count / (double)all,
           100 * i.low, 100 * i.high);
    fflush(stdout);
}

static void expect_at_most(const char *what, size_t count, size_t all, double nominal)
{
    tell(what, count, all);
    cr_expect_leq(clopper_pearson(count, all, 0.95).low, nominal, "%s: above %.3f", what, nominal);
}

/* Within 5 points of the design's. Of few experiments the design, which is estimated from them, says too little: then
 * it is told and not judged. */
static void expect_power(const char *name, double effective, double design, size_t count, size_t all)
{
    double found = (double)count / (double)all;
    char what[160];

    snprintf(what, sizeof what, "%s (effective %.0f), by design %.1f %%", name, effective, 100 * design);
    tell(what, count, all);
    if (SCALE == 1)
        cr_expect_float_eq(found, design, 0.05, "%s", what);
}

static const struct sequential_design two_sided = { SPENDING_OBRIEN_FLEMING, 2, 0.05 };
static const struct sequential_design one_sided = { SPENDING_OBRIEN_FLEMING, 1, 0.05 };
static const struct sequential_design pocock = { SPENDING_POCOCK, 2, 0.05 };

static struct always_valid guardrail(enum always_valid_side side, double tau, double least)
{
    struct always_valid test;

    cr_assert(!always_valid_init(&test, side, 0.05, tau, 0, least, NULL));
    return test;
}

static bool is_approval_guarded(enum always_valid_side side, const struct day *days)
{
    struct always_valid test = guardrail(side, 0.005, 50);

    for (int d = 0; d < DAYS; d++) {
        struct estimate e = cluster_difference(&days[d].approved[1], &days[d].approved[0]);

        always_valid_update(&test, e.value, e.variance, e.clusters);
    }
    return test.has_crossed;
}

Test(simulation, promotions_without_an_effect_are_as_rare_as_promised)
{
    const struct world w = { 2000, 0.5, 0.7, 0, 0 };
    const size_t experiments = 2000 / SCALE;
    struct random r = { 2024 };
    struct day days[DAYS];
    size_t upper = 0, either = 0, one = 0, early = 0, approval = 0;

    for (size_t e = 0; e < experiments; e++) {
        enum sequential_outcome outcome, quick;

        run(&w, &r, days);
        outcome = test_by_day(&two_sided, &w, days);
        quick = test_by_day(&pocock, &w, days);
        upper += outcome == SEQUENTIAL_UPPER;
        either += outcome == SEQUENTIAL_UPPER || outcome == SEQUENTIAL_LOWER;
        one += test_by_day(&one_sided, &w, days) == SEQUENTIAL_UPPER;
        early += quick == SEQUENTIAL_UPPER || quick == SEQUENTIAL_LOWER;
        approval += is_approval_guarded(ALWAYS_VALID_BELOW, days);
    }
    expect_at_most("A/A, promoted by the one-sided test at 5 %", one, experiments, 0.05);
    expect_at_most("A/A, promoted by the two-sided test at 5 %", upper, experiments, 0.025);
    expect_at_most("A/A, crossed on either side", either, experiments, 0.05);
    expect_at_most("A/A, crossed Pocock's boundaries", early, experiments, 0.05);
    expect_at_most("A/A, guardrail of the approval rate crossed", approval, experiments, 0.05);
}

/* A tenth of the customers in the candidate's arm: with each arm's own variance 29 of 100 would be promoted. */
Test(simulation, a_small_arm_is_not_promoted_for_the_losses_that_it_has_not_seen)
{
    const struct world w = { 3000, 0.1, 0.7, 0, 0 };
    const size_t experiments = 1000 / SCALE;
    struct random r = { 99 };
    struct day days[DAYS];
    size_t upper = 0, one = 0, approval = 0;

    for (size_t e = 0; e < experiments; e++) {
        run(&w, &r, days);
        upper += test_by_day(&two_sided, &w, days) == SEQUENTIAL_UPPER;
        one += test_by_day(&one_sided, &w, days) == SEQUENTIAL_UPPER;
        approval += is_approval_guarded(ALWAYS_VALID_BELOW, days);
    }
    expect_at_most("A/A, arm of 10 %, promoted by the one-sided test at 5 %", one, experiments, 0.05);
    expect_at_most("A/A, arm of 10 %, promoted by the two-sided test at 5 %", upper, experiments, 0.025);
    expect_at_most("A/A, arm of 10 %, guardrail of the approval rate crossed", approval, experiments, 0.05);
}

Test(simulation, effects_are_found_as_often_as_designed)
{
    static const double reductions[] = { 0.4, 0.6 };

    for (size_t i = 0; i < ARRAY_LEN(reductions); i++) {
        const struct world w = { 6000, 0.5, 0.7, reductions[i], 0 };
        const struct pilot pilot = fly(&w, 200 / SCALE, 11);
        const size_t experiments = 700 / SCALE;
        double fractions[DAYS], design;
        struct random r = { 4048 };
        struct day days[DAYS];
        size_t upper = 0;
        char what[80];

        plan_fractions(fractions);
        cr_assert(!sequential_power(&two_sided, fractions, DAYS,
                                    pilot.loss_effect / sqrt(pilot.loss_variance), &design, NULL));
        for (size_t e = 0; e < experiments; e++) {
            run(&w, &r, days);
            upper += test_by_day(&two_sided, &w, days) == SEQUENTIAL_UPPER;
        }
        snprintf(what, sizeof what, "%.0f %% less fraud missed, found", 100 * reductions[i]);
        expect_power(what, pilot.effective, design, upper, experiments);
    }
}

/* The boundary of an always-valid test of both sides on z, at a variance: where the mixture's likelihood ratio is 20. */
static double always_valid_bound(double tau, double variance)
{
    double square = tau * tau, whole = variance + square;

    return sqrt(whole / square * (log(whole / variance) - 2 * log(0.05)));
}

/* What a guardrail of the approval rate should find is computed from its boundaries by the recursion of the
 * group-sequential tests. */
Test(simulation, a_guardrail_finds_what_its_boundaries_promise)
{
    const struct world w = { 2000, 0.5, 0.7, 0, 0.006 };
    const struct pilot pilot = fly(&w, 200 / SCALE, 12);
    const size_t experiments = 1000 / SCALE;
    double fractions[DAYS], bounds[DAYS], lower[DAYS], upper[DAYS], design = 0;
    struct random r = { 77 };
    struct day days[DAYS];
    size_t crossed = 0;

    plan_fractions(fractions);
    for (int d = 0; d < DAYS; d++)
        bounds[d] = always_valid_bound(0.005, pilot.approval_variance / fractions[d]);
    cr_assert(!sequential_crossing(2, fractions, bounds, DAYS,
                                   pilot.approval_effect / sqrt(pilot.approval_variance), upper, lower,
                                   NULL));
    for (int d = 0; d < DAYS; d++)
        design += upper[d] + lower[d];
    for (size_t e = 0; e < experiments; e++) {
        run(&w, &r, days);
        crossed += is_approval_guarded(ALWAYS_VALID_EITHER, days);
    }
    expect_power("0.6 % more good payments declined, seen by the guardrail", pilot.effective, design, crossed,
                 experiments);
}

/* Two shares, looked at after each ten payments of both arms. */
static size_t guard_shares(double drop, size_t runs, uint64_t seed)
{
    enum { STEP = 10, LOOKS = 300 };
    struct random r = { seed };
    size_t crossed = 0;

    for (size_t run_number = 0; run_number < runs; run_number++) {
        struct always_valid test = guardrail(ALWAYS_VALID_EITHER, 0.02, 100);
        uint64_t a = 0, b = 0;

        for (uint64_t look = 1; look <= LOOKS && !test.has_crossed; look++) {
            for (int i = 0; i < STEP; i++) {
                a += random_unit(&r) < 0.9 - drop;
                b += random_unit(&r) < 0.9;
            }
            always_valid_proportions(&test, a, look * STEP, b, look * STEP, 1);
        }
        crossed += test.has_crossed;
    }
    return crossed;
}

Test(simulation, shares_may_be_looked_at_all_the_time)
{
    const size_t runs = 2000 / SCALE;
    double fractions[291], bounds[291], upper[291], lower[291], design = 0, variance;

    expect_at_most("A/A, shares looked at 291 times", guard_shares(0, runs, 5), runs, 0.05);
    variance = (0.87 * 0.13 + 0.9 * 0.1) / 3000;
    for (size_t k = 0; k < ARRAY_LEN(fractions); k++) {
        fractions[k] = (double)(k + 10) / 300;
        bounds[k] = always_valid_bound(0.02, variance / fractions[k]);
    }
    cr_assert(!sequential_crossing(2, fractions, bounds, ARRAY_LEN(fractions), 0.03 / sqrt(variance), upper,
                                   lower, NULL));
    for (size_t k = 0; k < ARRAY_LEN(fractions); k++)
        design += upper[k] + lower[k];
    expect_power("a share of 0.90 against 0.87, seen", 3000, design, guard_shares(0.03, runs, 6), runs);
}
