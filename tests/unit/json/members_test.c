/* SPDX-License-Identifier: Apache-2.0 */
#include "json/members.h"

#include <criterion/criterion.h>

TestSuite(members, .timeout = 60);

/* The words of {"words": ...}. */
static enum err words(const char *text, struct arena *arena, struct slice *out, struct why *why)
{
    struct json_member m = { "words", JSON_ARRAY, false, NULL };
    json_t *root = NULL;
    enum err err = json_members_read(&root, slice_str(text), &m, 1, why);

    if (!err)
        err = json_member_words(&m, arena, out, why);
    json_decref(root);
    return err;
}

Test(members, a_list_of_texts_is_one_text_with_spaces_between)
{
    static const struct {
        const char *body, *words;
    } cases[] = {
        { "{\"words\": [\"analyst\", \"lead\"]}", "analyst lead" },
        { "{\"words\": [\"analyst\"]}", "analyst" },
        { "{\"words\": []}", "" },
        { "{}", "" },
    };
    struct arena arena = { 0 };
    struct slice out;
    struct why why;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(words(cases[i].body, &arena, &out, &why), ERR_OK, "%s", why.text);
        cr_expect(slice_eq_str(out, cases[i].words), "%s", cases[i].body);
    }
    arena_release(&arena);
}

Test(members, what_is_no_text_is_not_passed_over)
{
    static const char *const cases[] = { "{\"words\": [1, \"analyst\"]}", "{\"words\": [\"analyst\", null]}",
                                         "{\"words\": [[\"analyst\"]]}" };
    struct arena arena = { 0 };
    struct slice out;
    struct why why;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(words(cases[i], &arena, &out, &why), ERR_INVALID, "%s", cases[i]);
    arena_release(&arena);
}
