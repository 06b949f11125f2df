/* SPDX-License-Identifier: Apache-2.0
 * account.h - an account by its name, and who is at the keyboard. */
#ifndef ASSAY_CLI_ACCOUNT_H
#define ASSAY_CLI_ACCOUNT_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct pg_session;

/* The number of an account; 0, which stands for every account, when `name` is NULL or empty.
 *   ERR_NOT_FOUND  there is none of that name; others are those of pg/pg.h */
MUST_USE enum err account_find(struct pg_session *s, const char *name, int64_t *account, struct why *why);

/* Who does it, for the audit: the login of this machine. Valid until the next call. */
struct slice login_name(void);

#endif
