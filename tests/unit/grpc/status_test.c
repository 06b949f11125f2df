/* SPDX-License-Identifier: Apache-2.0
 * status_test.c - gRPC's codes, timeouts, messages and framing. */
#include <criterion/criterion.h>

#include "base/array.h"
#include "grpc/status.h"

static struct arena arena;

static void teardown(void)
{
    arena_release(&arena);
}

TestSuite(grpc_status, .fini = teardown);

Test(grpc_status, keeps_the_meaning_of_an_error_over_the_wire)
{
    static const enum err exact[] = { ERR_OK,        ERR_INVALID,  ERR_UNAUTHORIZED, ERR_FORBIDDEN,
                                      ERR_NOT_FOUND, ERR_CONFLICT, ERR_LIMIT,        ERR_TIMEOUT,
                                      ERR_UNKNOWN,   ERR_INTERNAL, ERR_UNAVAILABLE };

    for (size_t i = 0; i < ARRAY_LEN(exact); i++)
        cr_assert_eq(grpc_status_err(grpc_status_of(exact[i])), exact[i], "%s", err_name(exact[i]));
    cr_assert_eq(grpc_status_of(ERR_TOO_LARGE), GRPC_RESOURCE_EXHAUSTED);
    cr_assert_eq(grpc_status_of(ERR_SYNTAX), GRPC_INVALID_ARGUMENT);
}

Test(grpc_status, reads_a_status_field_and_takes_anything_else_for_unknown)
{
    cr_assert_eq(grpc_status_parse(SLICE("0")), GRPC_OK);
    cr_assert_eq(grpc_status_parse(SLICE("16")), GRPC_UNAUTHENTICATED);
    cr_assert_eq(grpc_status_parse(SLICE("17")), GRPC_UNKNOWN);
    cr_assert_eq(grpc_status_parse(SLICE("-1")), GRPC_UNKNOWN);
    cr_assert_eq(grpc_status_parse(SLICE("")), GRPC_UNKNOWN);
    cr_assert_eq(grpc_status_of_http(503), GRPC_UNAVAILABLE);
    cr_assert_eq(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
    cr_assert_eq(grpc_status_of_http(200), GRPC_UNKNOWN);
}

Test(grpc_timeout, is_read_in_every_unit)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        { "1n", 1 },
        { "1000n", 1 },
        { "1001n", 2 },
        { "250u", 250 },
        { "150m", 150000 },
        { "3S", 3000000 },
        { "2M", 120000000 },
        { "1H", INT64_C(3600000000) },
        { "99999999H", INT64_C(359999996400000000) },
        { "0n", 0 },
    };
    static const char *const bad[] = { "", "1", "m", "123456789m", "-1m", "1 m", "1x", "1.5S", "+1S" };
    int64_t us;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        cr_assert(grpc_timeout_parse(slice_str(good[i].text), &us), "%s", good[i].text);
        cr_assert_eq(us, good[i].us, "%s", good[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_not(grpc_timeout_parse(slice_str(bad[i]), &us), "%s", bad[i]);
}

Test(grpc_timeout, is_written_in_the_finest_unit_that_fits_and_never_longer_than_it_is)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        { -5, "0n" },
        { 0, "0n" },
        { 1, "1u" },
        { 99999999, "99999999u" },
        { 100000999, "100000m" },
        { INT64_C(100000000000), "100000S" },
        { INT64_MAX, "99999999H" },
    };
    char text[GRPC_TIMEOUT_SIZE];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = grpc_timeout_format(cases[i].us, text);

        if (cases[i].us == INT64_MAX)
            cr_assert(s.len <= 9);
        else
            cr_assert(slice_eq_str(s, cases[i].text), "%.*s", SLICE_ARG(s));
    }
}

Test(grpc_message, travels_percent_encoded_and_forgives_bad_encoding)
{
    struct slice text = SLICE("100% of \xC3\xA4, a\nline\x7F");
    struct slice sent = grpc_message_encode(text, &arena);

    cr_assert(slice_eq_str(sent, "100%25 of %C3%A4, a%0Aline%7F"), "%.*s", SLICE_ARG(sent));
    cr_assert(slice_eq(grpc_message_decode(sent, &arena), text));
    cr_assert(slice_eq_str(grpc_message_decode(SLICE("50% %zz %4"), &arena), "50% %zz %4"));
}

Test(grpc_frame, is_one_whole_uncompressed_message_or_refused)
{
    static const struct {
        struct slice body;
        enum grpc_status status;
    } cases[] = {
        { { "\0\0\0\0\3abc", 8 }, GRPC_OK },
        { { "\0\0\0\0\0", 5 }, GRPC_OK },
        { { "\1\0\0\0\3abc", 8 }, GRPC_UNIMPLEMENTED },
        { { "\7\0\0\0\3abc", 8 }, GRPC_INTERNAL },
        { { "\0\0\0\0\3abcd", 9 }, GRPC_UNIMPLEMENTED },
        { { "\0\0\0\0\4abc", 8 }, GRPC_INTERNAL },
        { { "\0\0\0\0", 4 }, GRPC_INTERNAL },
        { { "", 0 }, GRPC_INTERNAL },
        { { "\0\377\377\377\377a", 6 }, GRPC_RESOURCE_EXHAUSTED },
        { { "\0\0\0\0\13", 5 }, GRPC_RESOURCE_EXHAUSTED },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice message = { 0 };
        struct why why = { 0 };

        cr_assert_eq(grpc_unframe(cases[i].body, 10, &message, &why), cases[i].status, "case %zu", i);
        cr_assert_eq(why.text[0] == '\0', cases[i].status == GRPC_OK);
        if (cases[i].status == GRPC_OK)
            cr_assert_eq(message.len, cases[i].body.len - 5);
    }
}
