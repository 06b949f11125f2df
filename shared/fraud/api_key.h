/* SPDX-License-Identifier: Apache-2.0
 * api_key.h - the keys that callers show: "ak_<8 hex digits>_<32 base62 characters>".
 *
 * The prefix finds the key and may be logged; the secret has 190 bits of entropy and is kept as its SHA-256
 * only. No I/O; making one draws from the system's random source. */
#ifndef ASSAY_FRAUD_API_KEY_H
#define ASSAY_FRAUD_API_KEY_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/slice.h"

enum { API_KEY_PREFIX_LEN = 8, API_KEY_SECRET_LEN = 32, API_KEY_LEN = 3 + 8 + 1 + 32 };

struct api_key {
    char text[API_KEY_LEN + 1]; /* the whole key: shown once, then forgotten */
    char prefix[API_KEY_PREFIX_LEN + 1];
    unsigned char secret_sha256[SHA256_BYTES]; /* of the 32 characters of the secret */
};

void api_key_make(struct api_key *key);
/* Reads what a caller showed. False when it has not the form of a key. Compare secret_sha256 with
 * sodium_memcmp(). */
bool api_key_read(struct api_key *key, struct slice text);

#endif
