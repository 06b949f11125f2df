/* SPDX-License-Identifier: Apache-2.0
 * server.h - an HTTP server: HTTP/1.1 and HTTP/2 on one port, in the clear (prior knowledge) or over TLS
 * (ALPN).
 *
 * A handler gets a whole request and answers it with http_reply(), at once or later: the request stays valid
 * until then, also when the peer has gone (the reply is then dropped). Every request is replied to exactly
 * once. Replies of one loop turn leave in one write per connection.
 *
 *   static void on_get(void *service, struct http_request *req)
 *   {
 *       struct slice id = http_param(req, "id");
 *       ...
 *       http_reply(req, &(struct http_reply){ .status = 200, .type = "application/json", .body = text });
 *   }
 *   static const struct http_route routes[] = {
 *       { "GET",  "/v1/transactions/{id}",   on_get },
 *       { "POST", "/v1/transactions:batch",  on_batch, .max_body_bytes = 4 << 20 },
 *   };
 *
 * Hostile peers cost little: what one may do is bounded by struct http_server_conf, and what all may do
 * together by two of its limits.
 *   max_connections     When all are taken, a new one takes the place of the oldest that was never answered
 *                       anything, then of the one that was not for longest; not of one that waits for a handler.
 *                       So a crowd that asks nothing makes room first, and whoever is served stays.
 *   max_buffered_bytes  Bodies, heads and replies that are not sent yet, of all together. Beyond, and for a
 *                       connection that holds an eighth of it, 503 (HTTP/1.1) or REFUSED_STREAM. From three
 *                       quarters on, connections are closed that have held the most for longest.
 * From three quarters of either on, patience (the timeouts) is an eighth.
 *
 * When the files of its TLS have been replaced, connections that were made with the old ones are ended
 * gracefully, all within half a minute: first those come again by themselves that look at their own files.
 *
 * The protocol itself is in session.h, which knows no sockets. One loop, one thread. */
#ifndef ASSAY_HTTP_SERVER_H
#define ASSAY_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/header.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct http_server;
struct http_session;
struct tls;
struct http_request;

typedef void (*http_handler)(void *service, struct http_request *req);

/* `path` is a pattern of segments: literal, or `{name}`, which takes one non-empty segment; a literal tail
 * after it is allowed ("{id}:cancel"). A literal segment wins over `{name}`, whatever the order in the table.
 * GET also answers HEAD. The table is borrowed as long as the server lives. */
struct http_route {
    const char *method;
    const char *path;
    http_handler handle;
    size_t max_body_bytes; /* 0: the server's */
};

enum { HTTP_PARAMS_MAX = 4 };

/* Who is at the other end; valid as long as the request. */
struct http_peer {
    char address[64];           /* "127.0.0.1:1234", "[::1]:1234" */
    char certificate_name[128]; /* tls_conn_name(); empty without a certificate */
    bool is_tls;
    int version; /* 11 or 2 */
};

/* All slices live as long as the request. */
struct http_request {
    struct slice method;
    struct slice path;  /* as sent, without the query */
    struct slice query; /* without '?' */
    struct slice authority;
    const struct http_header *headers; /* names in lower case, pseudo-headers not among them */
    size_t header_count;
    struct slice body;
    const struct http_route *route; /* NULL in a refusal */
    const struct http_peer *peer;
    int64_t now_us; /* wall clock when the request was complete */
    int64_t
        arrived_mono_us; /* monotonic clock when its first byte came, or could have been read at the latest */
    struct arena arena;  /* the handler's, for all it makes for this request; released after the reply */

    /* The handler's own: what it keeps with the request, and what to do when the peer has gone before the
     * reply. on_gone is called at most once; it may reply (to be rid of the request) or leave that for later.
     */
    void *user;
    void (*on_gone)(struct http_request *req);
    bool is_gone;

    struct http_message *message; /* the server's */
};

/* An empty slice (ptr NULL) when there is none. */
struct slice http_param(const struct http_request *req, const char *name); /* percent-decoded */
struct slice http_header(const struct http_request *req, const char *name);
struct slice http_query(struct http_request *req,
                        const char *name); /* decoded, '+' as space; the first one */

/* What is borrowed here is copied by http_reply(). */
struct http_reply {
    int status;
    const char *type;  /* Content-Type; NULL: none */
    struct slice body; /* the body is `body` and then all of `pieces` */
    const struct slice *pieces;
    size_t piece_count;
    const struct http_header *headers; /* lower-case names; Content-Length is made by the server */
    size_t header_count;
    /* Sent after the body: over HTTP/2 as trailers; over HTTP/1.1 as a chunked body's, if the peer said
     * "TE: trailers", else not at all. A gRPC "trailers-only" answer is headers without body and trailers. */
    const struct http_header *trailers;
    size_t trailer_count;
    /* All of the above is one's own words and stays as it is as long as the loop turns: then nothing is copied.
     * Without `pieces` and trailers. */
    bool is_lasting;
};

