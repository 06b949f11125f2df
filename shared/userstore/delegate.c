/* SPDX-License-Identifier: Apache-2.0 */
#include "userstore/delegate.h"

#include <sodium.h>
#include <string.h>

#include "base/hash.h"
#include "lifestore/row.h"
#include "userstore/user.h"

#define PREFIX "dk_"
enum { PREFIX_LEN = sizeof PREFIX - 1, SECRET_BYTES = 32 };
static_assert((int)DELEGATE_KEY_SIZE == (int)PREFIX_LEN + 2 * (int)SECRET_BYTES + 1, "the key has room");

static void add_digest(struct pg_params *p, struct slice key)
{
    unsigned char digest[SHA256_BYTES];

    sha256(key, digest);
    pg_add_bytes(p, slice_of(digest, sizeof digest));
}

enum err delegate_make(struct pg_session *s, const char *service, char key[DELEGATE_KEY_SIZE],
                       struct why *why)
{
    unsigned char bytes[SECRET_BYTES];
    struct pg_params p = { 0 };

    randombytes_buf(bytes, sizeof bytes);
    memcpy(key, PREFIX, PREFIX_LEN);
    hex_encode(bytes, sizeof bytes, key + PREFIX_LEN);
    sodium_memzero(bytes, sizeof bytes);
    add_digest(&p, slice_str(key));
    pg_add_text(&p, slice_str(service));
    pg_add_i32(&p, DELEGATE_HOURS);
    return row_ask(s,
                   "WITH old AS (DELETE FROM delegates WHERE expires_at < now()) INSERT INTO delegates "
                   "(secret_sha256, service, expires_at) VALUES ($1::bytea, $2::text, now() + $3::int4 * "
                   "interval '1 hour')",
                   &p, NULL, why);
}

bool delegate_looks_like(struct slice key)
{
    unsigned char bytes[SECRET_BYTES];
    bool is_one = slice_starts_with(key, slice_str(PREFIX)) &&
                  hex_decode(slice_of(key.ptr + PREFIX_LEN, key.len - PREFIX_LEN), bytes, sizeof bytes);

    sodium_memzero(bytes, sizeof bytes);
    return is_one;
}

enum err delegate_check(struct pg_session *s, struct slice key, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    add_digest(&p, key);
    err = row_ask(s, "SELECT 1 FROM delegates WHERE secret_sha256 = $1::bytea AND expires_at > now()", &p, &r,
                  why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_UNAUTHORIZED, "the key of a service that speaks for people is not valid");
    pg_result_free(r);
    return err;
}

enum err delegate_actor(struct slice said, struct slice *name, struct why *why)
{
    static const char kind[] = "user:";

    *name = SLICE("");
    if (slice_starts_with(said, slice_str(kind)))
        *name = slice_of(said.ptr + sizeof kind - 1, said.len - (sizeof kind - 1));
    if (!user_name_is_sound(*name))
        return err_set(why, ERR_INVALID, "X-Assay-Actor is \"user:\" and a name");
    return ERR_OK;
}
