/* SPDX-License-Identifier: Apache-2.0
 * seal.h - secrets that must be read again, as they lie in the database: sealed with a key that it never sees.
 *
 *   24 bytes of nonce | XChaCha20-Poly1305 over the secret, bound to what it is for
 *
 * Who can read or copy the database can use none of them, and who can write it can move none to another place. */
#ifndef ASSAY_ALERTSTORE_SEAL_H
#define ASSAY_ALERTSTORE_SEAL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum { SEAL_KEY_BYTES = 32, SEAL_PLAIN_MOST = 256 };

struct seal_key {
    bool is_set;
    unsigned char bytes[SEAL_KEY_BYTES];
};

/* Reads the base64 of 32 bytes; an empty text is no key.   ERR_INVALID  it is neither */
MUST_USE enum err seal_key_read(struct seal_key *out, struct slice text, struct why *why);

/* *sealed is the arena's. `about` ("webhook ops") must be the same to open it again; `plain` is at most
 * SEAL_PLAIN_MOST bytes.   ERR_INVALID  there is no key: ASSAY_WEBHOOK_KEY is not set */
MUST_USE enum err seal_close(const struct seal_key *key, struct slice plain, struct slice about,
                             struct slice *sealed, struct arena *arena, struct why *why);
/* `plain` has room for SEAL_PLAIN_MOST bytes; *len is what was written.
 *   ERR_INVALID  there is no key, or what is sealed is damaged, or was sealed with another, or is about another */
MUST_USE enum err seal_open(const struct seal_key *key, struct slice sealed, struct slice about, char *plain,
                            size_t *len, struct why *why);

#endif
