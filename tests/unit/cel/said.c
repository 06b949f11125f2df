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

const char *said_of(const char *text)
{
    static struct buf out;
    static struct arena arena;
    struct cel_env env = { .dialect = CEL_STANDARD };
    struct cel_program *program;
    struct why why = { 0 };

    buf_clear(&out);
    arena_reset(&arena);
    if (cel_compile(&program, slice_str(text), &env, &why)) {
        buf_add_str(&out, why.text);
        return buf_str(&out);
    }
    cel_value_print(cel_eval(program, &(struct cel_input){ .arena = &arena, .zone = zone }), &out);
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
