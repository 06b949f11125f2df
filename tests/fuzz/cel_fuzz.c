/* SPDX-License-Identifier: Apache-2.0
 * cel_fuzz.c - any text: compiling refuses or yields a program that evaluates within its limits, can be told part
 * by part, and whose canonical print compiles to the same print. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "cel/cel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every plain name is known; its first letter says its kind. */
static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    static const enum cel_kind kinds[] = { CEL_DOUBLE, CEL_STRING, CEL_DYN, CEL_BOOL,      CEL_INT,
                                           CEL_UINT,   CEL_LIST,   CEL_MAP, CEL_TIMESTAMP, CEL_DURATION };

    (void)context;
    out->slot = (uint32_t)((unsigned char)name.ptr[0] % ARRAY_LEN(kinds));
    out->kind = kinds[out->slot];
    return true;
}

static bool resolve_double(void *context, struct slice name, struct cel_name *out)
{
    (void)context;
    *out = (struct cel_name){ (uint32_t)name.len % 4, CEL_DOUBLE };
    return true;
}

static struct cel_value in_list(void *context, const struct cel_value *args)
{
    (void)context;
    return cel_bool(slice_eq(args[0].s, args[1].s));
}

static const struct cel_function functions[] = {
    { "in_list", CEL_BOOL, 2, { CEL_STRING, CEL_STRING }, in_list, 1 }
};

static bool zone(void *context, struct slice name, int64_t at_s, int32_t *offset_s)
{
    (void)context;
    *offset_s = (int32_t)(at_s % 86400);
    return name.len > 2;
}

static void count_step(void *context, const struct cel_step *step)
{
    *(size_t *)context += step->text.len;
}

static void check_print(const struct cel_program *program, const struct cel_env *env)
{
    struct cel_program *again;
    struct buf once, twice;
    struct why why = { 0 };

    buf_init(&once, 0);
    buf_init(&twice, 0);
    cel_print(program, &once);
    /* The print may be longer than what was typed, and then too long. */
    if (once.len <= CEL_TEXT_MAX && !cel_compile(&again, buf_slice(&once), env, &why)) {
        cel_print(again, &twice);
        if (!slice_eq(buf_slice(&once), buf_slice(&twice)))
            abort();
        cel_free(again);
    } else if (once.len <= CEL_TEXT_MAX && !strstr(why.text, "nesting")) {
        abort();
    }
    buf_release(&once);
    buf_release(&twice);
}

static void try(const uint8_t *data, size_t size, enum cel_dialect dialect)
{
    static const struct cel_value items[] = { { .kind = CEL_INT, .i = 1 },
                                              { .kind = CEL_STRING, .s = { "b", 1 } } };
    const struct cel_value slots[] = {
        cel_double(1.5),
        cel_string(SLICE("b")),
        cel_error(CEL_FAULT_MISSING),
        cel_bool(true),
        cel_int(-7),
        cel_uint(9),
        { .kind = CEL_LIST, .list = { items, 2 } },
        { .kind = CEL_MAP, .list = { items, 1 } },
        { .kind = CEL_TIMESTAMP, .time = { 1700000000, 5 } },
        { .kind = CEL_DURATION, .i = -1500000000 },
    };
    const double numbers[] = { 1.5, NAN, -3, 1e300 };
    struct cel_env env = {
        .resolve = resolve, .functions = functions, .function_count = 1, .dialect = dialect
    };
    struct cel_program *program;
    struct arena arena = { 0 };
    struct buf out;
    struct why why;

    if (!cel_compile(&program, slice_of(data, size), &env, &why)) {
        const struct cel_input input = {
            .slots = slots, .arena = &arena, .steps_max = 100000, .room_max = 100000, .zone = zone
        };
        struct cel_value value = cel_eval(program, &input), told;
        size_t texts = 0;

        buf_init(&out, 1 << 16);
        cel_value_print(value, &out);
        cel_eval(program, &(struct cel_input){ .slots = slots, .steps_max = 100000 });
        told = cel_explain(program, &input, count_step, &texts);
        if (told.kind != value.kind && told.kind != CEL_ERROR && value.kind != CEL_ERROR)
            abort();
        check_print(program, &env);
        buf_release(&out);
        cel_free(program);
    }
    env.resolve = resolve;
    env.is_unchecked = true;
    env.container = "a.b";
    if (!cel_compile(&program, slice_of(data, size), &env, &why)) {
        cel_eval(program, &(struct cel_input){
                              .slots = slots, .arena = &arena, .steps_max = 100000, .room_max = 100000 });
        cel_free(program);
    }
    env.is_unchecked = false;
    env.container = NULL;
    env.resolve = resolve_double;
    if (!cel_compile(&program, slice_of(data, size), &env, &why)) {
        cel_eval_number(program, numbers);
        cel_free(program);
    }
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try(data, size, CEL_STANDARD);
    try(data, size, CEL_ASSAY);
    return 0;
}
