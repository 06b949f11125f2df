/* SPDX-License-Identifier: Apache-2.0
 * user.h - people who may log in: the table `users`, for the command line and over REST.
 *
 * Each change has a row of `audit` in the same SQL transaction. What takes rights away (another password, other
 * roles, disabling) ends the user's sessions with it, and cases that he may not decide any more are open again, each
 * with a row of `audit`. Changes of a user come one after the other: each holds his row while it is under way, and whoever
 * makes a session or gives him a case holds it too (FOR SHARE), so none slips through between the two.
 *
 * Blocking (pg/session.h). Errors that are not named here are those of pg/pg.h. */
#ifndef ASSAY_USERSTORE_USER_H
#define ASSAY_USERSTORE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "json/json_out.h"
#include "pg/session.h"
#include "userstore/password.h"

enum { USER_NAME_MOST = 63, USER_ROLES_MOST = 7 };

struct user {
    struct slice name, full_name;
    struct slice roles; /* "analyst lead"; spaces between */
    bool is_disabled;
    int64_t created_at_us, password_at_us;
};

bool user_name_is_sound(struct slice name);
/* Whether `roles` (spaces or commas between) has only known ones, and one at least. */
MUST_USE enum err user_roles_check(struct slice roles, struct why *why);
/* Whether two sets of roles have one in common. */
bool user_roles_meet(struct slice roles, struct slice others);

/*   ERR_INVALID   no sound name, password or role
 *   ERR_CONFLICT  there is one of that name */
MUST_USE enum err user_add(struct pg_session *s, const struct user *user, struct slice password,
                           struct slice actor, struct why *why);
/* In the order of names. */
MUST_USE enum err user_list(struct pg_session *s, struct user **out, size_t *count, struct arena *arena,
                            struct why *why);
/*   ERR_NOT_FOUND  there is none of that name */
MUST_USE enum err user_set_password(struct pg_session *s, struct slice name, struct slice password,
                                    struct slice actor, struct why *why);
/* By the user himself, who has shown that he knows the password whose hash `old` is; `hash` gets that of the new one.
 *   ERR_CONFLICT  it is not his password any more, or he is disabled */
MUST_USE enum err user_change_password(struct pg_session *s, struct slice name, const char *old,
                                       struct slice password, char hash[PASSWORD_HASH_SIZE], struct why *why);
MUST_USE enum err user_set_roles(struct pg_session *s, struct slice name, struct slice roles,
                                 struct slice actor, struct why *why);
MUST_USE enum err user_disable(struct pg_session *s, struct slice name, bool is_disabled, struct slice actor,
                               struct why *why);

void user_write(struct json_out *o, const char *key, const struct user *user);

#endif
