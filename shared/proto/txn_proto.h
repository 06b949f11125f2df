/* SPDX-License-Identifier: Apache-2.0
 * txn_proto.h - between `struct txn` / `struct label` and their wire messages. */
#ifndef ASSAY_PROTO_TXN_PROTO_H
#define ASSAY_PROTO_TXN_PROTO_H

#include "base/arena.h"
#include "fraud/txn.h"
#include "proto/assay.pb-c.h"

/* Views of the message: slices point into it, attributes come from `arena`.
 *   ERR_INVALID  more attributes than TXN_ATTRIBUTES_MAX, or not sorted by name */
MUST_USE enum err txn_from_proto(struct txn *txn, const Assay__V1__Transaction *message, struct arena *arena,
                                 struct why *why);
/* A message whose strings are copies in `arena`. */
Assay__V1__Transaction *txn_to_proto(const struct txn *txn, struct arena *arena);

void label_from_proto(struct label *label, const Assay__V1__Label *message);
Assay__V1__Label *label_to_proto(const struct label *label, struct arena *arena);

/* The bodies that the log keeps: packed messages. The slice is the arena's. */
struct slice txn_pack(const struct txn *txn, struct arena *arena);
/* Unpacks into `arena`, which then owns all that `txn` points to.
 *   ERR_SYNTAX  not a packed Transaction */
MUST_USE enum err txn_unpack(struct txn *txn, struct slice body, struct arena *arena, struct why *why);
struct slice label_pack(const struct label *label, struct arena *arena);
MUST_USE enum err label_unpack(struct label *label, struct slice body, struct arena *arena, struct why *why);

/* Borrowed bytes as a message holds them, and back. */
static inline ProtobufCBinaryData proto_bytes(struct slice bytes)
{
    return (ProtobufCBinaryData){ bytes.len, (uint8_t *)(uintptr_t)bytes.ptr }; /* only read */
}

static inline struct slice proto_slice(const ProtobufCBinaryData *data)
{
    return slice_of(data->data, data->len);
}

/* A protobuf-c allocator that takes from the arena and frees nothing; lives as long as the arena. */
ProtobufCAllocator *proto_arena_allocator(struct arena *arena);

#endif
