/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/server.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "grpc/status.h"
#include "proto/health.pb-c.h"

/* What an unpacked message may take: much more than any of ours does, and far less than two bytes on the wire,
 * an empty message in a list, can be made to take. */
enum { MESSAGE_MOST = 4 << 20, UNPACKED_LEAST = 1 << 20, UNPACKED_FACTOR = 16 };

#define CONTENT_TYPE "application/grpc+proto"

/* What grpc_server_add() made of one table of methods. */
struct table {
    struct table *next;
    struct grpc_server *server;
    const struct grpc_method *methods;
    const ProtobufCMethodDescriptor **descriptors;
    struct http_route *routes;
    size_t count;
    void *service;
};

struct grpc_server {
    struct http_server *http;
    struct grpc_server_conf conf;
    struct table *tables;
};

struct grpc_request {
    struct http_request *http;
    const ProtobufCMethodDescriptor *method;
    int64_t deadline_mono_us;
    struct spans *spans; /* NULL: it is not traced */
    struct trace span;
};

/* ---- answers ---- */

/* A head, no body: "trailers-only". */
static void refuse(struct http_request *http, enum grpc_status status, struct slice message)
{
    char code[4];
    struct http_header fields[3] = { { .name = SLICE("grpc-status") },
                                     { SLICE("grpc-accept-encoding"), SLICE("identity") },
                                     { .name = SLICE("grpc-message") } };

    fields[0].value = slice_of(code, (size_t)snprintf(code, sizeof code, "%d", (int)status));
    fields[2].value = grpc_message_encode(message, &http->arena);
    http_reply(http, &(struct http_reply){
                         .status = 200,
                         .type = CONTENT_TYPE,
                         .headers = fields,
                         .header_count = message.len ? 3 : 2,
                     });
}

/* The attributes are those of OpenTelemetry's conventions for RPC. */
static void record(const struct grpc_request *r, enum grpc_status status, const char *trouble)
{
    const char *name = r->http->route->path + 1;
    const struct span_attribute attributes[] = {
        { "rpc.system", "grpc", 0 },
        { "rpc.method", r->method->name, 0 },
        { "rpc.grpc.status_code", NULL, status },
    };

    spans_add(r->spans, &(struct span){ .at = &r->span,
                                        .name = name,
                                        .kind = SPAN_SERVER,
                                        .start_us = r->http->now_us,
                                        .end_us = clock_wall_us(),
                                        .attributes = attributes,
                                        .attribute_count = ARRAY_LEN(attributes),
                                        .trouble = trouble });
}

void grpc_reply(struct grpc_request *r, const ProtobufCMessage *message)
{
    static const struct http_header ok = { { "grpc-status", 11 }, { "0", 1 } };
    struct http_request *http = r->http;
    size_t len = protobuf_c_message_get_packed_size(message);
    unsigned char *body = arena_alloc(&http->arena, GRPC_PREFIX_BYTES + len, 1);

    assert(message->descriptor == r->method->output && len <= UINT32_MAX);
    grpc_prefix_write(body, (uint32_t)len);
    protobuf_c_message_pack(message, body + GRPC_PREFIX_BYTES);
    if (r->spans)
        record(r, GRPC_OK, NULL);
    http_reply(http, &(struct http_reply){
                         .status = 200,
                         .type = CONTENT_TYPE,
                         .body = slice_of(body, GRPC_PREFIX_BYTES + len),
                         .trailers = &ok,
                         .trailer_count = 1,
                     });
}

void grpc_fail(struct grpc_request *r, enum err err, const struct why *why)
{
    if (r->spans)
        record(r, grpc_status_of(err), why && *why->text ? why->text : err_name(err));
    refuse(r->http, grpc_status_of(err), slice_str(why ? why->text : ""));
}

/* ---- requests ---- */

struct arena *grpc_request_arena(struct grpc_request *r)
{
    return &r->http->arena;
}

int64_t grpc_request_deadline(const struct grpc_request *r)
{
    return r->deadline_mono_us;
}

bool grpc_request_is_gone(const struct grpc_request *r)
{
    return r->http->is_gone;
}

struct slice grpc_request_metadata(const struct grpc_request *r, struct slice name)
{
    for (size_t i = 0; i < r->http->header_count; i++)
        if (slice_eq(r->http->headers[i].name, name))
            return r->http->headers[i].value;
    return (struct slice){ 0 };
}

