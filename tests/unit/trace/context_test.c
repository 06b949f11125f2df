/* SPDX-License-Identifier: Apache-2.0
 * context_test.c - W3C Trace Context. */
#include "trace/context.h"

#include <criterion/criterion.h>

#include "base/array.h"

static const unsigned char random_bytes[24] = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
};

Test(trace, continues_a_valid_trace_with_a_span_of_its_own)
{
    struct trace t;

    trace_begin(&t, SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), random_bytes, 0);
    cr_assert_str_eq(t.parent, "00-0af7651916cd43dd8448eb211c80319c-1112000000000000-01");
    trace_begin(&t, SLICE("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later"), random_bytes, 0);
    cr_assert(slice_eq_str(trace_id(&t), "0af7651916cd43dd8448eb211c80319c"));
}

Test(trace, begins_a_new_one_when_the_callers_is_not_valid)
{
    static const char *const bad[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01later",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct trace t;

        trace_begin(&t, slice_str(bad[i]), random_bytes, 0);
        cr_assert_str_eq(t.parent, "00-0102030405060708090a0b0c0d0e0f10-1112000000000000-02", "%s", bad[i]);
    }
}

Test(trace, knows_who_called)
{
    struct trace t, below;

    trace_begin(&t, SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), random_bytes, 0);
    cr_assert_str_eq(t.caller, "b7ad6b7169203331");
    trace_below(&below, &t, random_bytes);
    cr_assert_str_eq(below.parent, "00-0af7651916cd43dd8448eb211c80319c-0102030405060708-01");
    cr_assert_str_eq(below.caller, "1112000000000000");
    trace_begin(&t, SLICE(""), random_bytes, 0);
    cr_assert_str_empty(t.caller);
}

Test(trace, is_sampled_as_the_caller_says)
{
    static const struct trace none;
    struct trace t;

    trace_begin(&t, SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), random_bytes, 0);
    cr_assert(trace_is_sampled(&t));
    trace_begin(&t, SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"), random_bytes, 1);
    cr_assert_not(trace_is_sampled(&t), "a caller's no is not overruled");
    cr_assert_not(trace_is_sampled(&none));
    cr_assert(trace_asks(SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")));
    cr_assert_not(trace_asks(SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")));
    cr_assert_not(trace_asks(SLICE("01")));
}

Test(trace, samples_the_share_of_those_that_begin_here)
{
    struct trace_dice dice = { 0 };
    size_t sampled = 0;

    for (size_t i = 0; i < 20000; i++) {
        struct trace t;

        trace_begin(&t, SLICE(""), trace_throw(&dice), 0.25);
        sampled += trace_is_sampled(&t);
    }
    cr_assert(sampled > 4600 && sampled < 5400, "%zu of 20000", sampled); /* 6.5 standard deviations */
    for (size_t i = 0; i < 1000; i++) {
        struct trace none, all;

        trace_begin(&none, SLICE(""), trace_throw(&dice), 0);
        trace_begin(&all, SLICE(""), trace_throw(&dice), 1);
        cr_assert(!trace_is_sampled(&none) && trace_is_sampled(&all));
    }
}
