/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle/arm.h"

#include <criterion/criterion.h>

#include "stats/interval.h"

TestSuite(arm);

Test(arm, the_candidate_gets_its_share_of_the_customers)
{
    static const double shares[] = { 0.01, 0.1, 0.5, 0.9 };

    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
        uint64_t drawn = 0, n = 200000;
        struct interval likely;

        for (uint64_t customer = 0; customer < n; customer++)
            drawn += arm_of(customer, 7, shares[s]) == ARM_CANDIDATE;
        likely = wilson(drawn, n, 0.9999);
        cr_assert(likely.low <= shares[s] && shares[s] <= likely.high, "%llu of %llu at %g",
                  (unsigned long long)drawn, (unsigned long long)n, shares[s]);
    }
}

Test(arm, nobody_is_drawn_at_zero_and_everybody_at_one)
{
    for (uint64_t customer = 0; customer < 10000; customer++) {
        cr_assert_eq(arm_of(customer, 1, 0), ARM_CHAMPION);
        cr_assert_eq(arm_of(customer, 1, 1), ARM_CANDIDATE);
    }
}

Test(arm, who_is_in_the_candidates_arm_stays_when_the_share_grows)
{
    for (uint64_t customer = 0; customer < 10000; customer++)
        if (arm_of(customer, 3, 0.1) == ARM_CANDIDATE)
            cr_assert_eq(arm_of(customer, 3, 0.3), ARM_CANDIDATE);
}

Test(arm, another_experiment_draws_other_customers)
{
    uint64_t both = 0, n = 200000;

    for (uint64_t customer = 0; customer < n; customer++)
        both += arm_of(customer, 1, 0.5) == ARM_CANDIDATE && arm_of(customer, 2, 0.5) == ARM_CANDIDATE;
    cr_assert(wilson(both, n, 0.9999).low <= 0.25 && wilson(both, n, 0.9999).high >= 0.25);
}

Test(arm, the_draw_is_the_same_for_ever)
{
    /* SipHash-2-4 of the customer under the salt: another order of bytes would move customers between arms in
     * the middle of an experiment. */
    uint64_t bits = 0;

    for (uint64_t customer = 0; customer < 64; customer++)
        bits |= (uint64_t)arm_of(customer * UINT64_C(0x9e3779b97f4a7c15), 42, 0.5) << customer;
    cr_assert_eq(bits, UINT64_C(0x2801b2feefbf28d3), "%016llx", (unsigned long long)bits);
}

Test(arm, names_are_those_of_the_protocol)
{
    cr_assert_str_eq(arm_name(ARM_CHAMPION), "champion");
    cr_assert_str_eq(arm_name(ARM_CANDIDATE), "challenger");
}
