/* SPDX-License-Identifier: Apache-2.0
 * identity_test.c - what a service demands before it listens to others. */
#include <criterion/criterion.h>

#include "app/identity.h"
#include "base/array.h"

Test(identity, lets_a_listener_in_the_clear_stay_on_loopback_only)
{
    static const struct {
        const char *bind;
        bool is_loopback;
    } rows[] = {
        { "127.0.0.1", true },
        { "127.1.2.3", true },
        { "::1", true },
        { "0.0.0.0", false },
        { "::", false },
        { "10.0.0.7", false },
        { "::11", false },
        { "12.7.0.1", false },
        { "1270.0.1", false },
        { "", false },
        { "::ffff:127.0.0.1", false },
    };
    struct identity_settings settings = { 0 };
    struct tls *tls = NULL;
    struct why why = { 0 };

    cr_assert_eq(tls_open(&tls, &(struct tls_conf){ 0 }, &why), ERR_OK, "%s", why.text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum err expected = rows[i].is_loopback ? ERR_OK : ERR_INVALID;

        settings.allows_cleartext = false;
        cr_assert_eq(identity_check_bind(&settings, NULL, rows[i].bind, &why), expected, "%s", rows[i].bind);
        cr_assert_eq(identity_check_bind(&settings, tls, rows[i].bind, &why), ERR_OK, "%s", rows[i].bind);
        settings.allows_cleartext = true;
        cr_assert_eq(identity_check_bind(&settings, NULL, rows[i].bind, &why), ERR_OK, "%s", rows[i].bind);
    }
    tls_close(tls);
}
