/* SPDX-License-Identifier: Apache-2.0 */
#include "account.h"

#include <pwd.h>
#include <unistd.h>

#include "pg/session.h"

enum err account_find(struct pg_session *s, const char *name, int64_t *account, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    *account = 0;
    if (!name || !*name)
        return ERR_OK;
    pg_add_text(&p, slice_str(name));
    err = pg_exec(s, "SELECT account FROM accounts WHERE name = $1::text", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no account \"%s\"", name);
    if (!err)
        *account = pg_get_int(r, 0, 0);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

struct slice login_name(void)
{
    const struct passwd *user = getpwuid(geteuid());

    return slice_str(user ? user->pw_name : "unknown");
}
