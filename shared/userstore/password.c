/* SPDX-License-Identifier: Apache-2.0 */
#include "userstore/password.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_argon2id_STRBYTES, "as libsodium has it");

static void begin(void)
{
    if (sodium_init() < 0) /* 1: done before */
        abort();
}

enum err password_hash(struct slice password, char hash[PASSWORD_HASH_SIZE], struct why *why)
{
    begin();
    if (password.len < PASSWORD_LEAST || password.len > PASSWORD_MOST)
        return err_set(why, ERR_INVALID, "a password has %d to %d bytes", PASSWORD_LEAST, PASSWORD_MOST);
    if (crypto_pwhash_argon2id_str(hash, password.ptr, password.len,
                                   crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE,
                                   crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE) != 0)
        return err_set(why, ERR_UNAVAILABLE, "there is no memory to hash a password now");
    return ERR_OK;
}

/* Somebody who is not there takes as long as somebody who is. */
static bool take_as_long(struct slice password)
{
    static const unsigned char salt[crypto_pwhash_argon2id_SALTBYTES];
    unsigned char out[32];

    (void)!crypto_pwhash_argon2id(
        out, sizeof out, password.ptr, password.len, salt, crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE,
        crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE, crypto_pwhash_argon2id_ALG_ARGON2ID13);
    return false;
}

bool password_is(struct slice password, const char *hash)
{
    begin();
    if (password.len > PASSWORD_MOST)
        return false;
    if (!hash)
        return take_as_long(password);
    return crypto_pwhash_argon2id_str_verify(hash, password.ptr, password.len) == 0;
}

void password_make(char password[PASSWORD_MADE_SIZE])
{
    /* without those that look alike */
    static const char letters[] = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

    begin();
    for (int i = 0; i < PASSWORD_MADE_SIZE - 1; i++)
        password[i] = letters[randombytes_uniform(sizeof letters - 1)];
    password[PASSWORD_MADE_SIZE - 1] = '\0';
}
