/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/signature.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static_assert(SIGNER_BYTES == crypto_sign_PUBLICKEYBYTES, "libsodium's Ed25519");
static_assert(SIGNATURE_BYTES == crypto_sign_BYTES, "libsodium's Ed25519");
static_assert(SIGNING_KEY_BYTES == crypto_sign_SECRETKEYBYTES, "libsodium's Ed25519");

#define SECRET_KEY "assay secret key 1"
#define PUBLIC_KEY "assay public key 1"
#define SIGNATURE  "assay signature 1"

/* ---- lines ---- */

static struct slice trim(struct slice text)
{
    while (text.len && strchr(" \t\r", text.ptr[0]))
        text = slice_of(text.ptr + 1, text.len - 1);
    while (text.len && strchr(" \t\r", text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* The next line that says something, without its comment; false at the end. *number counts all lines. */
static bool next_line(struct slice *rest, struct slice *line, size_t *number)
{
    while (rest->len) {
        const char *end = memchr(rest->ptr, '\n', rest->len), *comment;
        size_t len = end ? (size_t)(end - rest->ptr) : rest->len;

        *line = slice_of(rest->ptr, len);
        *rest = slice_of(rest->ptr + len + (end != NULL), rest->len - len - (end != NULL));
        ++*number;
        comment = memchr(line->ptr, '#', line->len);
        if (comment)
            line->len = (size_t)(comment - line->ptr);
        *line = trim(*line);
        if (line->len)
            return true;
    }
    return false;
}

/* `line` is `word`, a space and `len` bytes in hex. */
static bool read_hex(struct slice line, const char *word, unsigned char *bytes, size_t len)
{
    size_t word_len = strlen(word);

    return slice_starts_with(line, slice_str(word)) && line.len > word_len && line.ptr[word_len] == ' ' &&
           hex_decode(slice_of(line.ptr + word_len + 1, line.len - word_len - 1), bytes, len);
}

static void write_hex(struct buf *out, const char *word, const unsigned char *bytes, size_t len)
{
    char hex[2 * SIGNATURE_BYTES + 1];

    hex_encode(bytes, len, hex);
    buf_printf(out, "%s %s\n", word, hex);
    sodium_memzero(hex, sizeof hex);
}

/* ---- keys ---- */

static void key_from_seed(struct signing_key *key, const unsigned char seed[crypto_sign_SEEDBYTES])
{
    unsigned char public[SIGNER_BYTES];

    crypto_sign_seed_keypair(public, key->bytes, seed);
}

static const unsigned char *public_of(const struct signing_key *key)
{
    return key->bytes + crypto_sign_SEEDBYTES;
}

void signing_key_make(struct signing_key *key)
{
    unsigned char seed[crypto_sign_SEEDBYTES];

    if (sodium_init() < 0) /* 1: done before */
        abort();
    randombytes_buf(seed, sizeof seed);
    key_from_seed(key, seed);
    sodium_memzero(seed, sizeof seed);
}

enum err signing_key_parse(struct signing_key *key, struct slice text, struct why *why)
{
    struct signing_key again;
    struct slice line;
    size_t number = 0;
    bool is_whole;

    if (!next_line(&text, &line, &number) || !read_hex(line, SECRET_KEY, key->bytes, sizeof key->bytes) ||
        next_line(&text, &line, &number)) {
        signing_key_wipe(key);
        return err_set(why, ERR_SYNTAX, "this is no secret key: it says \"" SECRET_KEY "\" and %d hex digits",
                       2 * SIGNING_KEY_BYTES);
    }
    key_from_seed(&again, key->bytes);
    is_whole = sodium_memcmp(again.bytes, key->bytes, sizeof key->bytes) == 0;
    signing_key_wipe(&again);
    if (is_whole)
        return ERR_OK;
    signing_key_wipe(key);
    return err_set(why, ERR_SYNTAX, "the secret key's halves do not belong together");
}

void signing_key_format(struct buf *out, const struct signing_key *key)
{
    write_hex(out, SECRET_KEY, key->bytes, sizeof key->bytes);
}

void signing_key_wipe(struct signing_key *key)
{
    sodium_memzero(key, sizeof *key);
}

void signing_key_format_public(struct buf *out, const struct signing_key *key)
{
    write_hex(out, PUBLIC_KEY, public_of(key), SIGNER_BYTES);
}

enum err trusted_keys_parse(struct trusted_keys *out, struct slice text, struct arena *arena, struct why *why)
{
    unsigned char(*signers)[SIGNER_BYTES];
    struct slice rest = text, line;
    size_t number = 0, lines = 0, count = 0;

    *out = (struct trusted_keys){ 0 };
    while (next_line(&rest, &line, &number))
        lines++;
    if (lines == 0)
        return err_set(why, ERR_INVALID, "no key is trusted: there is no line \"" PUBLIC_KEY " ...\"");
    if (lines > TRUSTED_KEYS_MAX)
        return err_set(why, ERR_TOO_LARGE, "over %d trusted keys", TRUSTED_KEYS_MAX);
    signers = arena_alloc(arena, lines, sizeof *signers);
    rest = text;
    number = 0;
    while (next_line(&rest, &line, &number))
        if (!read_hex(line, PUBLIC_KEY, signers[count++], SIGNER_BYTES))
            return err_set(why, ERR_SYNTAX, "line %zu is not \"" PUBLIC_KEY "\" and %d hex digits", number,
                           2 * SIGNER_BYTES);
    *out = (struct trusted_keys){ (const unsigned char(*)[SIGNER_BYTES])signers, count };
    return ERR_OK;
}

/* ---- signatures ---- */

void bundle_sign(struct bundle_signature *out, const unsigned char digest[SHA256_BYTES],
                 const struct signing_key *key)
{
    memcpy(out->signer, public_of(key), SIGNER_BYTES);
    crypto_sign_detached(out->bytes, NULL, digest, SHA256_BYTES, key->bytes);
}

enum err bundle_signature_check(const struct bundle_signature *signature,
                                const unsigned char digest[SHA256_BYTES], const struct trusted_keys *keys,
                                struct why *why)
{
    char signer[2 * SIGNER_BYTES + 1];

    if (signature == NULL)
        return keys ? err_set(why, ERR_FORBIDDEN, "the bundle is not signed") : ERR_OK;
    hex_encode(signature->signer, SIGNER_BYTES, signer);
    if (crypto_sign_verify_detached(signature->bytes, digest, SHA256_BYTES, signature->signer) != 0)
        return err_set(why, ERR_FORBIDDEN, "the signature is not of this bundle by key %s", signer);
    for (size_t i = 0; keys && i < keys->count; i++)
        if (memcmp(keys->signers[i], signature->signer, SIGNER_BYTES) == 0)
            return ERR_OK;
    return keys ? err_set(why, ERR_FORBIDDEN, "the bundle is signed by key %s, which is not trusted", signer)
                : ERR_OK;
}

enum err bundle_signature_parse(struct bundle_signature *out, unsigned char digest[SHA256_BYTES],
                                struct slice text, struct why *why)
{
    const struct {
        const char *word;
        unsigned char *bytes;
        size_t len;
    } fields[] = {
        { "bundle", digest, SHA256_BYTES },
        { "signer", out->signer, SIGNER_BYTES },
        { "signature", out->bytes, SIGNATURE_BYTES },
    };
    struct slice line;
    size_t number = 0;

    if (!next_line(&text, &line, &number) || !slice_eq_str(line, SIGNATURE))
        return err_set(why, ERR_SYNTAX, "this is no signature: it does not begin with \"" SIGNATURE "\"");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (!next_line(&text, &line, &number) ||
            !read_hex(line, fields[i].word, fields[i].bytes, fields[i].len))
            return err_set(why, ERR_SYNTAX, "signature: line %zu is not \"%s\" and %zu hex digits", number,
                           fields[i].word, 2 * fields[i].len);
    if (next_line(&text, &line, &number))
        return err_set(why, ERR_SYNTAX, "signature: line %zu is one too many", number);
    return ERR_OK;
}

void bundle_signature_format(struct buf *out, const struct bundle_signature *signature,
                             const unsigned char digest[SHA256_BYTES])
{
    buf_printf(out, "%s\n", SIGNATURE);
    write_hex(out, "bundle", digest, SHA256_BYTES);
    write_hex(out, "signer", signature->signer, SIGNER_BYTES);
    write_hex(out, "signature", signature->bytes, SIGNATURE_BYTES);
}
