/* SPDX-License-Identifier: Apache-2.0 */
#include "said.h"

#include <criterion/criterion.h>

#include "cel/cel.h"

/* Two zones: one that is always 90 minutes east, one that is not there. */
static bool zone(void *context, struct slice name, int64_t at_s, int32_t *offset_s)
{
    (void)context;
    (void)at_s;
    *offset_s = 5400;
    return slice_eq_str(name, "Far/East");
}

static void ignore(void *context, const struct cel_step *step)
{
    (void)context;
    (void)step;
}

/* Explaining makes every call when it evaluates, so what was made with the program must be the same. */
static void expect_as_evaluated_late(const struct cel_program *program, const struct cel_input *input,
                                     struct cel_value value)
{
    struct cel_value late = cel_explain(program, input, ignore, NULL);
    struct buf a = { 0 }, b = { 0 };

    cel_value_print(value, &a);
    cel_value_print(late, &b);
    cr_expect_eq(value.kind, late.kind, "%.*s", SLICE_ARG(cel_text(program)));
    cr_expect_str_eq(buf_str(&a), buf_str(&b), "%.*s", SLICE_ARG(cel_text(program)));
    if (value.kind == CEL_ERROR && late.kind == CEL_ERROR)
        cr_expect_eq(value.error.at, late.error.at, "%.*s", SLICE_ARG(cel_text(program)));
    buf_release(&a);
    buf_release(&b);
}

const char *said_of(const char *text)
{
    static struct buf out;
    static struct arena arena;
    struct cel_value value;
    struct cel_input input = { .arena = &arena, .zone = zone };
    struct cel_env env = { .dialect = CEL_STANDARD };
    struct cel_program *program;
    struct why why = { 0 };

    buf_clear(&out);
    arena_reset(&arena);
    if (cel_compile(&program, slice_str(text), &env, &why)) {
        buf_add_str(&out, why.text);
        return buf_str(&out);
    }
    value = cel_eval(program, &input);
    cel_value_print(value, &out);
    expect_as_evaluated_late(program, &input, value);
    cel_free(program);
    return buf_str(&out);
}

void said_all(const struct said *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *is = said_of(cases[i].text);
        size_t len = strlen(cases[i].result);
        bool is_start = len && cases[i].result[len - 1] == '~'; /* a fault's first words */

        cr_expect(is_start ? strncmp(is, cases[i].result, len - 1) == 0 : strcmp(is, cases[i].result) == 0,
                  "%s\n  is     %s\n  wanted %s", cases[i].text, is, cases[i].result);
    }
}
