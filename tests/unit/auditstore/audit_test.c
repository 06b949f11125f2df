/* SPDX-License-Identifier: Apache-2.0
 * What needs no database; the chain itself is in tests/service/dashboard_test.c. */
#include "auditstore/audit.h"

#include <criterion/criterion.h>
#include <jansson.h>

Test(audit, a_row_is_written_with_its_detail_as_json_and_hostile_text_as_text)
{
    struct audit_row row = { .id = 7,
                             .link = 5,
                             .at_us = INT64_C(1767323045000000),
                             .account = SLICE("shop"),
                             .actor = SLICE("<b>\"ann\"</b>"),
                             .action = SLICE("user.add"),
                             .subject = SLICE("line\nbreak"),
                             .detail = SLICE("{\"roles\": [\"lead\"]}") };
    struct buf text;
    struct json_out o;
    json_t *read;

    buf_init(&text, 0);
    o = json_out_to(&text);
    audit_row_write(&o, NULL, &row);
    read = json_loads(buf_str(&text), 0, NULL);
    cr_assert_not_null(read, "%s", buf_str(&text));
    cr_expect_eq(json_integer_value(json_object_get(read, "id")), 7);
    cr_expect_eq(json_integer_value(json_object_get(read, "link")), 5);
    cr_expect_str_eq(json_string_value(json_object_get(read, "actor")), "<b>\"ann\"</b>");
    cr_expect_str_eq(json_string_value(json_object_get(read, "subject")), "line\nbreak");
    cr_expect_eq(json_array_size(json_object_get(json_object_get(read, "detail"), "roles")), 1);
    json_decref(read);
    buf_release(&text);
}
