/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/sequential.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/distribution.h"

enum { MOST = 100 };

static const struct sequential_design two_sided = { SPENDING_OBRIEN_FLEMING, 2, 0.05 };

static void equal_steps(double *fractions, size_t looks)
{
    for (size_t i = 0; i < looks; i++)
        fractions[i] = (double)(i + 1) / (double)looks;
}

static double sum(const double *values, size_t n)
{
    double all = 0;

    for (size_t i = 0; i < n; i++)
        all += values[i];
    return all;
}

/* The boundaries that Lan and DeMets' program, and R's ldbounds after it, print for five equal looks at a
 * two-sided 5 %; their integration is a little coarser than ours, whose values with ever finer steps are 3.357012,
 * 2.680280, 2.289817, 2.031032 and 2.426814, 2.410194, 2.396645, 2.385985. */
Test(sequential, bounds_are_those_of_lan_and_demets)
{
    static const double obrien_fleming[] = { 4.8769, 3.3569, 2.6803, 2.2898, 2.0310 };
    static const double pocock[] = { 2.4380, 2.4268, 2.4101, 2.3966, 2.3859 };
    static const double finest[] = { 4.876885, 3.357012, 2.680280, 2.289817, 2.031032 };
    double fractions[5], bounds[5];

    equal_steps(fractions, 5);
    cr_assert(!sequential_bounds(&two_sided, fractions, 5, bounds, NULL));
    for (size_t i = 0; i < 5; i++)
        cr_expect_float_eq(bounds[i], obrien_fleming[i], 2e-4, "%zu: %.6f", i, bounds[i]);
    for (size_t i = 0; i < 5; i++)
        cr_expect_float_eq(bounds[i], finest[i], 3e-6, "%zu: %.6f", i, bounds[i]);
    cr_assert(!sequential_bounds(&(struct sequential_design){ SPENDING_POCOCK, 2, 0.05 }, fractions, 5,
                                 bounds, NULL));
    for (size_t i = 0; i < 5; i++)
        cr_expect_float_eq(bounds[i], pocock[i], 2e-4, "%zu: %.6f", i, bounds[i]);
}

/* Jennison and Turnbull 2000, tables 2.1 and 2.3: the constants of Pocock's test (the boundary) and of O'Brien
 * and Fleming's (the last boundary, the others times sqrt(K / k)), two-sided, for K equal looks. */
Test(sequential, classical_tests_cross_as_the_tables_say)
{
    static const struct {
        size_t looks;
        double alpha, pocock, obrien_fleming;
    } table[] = {
        { 1, 0.05, 1.960, 1.960 },  { 2, 0.05, 2.178, 1.977 },  { 3, 0.05, 2.289, 2.004 },
        { 4, 0.05, 2.361, 2.024 },  { 5, 0.05, 2.413, 2.040 },  { 10, 0.05, 2.555, 2.087 },
        { 20, 0.05, 2.672, 2.126 }, { 5, 0.01, 2.986, 2.621 },  { 10, 0.01, 3.117, 2.660 },
        { 5, 0.10, 2.122, 1.751 },  { 10, 0.10, 2.270, 1.801 },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t looks = table[i].looks;
        double fractions[MOST], bounds[MOST], upper[MOST], lower[MOST], around;

        equal_steps(fractions, looks);
        for (int classic = 0; classic < 2; classic++) {
            double constant = classic ? table[i].obrien_fleming : table[i].pocock, chance[2];

            /* The constant is printed to three digits: what it gives lies on both sides of alpha. */
            for (int side = 0; side < 2; side++) {
                for (size_t k = 0; k < looks; k++)
                    bounds[k] = (constant + (side ? 0.0006 : -0.0006)) *
                                (classic ? sqrt((double)looks / (double)(k + 1)) : 1);
                cr_assert(!sequential_crossing(2, fractions, bounds, looks, 0, upper, lower, NULL));
                chance[side] = sum(upper, looks) + sum(lower, looks);
            }
            around = table[i].alpha;
            cr_expect(chance[0] > around && chance[1] < around, "%zu %d: %f %f", looks, classic, chance[0],
                      chance[1]);
        }
    }
}

/* Jennison and Turnbull 2000, tables 2.2 and 2.4: the most information against that of a fixed test, two-sided
 * 5 %, power 0.8 and 0.9. */
