/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/list.h"

#include <arpa/inet.h>
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

/* ---- against the plainest thing that could do the same ---- */

enum { VALUES = 400, STEPS = 20000 };

static int64_t expiries[VALUES]; /* 0: not there */

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * below) >> 32);
}

Test(list, changes_as_a_table_of_expiries_does)
{
    struct list *list = list_over(TXN_card_id);
    uint32_t seed = 7;
    size_t count = 0, largest = 0;
    char value[32];
    struct why why;

    for (int step = 0; step < STEPS; step++) {
        uint32_t i = draw(&seed, VALUES);
        int64_t expiry = draw(&seed, 3) ? 1 + draw(&seed, 100) : LIST_NO_EXPIRY;

        snprintf(value, sizeof value, "%.*s%u", (int)(i % 20), "abcdefghijklmnopqrst", i);
        if (draw(&seed, 2)) {
            cr_assert_eq(list_put(list, slice_str(value), expiry, &why), ERR_OK);
            count += expiries[i] == 0;
            expiries[i] = expiry;
        } else {
            cr_assert_eq(list_remove(list, slice_str(value)), expiries[i] != 0);
            count -= expiries[i] != 0;
            expiries[i] = 0;
        }
        cr_assert_eq(list_count(list), count);
        i = draw(&seed, VALUES);
        snprintf(value, sizeof value, "%.*s%u", (int)(i % 20), "abcdefghijklmnopqrst", i);
        cr_assert_eq(list_has(list, slice_str(value), 50), expiries[i] > 50);
        if (step == STEPS / 2)
            largest = list_bytes(list);
    }
    cr_assert_leq(list_bytes(list), largest + largest / 2, "what was removed is used again");
    list_unref(list);
}

/* Whether the address lies in the network, bit by bit. */
static bool is_within(const unsigned char a[16], const unsigned char n[16], int prefix)
{
    for (int bit = 0; bit < prefix; bit++)
        if ((a[bit / 8] >> (7 - bit % 8) & 1) != (n[bit / 8] >> (7 - bit % 8) & 1))
            return false;
    return true;
}

Test(list, finds_the_addresses_that_lie_in_its_networks_and_no_others)
{
    enum { NETWORKS = 60, PROBES = 3000 };
    static unsigned char networks[NETWORKS][16];
    static int prefixes[NETWORKS];
    struct list *list = list_over(TXN_ip);
    uint32_t seed = 11;
    char text[64], address[INET6_ADDRSTRLEN];

    for (int i = 0; i < NETWORKS; i++) {
        prefixes[i] = (int)draw(&seed, 38) + (i % 2 ? 90 : 0);
        for (int j = 0; j < 16; j++)
            networks[i][j] = (unsigned char)(j < 2 ? 0x20 : draw(&seed, 4));
        for (int bit = prefixes[i]; bit < 128; bit++)
            networks[i][bit / 8] &= (unsigned char)~(1 << (7 - bit % 8));
        inet_ntop(AF_INET6, networks[i], address, sizeof address);
        snprintf(text, sizeof text, "%s/%d", address, prefixes[i]);
        put(list, text);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PROBES; i++) {
            unsigned char probe[16];
            bool is_in = false;
            const unsigned char *near = networks[draw(&seed, NETWORKS)];

            for (int j = 0; j < 16; j++)
                probe[j] = draw(&seed, 3) ? near[j] : (unsigned char)draw(&seed, 4);
            for (int j = round ? NETWORKS / 2 : 0; j < NETWORKS && !is_in; j++)
                is_in = is_within(probe, networks[j], prefixes[j]);
            inet_ntop(AF_INET6, probe, address, sizeof address);
            cr_assert_eq(has(list, address), is_in, "%s", address);
        }
        for (int i = 0; round == 0 && i < NETWORKS / 2; i++) {
            bool again = false;

            for (int j = NETWORKS / 2; j < NETWORKS; j++)
                again |= prefixes[i] == prefixes[j] && memcmp(networks[i], networks[j], 16) == 0;
            inet_ntop(AF_INET6, networks[i], address, sizeof address);
            snprintf(text, sizeof text, "%s/%d", address, prefixes[i]);
            if (!again)
                list_remove(list, slice_str(text));
        }
    }
    list_unref(list);
}

