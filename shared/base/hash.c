/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL would like us to go by EVP, which looks the algorithm up each time: that takes longer than to hash
 * what we hash most, some 150 bytes. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <assert.h>
#include <endian.h>
#include <openssl/sha.h>
#include <sodium.h>

static_assert(crypto_shorthash_BYTES == 8 && crypto_shorthash_siphashx24_BYTES == 16,
              "as many as the results have");

uint64_t hash64(const struct hash_key *key, struct slice bytes)
{
    uint64_t out;

    crypto_shorthash((unsigned char *)&out, (const unsigned char *)bytes.ptr, bytes.len, key->bytes);
    return le64toh(out);
}

void hash128(const struct hash_key *key, struct slice bytes, uint64_t out[2])
{
    crypto_shorthash_siphashx24((unsigned char *)out, (const unsigned char *)bytes.ptr, bytes.len,
                                key->bytes);
    for (size_t i = 0; i < 2; i++)
        out[i] = le64toh(out[i]);
}

void sha256(struct slice bytes, unsigned char digest[SHA256_BYTES])
{
    SHA256_CTX state;

    SHA256_Init(&state);
    SHA256_Update(&state, bytes.ptr, bytes.len);
    SHA256_Final(digest, &state);
}

void sha256_hex(struct slice bytes, char hex[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_BYTES];

    sha256(bytes, digest);
    hex_encode(digest, sizeof digest, hex);
}

void hex_encode(const unsigned char *bytes, size_t len, char *hex)
{
    sodium_bin2hex(hex, 2 * len + 1, bytes, len);
}

int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct slice hex, unsigned char *bytes, size_t len)
{
    size_t written;

    return hex.len == 2 * len && sodium_hex2bin(bytes, len, hex.ptr, hex.len, NULL, &written, NULL) == 0 &&
           written == len;
}
