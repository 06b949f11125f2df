/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "grpc/status.h"
#include "http/header.h"
#include "proto/txn_proto.h"

enum { OWN_FIELDS = 4, METADATA_MOST = 16, SPARE_BYTES_MOST = 64 << 10, REPLY_MOST = 16 << 20 };

struct grpc_channel {
    struct http_client *http;
    size_t reply_most;
    struct grpc_call *spare;
};

struct grpc_call {
    struct grpc_channel *channel;
    struct grpc_call *next; /* among the spare ones */
    struct http_call *http;
    const ProtobufCMethodDescriptor *method;
    struct arena *arena; /* the caller's, for the reply */
    struct arena own;    /* the packed request */
    grpc_done_fn *done;
    void *arg;
};

enum err grpc_channel_open(struct grpc_channel **out, struct loop *loop, const struct http_client_conf *conf,
                           struct why *why)
{
    struct grpc_channel *ch = mem_new(struct grpc_channel);
    enum err err = http_client_open(&ch->http, loop, conf, why);

    *out = NULL;
    if (err) {
        mem_free(ch);
        return err;
    }
    ch->reply_most = conf->body_most ? conf->body_most : REPLY_MOST;
    *out = ch;
    return ERR_OK;
}

void grpc_channel_close(struct grpc_channel *ch)
{
    if (!ch)
        return;
    http_client_close(ch->http);
    while (ch->spare) {
        struct grpc_call *c = ch->spare;

        ch->spare = c->next;
        arena_release(&c->own);
        mem_free(c);
    }
    mem_free(ch);
}

static struct grpc_call *call_get(struct grpc_channel *ch)
{
    struct grpc_call *c = ch->spare;

    if (c)
        ch->spare = c->next;
    else
        c = mem_new(struct grpc_call);
    c->channel = ch;
    return c;
}

static void call_put(struct grpc_call *c)
{
    if (c->own.total > SPARE_BYTES_MOST)
        arena_release(&c->own);
    else
        arena_reset(&c->own);
    c->next = c->channel->spare;
    c->channel->spare = c;
}

/* The status is in the trailers, or in the head of an answer that has nothing else; an answer without one
 * comes from something that is no gRPC server. */
static enum grpc_status read_status(const struct http_client_answer *a, struct arena *arena, struct why *why)
{
    const struct http_header *fields = a->trailer_count ? a->trailers : a->fields;
    size_t count = a->trailer_count ? a->trailer_count : a->field_count;
    struct slice value = http_headers_find(fields, count, "grpc-status");
    struct slice message = http_headers_find(fields, count, "grpc-message");
    enum grpc_status status;

    if (!value.ptr) {
        err_set(why, ERR_INTERNAL, "no grpc-status in the answer (HTTP status %d)", a->status);
        return grpc_status_of_http(a->status);
    }
    status = grpc_status_parse(value);
    if (status != GRPC_OK) {
        message = grpc_message_decode(message, arena);
        if (!message.len)
            message = slice_str(grpc_status_name(status));
        err_set(why, grpc_status_err(status), "%.*s", SLICE_ARG(message));
    }
    return status;
}

static enum err read_answer(struct grpc_call *c, const struct http_client_answer *answer,
                            ProtobufCMessage **reply, struct why *why)
{
    enum grpc_status status = read_status(answer, &c->own, why);
    struct slice message, type = http_headers_find(answer->fields, answer->field_count, "content-type");

    if (status != GRPC_OK)
        return grpc_status_err(status);
    if (!slice_starts_with(type, SLICE("application/grpc")))
        return err_set(why, ERR_INTERNAL, "the answer is no gRPC but %.*s", SLICE_ARG(type));
    status = grpc_unframe(answer->body, c->channel->reply_most, &message, why);
    if (status != GRPC_OK)
        return err_wrap(why, grpc_status_err(status), "%s", c->method->name);
    *reply = protobuf_c_message_unpack(c->method->output, proto_arena_allocator(c->arena), message.len,
                                       (const uint8_t *)message.ptr);
    if (!*reply)
        return err_set(why, ERR_INTERNAL, "the answer to %s is no %s", c->method->name,
                       c->method->output->name);
    return ERR_OK;
}

static void on_answer(void *arg, enum err err, const struct http_client_answer *answer,
                      const struct why *http_why)
{
    struct grpc_call *c = arg;
    ProtobufCMessage *reply = NULL;
    struct why why = { 0 };

    if (err)
        why = *http_why;
    else
        err = read_answer(c, answer, &reply, &why);
    c->done(c->arg, err, reply, &why);
    call_put(c);
}

static struct slice frame(const ProtobufCMessage *message, struct arena *arena)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    unsigned char *body = arena_alloc(arena, GRPC_PREFIX_BYTES + len, 1);

    assert(len <= UINT32_MAX);
    grpc_prefix_write(body, (uint32_t)len);
    protobuf_c_message_pack(message, body + GRPC_PREFIX_BYTES);
    return slice_of(body, GRPC_PREFIX_BYTES + len);
}

struct grpc_call *grpc_call_with(struct grpc_channel *ch, const ProtobufCServiceDescriptor *service,
                                 const char *method, const ProtobufCMessage *request,
                                 int64_t deadline_mono_us, const struct http_header *metadata,
                                 size_t metadata_count, struct arena *arena, grpc_done_fn *done, void *arg)
{
    struct grpc_call *c = call_get(ch);
    struct http_header fields[OWN_FIELDS + METADATA_MOST] = {
        { SLICE("content-type"), SLICE("application/grpc+proto") },
        { SLICE("te"), SLICE("trailers") },
        { SLICE("user-agent"), SLICE("assay") },
    };
    struct http_client_request r = {
        .method = "POST",
        .path = arena_printf(&c->own, "/%s/%s", service->name, method),
        .fields = fields,
        .field_count = 3,
        .deadline_mono_us = deadline_mono_us,
    };
    char timeout[GRPC_TIMEOUT_SIZE];

    c->method = protobuf_c_service_descriptor_get_method_by_name(service, method);
    assert(c->method && request->descriptor == c->method->input && metadata_count <= METADATA_MOST);
    c->arena = arena;
    c->done = done;
    c->arg = arg;
    r.body = frame(request, &c->own);
    if (deadline_mono_us)
        fields[r.field_count++] =
            (struct http_header){ SLICE("grpc-timeout"),
                                  grpc_timeout_format(deadline_mono_us - clock_mono_us(), timeout) };
    for (size_t i = 0; i < metadata_count; i++)
        fields[r.field_count++] = metadata[i];
    c->http = http_client_send(ch->http, &r, on_answer, c);
    return c;
}

struct grpc_call *grpc_call(struct grpc_channel *ch, const ProtobufCServiceDescriptor *service,
                            const char *method, const ProtobufCMessage *request, int64_t deadline_mono_us,
                            struct arena *arena, grpc_done_fn *done, void *arg)
{
    return grpc_call_with(ch, service, method, request, deadline_mono_us, NULL, 0, arena, done, arg);
}

void grpc_call_cancel(struct grpc_call *call)
{
    http_call_cancel(call->http);
    call_put(call);
}

struct http_client_stats grpc_channel_stats(const struct grpc_channel *ch)
{
    return http_client_stats(ch->http);
}
