/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/http/fixture.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"

static void note(struct fixture *f, const struct http_request *req)
{
    buf_printf(&f->seen, "%.*s %.*s?%.*s [%.*s]\n", SLICE_ARG(req->method), SLICE_ARG(req->path),
               SLICE_ARG(req->query), SLICE_ARG(req->body));
}

static void on_hello(void *service, struct http_request *req)
{
    note(service, req);
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = SLICE("hello") });
}

static void on_echo(void *service, struct http_request *req)
{
    struct slice pieces[] = { SLICE(":"), req->body };

    note(service, req);
    http_reply(req, &(struct http_reply){ .status = 200,
                                          .type = "text/plain",
                                          .body = http_param(req, "name"),
                                          .pieces = pieces,
                                          .piece_count = 2 });
}

static void on_gone(struct http_request *req)
{
    struct fixture *f = req->user;

    f->gone_count++;
}

static void on_hold(void *service, struct http_request *req)
{
    struct fixture *f = service;

    note(f, req);
    assert(f->held_count < HELD_MAX);
    req->user = f;
    req->on_gone = on_gone;
    f->held[f->held_count++] = req;
}

static void on_big(void *service, struct http_request *req)
{
    char *body = arena_new(&req->arena, char, 1000000);

    (void)service;
    memset(body, 'x', 1000000);
    http_reply(req,
               &(struct http_reply){ .status = 200, .type = "text/plain", .body = slice_of(body, 1000000) });
}

static void on_trailers(void *service, struct http_request *req)
{
    const struct http_header trailers[] = { { SLICE("grpc-status"), SLICE("0") } };

    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200,
                                          .type = "application/grpc",
                                          .body = SLICE("message"),
                                          .trailers = trailers,
                                          .trailer_count = 1 });
}

static void on_bare(void *service, struct http_request *req)
{
    (void)service;
    http_reply(req, &(struct http_reply){ .status = 204 });
}

static void on_evil(void *service, struct http_request *req)
{
    const struct http_header headers[] = {
        { SLICE("x-split"), SLICE("a\r\nset-cookie: b") },
        { SLICE("x-fine"), SLICE("c") },
    };

    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .headers = headers, .header_count = 2 });
}

static const struct http_route routes[] = {
    { "GET", "/hello", on_hello, 0 },  { "POST", "/echo/{name}", on_echo, 2048 },
    { "GET", "/hold", on_hold, 0 },    { "POST", "/hold", on_hold, 0 },
    { "GET", "/big", on_big, 0 },      { "GET", "/trailers", on_trailers, 0 },
    { "GET", "/bare", on_bare, 0 },    { "GET", "/evil", on_evil, 0 },
    { "POST", "/small", on_echo, 10 },
};

static int64_t mono_us(void *ctx)
{
    return ((struct fixture *)ctx)->mono_us;
}

static int64_t wall_us(void *ctx)
{
    return ((struct fixture *)ctx)->wall_us;
}

static void on_output(void *ctx)
{
    ((struct fixture *)ctx)->output_count++;
}

void fixture_open(struct fixture *f, const struct http_server_conf *conf, enum http_protocol protocol)
{
    static const struct http_peer peer = { .address = "192.0.2.1:1000" };

    memset(f, 0, sizeof *f);
    buf_init(&f->seen, 0);
    f->mono_us = 1000 * SECOND_US;
    f->wall_us = 1700000000 * SECOND_US;
    http_host_init(&f->host, conf);
    f->host.mono_us = mono_us;
    f->host.wall_us = wall_us;
    f->host.ctx = f;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        http_router_add(&f->host.router, &routes[i], f);
    f->session = http_session_new(&f->host, protocol, &peer, on_output, f);
}

void fixture_close(struct fixture *f)
{
    http_session_free(f->session);
    f->session = NULL;
    http_host_release(&f->host);
    buf_release(&f->seen);
}

bool fixture_recv(struct fixture *f, const void *bytes, size_t len)
{
    return http_session_recv(f->session, bytes, len);
}

void fixture_send(struct fixture *f, struct buf *out)
{
    size_t before;

    do {
        before = out->len;
        http_session_send(f->session, out, out->len + 65536);
    } while (out->len > before);
}

void fixture_reply_held(struct fixture *f)
{
    struct http_request *req = f->held[0];

    assert(f->held_count);
    memmove(f->held, f->held + 1, --f->held_count * sizeof f->held[0]);
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = SLICE("done") });
}

void fixture_pass(struct fixture *f, int64_t us)
{
    f->mono_us += us;
    f->wall_us += us;
    http_session_tick(f->session);
}
