/* SPDX-License-Identifier: Apache-2.0
 * password.h - passwords of people: Argon2id by libsodium, with its costs for log-ins (64 MiB, 2 passes).
 *
 * Slow by design: never on an event loop. */
#ifndef ASSAY_USERSTORE_PASSWORD_H
#define ASSAY_USERSTORE_PASSWORD_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

enum { PASSWORD_LEAST = 12, PASSWORD_MOST = 1024, PASSWORD_HASH_SIZE = 128, PASSWORD_MADE_SIZE = 25 };

/* What is kept: with its salt and its costs, NUL-ended.
 *   ERR_INVALID      too short or too long
 *   ERR_UNAVAILABLE  no memory for it now */
MUST_USE enum err password_hash(struct slice password, char hash[PASSWORD_HASH_SIZE], struct why *why);
/* Whether it is the one. `hash` NULL: false, after as long as it takes for one that there is. */
bool password_is(struct slice password, const char *hash);
/* A random one of 24 letters and digits: 142 bits. */
void password_make(char password[PASSWORD_MADE_SIZE]);

#endif
