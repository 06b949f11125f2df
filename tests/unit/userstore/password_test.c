/* SPDX-License-Identifier: Apache-2.0 */
#include "userstore/password.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/array.h"

Test(passwords, only_the_same_one_is_the_one)
{
    char hash[PASSWORD_HASH_SIZE], again[PASSWORD_HASH_SIZE];
    struct why why;

    cr_assert_eq(password_hash(SLICE("correct horse battery"), hash, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(password_hash(SLICE("correct horse battery"), again, &why), ERR_OK);
    cr_expect_str_neq(hash, again, "each has a salt of its own");
    cr_expect_eq(strncmp(hash, "$argon2id$", 10), 0);
    cr_expect_null(strstr(hash, "horse"));
    cr_expect(password_is(SLICE("correct horse battery"), hash));
    cr_expect(!password_is(SLICE("correct horse batterz"), hash));
    cr_expect(!password_is(SLICE("correct horse battery "), hash));
    cr_expect(!password_is(SLICE(""), hash));
    cr_expect(!password_is(SLICE("correct horse battery"), NULL));
}

Test(passwords, too_short_and_too_long_ones_are_refused)
{
    static char longest[PASSWORD_MOST + 1];
    char hash[PASSWORD_HASH_SIZE];
    struct why why;

    memset(longest, 'p', sizeof longest);
    cr_expect_eq(password_hash(slice_of(longest, PASSWORD_LEAST - 1), hash, &why), ERR_INVALID);
    cr_expect_eq(password_hash(slice_of(longest, PASSWORD_MOST + 1), hash, &why), ERR_INVALID);
    cr_expect_eq(password_hash(slice_of(longest, PASSWORD_LEAST), hash, &why), ERR_OK);
}

Test(passwords, made_ones_are_letters_and_digits_and_differ)
{
    char made[8][PASSWORD_MADE_SIZE];

    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        password_make(made[i]);
        cr_expect_eq(strlen(made[i]), PASSWORD_MADE_SIZE - 1);
        for (const char *c = made[i]; *c; c++)
            cr_expect((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9'));
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(made[i], made[k]);
    }
}
