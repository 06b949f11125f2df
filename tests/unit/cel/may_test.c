/* SPDX-License-Identifier: Apache-2.0
 * may_test.c - what a condition may come to over a range holds every outcome in it, and narrows down with it. */
#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"
#include "cel/cel.h"
#include "stats/interval.h"

enum { X, Y, GONE, NAMED };

static bool resolve(void *context, struct slice name, struct cel_name *out)
{
    static const char *const names[] = { [X] = "x", [Y] = "y", [GONE] = "gone" };

    (void)context;
    for (uint32_t i = 0; i < NAMED; i++) {
        if (slice_eq_str(name, names[i])) {
            *out = (struct cel_name){ i, CEL_DOUBLE };
            return true;
        }
    }
    return false;
}

static struct cel_program *compile(const char *text)
{
    struct cel_env env = { .resolve = resolve, .dialect = CEL_ASSAY, .result = CEL_BOOL };
    struct cel_program *program;
    struct why why;

    cr_assert_eq(cel_compile(&program, slice_str(text), &env, &why), ERR_OK, "%s", why.text);
    return program;
}

static unsigned outcome(const struct cel_program *program, double x, double y)
{
    struct cel_value slots[] = { cel_double(x), cel_double(y), cel_error(CEL_FAULT_MISSING) };
    struct arena arena = { 0 };
    struct cel_value value = cel_eval(program, &(struct cel_input){ .slots = slots, .arena = &arena });

    arena_release(&arena);
    if (value.kind != CEL_BOOL)
        return CEL_MAY_BE_ERROR;
    return value.b ? CEL_MAY_BE_TRUE : CEL_MAY_BE_FALSE;
}

static unsigned may(const struct cel_program *program, double lo, double hi, double y)
{
    static const uint32_t slots[] = { X };
    struct cel_value values[] = { cel_double(lo), cel_double(y), cel_error(CEL_FAULT_MISSING) };
    struct arena arena = { 0 };
    unsigned out =
        cel_may(program, &(struct cel_input){ .slots = values, .arena = &arena }, slots, 1, lo, hi);

    arena_release(&arena);
    return out;
}

static const char *const conditions[] = {
    "x > 3.0",
    "x >= 3 && x < 7",
    "x == 4 || x != 5",
    "x in [1, 4, 6.5]",
    "!(x <= y)",
    "x / (y + 2) > 1.5",
    "10 / x > 2",
    "(x - y) * (x + 1) >= 4",
    "abs(x - 5) < 2",
    "x > gone",
    "gone > 1 || x > 2",
    "gone > 1 && x > 2",
    "x > 2 ? x < 5 : y > 1",
    "(x > 2 ? 1.0 : x) > 0.5",
    "floor(x / 2) == 1.0",
    "ceil(-x) < -3.0",
    "round(x) == 4.0",
    "sqrt(abs(x)) > 1.7",
    "-x < -4.0",
    "has(x) && x > 1",
    "has(gone) || x * x > 9",
    "min(x, y) > 2",
    "x > 2 == true",
    "[x, y].exists(v, v > 4)",
    "log(x) > 1",
    "string(x) == '4'",
    "x != x",
    "true",
    "y > 1",
};

Test(cel_may, every_outcome_within_a_range_is_among_what_may_be)
{
    struct random r = { 5 };

    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        struct cel_program *program = compile(conditions[i]);

        for (size_t k = 0; k < 3000; k++) {
            double y = floor(random_unit(&r) * 8) / 2, a = random_unit(&r) * 20 - 10,
                   b = random_unit(&r) * 20 - 10;
            double lo = k % 3 ? fmin(a, b) : floor(a),
                   hi = k % 3 ? fmax(a, b) : lo + floor(random_unit(&r) * 4);
            double x = k % 2 ? lo + (hi - lo) * random_unit(&r) : k % 4 ? lo : hi;
            unsigned said = may(program, lo, hi, y), is = outcome(program, fmin(x, hi), y);

            cr_assert(said & is, "%s: %u at %.17g of %.17g..%.17g with y %g, said %u", conditions[i], is, x,
                      lo, hi, y, said);
        }
        cel_free(program);
    }
}

Test(cel_may, one_outcome_is_said_where_there_is_one_and_the_way_is_known)
{
    static const struct {
        const char *text;
        double lo, hi;
        unsigned may;
    } rows[] = {
        { "x > 3.0", 3.1, 9, CEL_MAY_BE_TRUE },
        { "x > 3.0", 0, 3, CEL_MAY_BE_FALSE },
        { "x > 3.0", 3, 4, CEL_MAY_BE_TRUE | CEL_MAY_BE_FALSE },
        { "x / (y + 2) > 1.5", 6.1, 9, CEL_MAY_BE_TRUE },
        { "x in [1, 4, 6.5]", 1.5, 3.9, CEL_MAY_BE_FALSE },
        { "x in [1, 4, 6.5]", 4, 4, CEL_MAY_BE_TRUE },
        { "gone > 1 || x > 2", 3, 4, CEL_MAY_BE_TRUE },
        { "gone > 1 || x > 2", 0, 1, CEL_MAY_BE_ERROR },
        { "gone > 1 && x > 2", 0, 1, CEL_MAY_BE_FALSE },
        { "x > gone", 0, 1, CEL_MAY_BE_ERROR },
        { "abs(x - 5) < 2", 4, 6, CEL_MAY_BE_TRUE },
        { "has(x)", 4, 6, CEL_MAY_BE_TRUE },
        { "x > 2 ? x < 9 : y > 9", 3, 8, CEL_MAY_BE_TRUE },
        { "y > 1 && x > 2", 3, 8, CEL_MAY_BE_TRUE },
        { "y > 3 && x > 2", 3, 8, CEL_MAY_BE_FALSE },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cel_program *program = compile(rows[i].text);

        cr_assert_eq(may(program, rows[i].lo, rows[i].hi, 2), rows[i].may, "%s over %g..%g: %u", rows[i].text,
                     rows[i].lo, rows[i].hi, may(program, rows[i].lo, rows[i].hi, 2));
        cel_free(program);
    }
}
