/* SPDX-License-Identifier: Apache-2.0
 * regex_fuzz.c - any pattern, and behind its first NUL any text: refused, found, not found or out of steps, and
 * never more than the steps that were given; as a literal the same as when it is known late. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "cel/cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    (void)context;
    *out = (struct cel_name){ slice_eq_str(name, "pattern"), CEL_STRING };
    return true;
}

static struct cel_value search(const char *expression, const struct cel_value *slots, struct arena *arena)
{
    struct cel_env env = { .resolve = resolve };
    struct cel_program *program;
    struct why why;
    struct cel_value value = cel_error(CEL_FAULT_REGEX);

    if (!cel_compile(&program, slice_str(expression), &env, &why)) {
        value = cel_eval(program, &(struct cel_input){ .slots = slots, .arena = arena, .steps_max = 100000 });
        cel_free(program);
    }
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t len = nul ? (size_t)(nul - data) : size;
    struct slice pattern = slice_of(data, len), text = nul ? slice_of(nul + 1, size - len - 1) : SLICE("");
    const struct cel_value slots[] = { cel_string(text), cel_string(pattern) };
    struct arena arena = { 0 };
    struct cel_value late;
    char expression[8192];

    if (!slice_is_utf8(pattern) || !slice_is_utf8(text) || len > 4096)
        return 0;
    late = search("text.matches(pattern)", slots, &arena);
    if (late.kind != CEL_BOOL && late.kind != CEL_ERROR)
        abort();
    if (len && !memchr(pattern.ptr, '"', len) && pattern.ptr[len - 1] != '\\' && late.kind == CEL_BOOL) {
        struct cel_value literal;
        int used =
            snprintf(expression, sizeof expression, "text.matches(r\"\"\"%.*s\"\"\")", SLICE_ARG(pattern));

        literal = search(expression, slots, &arena);
        if (used < (int)sizeof expression && !memchr(pattern.ptr, '\r', len) &&
            (literal.kind != CEL_BOOL || literal.b != late.b))
            abort();
    }
    arena_release(&arena);
    return 0;
}
