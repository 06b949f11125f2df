/* SPDX-License-Identifier: Apache-2.0
 * signature_fuzz.c - keys, lists of keys and signatures as texts: each is refused or reads the same when it is
 * written again, and a signature that was changed holds for nothing. */
#include <stdlib.h>
#include <string.h>

#include "bundle/signature.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_secret(struct slice text)
{
    struct signing_key key, again;
    unsigned char digest[SHA256_BYTES] = { 1 };
    struct bundle_signature signature;
    struct why why = { 0 };
    struct buf written;

    if (signing_key_parse(&key, text, &why)) {
        check(*why.text != '\0');
        return;
    }
    buf_init(&written, 0);
    signing_key_format(&written, &key);
    check(!signing_key_parse(&again, buf_slice(&written), &why) && memcmp(&again, &key, sizeof key) == 0);
    bundle_sign(&signature, digest, &key);
    check(!bundle_signature_check(&signature, digest, NULL, &why));
    digest[31] ^= 1;
    check(bundle_signature_check(&signature, digest, NULL, &why) == ERR_FORBIDDEN);
    buf_release(&written);
}

static void try_signature(struct slice text)
{
    struct bundle_signature signature, again;
    unsigned char digest[SHA256_BYTES], same[SHA256_BYTES];
    struct why why = { 0 };
    struct buf written;

    if (bundle_signature_parse(&signature, digest, text, &why)) {
        check(*why.text != '\0');
        return;
    }
    buf_init(&written, 0);
    bundle_signature_format(&written, &signature, digest);
    check(!bundle_signature_parse(&again, same, buf_slice(&written), &why));
    check(memcmp(&again, &signature, sizeof again) == 0 && memcmp(same, digest, sizeof same) == 0);
    if (!bundle_signature_check(&signature, digest, NULL, &why)) {
        signature.bytes[0] ^= 1;
        check(bundle_signature_check(&signature, digest, NULL, &why) == ERR_FORBIDDEN);
    }
    buf_release(&written);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct arena arena = { 0 };
    struct trusted_keys keys;
    struct why why = { 0 };

    try_secret(text);
    try_signature(text);
    if (trusted_keys_parse(&keys, text, &arena, &why))
        check(keys.count == 0 && *why.text != '\0');
    else
        check(keys.count > 0 && keys.count <= TRUSTED_KEYS_MAX);
    arena_release(&arena);
    return 0;
}
