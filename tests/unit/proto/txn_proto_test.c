/* SPDX-License-Identifier: Apache-2.0
 * txn_proto_test.c - what goes into the log comes out of it. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/array.h"
#include "proto/txn_proto.h"

static struct arena arena;

static void teardown(void)
{
    arena_release(&arena);
}

TestSuite(txn_proto, .fini = teardown);

static struct txn sample(struct txn_attribute attributes[3])
{
    struct txn t = {
        .account = 7,
        .id = SLICE("t-1"),
        .occurred_at_us = -5,
        .known_at_us = INT64_MAX,
        .amount_minor = -1999,
        .currency = SLICE("EUR"),
        .amount_base_minor = 2150,
        .has_place = true,
        .lat = 52.5,
        .lon = -13.4,
        .attributes = attributes,
        .attribute_count = 3,
    };

    for (size_t i = 0; i < TXN_TEXT_COUNT; i++)
        t.text[i] = slice_str(txn_text_name((enum txn_text)i));
    attributes[0] = (struct txn_attribute){ .name = SLICE("a"), .kind = ATTRIBUTE_NUMBER, .number = 0.1 };
    attributes[1] = (struct txn_attribute){ .name = SLICE("b"), .kind = ATTRIBUTE_TEXT, .text = SLICE("x") };
    attributes[2] = (struct txn_attribute){ .name = SLICE("c"), .kind = ATTRIBUTE_BOOL, .is_true = true };
    return t;
}

Test(txn_proto, a_packed_transaction_unpacks_to_the_same)
{
    struct txn_attribute attributes[3];
    struct txn t = sample(attributes), again;
    struct why why = { 0 };

    cr_assert_eq(txn_unpack(&again, txn_pack(&t, &arena), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(again.account, t.account);
    cr_assert(slice_eq(again.id, t.id));
    cr_assert_eq(again.occurred_at_us, t.occurred_at_us);
    cr_assert_eq(again.known_at_us, t.known_at_us);
    cr_assert_eq(again.amount_minor, t.amount_minor);
    cr_assert_eq(again.amount_base_minor, t.amount_base_minor);
    cr_assert(again.has_place && again.lat == t.lat && again.lon == t.lon);
    for (size_t i = 0; i < TXN_TEXT_COUNT; i++)
        cr_assert(slice_eq(again.text[i], t.text[i]), "%s", txn_text_name((enum txn_text)i));
    cr_assert_eq(again.attribute_count, 3);
    cr_assert_eq(again.attributes[0].number, 0.1);
    cr_assert(slice_eq(again.attributes[1].text, SLICE("x")));
    cr_assert(again.attributes[2].is_true);
    cr_assert_eq(txn_attribute_find(&again, SLICE("b")), &again.attributes[1]);
    cr_assert_null(txn_attribute_find(&again, SLICE("bb")));
}

Test(txn_proto, refuses_bytes_that_are_no_transaction_at_every_cut)
{
    struct txn_attribute attributes[3];
    struct txn t = sample(attributes), again;
    struct slice body = txn_pack(&t, &arena);
    struct why why = { 0 };

    for (size_t len = 0; len < body.len; len++) {
        enum err err = txn_unpack(&again, slice_of(body.ptr, len), &arena, &why);

        cr_assert(err == ERR_OK || err == ERR_SYNTAX || err == ERR_INVALID);
    }
    cr_assert_eq(txn_unpack(&again, SLICE("\xFF\xFF\xFF"), &arena, &why), ERR_SYNTAX);
}

Test(txn_proto, refuses_attributes_out_of_order)
{
    struct txn_attribute attributes[3];
    struct txn t = sample(attributes), again;
    struct why why = { 0 };

    attributes[2].name = SLICE("b");
    cr_assert_eq(txn_unpack(&again, txn_pack(&t, &arena), &arena, &why), ERR_INVALID);
}

Test(txn_proto, a_packed_label_unpacks_to_the_same)
{
    struct label l = { .account = 3,
                       .transaction_id = SLICE("t-9"),
                       .is_fraud = true,
                       .source = LABEL_CHARGEBACK,
                       .labelled_at_us = 11,
                       .known_at_us = 12 },
                 again;
    struct why why = { 0 };

    cr_assert_eq(label_unpack(&again, label_pack(&l, &arena), &arena, &why), ERR_OK);
    cr_assert(slice_eq(again.transaction_id, l.transaction_id));
    cr_assert(again.is_fraud && again.source == LABEL_CHARGEBACK);
    cr_assert_eq(again.known_at_us, 12);
}
