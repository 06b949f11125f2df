/* SPDX-License-Identifier: Apache-2.0
 * signature.h - who vouches for a bundle: Ed25519 (RFC 8032, by libsodium) over the 32 bytes of its SHA-256.
 *
 * Three small texts, for files; `#` begins a comment that ends with its line, blank lines are nothing:
 *
 *   assay secret key 1 <128 hex digits>        of whoever signs; its file is for nobody else's eyes
 *   assay public key 1 <64 hex digits>         of whom is trusted; a file of them may have many lines
 *
 *   assay signature 1                          beside a bundle's file: FILE.sig
 *   bundle <SHA-256 in hex>
 *   signer <64 hex digits>
 *   signature <128 hex digits>
 *
 * No state; any thread. Texts are hostile input. */
#ifndef ASSAY_BUNDLE_SIGNATURE_H
#define ASSAY_BUNDLE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"

enum { SIGNER_BYTES = 32, SIGNATURE_BYTES = 64, SIGNING_KEY_BYTES = 64, TRUSTED_KEYS_MAX = 1024 };

struct bundle_signature {
    unsigned char signer[SIGNER_BYTES]; /* the public key */
    unsigned char bytes[SIGNATURE_BYTES];
};

/* Seed and public key, as libsodium keeps them. Give it to signing_key_wipe() when it has done its work. */
struct signing_key {
    unsigned char bytes[SIGNING_KEY_BYTES];
};

/* Whose signatures count. Zero-initialised: nobody's. */
struct trusted_keys {
    const unsigned char (*signers)[SIGNER_BYTES];
    size_t count;
};

void signing_key_make(struct signing_key *key);
/* ERR_SYNTAX  not the text above, or its halves do not belong together */
MUST_USE enum err signing_key_parse(struct signing_key *key, struct slice text, struct why *why);
void signing_key_format(struct buf *out, const struct signing_key *key);
void signing_key_wipe(struct signing_key *key);
/* The line for those who are to trust it. */
void signing_key_format_public(struct buf *out, const struct signing_key *key);

/* *out lives in `arena`. A file without a key trusts nobody, which is an error: ERR_INVALID.
 *   ERR_SYNTAX  a line is something else; *why has its number      ERR_TOO_LARGE  over TRUSTED_KEYS_MAX */
MUST_USE enum err trusted_keys_parse(struct trusted_keys *out, struct slice text, struct arena *arena,
                                     struct why *why);

void bundle_sign(struct bundle_signature *out, const unsigned char digest[SHA256_BYTES],
                 const struct signing_key *key);
/* Whether `signature` is its signer's over `digest`, and the signer one of `keys` (NULL: anybody).
 *   signature      NULL: nobody signed, which is fine only where nobody is asked for
 *   ERR_FORBIDDEN  it is not; *why says which of the three */
MUST_USE enum err bundle_signature_check(const struct bundle_signature *signature,
                                         const unsigned char digest[SHA256_BYTES],
                                         const struct trusted_keys *keys, struct why *why);

/* The text beside a bundle's file. `digest` is of the bundle that it says it is for.
 *   ERR_SYNTAX  not the text above */
MUST_USE enum err bundle_signature_parse(struct bundle_signature *out, unsigned char digest[SHA256_BYTES],
                                         struct slice text, struct why *why);
void bundle_signature_format(struct buf *out, const struct bundle_signature *signature,
                             const unsigned char digest[SHA256_BYTES]);

#endif
