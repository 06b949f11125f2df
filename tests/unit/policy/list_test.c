/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/list.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/array.h"

static struct list *list_over(enum txn_text field)
{
    return list_new(1, SLICE("some"), LIST_DENY, field);
}

static void put(struct list *list, const char *value)
{
    struct why why;

    cr_assert_eq(list_add(list, slice_str(value), LIST_NO_EXPIRY, &why), ERR_OK, "%s", why.text);
}

static bool has(const struct list *list, const char *value)
{
    return list_has(list, slice_str(value), 0);
}

Test(list, holds_exactly_what_was_added)
{
    struct list *list = list_over(TXN_card_id);

    put(list, "tok_1");
    put(list, "tok_1");
    put(list, "tok_2");
    cr_assert(has(list, "tok_1"));
    cr_assert(has(list, "tok_2"));
    cr_assert_not(has(list, "tok_"));
    cr_assert_not(has(list, "tok_11"));
    cr_assert_not(has(list, "TOK_1"));
    cr_assert_not(has(list, ""));
    cr_assert_eq(list_count(list), 2);
    cr_assert_eq(list_account(list), 1);
    cr_assert(slice_eq_str(list_name(list), "some"));
    list_unref(list);
}

Test(list, holds_many)
{
    struct list *list = list_over(TXN_device_id);
    char value[32];

    for (int i = 0; i < 50000; i++) {
        snprintf(value, sizeof value, "device-%d", i * 3);
        put(list, value);
    }
    cr_assert_eq(list_count(list), 50000);
    for (int i = 0; i < 150000; i++) {
        snprintf(value, sizeof value, "device-%d", i);
        cr_assert_eq(has(list, value), i % 3 == 0);
    }
    list_unref(list);
}

Test(list, forgets_an_entry_once_it_has_expired)
{
    struct list *list = list_over(TXN_card_id);
    struct why why;

    cr_assert_eq(list_add(list, SLICE("a"), 100, &why), ERR_OK);
    cr_assert(list_has(list, SLICE("a"), 99));
    cr_assert_not(list_has(list, SLICE("a"), 100));
    cr_assert_eq(list_add(list, SLICE("a"), 50, &why), ERR_OK); /* the later one holds */
    cr_assert(list_has(list, SLICE("a"), 99));
    cr_assert_eq(list_add(list, SLICE("a"), 200, &why), ERR_OK);
    cr_assert(list_has(list, SLICE("a"), 199));
    list_unref(list);
}

Test(list, over_addresses_takes_networks)
{
    struct list *list = list_over(TXN_ip);

    put(list, "192.0.2.7");
    put(list, "198.51.100.128/25");
    put(list, "2001:db8::/33");
    put(list, "2001:db8:ffff::1");
    cr_assert(has(list, "192.0.2.7"));
    cr_assert_not(has(list, "192.0.2.8"));
    cr_assert(has(list, "198.51.100.128"));
    cr_assert(has(list, "198.51.100.255"));
    cr_assert_not(has(list, "198.51.100.127"));
    cr_assert(has(list, "::ffff:198.51.100.200")); /* the same address, spelt as IPv6 */
    cr_assert(has(list, "2001:db8::5"));
    cr_assert(has(list, "2001:0db8:0:0::5"));
    cr_assert_not(has(list, "2001:db8:8000::"));
    cr_assert(has(list, "2001:db8:ffff::1"));
    cr_assert_not(has(list, "not an address"));
    cr_assert_not(has(list, ""));

    put(list, "0.0.0.0/0");
    cr_assert(has(list, "203.0.113.1"));
    cr_assert_not(has(list, "2001:db8:8000::"));
    list_unref(list);
}

Test(list, refuses_what_is_no_value)
{
    static const char *const bad[] = { "",          "300.1.1.1", "10.0.0.0/33", "10.0.0.0/-1",
                                       "10.0.0.0/", "::/129",    "10.0.0/8",    "x" };
    struct list *addresses = list_over(TXN_ip), *cards = list_over(TXN_card_id);
    char longest[LIST_VALUE_MAX + 1];
    struct why why;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect_eq(list_add(addresses, slice_str(bad[i]), 1, &why), ERR_INVALID, "%s", bad[i]);
    memset(longest, 'a', sizeof longest);
    cr_assert_eq(list_add(cards, slice_of(longest, LIST_VALUE_MAX + 1), 1, &why), ERR_INVALID);
    cr_assert_eq(list_add(cards, slice_of(longest, LIST_VALUE_MAX), 1, &why), ERR_OK);
    list_unref(addresses);
    list_unref(cards);
}

Test(list, has_purposes_by_name)
{
    cr_assert_eq(list_purpose_find(SLICE("deny")), LIST_DENY);
    cr_assert_eq(list_purpose_find(SLICE("allow")), LIST_ALLOW);
    cr_assert_eq(list_purpose_find(SLICE("named")), LIST_NAMED);
    cr_assert_eq(list_purpose_find(SLICE("block")), LIST_PURPOSE_COUNT);
}
