/* SPDX-License-Identifier: Apache-2.0 */
#include "base/varint.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/array.h"

static struct varint_reader reader(const struct buf *b)
{
    return (struct varint_reader){ .rest = buf_slice(b) };
}

Test(varint, numbers_come_back_and_small_ones_are_short)
{
    const uint64_t numbers[] = { 0, 1, 127, 128, 300, 1u << 31, UINT64_MAX - 1, UINT64_MAX };
    const int64_t signs[] = { 0, -1, 1, -64, 64, INT64_MIN, INT64_MAX };
    struct varint_reader r;
    struct buf b;

    buf_init(&b, 0);
    varint_add(&b, 127);
    varint_add_signed(&b, -64);
    cr_assert_eq(b.len, 2);
    buf_clear(&b);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        varint_add(&b, numbers[i]);
    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        varint_add_signed(&b, signs[i]);
    varint_add_double(&b, -0.1);
    r = reader(&b);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        cr_assert_eq(varint_read(&r), numbers[i]);
    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        cr_assert_eq(varint_read_signed(&r), signs[i]);
    cr_assert_eq(varint_read_double(&r), -0.1);
    cr_assert(varint_is_done(&r));
    buf_release(&b);
}

Test(varint, each_number_has_one_form_only)
{
    static const char *const forms[] = { "\x80", "\x81\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                         "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" };
    static const size_t lengths[] = { 1, 2, 10, 11 };

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct varint_reader r = { .rest = slice_of(forms[i], lengths[i]) };

        varint_read(&r);
        cr_assert(r.is_bad, "form %zu", i);
    }
}

Test(varint, counts_tell_runs_of_zeros_once)
{
    uint64_t counts[1000] = { [3] = 7, [999] = 1 }, again[1000];
    struct varint_reader r;
    struct buf b;

    buf_init(&b, 0);
    varint_add_counts(&b, counts, 1000);
    cr_assert_lt(b.len, 10);
    r = reader(&b);
    varint_read_counts(&r, again, 1000, 7);
    cr_assert(varint_is_done(&r));
    cr_assert_arr_eq(again, counts, sizeof counts);
    r = reader(&b);
    varint_read_counts(&r, again, 1000, 6);
    cr_assert(r.is_bad, "a count above the most");
    r = reader(&b);
    varint_read_counts(&r, again, 900, 7);
    cr_assert(r.is_bad, "a run past the end");
    buf_clear(&b); /* zero, and none more; zero, and none more */
    buf_add(&b, "\0\0\0\0", 4);
    r = reader(&b);
    varint_read_counts(&r, again, 2, 7);
    cr_assert(r.is_bad, "one run told as two");
    buf_release(&b);
}

Test(varint, after_something_bad_nothing_more_is_read)
{
    struct varint_reader r = { .rest = SLICE("\x05"
                                             "abc") };

    cr_assert_eq(varint_read_slice(&r, 10).len, 0);
    cr_assert(r.is_bad);
    cr_assert_null(varint_read_slice(&r, 10).ptr);
    cr_assert_eq(varint_read(&r), 0);
    cr_assert_eq(varint_read_double(&r), 0);
    cr_assert_not(varint_is_done(&r));
}
