/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../services/cli/conformance.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum conformance_outcome seen[8];
static size_t count;

static void note(void *context, const struct conformance_test *test)
{
    (void)context;
    seen[count++] = test->outcome;
}

static enum conformance_outcome run(const char *test)
{
    char file[1024];
    struct why why = { 0 };

    count = 0;
    snprintf(file, sizeof file, "name: 'f' section { name: 's' test { name: 't' %s } }", test);
    cr_assert_eq(conformance_run(slice_str(file), NULL, NULL, note, NULL, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(count, 1);
    return seen[0];
}

Test(conformance, passes_what_comes_out_exactly)
{
    cr_expect_eq(run("expr: '1 + 1' value { int64_value: 2 }"), CONFORMANCE_PASSED);
    cr_expect_eq(run("expr: '1 + 1' value { uint64_value: 2 }"), CONFORMANCE_FAILED);
    cr_expect_eq(run("expr: '1 == 1'"), CONFORMANCE_PASSED); /* without a value, true */
    cr_expect_eq(run("expr: '1 == 2'"), CONFORMANCE_FAILED);
    cr_expect_eq(run("expr: '0.0 / 0.0' value { double_value: nan }"), CONFORMANCE_PASSED);
    cr_expect_eq(run("expr: '1 +' value { int64_value: 1 }"), CONFORMANCE_FAILED);
    cr_expect_eq(run("expr: '1' value { int64_value {} }"), CONFORMANCE_FAILED);
    cr_expect_eq(
        run("expr: '{1: [true], 2: []}' value { map_value { entries { key { int64_value: 2 } value { "
            "list_value {} } } entries { key { int64_value: 1 } value { list_value { values { bool_value: "
            "true } } } } } }"),
        CONFORMANCE_PASSED);
}

Test(conformance, passes_errors_that_are_expected)
{
    cr_expect_eq(run("expr: '1 / 0' eval_error { errors { message: 'x' } }"), CONFORMANCE_PASSED);
    cr_expect_eq(run("expr: 'nobody' eval_error {}"), CONFORMANCE_PASSED);
    cr_expect_eq(run("expr: '1' eval_error {}"), CONFORMANCE_FAILED);
    cr_expect_eq(run("expr: '1 +' eval_error {}"), CONFORMANCE_FAILED); /* no expression at all */
    cr_expect_eq(run("expr: '1 / 0' value { int64_value: 0 }"), CONFORMANCE_FAILED);
}

Test(conformance, declares_names_functions_and_containers)
{
    cr_expect_eq(
        run("expr: 'x.y' container: 'a' type_env { name: 'a.x' ident { type { map_type { key_type { "
            "primitive: STRING } value_type { primitive: INT64 } } } } } bindings { key: 'a.x' value { value "
            "{ map_value { entries { key { string_value: 'y' } value { int64_value: 7 } } } } } } "
            "typed_result { result { int64_value: 7 } deduced_type { primitive: INT64 } }"),
        CONFORMANCE_PASSED);
    cr_expect_eq(run("expr: 'f([1])' check_only: true type_env { name: 'f' function { overloads { params { "
                     "list_type { elem_type { type_param: 'T' } } } result_type { type_param: 'T' } } } } "
                     "typed_result { deduced_type { primitive: INT64 } }"),
                 CONFORMANCE_PASSED);
    cr_expect_eq(
        run("expr: '[1, 2.5]' check_only: true typed_result { deduced_type { list_type { elem_type { "
            "primitive: INT64 } } } }"),
        CONFORMANCE_FAILED);
}

Test(conformance, skips_what_needs_messages_or_partial_inputs)
{
    cr_expect_eq(run("expr: 'a.B{c: 1}' value { int64_value: 1 }"), CONFORMANCE_SKIPPED);
    cr_expect_eq(run("expr: 'x' type_env { name: 'x' ident { type { message_type: 'a.B' } } }"),
                 CONFORMANCE_SKIPPED);
    cr_expect_eq(run("expr: '1' value { object_value { [type.googleapis.com/a.B] {} } }"),
                 CONFORMANCE_SKIPPED);
    cr_expect_eq(run("expr: '1' value { enum_value { value: 1 } }"), CONFORMANCE_SKIPPED);
    cr_expect_eq(run("expr: '1' unknown {}"), CONFORMANCE_SKIPPED);
}

Test(conformance, refuses_what_is_no_such_file)
{
    struct why why = { 0 };

    cr_assert_eq(conformance_run(SLICE("section {"), NULL, NULL, note, NULL, &why), ERR_SYNTAX);
    cr_assert_str_eq(why.text, "line 1: a message has no end");
}
