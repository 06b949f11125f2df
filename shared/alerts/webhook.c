/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts/webhook.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"

static const char prefix[] = "whsec_";

void webhook_secret_make(struct webhook_secret *out)
{
    out->len = 32;
    randombytes_buf(out->bytes, out->len);
}

void webhook_secret_write(const struct webhook_secret *secret, char out[WEBHOOK_SECRET_SIZE])
{
    memcpy(out, prefix, sizeof prefix - 1);
    sodium_bin2base64(out + sizeof prefix - 1, WEBHOOK_SECRET_SIZE - (sizeof prefix - 1), secret->bytes,
                      secret->len, sodium_base64_VARIANT_ORIGINAL);
}

/* libsodium takes some bytes for base64 that are none: what is written again must be the same. */
static bool is_as_written(const struct webhook_secret *secret, struct slice text)
{
    char written[WEBHOOK_SECRET_SIZE];
    bool is;

    webhook_secret_write(secret, written);
    is = slice_eq_str(text, written);
    sodium_memzero(written, sizeof written);
    return is;
}

enum err webhook_secret_read(struct webhook_secret *out, struct slice text, struct why *why)
{
    const size_t head = sizeof prefix - 1;

    if (!slice_starts_with(text, slice_str(prefix)) ||
        sodium_base642bin(out->bytes, sizeof out->bytes, text.ptr + head, text.len - head, NULL, &out->len,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
        out->len < WEBHOOK_SECRET_LEAST || !is_as_written(out, text))
        return err_set(why, ERR_INVALID, "a secret is whsec_ and the base64 of %d to %d bytes",
                       WEBHOOK_SECRET_LEAST, WEBHOOK_SECRET_MOST);
    return ERR_OK;
}

void webhook_sign(const struct webhook_secret *secrets, size_t count, struct slice id, int64_t at_s,
                  struct slice body, struct buf *out)
{
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof mac, sodium_base64_VARIANT_ORIGINAL)], at[24];
    size_t at_len = (size_t)snprintf(at, sizeof at, ".%" PRId64 ".", at_s);

    for (size_t i = 0; i < count; i++) {
        crypto_auth_hmacsha256_state state;

        crypto_auth_hmacsha256_init(&state, secrets[i].bytes, secrets[i].len);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)id.ptr, id.len);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)at, at_len);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)body.ptr, body.len);
        crypto_auth_hmacsha256_final(&state, mac);
        sodium_memzero(&state, sizeof state);
        sodium_bin2base64(text, sizeof text, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
        buf_printf(out, "%sv1,%s", i ? " " : "", text);
    }
}

/* ---- again ---- */

static const struct {
    const char *name;
    int64_t us;
} units[] = { { "ms", MS_US }, { "s", SECOND_US }, { "m", MINUTE_US }, { "h", HOUR_US }, { "d", DAY_US } };

static bool read_wait(struct slice text, int64_t *us)
{
    size_t digits = 0;
    int64_t number;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (!slice_to_i64(slice_of(text.ptr, digits), &number) || number > 30 * DAY_US / MS_US)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_eq_str(slice_of(text.ptr + digits, text.len - digits), units[i].name) &&
            number <= 30 * DAY_US / units[i].us) {
            *us = number * units[i].us;
            return true;
        }
    return false;
}

enum err webhook_waits_read(struct webhook_waits *out, struct slice text, struct why *why)
{
    out->count = 0;
    while (text.len > 0) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t len = comma ? (size_t)(comma - text.ptr) : text.len;

        if (out->count == WEBHOOK_WAITS_MAX || !read_wait(slice_of(text.ptr, len), &out->us[out->count]))
            return err_set(why, ERR_INVALID, "up to %d waits are needed, of ms, s, m, h or d each, as in %s",
                           WEBHOOK_WAITS_MAX, WEBHOOK_WAITS_USUAL);
        out->count++;
        len += comma ? 1 : 0;
        text = slice_of(text.ptr + len, text.len - len);
    }
    return ERR_OK;
}

int64_t webhook_wait_us(const struct webhook_waits *waits, int64_t failed, double draw)
{
    int64_t us;

    if (failed < 1 || (uint64_t)failed > waits->count)
        return -1;
    us = waits->us[failed - 1];
    return us + (int64_t)((double)us * 0.2 * draw);
}
