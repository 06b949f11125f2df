/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/status.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

/* What each status means to us when a peer sends it. */
static const struct {
    const char *name;
    enum err err;
} statuses[] = {
    [GRPC_OK] = { "OK", ERR_OK },
    [GRPC_CANCELLED] = { "CANCELLED", ERR_UNKNOWN },
    [GRPC_UNKNOWN] = { "UNKNOWN", ERR_UNKNOWN },
    [GRPC_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", ERR_INVALID },
    [GRPC_DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", ERR_TIMEOUT },
    [GRPC_NOT_FOUND] = { "NOT_FOUND", ERR_NOT_FOUND },
    [GRPC_ALREADY_EXISTS] = { "ALREADY_EXISTS", ERR_CONFLICT },
    [GRPC_PERMISSION_DENIED] = { "PERMISSION_DENIED", ERR_FORBIDDEN },
    [GRPC_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", ERR_LIMIT },
    [GRPC_FAILED_PRECONDITION] = { "FAILED_PRECONDITION", ERR_CONFLICT },
    [GRPC_ABORTED] = { "ABORTED", ERR_CONFLICT },
    [GRPC_OUT_OF_RANGE] = { "OUT_OF_RANGE", ERR_INVALID },
    [GRPC_UNIMPLEMENTED] = { "UNIMPLEMENTED", ERR_INTERNAL },
    [GRPC_INTERNAL] = { "INTERNAL", ERR_INTERNAL },
    [GRPC_UNAVAILABLE] = { "UNAVAILABLE", ERR_UNAVAILABLE },
    [GRPC_DATA_LOSS] = { "DATA_LOSS", ERR_INTERNAL },
    [GRPC_UNAUTHENTICATED] = { "UNAUTHENTICATED", ERR_UNAUTHORIZED },
};
static_assert(ARRAY_LEN(statuses) == GRPC_STATUS_COUNT, "every status has a name");

/* And how ours are sent. */
static const enum grpc_status by_err[] = {
    [ERR_OK] = GRPC_OK,
    [ERR_SYNTAX] = GRPC_INVALID_ARGUMENT,
    [ERR_INVALID] = GRPC_INVALID_ARGUMENT,
    [ERR_UNAUTHORIZED] = GRPC_UNAUTHENTICATED,
    [ERR_FORBIDDEN] = GRPC_PERMISSION_DENIED,
    [ERR_NOT_FOUND] = GRPC_NOT_FOUND,
    [ERR_CONFLICT] = GRPC_ALREADY_EXISTS,
    [ERR_TOO_LARGE] = GRPC_RESOURCE_EXHAUSTED,
    [ERR_LIMIT] = GRPC_RESOURCE_EXHAUSTED,
    [ERR_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
    [ERR_UNAVAILABLE] = GRPC_UNAVAILABLE,
    [ERR_UNKNOWN] = GRPC_UNKNOWN,
    [ERR_INTERNAL] = GRPC_INTERNAL,
};
static_assert(ARRAY_LEN(by_err) == ERR_COUNT, "every error has a status");

/* doc/http-grpc-status-mapping.md */
static const struct {
    int http;
    enum grpc_status status;
} by_http[] = {
    { 400, GRPC_INTERNAL },      { 401, GRPC_UNAUTHENTICATED }, { 403, GRPC_PERMISSION_DENIED },
    { 404, GRPC_UNIMPLEMENTED }, { 429, GRPC_UNAVAILABLE },     { 502, GRPC_UNAVAILABLE },
    { 503, GRPC_UNAVAILABLE },   { 504, GRPC_UNAVAILABLE },
};

/* Finest first. */
static const struct {
    char unit;
    int64_t ns;
} units[] = {
    { 'n', 1 },
    { 'u', 1000 },
    { 'm', 1000 * 1000 },
    { 'S', INT64_C(1000000000) },
    { 'M', INT64_C(1000000000) * 60 },
    { 'H', INT64_C(1000000000) * 3600 },
};

enum { TIMEOUT_DIGITS = 8, TIMEOUT_LARGEST = 99999999 };

enum grpc_status grpc_status_of(enum err err)
{
    assert(err < ERR_COUNT);
    return by_err[err];
}

enum err grpc_status_err(enum grpc_status status)
{
    assert(status < GRPC_STATUS_COUNT);
    return statuses[status].err;
}

const char *grpc_status_name(enum grpc_status status)
{
    assert(status < GRPC_STATUS_COUNT);
    return statuses[status].name;
}

enum grpc_status grpc_status_parse(struct slice value)
{
    int64_t n;

    if (!slice_to_i64(value, &n) || n < 0 || n >= GRPC_STATUS_COUNT)
        return GRPC_UNKNOWN;
    return (enum grpc_status)n;
}

enum grpc_status grpc_status_of_http(int http_status)
{
    for (size_t i = 0; i < ARRAY_LEN(by_http); i++)
        if (by_http[i].http == http_status)
            return by_http[i].status;
    return GRPC_UNKNOWN;
}

bool grpc_timeout_parse(struct slice value, int64_t *us)
{
    int64_t n = 0;

    if (value.len < 2 || value.len > TIMEOUT_DIGITS + 1)
        return false;
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return false;
        n = 10 * n + (value.ptr[i] - '0');
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == value.ptr[value.len - 1]) {
            *us = units[i].ns >= 1000 ? n * (units[i].ns / 1000) : (n + 999) / 1000;
            return true;
        }
    return false;
}

struct slice grpc_timeout_format(int64_t us, char text[GRPC_TIMEOUT_SIZE])
{
    int64_t n = us < 0 ? 0 : us;
    size_t i = 1; /* ours are microseconds */
    int len;

    while (n > TIMEOUT_LARGEST && i + 1 < ARRAY_LEN(units)) {
        i++;
        n = us / (units[i].ns / 1000);
    }
    if (n > TIMEOUT_LARGEST)
        n = TIMEOUT_LARGEST;
    len = snprintf(text, GRPC_TIMEOUT_SIZE, "%" PRId64 "%c", n, n ? units[i].unit : 'n');
    return slice_of(text, (size_t)len);
}

static bool goes_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '%';
}

struct slice grpc_message_encode(struct slice text, struct arena *arena)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_new(arena, char, 3 * text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (goes_plain(text.ptr[i])) {
            out[len++] = text.ptr[i];
        } else {
            out[len++] = '%';
            out[len++] = hex[c >> 4];
            out[len++] = hex[c & 15];
        }
    }
    return slice_of(out, len);
}

struct slice grpc_message_decode(struct slice value, struct arena *arena)
{
    char *out = arena_new(arena, char, value.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < value.len; i++) {
        int high = -1, low = -1;

        if (value.ptr[i] == '%' && i + 2 < value.len) {
            high = hex_digit(value.ptr[i + 1]);
            low = hex_digit(value.ptr[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            out[len++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[len++] = value.ptr[i];
        }
    }
    return slice_of(out, len);
}

void grpc_prefix_write(unsigned char prefix[GRPC_PREFIX_BYTES], uint32_t len)
{
    prefix[0] = 0;
    prefix[1] = (unsigned char)(len >> 24);
    prefix[2] = (unsigned char)(len >> 16);
    prefix[3] = (unsigned char)(len >> 8);
    prefix[4] = (unsigned char)len;
}

enum grpc_status grpc_unframe(struct slice body, size_t most, struct slice *message, struct why *why)
{
    unsigned char p[GRPC_PREFIX_BYTES];
    size_t len;

    if (body.len < sizeof p) {
        err_set(why, ERR_SYNTAX, "%zu bytes are no message", body.len);
        return GRPC_INTERNAL;
    }
    memcpy(p, body.ptr, sizeof p);
    if (p[0]) {
        err_set(why, ERR_INVALID, p[0] == 1 ? "compressed messages are not taken" : "flag %d is not known",
                p[0]);
        return p[0] == 1 ? GRPC_UNIMPLEMENTED : GRPC_INTERNAL;
    }
    len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (len > most) {
        err_set(why, ERR_TOO_LARGE, "a message of %zu bytes; at most %zu are taken", len, most);
        return GRPC_RESOURCE_EXHAUSTED;
    }
    if (len > body.len - sizeof p) {
        err_set(why, ERR_SYNTAX, "a message of %zu bytes is cut short after %zu", len, body.len - sizeof p);
        return GRPC_INTERNAL;
    }
    if (len < body.len - sizeof p) {
        err_set(why, ERR_INVALID, "more than one message in a unary call");
        return GRPC_UNIMPLEMENTED;
    }
    *message = slice_of(body.ptr + sizeof p, len);
    return GRPC_OK;
}
