/* SPDX-License-Identifier: Apache-2.0
 * query_fuzz.c - any target of a request: parameters and query are decoded as the percent sign has it, never
 * longer than they came. */
#include <stdlib.h>

#include "fuzz/exchange.h"
#include "log/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct http_host host;

static void on_get(void *service, struct http_request *req)
{
    static const char *const names[] = { "a", "b", "" };
    struct slice one = http_param(req, "one"), two = http_param(req, "two");

    (void)service;
    if (!one.len || !two.ptr || one.len + two.len > req->path.len)
        abort();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (http_query(req, names[i]).len > req->query.len)
            abort();
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = one });
}

static const struct http_route routes[] = {
    { "GET", "/x/{one}/{two}", on_get, 0 },
    { "GET", "/x/{one}/{two}:tail", on_get, 0 },
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_open("fuzz", LOG_ERROR);
    http_host_init(&host, &(struct http_server_conf){ 0 });
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        http_router_add(&host.router, &routes[i], NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct buf head, out;

    buf_init(&head, 0);
    buf_init(&out, 0);
    buf_add_str(&head, "GET /x/");
    for (size_t i = 0; i < size; i++)
        if (data[i] > ' ' && data[i] < 0x7f)
            buf_add_char(&head, (char)data[i]);
    buf_add_str(&head, " HTTP/1.1\r\n");
    exchange(&host, buf_slice(&head), SLICE(""), &out, NULL);
    if (!slice_starts_with(buf_slice(&out), SLICE("HTTP/1.1 ")))
        abort();
    buf_release(&head);
    buf_release(&out);
    return 0;
}
