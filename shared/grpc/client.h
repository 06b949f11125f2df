/* SPDX-License-Identifier: Apache-2.0
 * client.h - unary gRPC calls over HTTP/2 (http/client.h), with protobuf-c messages.
 *
 *   grpc_call(features, &assay__v1__features__descriptor, "Compute", &request.base, deadline, &arena,
 *             on_vectors, batch); */
#ifndef ASSAY_GRPC_CLIENT_H
#define ASSAY_GRPC_CLIENT_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "http/client.h"

struct grpc_channel;
struct grpc_call;

/* `conf` is that of the HTTP/2 client beneath; errors are those of http_client_open(). */
MUST_USE enum err grpc_channel_open(struct grpc_channel **out, struct loop *loop,
                                    const struct http_client_conf *conf, struct why *why);
/* Ends what is open: each `done` is called before this returns. */
void grpc_channel_close(struct grpc_channel *ch);

/* Called exactly once, never from within grpc_call(). `reply` is NULL unless err is ERR_OK, has the method's
 * output type, and belongs to the arena that was given. On failure err is that of http/client.h when no
 * answer came, else the peer's grpc-status as grpc_status_err() has it, and *why its grpc-message. */
typedef void grpc_done_fn(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why);

/* `request` is packed before this returns; its type must be the method's input. `deadline_mono_us` travels as
 * grpc-timeout; 0 means none. The reply is unpacked into `arena`, which must live until `done`. */
struct grpc_call *grpc_call(struct grpc_channel *ch, const ProtobufCServiceDescriptor *service,
                            const char *method, const ProtobufCMessage *request, int64_t deadline_mono_us,
                            struct arena *arena, grpc_done_fn *done, void *arg);
/* The same with one more field of metadata, such as traceparent (name in lower case). */
struct grpc_call *grpc_call_with(struct grpc_channel *ch, const ProtobufCServiceDescriptor *service,
                                 const char *method, const ProtobufCMessage *request,
                                 int64_t deadline_mono_us, const struct http_header *metadata,
                                 size_t metadata_count, struct arena *arena, grpc_done_fn *done, void *arg);
/* `done` will not be called. */
void grpc_call_cancel(struct grpc_call *call);

struct http_client_stats grpc_channel_stats(const struct grpc_channel *ch);

#endif
