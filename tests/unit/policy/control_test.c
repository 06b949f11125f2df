/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/control.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"

static const struct control_slice slice = { .share = 0.05,
                                            .amount_most = 10000,
                                            .key = { "0123456789abcdef" } };

static bool is_drawn(const struct control_slice *s, uint32_t account, int customer, int32_t day)
{
    char text[16];
    int len = snprintf(text, sizeof text, "c-%d", customer);

    return control_is_drawn(s, account, slice_of(text, (size_t)len), day);
}

Test(control, takes_declines_by_the_score_alone)
{
    cr_assert(control_is_candidate(&slice, POLICY_BY_THRESHOLD, ACTION_DECLINE, 10000));
    cr_assert_not(control_is_candidate(&slice, POLICY_BY_LIST, ACTION_DECLINE, 1));
    cr_assert_not(control_is_candidate(&slice, POLICY_BY_RULE, ACTION_DECLINE, 1));
    cr_assert_not(control_is_candidate(&slice, POLICY_BY_MISSING, ACTION_DECLINE, 1));
    cr_assert_not(control_is_candidate(&slice, (enum policy_decider)0, ACTION_DECLINE, 1));
    cr_assert_not(control_is_candidate(&slice, POLICY_BY_THRESHOLD, ACTION_REVIEW, 1));
    cr_assert_not(control_is_candidate(&slice, POLICY_BY_THRESHOLD, ACTION_DECLINE, 10001));
    cr_assert_not(control_is_candidate(NULL, POLICY_BY_THRESHOLD, ACTION_DECLINE, 1));
    cr_assert_not(control_is_candidate(&(struct control_slice){ .amount_most = 1 }, POLICY_BY_THRESHOLD,
                                       ACTION_DECLINE, 1));
}

Test(control, counts_days_in_utc_from_1970_on)
{
    cr_assert_eq(control_day(0), 0);
    cr_assert_eq(control_day(DAY_US - 1), 0);
    cr_assert_eq(control_day(DAY_US), 1);
    cr_assert_eq(control_day(-1), -1);
    cr_assert_eq(control_day(-DAY_US), -1);
}

Test(control, says_the_same_of_a_customer_for_a_whole_day)
{
    int changes = 0;

    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(is_drawn(&slice, 1, i, 17), is_drawn(&slice, 1, i, 17));
        changes += is_drawn(&slice, 1, i, 17) != is_drawn(&slice, 1, i, 18);
    }
    cr_assert(changes > 0, "another day draws others");
}

/* The number of hits is binomial: within five of its standard deviations, but for one run in 1.7 million, and
 * hashes of fixed texts are the same in every run. Pairs are held to share squared. */
Test(control, draws_the_share_independently_by_customer_day_account_and_key)
{
    enum { DRAWS = 200000 };
    struct control_slice other = slice;
    double hits = 0, pairs[4] = { 0 }, both = slice.share * slice.share;

    other.key.bytes[15] ^= 1;
    for (int i = 0; i < DRAWS; i++) {
        bool is = is_drawn(&slice, 1, i, 17);

        hits += is;
        pairs[0] += is && is_drawn(&slice, 1, i + 1, 17);
        pairs[1] += is && is_drawn(&slice, 1, i, 18);
        pairs[2] += is && is_drawn(&slice, 2, i, 17);
        pairs[3] += is && is_drawn(&other, 1, i, 17);
    }
    cr_assert_lt(fabs(hits - DRAWS * slice.share), 5 * sqrt(DRAWS * slice.share * (1 - slice.share)), "%g",
                 hits);
    for (int k = 0; k < 4; k++)
        cr_assert_lt(fabs(pairs[k] - DRAWS * both), 5 * sqrt(DRAWS * both * (1 - both)), "%d: %g", k,
                     pairs[k]);
}

Test(control, keeps_who_was_in_when_the_share_grows)
{
    struct control_slice wider = slice;

    wider.share = 0.2;
    for (int i = 0; i < 5000; i++)
        cr_assert(!is_drawn(&slice, 1, i, 17) || is_drawn(&wider, 1, i, 17), "%d", i);
}
