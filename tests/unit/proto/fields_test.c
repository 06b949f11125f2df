/* SPDX-License-Identifier: Apache-2.0
 * fields_test.c - the fields of a packed message, one after the other, as protobuf-c packed them. */
#include <criterion/criterion.h>

#include "proto/assay.pb-c.h"
#include "proto/fields.h"

Test(proto_fields, are_those_that_were_packed)
{
    Assay__V1__Label label = ASSAY__V1__LABEL__INIT;
    uint8_t bytes[256];
    struct proto_field f;
    struct slice rest;
    size_t seen = 0;

    label.account = 300;
    label.transaction_id = (char *)(uintptr_t) "t-77";
    label.is_fraud = true;
    label.labelled_at_us = -123456789012345;
    rest = slice_of(bytes, assay__v1__label__pack(&label, bytes));
    while (proto_next(&rest, &f)) {
        seen++;
        if (f.number == 1)
            cr_assert_eq(f.value, 300);
        else if (f.number == 2)
            cr_assert(f.kind == PROTO_BYTES && slice_eq_str(f.bytes, "t-77"));
        else if (f.number == 3)
            cr_assert_eq(f.value, 1);
        else
            cr_assert(f.number == 5 && proto_signed(f.value) == -123456789012345);
    }
    cr_assert_eq(rest.len, 0);
    cr_assert_eq(seen, 4, "zeros are not packed");
}

Test(proto_fields, end_where_the_bytes_are_none)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        { "\x0a\x05"
          "ab",
          4 },                                                  /* a text that is cut short */
        { "\x08\x80", 2 },                                      /* a number that goes on */
        { "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* beyond 64 bits */
        { "\x0b", 1 },                                          /* a group */
        { "\x00\x01", 2 },                                      /* field 0 */
        { "\x0d\x01\x02", 3 },                                  /* four bytes, of which two are there */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice rest = slice_of(cases[i].bytes, cases[i].len);
        struct proto_field f;

        cr_assert(!proto_next(&rest, &f), "case %zu", i);
        cr_assert_eq(rest.len, cases[i].len, "case %zu", i);
    }
}
