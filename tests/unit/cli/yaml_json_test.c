/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../services/cli/yaml_json.h"

#include <criterion/criterion.h>

#include "base/array.h"

Test(yaml_json, keeps_kinds_and_text)
{
    static const struct {
        const char *yaml, *json;
    } cases[] = {
        { "a: 1\nb: [true, 1.5, null, ~]\n", "{\"a\":1,\"b\":[true,1.5,null,null]}" },
        { "a: '1'\nb: \"true\"\n", "{\"a\":\"1\",\"b\":\"true\"}" },
        { "when: tx.amount > 5 && tx.mcc in [\"5732\"]\n",
          "{\"when\":\"tx.amount > 5 && tx.mcc in [\\\"5732\\\"]\"}" },
        { "when: >-\n  a &&\n  b\n", "{\"when\":\"a && b\"}" },
        { "{\"rules\": [{\"id\": \"a\"}]}", "{\"rules\":[{\"id\":\"a\"}]}" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        struct why why = { 0 };

        buf_init(&out, 1000);
        cr_expect_eq(yaml_to_json(&out, slice_str(cases[i].yaml), &why), ERR_OK, "%s", why.text);
        cr_expect_str_eq(buf_str(&out), cases[i].json);
        buf_release(&out);
    }
}

Test(yaml_json, refuses_what_is_not_yaml_or_too_much)
{
    static const struct {
        const char *yaml;
        enum err err;
    } cases[] = {
        { "", ERR_SYNTAX },
        { "a: [1", ERR_SYNTAX },
        { "? [a]\n: b\n", ERR_SYNTAX },
        { "[[[[[[[[[[1]]]]]]]]]]", ERR_SYNTAX },
        { "a: &x [1, *x]", ERR_SYNTAX }, /* a list within itself */
        { "a: "
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaa",
          ERR_TOO_LARGE },
        /* each line doubles what the one before stands for */
        { "a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
          "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n",
          ERR_TOO_LARGE },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        struct why why = { 0 };

        buf_init(&out, 100);
        cr_expect_eq(yaml_to_json(&out, slice_str(cases[i].yaml), &why), cases[i].err, "%s: %s",
                     cases[i].yaml, why.text);
        buf_release(&out);
    }
}
