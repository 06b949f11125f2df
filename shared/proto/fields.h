/* SPDX-License-Identifier: Apache-2.0
 * fields.h - walks over the fields of a packed message without unpacking it: for readers of many messages that need
 * a few of their fields. No allocation; hostile bytes end the walk.
 *
 *   struct slice rest = body;
 *   struct proto_field f;
 *
 *   while (proto_next(&rest, &f))
 *       if (f.number == 2 && f.kind == PROTO_BYTES)
 *           id = f.bytes;
 *   if (rest.len)
 *       the bytes are no message
 *
 * Source: protobuf.dev, "Encoding". */
#ifndef ASSAY_PROTO_FIELDS_H
#define ASSAY_PROTO_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* As they stand on the wire; groups, which proto3 does not have, are refused. */
enum proto_kind { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct proto_field {
    uint32_t number;
    enum proto_kind kind;
    uint64_t value;     /* of all kinds but PROTO_BYTES */
    struct slice bytes; /* of PROTO_BYTES; points into the message */
};

/* The next field. False at the end, where *rest is empty, or at bytes that are none, where it is not. */
bool proto_next(struct slice *rest, struct proto_field *f);

/* The value of a sint32 or sint64. */
static inline int64_t proto_signed(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
