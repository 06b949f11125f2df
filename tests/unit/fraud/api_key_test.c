/* SPDX-License-Identifier: Apache-2.0
 * api_key_test.c - keys are made in the form that is read, and nothing else is read. */
#include <criterion/criterion.h>

#include "fraud/api_key.h"

Test(api_key, reads_what_it_makes_and_never_makes_the_same)
{
    struct api_key made, other, seen;

    api_key_make(&made);
    api_key_make(&other);
    cr_assert_str_neq(made.text, other.text);
    cr_assert(api_key_read(&seen, slice_str(made.text)));
    cr_assert_str_eq(seen.prefix, made.prefix);
    cr_assert_eq(memcmp(seen.secret_sha256, made.secret_sha256, SHA256_BYTES), 0);
}

Test(api_key, refuses_what_has_not_the_form)
{
    static const char *const bad[] = { "",
                                       "ak_",
                                       "ak_0123456g_0123456789012345678901234567890A",
                                       "ak_01234567_0123456789012345678901234567890-",
                                       "ak_01234567_0123456789012345678901234567890AB",
                                       "sk_01234567_0123456789012345678901234567890A",
                                       "ak_01234567-0123456789012345678901234567890A" };
    struct api_key key;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!api_key_read(&key, slice_str(bad[i])), "%s", bad[i]);
    cr_assert(api_key_read(&key, SLICE("ak_01234567_0123456789012345678901234567890A")));
}
