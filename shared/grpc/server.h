/* SPDX-License-Identifier: Apache-2.0
 * server.h - unary gRPC methods on an HTTP/2 server, with protobuf-c messages.
 *
 *   static const struct grpc_method methods[] = {
 *       { &assay__v1__features__descriptor, "Compute",      on_compute },
 *       { &assay__v1__features__descriptor, "AppendLabels", on_append_labels },
 *   };
 *
 *   s->grpc = grpc_server_new(http, NULL);
 *   grpc_server_add(s->grpc, methods, ARRAY_LEN(methods), s);
 *
 * It lives on an HTTP server (http/server.h) and may share it with REST routes. grpc.health.v1.Health/Check
 * is served beside the methods, and what no method answers is refused as gRPC has it. */
#ifndef ASSAY_GRPC_SERVER_H
#define ASSAY_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"
#include "http/server.h"
#include "trace/span.h"

struct grpc_server;
struct grpc_request;

/* One call has come. It must be answered exactly once, now or later, by grpc_reply() or grpc_fail(); after
 * that `r` and `message` are gone. `message` has the method's input type and lives in the call's arena. */
typedef void grpc_method_fn(void *service, struct grpc_request *r, const ProtobufCMessage *message);

struct grpc_method {
    const ProtobufCServiceDescriptor *service;
    const char *name;
    grpc_method_fn *fn;
};

struct grpc_server_conf {
    size_t message_most; /* bytes of one request message; 0 means 4 MiB */
    /* What Health/Check says of the whole server (its empty service name) and of each of its services; NULL:
     * always serving. */
    bool (*is_serving)(void *arg);
    void *arg;
    /* Gets a span of each call whose traceparent is sampled; NULL: none. Must live as long as the server. */
    struct spans *spans;
};

/* Serves on `http`, which must stay open as long as calls may come. Before the loop turns. `conf` may be NULL
 * and is copied. Free it after the HTTP server is closed and all calls are answered. */
struct grpc_server *grpc_server_new(struct http_server *http, const struct grpc_server_conf *conf);
void grpc_server_free(struct grpc_server *s);
/* Adds a table (borrowed for ever: a static const one) whose functions get `service`. */
void grpc_server_add(struct grpc_server *s, const struct grpc_method *methods, size_t count, void *service);

/* Memory that lives until the call is answered. */
struct arena *grpc_request_arena(struct grpc_request *r);
/* When the caller stops waiting, on clock_mono_us(); INT64_MAX when it did not say. */
int64_t grpc_request_deadline(const struct grpc_request *r);
/* The caller reset the stream or its connection is gone. It must still be answered (to nobody). */
bool grpc_request_is_gone(const struct grpc_request *r);
/* A field of the request's metadata by its lower-case name; empty when not there. */
struct slice grpc_request_metadata(const struct grpc_request *r, struct slice name);

/* `message` is packed before this returns; its type must be the method's output. */
void grpc_reply(struct grpc_request *r, const ProtobufCMessage *message);
/* `err` becomes grpc-status by grpc_status_of(), the reason grpc-message. */
void grpc_fail(struct grpc_request *r, enum err err, const struct why *why);

#endif