Test(sequential, classical_tests_need_the_information_of_the_tables)
{
    static const struct {
        size_t looks;
        double power, constant, inflation;
        bool is_pocock;
    } table[] = {
        { 2, 0.8, 2.178, 1.110, true },   { 5, 0.8, 2.413, 1.229, true },  { 10, 0.8, 2.555, 1.301, true },
        { 5, 0.9, 2.413, 1.207, true },   { 2, 0.8, 1.977, 1.008, false }, { 5, 0.8, 2.040, 1.028, false },
        { 10, 0.8, 2.087, 1.040, false }, { 5, 0.9, 2.040, 1.026, false },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t looks = table[i].looks;
        double fractions[MOST], bounds[MOST], upper[MOST];
        double drift = sqrt(table[i].inflation) * (1.959964 + normal_quantile(table[i].power));

        equal_steps(fractions, looks);
        for (size_t k = 0; k < looks; k++)
            bounds[k] = table[i].constant * (table[i].is_pocock ? 1 : sqrt((double)looks / (double)(k + 1)));
        cr_assert(!sequential_crossing(2, fractions, bounds, looks, drift, upper, NULL, NULL));
        cr_expect_float_eq(sum(upper, looks), table[i].power, 5e-4, "%zu: %f", i, sum(upper, looks));
    }
}

/* One look is the fixed test, and the sum of what is spent is alpha whatever the looks' times. */
Test(sequential, what_is_spent_is_alpha)
{
    static const double times[][6] = {
        { 1 },
        { 0.01, 0.011, 0.5, 0.500002, 0.9, 1 },
        { 0.1, 0.100002, 0.100004, 0.3, 0.99, 1.2 },
        { 0.3, 0.6, 0.61, 0.62, 0.9999, 1 },
    };
    static const size_t looks[] = { 1, 6, 6, 6 };

    for (int sides = 1; sides <= 2; sides++) {
        for (int shape = 0; shape < SPENDING_COUNT; shape++) {
            for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
                struct sequential_design design = { (enum spending)shape, sides, 0.05 };
                double bounds[6], upper[6], lower[6];

                cr_assert(!sequential_bounds(&design, times[i], looks[i], bounds, NULL));
                cr_assert(!sequential_crossing(sides, times[i], bounds, looks[i], 0, upper, lower, NULL));
                cr_expect_float_eq(sum(upper, looks[i]) + sum(lower, looks[i]), 0.05, 1e-9);
                if (i == 0)
                    cr_expect_float_eq(bounds[0], normal_upper_quantile(0.05 / sides), 1e-10);
            }
        }
    }
    cr_assert_float_eq(spending_at(SPENDING_OBRIEN_FLEMING, 0.025, 0.2),
                       2 * normal_upper(2.2414027276049464 / sqrt(0.2)), 1e-12);
    cr_assert_float_eq(spending_at(SPENDING_POCOCK, 0.05, 0.5), 0.05 * log(1 + (M_E - 1) / 2), 1e-15);
}

/* Brute force: paths of a Brownian motion, a million of them. */
Test(sequential, crossing_agrees_with_simulated_paths)
{
    enum { PATHS = 400000, LOOKS = 4 };
    static const double fractions[LOOKS] = { 0.13, 0.4, 0.45, 1.0 };
    struct random random = { 11 };
    double bounds[LOOKS], upper[LOOKS], lower[LOOKS], drift = 1.3;
    double ups[LOOKS] = { 0 }, downs[LOOKS] = { 0 };

    cr_assert(!sequential_bounds(&(struct sequential_design){ SPENDING_POCOCK, 2, 0.2 }, fractions, LOOKS,
                                 bounds, NULL));
    cr_assert(!sequential_crossing(2, fractions, bounds, LOOKS, drift, upper, lower, NULL));
    for (int i = 0; i < PATHS; i++) {
        double b = 0, t = 0;

        for (size_t k = 0; k < LOOKS; k++) {
            double dt = fractions[k] - t;
            double radius = sqrt(-2 * log(1 - random_unit(&random)));

            b += drift * dt + sqrt(dt) * radius * cos(2 * M_PI * random_unit(&random));
            t = fractions[k];
            if (fabs(b) >= bounds[k] * sqrt(t)) {
                (b > 0 ? ups : downs)[k]++;
                break;
            }
        }
    }
    for (size_t k = 0; k < LOOKS; k++) {
        /* within four deviations of the counts */
        cr_expect_float_eq(ups[k] / PATHS, upper[k], 4 * sqrt(upper[k] / PATHS), "%zu", k);
        cr_expect_float_eq(downs[k] / PATHS, lower[k], 4 * sqrt(lower[k] / PATHS), "%zu", k);
    }
}

