/* SPDX-License-Identifier: Apache-2.0
 * hash.h - the two hashes that everything uses, on libsodium: SipHash-2-4 for tables that a peer can fill and
 * for stable assignment, SHA-256 for identities. No state; any thread. */
#ifndef ASSAY_BASE_HASH_H
#define ASSAY_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

struct hash_key {
    unsigned char bytes[16];
};

/* The same key and bytes give the same hash on every machine (SipHash-2-4, read as little-endian). */
uint64_t hash64(const struct hash_key *key, struct slice bytes);

/* 128 bits, for what must not be taken for another: SipHash-2-4-128, its halves read as little-endian. */
void hash128(const struct hash_key *key, struct slice bytes, uint64_t out[2]);

enum { SHA256_BYTES = 32, SHA256_HEX_SIZE = 65 };
void sha256(struct slice bytes, unsigned char digest[SHA256_BYTES]);
/* Lower-case hex with a NUL. */
void sha256_hex(struct slice bytes, char hex[SHA256_HEX_SIZE]);
/* What a digit of either case stands for; -1 for anything else. */
int hex_digit(int c);
/* `len` bytes as 2 * len lower-case digits and a NUL; `hex` has room for 2 * len + 1. */
void hex_encode(const unsigned char *bytes, size_t len, char *hex);
/* False when `hex` is not exactly `len` bytes in hex digits of either case. */
bool hex_decode(struct slice hex, unsigned char *bytes, size_t len);

#endif