/* Answers `req`, which must not be touched afterwards. */
void http_reply(struct http_request *req, const struct http_reply *reply);
/* Answers with problem+json (RFC 9457): {"type":"about:blank","title","status","detail"}. `detail` may be
 * NULL. */
void http_reply_problem(struct http_request *req, int status, const char *detail);
/* A reply whose end is not known yet, instead of http_reply(): status, type and headers as there, and `body` its first part.
 * Not to a HEAD. The request stays valid until http_stream_end(), also when the peer has gone; on_gone tells. A peer that
 * takes nothing for write_timeout_us is gone. */
void http_stream_begin(struct http_request *req, const struct http_reply *reply);
/* More of the body. False, and nothing is taken: the peer has gone, or has not yet taken what was written before, so that
 * HTTP_STREAM_BYTES would wait for it. */
enum { HTTP_STREAM_BYTES = 64 << 10 };
bool http_stream_write(struct http_request *req, struct slice bytes);
/* `req` must not be touched afterwards. */
void http_stream_end(struct http_request *req);
/* The reason phrase of a status, "Not Found"; "Status" for one that is not known. */
const char *http_status_text(int status);

/* How to listen, and what a peer may do. Zero-initialise; 0 and NULL mean the default that stands behind. */
struct http_server_conf {
    const char *name; /* label `server` of the metrics: "http" */
    const char *host; /* an address, "127.0.0.1", or a name: the first address it has at the opening */
    int port;         /* 0: the kernel chooses, see http_server_port() */
    bool reuse_port;  /* several processes on one port */

    struct tls *tls; /* http/tls.h; NULL: in the clear; borrowed as long as the server lives */

    size_t max_connections;    /* 10000, or what descriptors allow; see below */
    size_t max_per_address;    /* 0: no bound but that; behind a proxy all have one address */
    size_t max_streams;        /* 256 concurrent requests per HTTP/2 connection */
    size_t max_body_bytes;     /* 1 MiB: 413 */
    size_t max_buffered_bytes; /* 256 MiB held by all requests under way: 503 */
    size_t max_header_bytes;   /* 16 KiB, names and values: 431 */
    size_t max_headers;        /* 64: 431 */
    size_t max_resets_per_s;   /* 200 streams reset by the peer, or wasted otherwise: GOAWAY */
    int64_t idle_timeout_us;   /* 60 s without a request under way */
    int64_t header_timeout_us; /* 10 s from the first byte of a request to the end of its head */
    int64_t body_timeout_us;   /* 30 s from there to the end of its body */
    int64_t write_timeout_us;  /* 20 s without the peer taking anything of a reply; ten times that for all */
    int64_t stale_timeout_us;  /* 10 s until connections made with replaced certificates are told to end */
    size_t max_unsent_bytes;   /* 256 KiB waiting for the socket: nothing more is read */
};

/* Binds and listens; requests come as soon as the loop turns. `metrics` may be NULL. `conf` is copied, its
 * strings are borrowed for the call, but for `name`.
 *   ERR_CONFLICT  the address is taken      ERR_INVALID  no such address */
MUST_USE enum err http_server_open(struct http_server **out, struct loop *loop,
                                   const struct http_server_conf *conf, struct metrics *metrics,
                                   struct why *why);
/* Adds a table; each may have its own service. Before the loop turns. A pattern that cannot be read, or a
 * second handler for the same method and path, is an assert. */
void http_server_add_routes(struct http_server *s, const struct http_route *routes, size_t count,
                            void *service);
/* Called for each request that the server itself is about to refuse with `status` (404, 405, 413 ...); true:
 * the hook has replied, or will. So gRPC can refuse in its own way. */
void http_server_on_refusal(struct http_server *s,
                            bool (*refuse)(void *ctx, struct http_request *req, int status), void *ctx);

int http_server_port(const struct http_server *s);

/* Stops listening, tells peers to go elsewhere (GOAWAY, Connection: close), and calls `done` when the last
 * connection has gone, or after `deadline_us` with whatever is left closed. */
void http_server_drain(struct http_server *s, int64_t deadline_us, void (*done)(void *ctx), void *ctx);
/* Closes everything. Requests that are not replied to yet become gone and stay valid until they are. */
void http_server_close(struct http_server *s);

#endif