Test(list, every_value_has_one_spelling)
{
    static const struct {
        enum list_type type;
        const char *value, *spelling; /* NULL: refused */
    } cases[] = {
        { LIST_OF_ADDRESSES, "192.0.2.7", "192.0.2.7" },
        { LIST_OF_ADDRESSES, "192.0.2.7/24", "192.0.2.0/24" },
        { LIST_OF_ADDRESSES, "192.0.2.7/32", "192.0.2.7" },
        { LIST_OF_ADDRESSES, "::ffff:192.0.2.7", "192.0.2.7" },
        { LIST_OF_ADDRESSES, "0.0.0.0/0", "0.0.0.0/0" },
        { LIST_OF_ADDRESSES, "2001:DB8:0:0::1/32", "2001:db8::/32" },
        { LIST_OF_ADDRESSES, "2001:db8::1/128", "2001:db8::1" },
        { LIST_OF_ADDRESSES, "192.0.2.07", NULL },
        { LIST_OF_ADDRESSES, "192.0.2", NULL },
        { LIST_OF_ADDRESSES, "192.0.2.7/33", NULL },
        { LIST_OF_ADDRESSES, "10.0.0.0/ 8", NULL },
        { LIST_OF_NUMBERS, "007.50", "7.5" },
        { LIST_OF_NUMBERS, "-0", "0" },
        { LIST_OF_NUMBERS, "1e3", "1000" },
        { LIST_OF_NUMBERS, "x", NULL },
        { LIST_OF_NUMBERS, "inf", NULL },
        { LIST_OF_STRINGS, " a ", " a " },
        { LIST_OF_STRINGS, "", NULL },
        { LIST_OF_STRINGS, "\xff", NULL },
    };
    char out[LIST_VALUE_MAX + 1];
    size_t len;
    struct why why;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum err err = list_canonical(cases[i].type, slice_str(cases[i].value), out, &len, &why);

        cr_expect_eq(err, cases[i].spelling ? ERR_OK : ERR_INVALID, "%s", cases[i].value);
        if (!err && cases[i].spelling) {
            cr_expect_str_eq(out, cases[i].spelling);
            cr_expect_eq(len, strlen(out));
        }
    }
}

Test(list, a_list_of_numbers_knows_a_number_however_it_is_written)
{
    struct list *list = list_new_of(LIST_OF_NUMBERS, 0, SLICE("n"), LIST_NAMED, TXN_TEXT_COUNT);

    put(list, "12");
    cr_assert_not(list_has_aliases(list));
    cr_assert(list_has_number(list, 12, 0));
    cr_assert(has(list, "12.0") && !has(list, "x") && !list_has_number(list, 12.5, 0));
    put(list, "+0.50");
    cr_assert(list_has_aliases(list));
    cr_assert(list_remove(list, SLICE("0.5")));
    cr_assert_eq(list_count(list), 1);
    list_unref(list);
}

Test(list, a_million_entries_take_the_memory_that_is_promised)
{
    struct list *list = list_over(TXN_card_id);
    char value[32];
    struct why why;

    for (int i = 0; i < 1000000; i++) {
        snprintf(value, sizeof value, "tok_%012d", i);
        put(list, value);
    }
    cr_assert_eq(list_count(list), 1000000);
    cr_assert(has(list, "tok_000000999999") && !has(list, "tok_000001000000"));
    cr_assert_leq(list_bytes(list), 45 * 1000000, "%zu", list_bytes(list));
    for (int i = 1000000; i < LIST_ENTRIES_MAX; i++) {
        snprintf(value, sizeof value, "tok_%012d", i);
        put(list, value);
    }
    cr_assert_eq(list_add(list, SLICE("one more"), LIST_NO_EXPIRY, &why), ERR_TOO_LARGE);
    list_unref(list);
}
