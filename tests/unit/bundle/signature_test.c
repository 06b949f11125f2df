/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/signature.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"

static struct why why;
static struct arena arena;
static struct buf text;

static void setup(void)
{
    buf_init(&text, 0);
}

static void teardown(void)
{
    buf_release(&text);
    arena_release(&arena);
}

TestSuite(signature, .init = setup, .fini = teardown, .timeout = 120);

/* The key of RFC 8032, section 7.1, test 3. Its message has two bytes and ours always 32, so what it signs is the
 * SHA-256 of "abc", and the signature is OpenSSL's (by Python's `cryptography`). */
static const char seed[] = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
static const char signed_abc[] = "469d095759f601a3108b75888fcc834d178c8b9660c49e379f000a3cf9119cf6"
                                 "738fc1418936353f3ea4fefdd0f737cab73056b0b25ef9c7c7bde4f49eb12a05";
static const char public_key[] = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";

static void read_key(struct signing_key *key)
{
    buf_clear(&text);
    buf_printf(&text, "# test 3\nassay secret key 1 %s%s\r\n\n", seed, public_key);
    cr_assert_eq(signing_key_parse(key, buf_slice(&text), &why), ERR_OK, "%s", why.text);
}

Test(signature, is_the_one_that_openssl_makes_with_the_same_key)
{
    struct bundle_signature signature;
    unsigned char digest[SHA256_BYTES], signer[SIGNER_BYTES], expected[SIGNATURE_BYTES];
    struct signing_key key;

    read_key(&key);
    sha256(SLICE("abc"), digest);
    bundle_sign(&signature, digest, &key);
    cr_assert(hex_decode(slice_str(public_key), signer, sizeof signer));
    cr_assert_eq(memcmp(signature.signer, signer, sizeof signer), 0);
    cr_assert(hex_decode(slice_str(signed_abc), expected, sizeof expected));
    cr_assert_eq(memcmp(signature.bytes, expected, sizeof expected), 0);
    cr_assert_eq(bundle_signature_check(&signature, digest, NULL, &why), ERR_OK);
}

Test(signature, holds_for_its_bytes_alone)
{
    struct bundle_signature signature, changed;
    unsigned char digest[SHA256_BYTES] = { 7 };
    struct signing_key key;

    signing_key_make(&key);
    bundle_sign(&signature, digest, &key);
    cr_assert_eq(bundle_signature_check(&signature, digest, NULL, &why), ERR_OK);
    for (size_t bit = 0; bit < 8 * SHA256_BYTES; bit++) {
        digest[bit / 8] ^= (unsigned char)(1 << bit % 8);
        cr_assert_eq(bundle_signature_check(&signature, digest, NULL, &why), ERR_FORBIDDEN);
        digest[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        changed = signature;
        ((unsigned char *)&changed)[bit / 8] ^= (unsigned char)(1 << bit % 8);
        cr_assert_eq(bundle_signature_check(&changed, digest, NULL, &why), ERR_FORBIDDEN, "bit %zu", bit);
    }
}

Test(signature, counts_where_its_signer_is_trusted)
{
    struct signing_key own, other;
    struct bundle_signature signature;
    unsigned char digest[SHA256_BYTES] = { 0 };
    struct trusted_keys keys;

    signing_key_make(&own);
    signing_key_make(&other);
    bundle_sign(&signature, digest, &own);
    buf_add_str(&text, "# nobody else\n\n");
    signing_key_format_public(&text, &other);
    cr_assert_eq(trusted_keys_parse(&keys, buf_slice(&text), &arena, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(bundle_signature_check(&signature, digest, &keys, &why), ERR_FORBIDDEN);
    cr_assert(strstr(why.text, "not trusted") != NULL);
    cr_assert_eq(bundle_signature_check(NULL, digest, &keys, &why), ERR_FORBIDDEN);
    cr_assert(strstr(why.text, "not signed") != NULL);
    cr_assert_eq(bundle_signature_check(NULL, digest, NULL, &why), ERR_OK);
    signing_key_format_public(&text, &own);
    cr_assert_eq(trusted_keys_parse(&keys, buf_slice(&text), &arena, &why), ERR_OK);
    cr_assert_eq(keys.count, 2);
    cr_assert_eq(bundle_signature_check(&signature, digest, &keys, &why), ERR_OK);
}

Test(signature, reads_what_it_wrote_and_nothing_else)
{
    static const char *const secrets[] = {
        "",
        "assay secret key 1",
        "assay secret key 1 00",
        "assay secret key 2 %s%s",
        "%s%s",
        "assay secret key 1 %s%s\nassay secret key 1 %s%s",
        "assay secret key 1 %s0000000000000000000000000000000000000000000000000000000000000000",
    };
    static const char *const lists[] = { "",
                                         "# only words\n",
                                         "assay public key 1\n",
                                         "assay public key 1 00\n",
                                         "assay public key 1 %s and more\n",
                                         "assay secret key 1 %s\n",
                                         "assay public key 1 %s\nx\n" };
    unsigned char digest[SHA256_BYTES] = { 3 }, read_digest[SHA256_BYTES];
    struct bundle_signature signature, again;
    struct signing_key key;
    struct trusted_keys keys;

    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        char line[512];

        snprintf(line, sizeof line, secrets[i], seed, public_key, seed, public_key);
        cr_assert_eq(signing_key_parse(&key, slice_str(line), &why), ERR_SYNTAX, "%s", line);
    }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        char line[512];

        snprintf(line, sizeof line, lists[i], public_key);
        cr_assert_neq(trusted_keys_parse(&keys, slice_str(line), &arena, &why), ERR_OK, "%s", line);
    }
    read_key(&key);
    bundle_sign(&signature, digest, &key);
    buf_clear(&text);
    bundle_signature_format(&text, &signature, digest);
    cr_assert_eq(bundle_signature_parse(&again, read_digest, buf_slice(&text), &why), ERR_OK, "%s", why.text);
    cr_assert(memcmp(&again, &signature, sizeof again) == 0 &&
              memcmp(digest, read_digest, sizeof digest) == 0);
    for (size_t len = 0; len + 1 < text.len; len++)
        cr_assert_eq(bundle_signature_parse(&again, read_digest, slice_of(buf_str(&text), len), &why),
                     ERR_SYNTAX, "%zu bytes", len);
    buf_add_str(&text, "more\n");
    cr_assert_eq(bundle_signature_parse(&again, read_digest, buf_slice(&text), &why), ERR_SYNTAX);
}
