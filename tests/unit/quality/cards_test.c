/* SPDX-License-Identifier: Apache-2.0 */
#include "quality/cards.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "stats/ranking.h"

enum { DAYS = 6, ROWS = 4000, CUSTOMERS = 150 };

static uint64_t state = 42;

static double draw(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / (double)(UINT64_C(1) << 53);
}

struct row {
    double score;
    int64_t customer;
    uint8_t label;
};

static int by_falling_score(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return (x->score < y->score) - (x->score > y->score);
}

static int rising(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Day after day, against the kernel that holds all of them at once. */
Test(cards, day_after_day_they_are_what_all_days_at_once_are)
{
    static double scores[ROWS];
    static uint8_t labels[ROWS];
    static int64_t days[ROWS], customers[ROWS];
    static struct row rows[ROWS];
    static struct quality_cards cards;
    uint64_t found[DAYS * 20];
    size_t found_count = 0;
    double per_day[DAYS];

    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = draw() < 0.05;
        scores[i] = draw() + (labels[i] ? 0.3 : 0);
        days[i] = (int64_t)(i * DAYS / ROWS);
        customers[i] = (int64_t)(draw() * CUSTOMERS);
    }
    card_precision_at_k(scores, labels, days, customers, ROWS, 20, per_day);
    for (int64_t d = 0; d < DAYS; d++) {
        size_t n = 0;

        for (size_t i = 0; i < ROWS; i++)
            if (days[i] == d)
                rows[n++] = (struct row){ scores[i], customers[i], labels[i] };
        qsort(rows, n, sizeof *rows, by_falling_score);
        qsort(found, found_count, sizeof *found, rising);
        quality_cards_init(&cards, 20, found, found_count);
        for (size_t i = 0; i < n && quality_cards_offer(&cards, (uint64_t)rows[i].customer); i++)
            ;
        for (size_t i = 0; i < n; i++)
            if (rows[i].label)
                quality_cards_fraud(&cards, (uint64_t)rows[i].customer);
        cr_assert_float_eq(quality_cards_precision(&cards), per_day[d], 1e-12, "day %d", (int)d);
        cr_assert_gt(cards.found, 0);
        for (size_t i = 0; i < cards.count; i++)
            if (cards.is_fraud[i])
                found[found_count++] = cards.customers[i];
    }
}

Test(cards, of_a_day_without_rows_nothing_is_known)
{
    static struct quality_cards cards;

    quality_cards_init(&cards, 5, NULL, 0);
    cr_assert(isnan(quality_cards_precision(&cards)));
    cr_assert(quality_cards_offer(&cards, 7));
    quality_cards_fraud(&cards, 8);
    quality_cards_fraud(&cards, 7);
    quality_cards_fraud(&cards, 7);
    cr_assert_float_eq(quality_cards_precision(&cards), 0.2, 1e-12,
                       "one of the five that could be looked at");
}
