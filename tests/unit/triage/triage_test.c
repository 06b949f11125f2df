/* SPDX-License-Identifier: Apache-2.0 */
#include "triage/triage.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "stats/interval.h"

Test(triage, a_case_is_worth_its_chance_times_its_amount_less_the_review)
{
    cr_expect_eq(triage_expected_loss(0.5, 10000, 300), 4700);
    cr_expect_eq(triage_expected_loss(0, 10000, 300), -300);
    cr_expect_eq(triage_expected_loss(0.333, 1000, 0), 333);
    cr_expect_eq(triage_expected_loss(1.5, 1000, 0), 1000, "no probability is above 1");
    cr_expect_eq(triage_expected_loss(-1, 1000, 0), 0);
    cr_expect_eq(triage_expected_loss((double)NAN, 1000, 7), -7);
}

Test(triage, without_a_score_the_past_of_the_rule_and_the_account_count)
{
    const struct triage_past none = { 0 }, clean = { 0, 200 }, bad = { 180, 200 };

    cr_expect_float_eq(triage_unscored(none, none), TRIAGE_PRIOR, 1e-12);
    cr_expect_float_eq(triage_unscored(bad, none), (180 + 2) / 220.0, 1e-12, "a new rule: as its account");
    cr_expect_gt(triage_unscored(clean, bad), 0.8, "a precise rule outweighs a clean account");
    cr_expect_lt(triage_unscored(bad, clean), 0.1);
    cr_expect_gt(triage_unscored(clean, clean), 0, "nothing is certain");
    cr_expect_gt(triage_expected_loss(triage_unscored(none, none), 90000, 300),
                 triage_expected_loss(triage_unscored(none, none), 20000, 300), "more money goes first");
}

/* What can be stopped by any choice of `most` rows of one day, by trying all of them. */
static double best_choice(const double *p, const int64_t *amounts, size_t n, int most)
{
    double best = 0;

    for (unsigned chosen = 0; chosen < 1u << n; chosen++) {
        double sum = 0;

        if (__builtin_popcount(chosen) > most)
            continue;
        for (size_t i = 0; i < n; i++)
            sum += chosen >> i & 1 ? p[i] * (double)amounts[i] : 0;
        best = fmax(best, sum);
    }
    return best;
}

Test(triage, no_choice_of_as_many_reviews_is_expected_to_stop_more)
{
    enum { ROWS = 10, MOST = 3, ROUNDS = 50 };
    struct random random = { 7 };

    for (int round = 0; round < ROUNDS; round++) {
        double p[ROWS], keys[ROWS];
        int64_t amounts[ROWS], gains[ROWS], days[ROWS] = { 0 };
        uint8_t counted[ROWS];
        struct triage_worth worth;

        for (size_t i = 0; i < ROWS; i++) {
            p[i] = random_unit(&random);
            amounts[i] = 1 + (int64_t)(random_unit(&random) * 1e6);
            keys[i] = (double)triage_expected_loss(p[i], amounts[i], 300);
            gains[i] = triage_expected_loss(p[i], amounts[i], 0);
            counted[i] = 1;
        }
        worth = triage_worth(keys, gains, counted, days, ROWS, MOST);
        cr_expect_float_eq((double)worth.stopped_minor, best_choice(p, amounts, ROWS, MOST), 2.0 * MOST);
        cr_expect_eq(worth.reviews, MOST);
    }
}

Test(triage, each_day_has_its_own_reviews_and_the_earlier_goes_first_between_equals)
{
    const double keys[] = { 5, 5, 9, 1, 2, 3 };
    const int64_t amounts[] = { 10, 20, 40, 80, 160, 320 }, days[] = { 2, 2, 2, 1, 1, 1 };
    const uint8_t is_fraud[] = { 1, 1, 0, 1, 1, 1 };
    struct triage_worth two = triage_worth(keys, amounts, is_fraud, days, ARRAY_LEN(keys), 2);
    struct triage_worth all = triage_worth(keys, amounts, is_fraud, days, ARRAY_LEN(keys), 9);

    cr_expect_eq(two.stopped_minor, 10 + 160 + 320);
    cr_expect_eq(two.frauds, 3);
    cr_expect_eq(two.reviews, 4);
    cr_expect_eq(all.reviews, 6);
    cr_expect_eq(triage_worth(keys, amounts, is_fraud, days, 0, 9).reviews, 0);
}
