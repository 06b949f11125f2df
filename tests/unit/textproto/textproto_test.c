/* SPDX-License-Identifier: Apache-2.0 */
#include "textproto/textproto.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;

static const struct textproto_field *read(const char *text)
{
    struct textproto_field *root;
    struct why why = { 0 };

    cr_assert_eq(textproto_parse(&root, slice_str(text), &arena, &why), ERR_OK, "%s: %s", text, why.text);
    return root;
}

static bool has_text(const char *text, const char *name, const char *wanted)
{
    return slice_eq_str(textproto_text(read(text), name), wanted);
}

Test(textproto, reads_scalars_as_they_are_written)
{
    cr_assert(has_text("a: 1", "a", "1"));
    cr_assert(has_text("a:-1.5e-3f", "a", "-1.5e-3f"));
    cr_assert(has_text("a: - inf", "a", "- inf"));
    cr_assert(has_text("a: 0x1F, b: true", "b", "true"));
    cr_assert(has_text("a: NULL_VALUE; b: .5", "b", ".5"));
    cr_assert(textproto_true(read("a: true"), "a"));
    cr_assert_not(textproto_true(read("a: false"), "a"));
    cr_assert_not(textproto_true(read(""), "a"));
}

Test(textproto, reads_strings_with_their_escapes)
{
    cr_assert(has_text("a: \"b'c\"", "a", "b'c"));
    cr_assert(has_text("a: 'b\"c'", "a", "b\"c"));
    cr_assert(has_text("a: 'b' \"c\"\n 'd'", "a", "bcd"));
    cr_assert(has_text("a: '\\n\\t\\\\\\'\\x41\\101\\u00e9\\U0001F600'", "a", "\n\t\\'AAé😀"));
    cr_assert_eq(textproto_text(read("a: '\\377\\0'"), "a").len, 2);
}

Test(textproto, reads_messages_lists_and_extensions)
{
    const struct textproto_field *root = read("m { a: 1 n < b: [2, 3] > } # remark\nm: { a: 4 } "
                                              "[pkg.ext/Type]: { c: 5 } l: [{ d: 6 }, { d: 7 }] e: []");
    const struct textproto_field *m = textproto_find(root, "m"), *l = textproto_find(root, "l");
    const struct textproto_field *b = textproto_find(textproto_find(m, "n"), "b");

    cr_assert(slice_eq_str(textproto_text(m, "a"), "1"));
    cr_assert(slice_eq_str(b->text, "2"));
    cr_assert(slice_eq_str(textproto_again(b)->text, "3"));
    cr_assert_null(textproto_again(textproto_again(b)));
    cr_assert(slice_eq_str(textproto_text(textproto_again(m), "a"), "4"));
    cr_assert(slice_eq_str(textproto_text(textproto_find(root, "[pkg.ext/Type]"), "c"), "5"));
    cr_assert(slice_eq_str(textproto_text(textproto_again(l), "d"), "7"));
    cr_assert_null(textproto_find(root, "e"));
    cr_assert_not_null(textproto_text(root, "m").ptr);
    cr_assert_eq(textproto_again(m)->line, 2);
}

Test(textproto, refuses_what_is_not_the_format_and_says_where)
{
    static const char *const bad[] = { "a",          "a 1",          "a: ",        "a: 'b", "a: 'b\n'",
                                       "a: '\\q'",   "m {",          "m { a:",     "m }",   "a: [1",
                                       "a: [1 2]",   "a: {]",        "1: 2",       "[a: 1", "a: -",
                                       "a: '\\u12'", "a: '\\ud800'", "a: '\\777'", ": 1",   "m < a: 1 }" };
    struct textproto_field *root;
    struct why why;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why.text[0] = 0;
        cr_expect_eq(textproto_parse(&root, slice_str(bad[i]), &arena, &why), ERR_SYNTAX, "%s", bad[i]);
        cr_expect_null(root);
    }
    cr_assert_eq(textproto_parse(&root, SLICE("a: 1\n\nb 2"), &arena, &why), ERR_SYNTAX);
    cr_assert_str_eq(why.text, "line 3: a ':' should stand behind a field's name");
}

Test(textproto, bounds_how_deep_messages_lie)
{
    char text[1024] = "";
    struct textproto_field *root;
    struct why why;

    for (int i = 0; i < TEXTPROTO_DEPTH_MAX + 1; i++)
        strcat(text, "m {");
    cr_assert_eq(textproto_parse(&root, slice_str(text), &arena, &why), ERR_TOO_LARGE);
}
