/* SPDX-License-Identifier: Apache-2.0
 * session.h - the server's side of one HTTP connection: bytes in, requests to handlers, bytes out. No
 * sockets, no clock of its own; so a test or a fuzzer feeds it in ten lines.
 *
 *   bytes -> sniff preface -> HTTP/2 (nghttp2, session_h2.c)    -> route -> handler -> http_reply() -> bytes
 *                         \-> HTTP/1 (http-parser, session_h1.c) -/
 *
 * HTTP/1 requests are handled one after another; those that were pipelined wait as bytes. */
#ifndef ASSAY_HTTP_SESSION_H
#define ASSAY_HTTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/pieces.h"
#include "http/router.h"
#include "http/server.h"

/* What all sessions of a server share. Make it with http_host_init(), change `limits` and hooks before use.
 */
struct http_host {
    struct http_server_conf limits; /* every limit set */
    struct http_router router;
    bool (*refuse)(void *ctx, struct http_request *req, int status);
    void *refuse_ctx;
    /* After each reply: its status and the time since the request's first byte. */
    void (*on_replied)(void *ctx, const struct http_router_entry *entry, int status, int64_t took_us);
    /* A peer was sent away for what it did: "resets", "headers", "slow_headers", "control_frames". */
    void (*on_flood)(void *ctx, const struct http_peer *peer, const char *what);
    /* How long the bytes that are being given to a session may have waited in the socket. A request counts
     * from there: who asks counts that time too. */
    int64_t unread_us;
    /* How many steps the next http_session_recv() or http_session_go_on() may take; 0: no bound. A frame is one,
     * a request that goes to its handler HTTP_REQUEST_STEPS more. */
    size_t quota;
    void *ctx; /* of these and the clocks */
    int64_t (*mono_us)(void *ctx);
    int64_t (*wall_us)(void *ctx);

    struct pieces pieces;       /* of the HTTP/2 sessions */
    struct http_message *spare; /* messages to use again */
    size_t spare_count;
    struct http_message *orphans; /* held by handlers, their peer gone */
    size_t held_bytes;            /* by requests under way, all sessions together */
    bool is_crowded;              /* the server's: few connections are left */
};

/* Limits of `conf`, 0 replaced by the default; the real clocks. */
void http_host_init(struct http_host *h, const struct http_server_conf *conf);
void http_host_release(struct http_host *h);
/* Those of a server: to feed its handlers without a socket, as fuzzers do. */
struct http_host *http_server_host(struct http_server *s);

/* How long to wait where `us` is what the limits say: less when the host is hard pressed. */
int64_t http_host_patience(const struct http_host *h, int64_t us);

enum { HTTP_REQUEST_STEPS = 3 };

enum http_protocol { HTTP_SNIFF, HTTP_1, HTTP_2 };

/* `on_output` is called when there is something to send that was not there before. `peer` is copied. */
struct http_session *http_session_new(struct http_host *host, enum http_protocol protocol,
                                      const struct http_peer *peer, void (*on_output)(void *ctx), void *ctx);
/* Requests not replied to yet become gone. */
void http_session_free(struct http_session *s);

/* What the peer sent. What is beyond the host's quota is kept until http_session_go_on(). False when the
 * connection is over: send what is there and close. */
bool http_session_recv(struct http_session *s, const char *bytes, size_t len);
/* Takes the next quota of what was kept. False as above. */
bool http_session_go_on(struct http_session *s);
/* Something was kept, and the peer has taken enough of the answers for it to go on. */
bool http_session_can_go_on(const struct http_session *s);
/* How many steps it has taken, and how many requests it has given to handlers. */
size_t http_session_steps(const struct http_session *s);
size_t http_session_requests(const struct http_session *s);
/* The peer will send no more. HTTP/1: what is under way is still answered; HTTP/2: it is over. */
void http_session_end(struct http_session *s);
/* False: do not read from the socket for now. */
bool http_session_wants_input(const struct http_session *s);
/* Appends what is to be sent, until `out` holds about `enough` bytes. */
void http_session_send(struct http_session *s, struct buf *out, size_t enough);
/* Nothing more will be received or sent. */
bool http_session_is_over(const struct http_session *s);
/* Does what time demands: timeouts, the second GOAWAY. To be called several times a second or every second.
 */
void http_session_tick(struct http_session *s);
/* No new requests; those under way are finished. */
void http_session_drain(struct http_session *s);
/* The same, but an idle HTTP/1.1 connection stays for one more request, which may be on its way: nobody is to
 * see a failure. */
void http_session_retire(struct http_session *s);
/* How many requests were replied to. */
size_t http_session_replies(const struct http_session *s);
/* A handler has a request of it. */
bool http_session_is_handling(const struct http_session *s);
/* How much it holds of max_buffered_bytes, and since when: 0 while a handler has a request of it. In bytes times
 * microseconds, for comparing. O(1). */
double http_session_burden(const struct http_session *s);
/* Three quarters of max_buffered_bytes are held. */
bool http_host_is_burdened(const struct http_host *h);
/* Requests that are being received or handled. */
size_t http_session_open_requests(const struct http_session *s);

#endif
