/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "featurestore/ledger.h"

TestSuite(ledger, .timeout = 120);

static bool is_before(const void *context, const struct ledger_entry *entry)
{
    return entry->at_us < *(const int64_t *)context;
}

static void id_of(uint64_t n, uint64_t id[2])
{
    id[0] = n * UINT64_C(0x9e3779b97f4a7c15);
    id[1] = n;
}

/* Adds `count` entries, whose times rise by one; what is more than `held` behind is old. */
static void add_in_turn(struct ledger *l, int64_t from, int64_t count, int64_t held)
{
    for (int64_t i = from; i < from + count; i++) {
        int64_t old = i - held;
        uint64_t id[2];

        id_of((uint64_t)i, id);
        ledger_sweep(l, is_before, &old);
        ledger_add(l, id)->at_us = i;
    }
}

Test(ledger, finds_every_entry_that_is_not_old_and_no_other)
{
    struct ledger l;
    uint64_t id[2];

    ledger_init(&l, 2);
    add_in_turn(&l, 0, 50000, 1000);
    for (int64_t i = 49000; i < 50000; i++) {
        id_of((uint64_t)i, id);
        cr_assert_not_null(ledger_find(&l, id));
        cr_assert_eq(ledger_find(&l, id)->at_us, i);
    }
    for (int64_t i = 0; i < 48000; i++) {
        id_of((uint64_t)i, id);
        cr_assert_null(ledger_find(&l, id));
    }
    ledger_release(&l);
}

Test(ledger, uses_the_places_of_old_entries_again)
{
    struct ledger l;

    ledger_init(&l, 2);
    add_in_turn(&l, 0, 200000, 1000);
    cr_assert_lt(l.count, 1100);
    cr_assert_lt(l.places, 1200);
    ledger_release(&l);
}

Test(ledger, forgets_old_entries_behind_some_that_are_never_old)
{
    struct ledger l;
    uint64_t id[2];

    ledger_init(&l, 0);
    for (uint64_t i = 0; i < 100; i++) {
        id_of(1000000 + i, id);
        ledger_add(&l, id)->at_us = INT64_MAX;
    }
    add_in_turn(&l, 0, 200000, 1000);
    cr_assert_lt(l.count, 10000);
    for (uint64_t i = 0; i < 100; i++) {
        id_of(1000000 + i, id);
        cr_assert_not_null(ledger_find(&l, id));
    }
    ledger_release(&l);
}
