/* SPDX-License-Identifier: Apache-2.0
 * h1_lines_test.c - a head is judged the same in one piece as byte by byte. */
#include <criterion/criterion.h>

#include <stdio.h>

#include "http/h1_lines.h"

/* How many bytes were taken before it said no, or before the head ended. */
static size_t take_by(const char *bytes, size_t len, size_t piece, bool *is_bad)
{
    struct h1_lines lines = { 0 };
    size_t taken = 0;

    *is_bad = false;
    while (taken < len && !*is_bad) {
        size_t n = len - taken < piece ? len - taken : piece;
        size_t took = h1_lines_take(&lines, bytes + taken, n, is_bad);

        taken += took;
        if (took < n)
            break;
    }
    return taken;
}

Test(h1_lines, judges_any_byte_at_any_place_as_byte_by_byte)
{
    char head[128];

    for (int at = 0; at < 40; at++) {
        for (int c = 0; c < 256; c++) {
            bool whole_is_bad, bytes_are_bad;
            int len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nabcdefgh: %040d\r\nb: c\r\n\r\nrest", 7);
            size_t whole, bytes;

            head[24 + at] = (char)c;
            whole = take_by(head, (size_t)len, sizeof head, &whole_is_bad);
            bytes = take_by(head, (size_t)len, 1, &bytes_are_bad);
            cr_assert_eq(whole_is_bad, bytes_are_bad, "byte %d at %d", c, at);
            if (whole_is_bad)
                cr_assert_eq(whole, bytes, "byte %d at %d", c, at);
            else
                cr_assert_eq(whole, (size_t)len - 4, "byte %d at %d", c, at);
        }
    }
}
