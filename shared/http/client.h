/* SPDX-License-Identifier: Apache-2.0
 * client.h - an HTTP/2 client for one peer: many requests at once over one or a few connections.
 *
 * It connects when the first request comes, and again when a connection was lost, with growing pauses while
 * the peer stays away (then requests fail at once: waiting is for the caller to decide). What is asked for
 * within one turn of the loop leaves in one write. Cleartext with prior knowledge, or TLS with ALPN "h2". When
 * the TLS files have been replaced, what is under way ends on the old connection and the rest takes a new one as soon as that is there.
 *
 * Every request ends by exactly one call of its `done`, from the loop and never from within
 * http_client_send():
 *   ERR_OK           an answer came, whatever its status
 *   ERR_TIMEOUT      the deadline passed; the stream was reset, the peer may have done the work
 *   ERR_UNAVAILABLE  it never left, or the peer said that it did not look at it: safe to send again
 *   ERR_UNKNOWN      it left, and the connection or stream ended without an answer
 *   ERR_LIMIT        too many requests are waiting here already
 *   ERR_TOO_LARGE    the answer's body or header passed its cap; the stream was reset
 * A request that the peer certainly did not look at (GOAWAY, REFUSED_STREAM) is sent once more by itself.
 * One thread: the loop's. */
#ifndef ASSAY_HTTP_CLIENT_H
#define ASSAY_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "http/header.h"

struct loop;
struct tls;
struct http_client;
struct http_call;

struct http_client_conf {
    /* "127.0.0.1:9001", "[::1]:9001", "features:9001", or several with commas between: the first that takes a
     * connection is used until it is lost (a standby that does not listen yet is passed over); copied */
    const char *address;
    const char *authority; /* what :authority says; NULL: the first address; copied */
    size_t connections;    /* 0 means 1 */
    size_t streams_most;   /* requests under way on one connection; 0: what the peer allows, at most 1,000 */
    size_t waiting_most;   /* requests not yet sent; 0 means 10,000 */
    size_t body_most;      /* bytes of one answer's body; 0 means 16 MiB */
    int64_t connect_ms;    /* time to connect, handshakes included; 0 means 2,000 */
    int64_t pause_most_ms; /* between attempts while the peer stays away; 0 means 500 */
    struct tls *tls;       /* http/tls.h; NULL: cleartext; borrowed as long as the client lives */
    const char *tls_name;  /* what the peer's certificate must name; NULL: the host of the address; copied */
};

struct http_client_request {
    const char *method; /* "GET" */
    struct slice path;  /* with its query */
    const struct http_header *fields;
    size_t field_count;
    struct slice body;        /* empty: none */
    int64_t deadline_mono_us; /* on clock_mono_us(); 0: none, for those who can wait for ever */
};

/* Everything is the client's and valid until `done` returns. */
struct http_client_answer {
    int status;
    const struct http_header *fields, *trailers;
    size_t field_count, trailer_count;
    struct slice body;
};

/* `answer` is NULL unless err is ERR_OK; `why` says what happened otherwise. May send, may cancel other
 * requests; must not close the client. */
typedef void http_client_done_fn(void *arg, enum err err, const struct http_client_answer *answer,
                                 const struct why *why);

/* Does not connect yet.
 *   ERR_INVALID  the address cannot be read, or is none */
MUST_USE enum err http_client_open(struct http_client **out, struct loop *loop,
                                   const struct http_client_conf *conf, struct why *why);
/* Ends what is open: each `done` is called with ERR_UNAVAILABLE or ERR_UNKNOWN before this returns; it must
 * not send again. */
void http_client_close(struct http_client *c);

/* Copies what it needs from `request`. The handle is good until `done` is called. */
struct http_call *http_client_send(struct http_client *c, const struct http_client_request *request,
                                   http_client_done_fn *done, void *arg);
/* Forgets the request (a stream under way is reset); `done` will not be called. */
void http_call_cancel(struct http_call *call);

struct http_client_stats {
    size_t connections; /* open now */
    size_t in_flight, waiting;
    uint64_t connects, connect_failures, connections_lost, resent;
};
struct http_client_stats http_client_stats(const struct http_client *c);

#endif
