/* SPDX-License-Identifier: Apache-2.0
 * options_test.c - reading a command line by its table. */
#include <criterion/criterion.h>

#include "../../../services/cli/options.h"
#include "base/array.h"

struct settings {
    const char *home;
    bool waits;
    int64_t ingestion;
    double rate;
};

static const struct option table[] = {
    { "home", OPTION_TEXT, offsetof(struct settings, home), "DIR", "where" },
    { "wait", OPTION_FLAG, offsetof(struct settings, waits), NULL, "wait" },
    { "ingestion", OPTION_INT, offsetof(struct settings, ingestion), "N", "how many" },
    { "rate", OPTION_NUMBER, offsetof(struct settings, rate), "R", "a second" },
};

static enum err read_into(struct settings *s, char **argv, size_t argc, size_t *operands, struct why *why)
{
    return options_read(s, table, ARRAY_LEN(table), argv, argc, operands, why);
}

Test(options, are_read_in_both_spellings_and_in_any_order_with_the_operands)
{
    char *argv[] = { "first", "--home", "/tmp/x", "--wait", "second", "--ingestion=3", "--", "--rate" };
    struct settings s = { .rate = 7 };
    struct why why = { 0 };
    size_t operands;

    cr_assert_eq(read_into(&s, argv, ARRAY_LEN(argv), &operands, &why), ERR_OK, "%s", why.text);
    cr_assert_str_eq(s.home, "/tmp/x");
    cr_assert(s.waits);
    cr_assert_eq(s.ingestion, 3);
    cr_assert_eq(s.rate, 7);
    cr_assert_eq(operands, 3);
    cr_assert_str_eq(argv[0], "first");
    cr_assert_str_eq(argv[1], "second");
    cr_assert_str_eq(argv[2], "--rate");
}

Test(options, refuse_what_they_do_not_know_and_say_what_it_was)
{
    static char *faulty[][2] = {
        { "--nothing", NULL },     { "--home", NULL }, { "--wait=1", NULL },
        { "--ingestion=x", NULL }, { "--rate", "y" },
    };

    for (size_t i = 0; i < ARRAY_LEN(faulty); i++) {
        struct settings s = { 0 };
        struct why why = { 0 };
        size_t operands;

        cr_assert_eq(read_into(&s, faulty[i], faulty[i][1] ? 2 : 1, &operands, &why), ERR_SYNTAX);
        cr_assert_neq(why.text[0], '\0');
    }
}
