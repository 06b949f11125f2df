/* SPDX-License-Identifier: Apache-2.0
 * exchange.h - for targets that reach a handler: one HTTP/1.1 request with this head and body through a
 * session of `host`, and what came back. */
#ifndef ASSAY_FUZZ_EXCHANGE_H
#define ASSAY_FUZZ_EXCHANGE_H

#include "http/session.h"

static void nothing(void *ctx)
{
    (void)ctx;
}

/* `head` is the request line and fields, each with its CRLF; Host and Content-Length are added. `turn` (may
 * be NULL) is called before each look for an answer. The answer is added to `out`; it may stay away when the
 * head was one that http-parser waits on. */
static inline void exchange(struct http_host *host, struct slice head, struct slice body, struct buf *out,
                            void (*turn)(void))
{
    static const struct http_peer peer = { .address = "192.0.2.1:1000" };
    struct http_session *s = http_session_new(host, HTTP_1, &peer, nothing, NULL);
    struct buf in;

    buf_init(&in, 0);
    buf_add_slice(&in, head);
    buf_printf(&in, "Host: a\r\nContent-Length: %zu\r\n\r\n", body.len);
    buf_add_slice(&in, body);
    http_session_recv(s, buf_slice(&in).ptr, in.len);
    for (int i = 0; i < 8 && !out->len; i++) {
        if (turn)
            turn();
        http_session_send(s, out, SIZE_MAX);
    }
    http_session_free(s);
    if (turn)
        turn();
    buf_release(&in);
}

#endif
