/* SPDX-License-Identifier: Apache-2.0 */
#include "userstore/user.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/array.h"

Test(users, a_name_begins_with_a_letter_and_is_short)
{
    static const struct {
        const char *name;
        bool is_sound;
    } cases[] = {
        { "ann", true },    { "a", true },           { "ann.b-c_9", true }, { "", false },
        { "9ann", false },  { "Ann", false },        { ".ann", false },     { "an n", false },
        { "ann@x", false }, { "\xc3\xa4nn", false }, { "a'; DROP", false },
    };
    char longest[USER_NAME_MOST + 2];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect_eq(user_name_is_sound(slice_str(cases[i].name)), cases[i].is_sound, "\"%s\"",
                     cases[i].name);
    memset(longest, 'a', sizeof longest);
    cr_expect(user_name_is_sound(slice_of(longest, USER_NAME_MOST)));
    cr_expect(!user_name_is_sound(slice_of(longest, USER_NAME_MOST + 1)));
    cr_expect(!user_name_is_sound(slice_of("ann\0b", 5)));
}

Test(users, roles_are_known_ones_and_one_at_least)
{
    struct why why;

    cr_expect_eq(user_roles_check(SLICE("analyst"), &why), ERR_OK);
    cr_expect_eq(user_roles_check(SLICE(" lead,analyst  admin "), &why), ERR_OK);
    cr_expect_eq(
        user_roles_check(SLICE("analyst lead rule_author publisher model_owner admin auditor"), &why),
        ERR_OK);
    cr_expect_eq(user_roles_check(SLICE(""), &why), ERR_INVALID);
    cr_expect_eq(user_roles_check(SLICE(" ,, "), &why), ERR_INVALID);
    cr_expect_eq(user_roles_check(SLICE("analyst root"), &why), ERR_INVALID);
    cr_expect_eq(user_roles_check(SLICE("Analyst"), &why), ERR_INVALID);
    cr_expect_eq(user_roles_check(SLICE("lead lead lead lead lead lead lead lead"), &why), ERR_INVALID);
}

Test(users, sets_of_roles_meet_in_a_whole_word)
{
    cr_expect(user_roles_meet(SLICE("analyst lead"), SLICE("lead")));
    cr_expect(user_roles_meet(SLICE("lead"), SLICE("admin,lead")));
    cr_expect(!user_roles_meet(SLICE("analyst"), SLICE("lead admin")));
    cr_expect(!user_roles_meet(SLICE("leader"), SLICE("lead")));
    cr_expect(!user_roles_meet(SLICE(""), SLICE("")));
    cr_expect(!user_roles_meet(SLICE(""), SLICE("admin")));
}
