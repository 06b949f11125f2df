/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/api_key.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void api_key_make(struct api_key *key)
{
    unsigned char prefix[API_KEY_PREFIX_LEN / 2];
    char secret[API_KEY_SECRET_LEN + 1] = { 0 };

    if (sodium_init() < 0) /* 1: done before */
        abort();
    randombytes_buf(prefix, sizeof(prefix));
    hex_encode(prefix, sizeof(prefix), key->prefix);
    for (int i = 0; i < API_KEY_SECRET_LEN; i++)
        secret[i] = base62[randombytes_uniform(62)];
    snprintf(key->text, sizeof(key->text), "ak_%s_%s", key->prefix, secret);
    sha256(slice_of(secret, API_KEY_SECRET_LEN), key->secret_sha256);
    sodium_memzero(secret, sizeof(secret));
}

static bool is_one_of(const char *set, struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\0' || !strchr(set, text.ptr[i]))
            return false;
    return true;
}

bool api_key_read(struct api_key *key, struct slice text)
{
    struct slice prefix, secret;

    if (text.len != API_KEY_LEN || !slice_starts_with(text, SLICE("ak_")) ||
        text.ptr[3 + API_KEY_PREFIX_LEN] != '_')
        return false;
    prefix = slice_of(text.ptr + 3, API_KEY_PREFIX_LEN);
    secret = slice_of(text.ptr + 3 + API_KEY_PREFIX_LEN + 1, API_KEY_SECRET_LEN);
    if (!is_one_of("0123456789abcdef", prefix) || !is_one_of(base62, secret))
        return false;
    memcpy(key->text, text.ptr, API_KEY_LEN);
    key->text[API_KEY_LEN] = '\0';
    memcpy(key->prefix, prefix.ptr, API_KEY_PREFIX_LEN);
    key->prefix[API_KEY_PREFIX_LEN] = '\0';
    sha256(secret, key->secret_sha256);
    return true;
}
