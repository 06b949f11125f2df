/* SPDX-License-Identifier: Apache-2.0 */
#include "quality/decay.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/mem.h"
#include "quality/figures.h"
#include "stats/interval.h"

enum { DAYS = 7, ROWS = 1500 };

/* Days as a calibrated model makes them; `lost` of the frauds get the score of somebody else. */
static struct quality_day *some_days(struct random *r, double lost)
{
    struct quality_day *days = mem_new_n(struct quality_day, DAYS);

    for (size_t d = 0; d < DAYS; d++)
        for (size_t i = 0; i < ROWS; i++) {
            double odds = -7 + 9 * random_unit(r) * random_unit(r) + random_unit(r);
            struct quality_row row = { .score = 1 / (1 + exp(-odds)), .p_label = 1, .amount_minor = 100 };
            bool is_fraud = random_unit(r) < row.score;

            if (is_fraud && random_unit(r) < lost)
                row.score = 0.001 + 0.01 * random_unit(r);
            quality_day_add(&days[d], &row);
            if (is_fraud)
                quality_day_label(&days[d], &row, 1);
        }
    return days;
}

static struct quality_decay judge(const struct quality_day *days, double promised)
{
    const struct quality_day *some[DAYS];
    struct quality_promise promise = { promised, (double)NAN };
    struct quality_decay_settings settings = quality_decay_default;
    struct quality_decay decay;

    settings.least = 0;
    settings.alpha = 0.05;
    for (size_t d = 0; d < DAYS; d++)
        some[d] = &days[d];
    quality_decay(&decay, some, DAYS, &promise, &settings);
    return decay;
}

static double precision_of_all(struct random *r, double lost)
{
    double sum = 0;

    for (int i = 0; i < 60; i++) {
        struct quality_day *days = some_days(r, lost);

        sum += judge(days, 0.5).value;
        mem_free(days);
    }
    return sum / 60;
}

Test(decay, is_seldom_seen_where_there_is_none_and_nearly_always_where_there_is)
{
    struct random r = { 5 };
    double usual = precision_of_all(&r, 0);
    int wrong = 0, found = 0;

    for (int i = 0; i < 400; i++) {
        struct quality_day *days = some_days(&r, 0);
        struct quality_decay decay = judge(days, usual);

        cr_assert(decay.is_tested);
        wrong += decay.is_beyond;
        mem_free(days);
    }
    for (int i = 0; i < 50; i++) {
        struct quality_day *days = some_days(&r, 0.25);

        found += judge(days, usual).is_beyond;
        mem_free(days);
    }
    /* 5 % of 400 are 20, with a standard deviation of 4.4. */
    cr_assert_leq(wrong, 20 + 3 * 5, "%d of 400", wrong);
    cr_assert_geq(found, 40, "%d of 50", found);
}

Test(decay, error_is_that_of_leaving_out_one_day_after_another)
{
    struct random r = { 6 };
    struct quality_day *days = some_days(&r, 0), *sum = mem_new(struct quality_day);
    double values[DAYS], mean = 0, squares = 0;
    struct quality_decay decay = judge(days, 0.5);

    for (size_t out = 0; out < DAYS; out++) {
        struct quality_figures figures;

        *sum = (struct quality_day){ 0 };
        for (size_t d = 0; d < DAYS; d++)
            if (d != out)
                quality_day_merge(sum, &days[d]);
        quality_realised(&figures, sum, ACTION_CHALLENGE);
        values[out] = figures.values[QUALITY_average_precision];
        mean += values[out] / DAYS;
    }
    for (size_t d = 0; d < DAYS; d++)
        squares += (values[d] - mean) * (values[d] - mean);
    cr_assert_float_eq(decay.error, sqrt(squares * (DAYS - 1) / DAYS), 1e-12);
    mem_free(sum);
    mem_free(days);
}

Test(decay, nothing_is_tested_without_a_promise_or_with_few_frauds)
{
    struct random r = { 7 };
    struct quality_day *days = some_days(&r, 0);
    const struct quality_day *one[1] = { &days[0] };
    struct quality_promise promise = { 0.9, (double)NAN };
    struct quality_decay decay;

    cr_assert_not(judge(days, (double)NAN).is_tested);
    quality_decay(&decay, one, 1, &promise, &quality_decay_default);
    cr_assert_not(decay.is_tested, "one day says nothing of how days differ");
    mem_free(days);
}
