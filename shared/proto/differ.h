/* SPDX-License-Identifier: Apache-2.0
 * differ.h - where two messages of one kind are not the same, field by field and bit by bit. */
#ifndef ASSAY_PROTO_DIFFER_H
#define ASSAY_PROTO_DIFFER_H

#include <protobuf-c/protobuf-c.h>

#include "base/slice.h"

/* A field with its way there, "rules[0].values", and what it holds in each, as a person reads it: "(none)" where a
 * message or an item is not there, doubles that read the same with their bits. Valid for the call. */
typedef void proto_difference(void *context, struct slice field, struct slice a, struct slice b);

/* Calls `each` for each field of `a` and `b`, which are of the same kind, that differs. NaN is the same as NaN of the
 * same bits. Fields that are not known to this version, and members of oneof, are not looked at. */
void proto_differ(const ProtobufCMessage *a, const ProtobufCMessage *b, proto_difference *each,
                  void *context);

#endif