static bool is_grpc(const struct http_request *http)
{
    struct slice type = http_header(http, "content-type");
    struct slice prefix = SLICE("application/grpc");

    /* "application/grpc", "application/grpc+proto", "application/grpc;charset=..."; not
     * "application/grpc-web" */
    return slice_starts_with(type, prefix) &&
           (type.len == prefix.len || type.ptr[prefix.len] == '+' || type.ptr[prefix.len] == ';');
}

static bool is_other_than_proto(const struct http_request *http)
{
    struct slice type = http_header(http, "content-type"), own = SLICE(CONTENT_TYPE);

    return type.len > strlen("application/grpc") && type.ptr[strlen("application/grpc")] == '+' &&
           !slice_starts_with(type, own);
}

/* What can be refused before the message is looked at. */
static enum grpc_status check_head(const struct http_request *http, int64_t *deadline_mono_us,
                                   struct why *why)
{
    struct slice encoding = http_header(http, "grpc-encoding"), timeout = http_header(http, "grpc-timeout");
    int64_t timeout_us;

    *deadline_mono_us = INT64_MAX;
    if (is_other_than_proto(http)) {
        err_set(why, ERR_INVALID, "only protobuf messages are spoken here");
        return GRPC_UNIMPLEMENTED;
    }
    if (encoding.len && !slice_eq_str(encoding, "identity")) {
        err_set(why, ERR_INVALID, "grpc-encoding %.*s is not supported", SLICE_ARG(encoding));
        return GRPC_UNIMPLEMENTED;
    }
    if (timeout.ptr) {
        if (!grpc_timeout_parse(timeout, &timeout_us)) {
            err_set(why, ERR_SYNTAX, "grpc-timeout %.*s cannot be read", SLICE_ARG(timeout));
            return GRPC_INTERNAL;
        }
        if (__builtin_add_overflow(http->arrived_mono_us, timeout_us, deadline_mono_us))
            *deadline_mono_us = INT64_MAX;
        if (*deadline_mono_us <= clock_mono_us()) {
            err_set(why, ERR_TIMEOUT, "the deadline had passed before the call was looked at");
            return GRPC_DEADLINE_EXCEEDED;
        }
    }
    return GRPC_OK;
}

/* ---- unpacking ---- */

struct room {
    struct arena *arena;
    size_t left;
    bool is_short;
};

static void *room_take(void *arg, size_t bytes)
{
    struct room *room = arg;

    if (bytes > room->left) {
        room->is_short = true;
        return NULL;
    }
    room->left -= bytes;
    return arena_alloc(room->arena, 1, bytes);
}

static void room_leave(void *arg, void *bytes)
{
    (void)arg;
    (void)bytes;
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, struct slice packed,
                                struct http_request *http)
{
    struct room room = { &http->arena, UNPACKED_LEAST + UNPACKED_FACTOR * packed.len, false };
    ProtobufCAllocator allocator = { .alloc = room_take, .free = room_leave, .allocator_data = &room };
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, &allocator, packed.len, (const uint8_t *)packed.ptr);

    if (room.is_short)
        refuse(http, GRPC_RESOURCE_EXHAUSTED, SLICE("the message has too many parts"));
    else if (!message)
        refuse(http, GRPC_INTERNAL, arena_printf(&http->arena, "the body is no %s", type->name));
    return message;
}

static void begin_span(struct grpc_request *r, struct spans *spans)
{
    struct slice traceparent = http_header(r->http, "traceparent");

    if (!spans || !trace_asks(traceparent))
        return;
    trace_begin(&r->span, traceparent, spans_throw(spans), 0);
    r->spans = spans;
}

