/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/fields.h"

enum { VARINT_BYTES_MAX = 10 };

static bool take_varint(struct slice *rest, uint64_t *value)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < rest->len && i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = (uint8_t)rest->ptr[i];

        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return false; /* beyond 64 bits */
        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *value = sum;
        *rest = slice_of(rest->ptr + i + 1, rest->len - i - 1);
        return true;
    }
    return false;
}

static bool take_fixed(struct slice *rest, size_t bytes, uint64_t *value)
{
    if (rest->len < bytes)
        return false;
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value |= (uint64_t)(uint8_t)rest->ptr[i] << (8 * i);
    *rest = slice_of(rest->ptr + bytes, rest->len - bytes);
    return true;
}

static bool take_bytes(struct slice *rest, struct slice *bytes)
{
    uint64_t len;

    if (!take_varint(rest, &len) || len > rest->len)
        return false;
    *bytes = slice_of(rest->ptr, (size_t)len);
    *rest = slice_of(rest->ptr + len, rest->len - (size_t)len);
    return true;
}

bool proto_next(struct slice *rest, struct proto_field *f)
{
    struct slice at = *rest;
    uint64_t tag;
    bool is_read;

    *f = (struct proto_field){ 0 };
    if (!at.len || !take_varint(&at, &tag) || tag >> 3 == 0 || tag >> 3 > (1 << 29) - 1)
        return false;
    f->number = (uint32_t)(tag >> 3);
    f->kind = (enum proto_kind)(tag & 7);
    switch (f->kind) {
    case PROTO_VARINT:
        is_read = take_varint(&at, &f->value);
        break;
    case PROTO_FIXED64:
        is_read = take_fixed(&at, 8, &f->value);
        break;
    case PROTO_FIXED32:
        is_read = take_fixed(&at, 4, &f->value);
        break;
    case PROTO_BYTES:
        is_read = take_bytes(&at, &f->bytes);
        break;
    default:
        is_read = false;
    }
    if (is_read)
        *rest = at;
    return is_read;
}
