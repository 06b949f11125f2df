/* SPDX-License-Identifier: Apache-2.0
 * lanes_test.c - keys that take turns. */
#include <criterion/criterion.h>

#include "../../../services/ingestion/lanes.h"

enum { ITEMS = 64 };

static struct lanes l;
static struct laned items[ITEMS];
static int numbers[ITEMS];

static void setup(void)
{
    lanes_init(&l);
    for (int i = 0; i < ITEMS; i++) {
        numbers[i] = i;
        items[i].owner = &numbers[i];
    }
}

static int number(const struct laned *item)
{
    return item ? *(const int *)item->owner : -1;
}

static bool is_even(void *ctx, void *owner)
{
    (void)ctx;
    return *(const int *)owner % 2 == 0;
}

static bool is_below(void *ctx, void *owner)
{
    return *(const int *)owner < *(const int *)ctx;
}

TestSuite(lanes, .init = setup, .timeout = 120);

Test(lanes, keeps_the_order_of_one_key)
{
    for (int i = 0; i < 5; i++)
        lanes_add(&l, 7, &items[i]);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(number(lanes_take(&l)), i);
    cr_expect_null(lanes_take(&l));
    lanes_add(&l, 7, &items[9]);
    cr_expect_eq(number(lanes_take(&l)), 9, "also after it was empty");
}

Test(lanes, lets_a_newcomer_wait_for_one_of_a_flood_only)
{
    for (int i = 0; i < 50; i++)
        lanes_add(&l, 1, &items[i]);
    lanes_add(&l, 2, &items[50]);
    lanes_add(&l, 3, &items[51]);
    cr_expect_eq(number(lanes_take(&l)), 0);
    cr_expect_eq(number(lanes_take(&l)), 50);
    cr_expect_eq(number(lanes_take(&l)), 51);
    cr_expect_eq(number(lanes_take(&l)), 1);
    cr_expect_eq(number(lanes_take(&l)), 2);
    cr_expect_eq(l.waiting, 47);
}

Test(lanes, says_how_many_are_taken_first)
{
    size_t before;

    for (int i = 0; i < 10; i++)
        lanes_add(&l, 1, &items[i]);
    for (int i = 10; i < 13; i++)
        lanes_add(&l, 2, &items[i]);
    cr_expect_eq(lanes_before(&l, 1, 1), 13, "its own ten and all of the others");
    cr_expect_eq(lanes_before(&l, 3, 1), 2, "one of each");
    before = lanes_before(&l, 2, 4);
    cr_expect_eq(before, 13, "%zu: six of its own and seven of the flood's", before);
    for (int i = 13; i < 17; i++)
        lanes_add(&l, 2, &items[i]);
    for (size_t taken = 0;; taken++) {
        if (number(lanes_take(&l)) != 16)
            continue;
        cr_expect_leq(taken, before, "%zu", taken);
        cr_expect_geq(taken + 1, before, "%zu", taken);
        break;
    }
}

Test(lanes, gives_up_those_at_the_heads_and_keeps_the_turns)
{
    int limit = 3;
    struct laned *gone;

    for (int i = 0; i < 6; i++)
        lanes_add(&l, 1, &items[i]);
    for (int i = 10; i < 13; i++)
        lanes_add(&l, 2, &items[i]);
    gone = lanes_take_if(&l, is_below, &limit);
    cr_expect_eq(number(gone), 0);
    cr_expect_eq(number(gone->next), 1);
    cr_expect_eq(number(gone->next->next), 2);
    cr_expect_null(gone->next->next->next);
    gone = lanes_take_if(&l, is_even, NULL);
    cr_expect_eq(number(gone), 10, "three stands before four");
    cr_expect_null(gone->next);
    cr_expect_eq(number(lanes_take(&l)), 3);
    cr_expect_eq(number(lanes_take(&l)), 11);
    limit = 100;
    for (gone = lanes_take_if(&l, is_below, &limit); gone; gone = gone->next)
        cr_expect_neq(number(gone), 3);
    cr_expect_eq(l.waiting, 0);
    cr_expect_eq(l.used, 0);
    lanes_add(&l, 2, &items[0]);
    cr_expect_eq(number(lanes_take(&l)), 0);
}