/* A look that may not cross splits a step of the integration in two, and must change no other chance. */
Test(sequential, a_look_that_spends_nothing_changes_nothing)
{
    static const double with[] = { 0.2, 0.31, 0.4, 0.6, 0.9, 1 }, without[] = { 0.2, 0.4, 0.6, 1 };
    static const double bounds[] = { 3, SEQUENTIAL_NEVER, 2.6, 2.4, SEQUENTIAL_NEVER, 2.2 },
                        few[] = { 3, 2.6, 2.4, 2.2 };

    for (int sides = 1; sides <= 2; sides++) {
        double a[6], b[4];

        cr_assert(!sequential_crossing(sides, with, bounds, 6, 2.5, a, NULL, NULL));
        cr_assert(!sequential_crossing(sides, without, few, 4, 2.5, b, NULL, NULL));
        cr_expect_float_eq(a[2], b[1], 1e-6);
        cr_expect_float_eq(a[3], b[2], 1e-6);
        cr_expect_float_eq(a[5], b[3], 1e-6);
    }
}

Test(sequential, a_design_finds_its_effect_with_its_power)
{
    double information, inflation, power, fractions[30];

    equal_steps(fractions, 30);
    cr_assert(!sequential_information(&two_sided, 30, 0.8, -0.5, &information, &inflation, NULL));
    cr_assert(!sequential_power(&two_sided, fractions, 30, 0.5 * sqrt(information), &power, NULL));
    cr_assert_float_eq(power, 0.8, 1e-9);
    cr_assert(inflation > 1.02 && inflation < 1.06, "%f", inflation);
    cr_assert_float_eq(information, inflation * pow((1.959963985 + 0.841621234) / 0.5, 2), 1e-6);
    /* One look: nothing is inflated. */
    cr_assert(!sequential_information(&two_sided, 1, 0.8, 1, &information, &inflation, NULL));
    cr_assert_float_eq(inflation, 1, 1e-9);
}

Test(sequential, a_test_takes_looks_as_they_come)
{
    static const double fractions[] = { 0.2, 0.4, 0.6, 0.8, 1 };
    double bounds[5];
    struct sequential_test test;

    cr_assert(!sequential_bounds(&two_sided, fractions, 5, bounds, NULL));
    cr_assert(!sequential_init(&test, &two_sided, 40, NULL));
    for (size_t i = 0; i < 5; i++) {
        enum sequential_outcome outcome = sequential_look(&test, 40 * fractions[i], 1.5, false);

        cr_expect_eq(outcome, i < 4 ? SEQUENTIAL_CONTINUE : SEQUENTIAL_ENDED);
        cr_expect_float_eq(test.looks[i].bound, bounds[i], 1e-12);
    }
    cr_expect_float_eq(test.spent, 0.025, 1e-9);
    cr_expect_eq(sequential_look(&test, 50, 9, false), SEQUENTIAL_ENDED, "an end is an end");
    cr_expect_eq(test.count, 5);
    sequential_release(&test);

    cr_assert(!sequential_init(&test, &two_sided, 40, NULL));
    cr_expect_eq(sequential_look(&test, 8, -4.9, false), SEQUENTIAL_LOWER);
    sequential_release(&test);
    cr_assert(!sequential_init(&test, &(struct sequential_design){ SPENDING_POCOCK, 1, 0.05 }, 40, NULL));
    cr_expect_eq(sequential_look(&test, 8, -9, false), SEQUENTIAL_CONTINUE, "one side has no lower boundary");
    cr_expect_eq(sequential_look(&test, 16, 9, false), SEQUENTIAL_UPPER);
    sequential_release(&test);
}

