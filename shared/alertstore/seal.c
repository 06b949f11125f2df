/* SPDX-License-Identifier: Apache-2.0 */
#include "alertstore/seal.h"

#include <assert.h>
#include <sodium.h>

enum {
    NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
};
static_assert(SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "the key is the cipher's");

enum err seal_key_read(struct seal_key *out, struct slice text, struct why *why)
{
    size_t len = 0;

    out->is_set = text.len > 0;
    if (text.len == 0)
        return ERR_OK;
    if (sodium_base642bin(out->bytes, sizeof out->bytes, text.ptr, text.len, "\r\n", &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        len != SEAL_KEY_BYTES)
        return err_set(why, ERR_INVALID,
                       "ASSAY_WEBHOOK_KEY is not the base64 of %d bytes (openssl rand -base64 %d)",
                       SEAL_KEY_BYTES, SEAL_KEY_BYTES);
    return ERR_OK;
}

static enum err check_key(const struct seal_key *key, struct why *why)
{
    if (key->is_set)
        return ERR_OK;
    return err_set(why, ERR_INVALID, "ASSAY_WEBHOOK_KEY is not set: without it no secret can be kept");
}

enum err seal_close(const struct seal_key *key, struct slice plain, struct slice about, struct slice *sealed,
                    struct arena *arena, struct why *why)
{
    enum err err = check_key(key, why);
    unsigned char *out;

    if (err)
        return err;
    assert(plain.len <= SEAL_PLAIN_MOST);
    out = arena_new(arena, unsigned char, NONCE + plain.len + TAG);
    randombytes_buf(out, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out + NONCE, NULL, (const unsigned char *)plain.ptr, plain.len,
                                               (const unsigned char *)about.ptr, about.len, NULL, out,
                                               key->bytes);
    *sealed = slice_of(out, NONCE + plain.len + TAG);
    return ERR_OK;
}

enum err seal_open(const struct seal_key *key, struct slice sealed, struct slice about, char *plain,
                   size_t *len, struct why *why)
{
    const unsigned char *in = (const unsigned char *)sealed.ptr;
    enum err err = check_key(key, why);

    *len = 0;
    if (err)
        return err;
    if (sealed.len < NONCE + TAG || sealed.len > NONCE + TAG + SEAL_PLAIN_MOST ||
        crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)plain, NULL, NULL, in + NONCE,
                                                   sealed.len - NONCE, (const unsigned char *)about.ptr,
                                                   about.len, in, key->bytes) != 0)
        return err_set(why, ERR_INVALID, "a secret was sealed with another ASSAY_WEBHOOK_KEY, or is damaged");
    *len = sealed.len - NONCE - TAG;
    return ERR_OK;
}
