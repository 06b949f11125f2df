/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL would like us to go by EVP, which looks the algorithm up each time: that takes longer than to hash
 * what we hash most, some 150 bytes. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <openssl/sha.h>
#include <sodium.h>

uint64_t hash64(const struct hash_key *key, struct slice bytes)
{
    unsigned char out[crypto_shorthash_BYTES];
    uint64_t value = 0;

    crypto_shorthash(out, (const unsigned char *)bytes.ptr, bytes.len, key->bytes);
    for (size_t i = sizeof out; i-- > 0;)
        value = value << 8 | out[i];
    return value;
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

bool hex_decode(struct slice hex, unsigned char *bytes, size_t len)
{
    size_t written;

    return hex.len == 2 * len && sodium_hex2bin(bytes, len, hex.ptr, hex.len, NULL, &written, NULL) == 0 &&
           written == len;
}
