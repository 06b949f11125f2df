/* SPDX-License-Identifier: Apache-2.0
 * calls.h - the gRPC methods: from messages to items, and from what became of them to replies. */
#ifndef ASSAY_FEATURES_CALLS_H
#define ASSAY_FEATURES_CALLS_H

#include "batch.h"
#include "grpc/server.h"

enum { CALLS_METHODS = 2 };
extern const struct grpc_method calls_methods[CALLS_METHODS];

/* Answers a call that came by gRPC: with what became of its items, or with the failure `err`. */
void calls_reply(struct features *f, struct call *call, enum err err, const struct why *why);

#endif