Test(sequential, looks_without_more_information_are_not_counted)
{
    struct sequential_test test;

    cr_assert(!sequential_init(&test, &two_sided, 40, NULL));
    cr_expect_eq(sequential_look(&test, 0, 9, false), SEQUENTIAL_CONTINUE);
    cr_expect_eq(sequential_look(&test, NAN, 9, false), SEQUENTIAL_CONTINUE);
    cr_expect_eq(sequential_look(&test, 20, 1, false), SEQUENTIAL_CONTINUE);
    cr_expect_eq(sequential_look(&test, 20, 9, false), SEQUENTIAL_CONTINUE);
    cr_expect_eq(sequential_look(&test, 19, 9, false), SEQUENTIAL_CONTINUE);
    cr_expect_eq(sequential_look(&test, 25, NAN, false), SEQUENTIAL_CONTINUE);
    cr_expect_eq(test.count, 1);
    cr_expect_eq(sequential_look(&test, 19, 9, true), SEQUENTIAL_ENDED);
    sequential_release(&test);
}

/* Past what was planned all of alpha is spent at the boundary of the information that is there; and time that
 * is over before spends all that is left. */
Test(sequential, the_last_look_spends_what_is_left)
{
    static const struct {
        double information;
        bool is_last;
    } ends[] = { { 52, false }, { 27, true } };

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        double fractions[3] = { 0.25, 0.5, ends[i].information / 40 }, bounds[3], upper[3], lower[3];
        struct sequential_test test;

        cr_assert(!sequential_init(&test, &two_sided, 40, NULL));
        cr_assert_eq(sequential_look(&test, 10, 0.1, false), SEQUENTIAL_CONTINUE);
        cr_assert_eq(sequential_look(&test, 20, 0.1, false), SEQUENTIAL_CONTINUE);
        cr_assert_eq(sequential_look(&test, ends[i].information, 0.1, ends[i].is_last), SEQUENTIAL_ENDED);
        for (size_t k = 0; k < 3; k++)
            bounds[k] = test.looks[k].bound;
        cr_assert(!sequential_crossing(2, fractions, bounds, 3, 0, upper, lower, NULL));
        cr_expect_float_eq(sum(upper, 3) + sum(lower, 3), 0.05, 1e-9);
        sequential_release(&test);
    }
}

Test(sequential, a_restored_test_goes_on_bit_for_bit)
{
    struct random random = { 3 };
    struct sequential_test test, again;
    double information = 0;

    cr_assert(!sequential_init(&test, &two_sided, 100, NULL));
    for (int i = 0; i < 40; i++) {
        struct why why = { 0 };

        information += 1 + 2 * random_unit(&random);
        cr_assert(!sequential_restore(&again, &test.design, test.information_max, test.looks, test.count,
                                      test.outcome == SEQUENTIAL_ENDED, &why),
                  "%s", why.text);
        cr_assert_eq(sequential_look(&again, information, 0.3, false),
                     sequential_look(&test, information, 0.3, false));
        cr_assert_eq(again.count, test.count);
        cr_assert_eq(again.looks[i].bound, test.looks[i].bound);
        cr_assert_eq(again.spent, test.spent);
        sequential_release(&again);
    }
    /* Looks that cannot have been are refused. */
    test.looks[1].information = test.looks[0].information;
    cr_assert_eq(sequential_restore(&again, &test.design, 100, test.looks, test.count, false, NULL),
                 ERR_INVALID);
    cr_assert_null(again.looks);
    test.looks[1].information = test.looks[0].information + 0.5;
    test.looks[20].z = 99;
    cr_assert_eq(sequential_restore(&again, &test.design, 100, test.looks, test.count, false, NULL),
                 ERR_INVALID);
    sequential_release(&test);
}

Test(sequential, what_is_no_design_is_refused)
{
    struct sequential_test test;
    double bounds[2], drift;

    cr_assert(sequential_init(&test, &(struct sequential_design){ SPENDING_POCOCK, 3, 0.05 }, 1, NULL));
    cr_assert(sequential_init(&test, &(struct sequential_design){ SPENDING_POCOCK, 1, 0 }, 1, NULL));
    cr_assert(sequential_init(&test, &two_sided, 0, NULL));
    cr_assert(sequential_init(&test, &two_sided, NAN, NULL));
    cr_assert(sequential_bounds(&two_sided, (double[]){ 0.5, 0.5 }, 2, bounds, NULL));
    cr_assert(sequential_bounds(&two_sided, (double[]){ 0, 0.5 }, 2, bounds, NULL));
    cr_assert(sequential_drift(&two_sided, (double[]){ 0.5, 1 }, 2, 0.01, &drift, NULL));
    cr_assert(sequential_drift(&two_sided, (double[]){ 0.01 }, 1, 0.8, &drift, NULL));
}