static void on_request(void *arg, struct http_request *http)
{
    const struct table *t = arg;
    size_t i = (size_t)(http->route - t->routes);
    struct grpc_request *r;
    ProtobufCMessage *message;
    struct slice packed;
    struct why why = { 0 };
    int64_t deadline_mono_us;
    enum grpc_status status;

    if (!is_grpc(http)) {
        http_reply_problem(http, 415, "this path speaks gRPC: content-type application/grpc");
        return;
    }
    status = check_head(http, &deadline_mono_us, &why);
    if (status == GRPC_OK)
        status = grpc_unframe(http->body, t->server->conf.message_most, &packed, &why);
    if (status != GRPC_OK) {
        refuse(http, status, slice_str(why.text));
        return;
    }
    message = unpack(t->descriptors[i]->input, packed, http);
    if (!message)
        return;
    r = arena_new(&http->arena, struct grpc_request, 1);
    *r = (struct grpc_request){ .http = http,
                                .method = t->descriptors[i],
                                .deadline_mono_us = deadline_mono_us };
    begin_span(r, t->server->conf.spans);
    t->methods[i].fn(t->service, r, message);
}

/* What the HTTP server would refuse, in gRPC's words. */
static bool on_refusal(void *arg, struct http_request *http, int status)
{
    (void)arg;
    if (!is_grpc(http))
        return false;
    switch (status) {
    case 404:
    case 405:
        refuse(http, GRPC_UNIMPLEMENTED, arena_printf(&http->arena, "no method %.*s", SLICE_ARG(http->path)));
        return true;
    case 413:
        refuse(http, GRPC_RESOURCE_EXHAUSTED, SLICE("the message is too large"));
        return true;
    default:
        return false;
    }
}

/* ---- health ---- */

static bool has_service(const struct grpc_server *s, const char *name)
{
    for (const struct table *t = s->tables; t; t = t->next)
        for (size_t i = 0; i < t->count; i++)
            if (strcmp(t->methods[i].service->name, name) == 0)
                return true;
    return false;
}

static void on_health_check(void *arg, struct grpc_request *r, const ProtobufCMessage *message)
{
    const struct grpc_server *s = arg;
    const Grpc__Health__V1__HealthCheckRequest *request =
        (const Grpc__Health__V1__HealthCheckRequest *)message;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    bool is_serving = !s->conf.is_serving || s->conf.is_serving(s->conf.arg);

    if (*request->service && !has_service(s, request->service)) {
        struct why why;

        grpc_fail(r, err_set(&why, ERR_NOT_FOUND, "no service \"%.200s\"", request->service), &why);
        return;
    }
    response.status = is_serving ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                                 : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    grpc_reply(r, &response.base);
}

static const struct grpc_method health_methods[] = {
    { &grpc__health__v1__health__descriptor, "Check", on_health_check },
};

/* ---- the server ---- */

struct grpc_server *grpc_server_new(struct http_server *http, const struct grpc_server_conf *conf)
{
    struct grpc_server *s = mem_new(struct grpc_server);

    s->http = http;
    if (conf)
        s->conf = *conf;
    if (!s->conf.message_most)
        s->conf.message_most = MESSAGE_MOST;
    http_server_on_refusal(http, on_refusal, s);
    grpc_server_add(s, health_methods, ARRAY_LEN(health_methods), s);
    return s;
}

void grpc_server_free(struct grpc_server *s)
{
    if (!s)
        return;
    while (s->tables) {
        struct table *t = s->tables;

        s->tables = t->next;
        for (size_t i = 0; i < t->count; i++)
            mem_free((void *)(uintptr_t)t->routes[i].path);
        mem_free(t->routes);
        mem_free(t->descriptors);
        mem_free(t);
    }
    mem_free(s);
}

void grpc_server_add(struct grpc_server *s, const struct grpc_method *methods, size_t count, void *service)
{
    struct table *t = mem_new(struct table);

    *t = (struct table){
        .next = s->tables,
        .server = s,
        .methods = methods,
        .descriptors = mem_new_n(const ProtobufCMethodDescriptor *, count),
        .routes = mem_new_n(struct http_route, count),
        .count = count,
        .service = service,
    };
    for (size_t i = 0; i < count; i++) {
        char path[256];

        t->descriptors[i] =
            protobuf_c_service_descriptor_get_method_by_name(methods[i].service, methods[i].name);
        assert(t->descriptors[i]); /* a name that the .proto does not have */
        snprintf(path, sizeof path, "/%s/%s", methods[i].service->name, methods[i].name);
        t->routes[i] = (struct http_route){ "POST", mem_strdup(path), on_request,
                                            s->conf.message_most + GRPC_PREFIX_BYTES };
    }
    s->tables = t;
    http_server_add_routes(s->http, t->routes, count, t);
}
