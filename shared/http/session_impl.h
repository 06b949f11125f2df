/* SPDX-License-Identifier: Apache-2.0
 * session_impl.h - what session.c, session_h1.c and session_h2.c share, and nobody else sees. */
#ifndef ASSAY_HTTP_SESSION_IMPL_H
#define ASSAY_HTTP_SESSION_IMPL_H

#include "http/session.h"

/* A request with all that belongs to it. It is the session's while it is received, the handler's until it is
 * replied to, and the session's again until the reply is sent; then it goes back to the host.
 *
 *   RECEIVING -> HANDLING -> REPLIED -> (spare)
 *                        \-> (spare), when the peer has gone */
enum http_message_state { HTTP_RECEIVING, HTTP_HANDLING, HTTP_REPLIED };

struct http_message {
    struct http_request req; /* first: a request is its message */
    struct http_host *host;
    struct http_session *session;       /* NULL: the peer has gone */
    struct http_message *next, **place; /* in the session's list of open messages, oldest first; or spare */
    enum http_message_state state;

    struct http_header *headers;
    size_t header_count, header_cap;
    size_t header_bytes;
    size_t held_bytes; /* its share of the host's */
    struct buf body;
    struct http_match match;
    int refusal; /* the status this request is refused with; 0: none */
    bool is_head_complete;
    bool is_body_complete;
    bool is_stream;       /* its reply is; HTTP_HANDLING until that has ended */
    bool is_sent;         /* HTTP/2: the reply is, to its end */
    size_t dropped_bytes; /* HTTP/2: of the body, come after the reply */
    int64_t head_complete_us, replied_us;

    int32_t stream;  /* HTTP/2 */
    char length[24]; /* Content-Length of the reply as text */
    char status[3];
    struct slice reply_body;
    size_t reply_sent;
    struct buf stream_out;              /* HTTP/2: written and not sent */
    const struct http_header *trailers; /* in the arena */
    size_t trailer_count;
};

/* What a protocol does for the session. */
struct http_protocol_ops {
    void (*free)(struct http_session *s);
    bool (*recv)(struct http_session *s, const char *bytes, size_t len);
    bool (*go_on)(struct http_session *s);
    bool (*can_go_on)(const struct http_session *s);
    void (*end)(struct http_session *s);
    bool (*wants_input)(const struct http_session *s);
    void (*send)(struct http_session *s, struct buf *out, size_t enough);
    bool (*is_over)(const struct http_session *s);
    void (*tick)(struct http_session *s, int64_t now_us);
    void (*drain)(struct http_session *s);
    /* The reply is whole and clean; everything in it must be copied, but what `m` owns. */
    void (*reply)(struct http_session *s, struct http_message *m, const struct http_reply *reply);
    /* The same for a stream, without a body; what waits of it; more, which is never empty; its end. */
    void (*stream_begin)(struct http_session *s, struct http_message *m, const struct http_reply *reply);
    size_t (*stream_waiting)(const struct http_session *s, const struct http_message *m);
    void (*stream_write)(struct http_session *s, struct http_message *m, struct slice bytes);
    void (*stream_end)(struct http_session *s, struct http_message *m);
};
extern const struct http_protocol_ops http1_ops, http2_ops;

struct http_session {
    struct http_host *host;
    const struct http_protocol_ops *ops; /* NULL while sniffing */
    void *protocol;                      /* the protocol's own state */
    struct http_peer peer;
    void (*on_output)(void *ctx);
    void *ctx;
    struct http_message *open, **open_last; /* by arrival */
    size_t open_count;
    size_t handling; /* of these, with handlers */
    size_t requests, replies;
    size_t steps, steps_left; /* taken, and until its turn is over */
    size_t held_bytes;        /* its share of the host's */
    size_t kept_bytes;        /* of that, received and waiting for its turn */
    int64_t began_us;
    int64_t idle_since_us; /* when the last request was done */
    size_t sniffed;        /* bytes of the HTTP/2 preface seen */
    bool is_over;          /* before a protocol is known */
    bool is_draining;
    bool is_retired; /* HTTP/1: the next answer is the last */
};

void http1_start(struct http_session *s);
void http2_start(struct http_session *s);

struct http_message *http_message_new(struct http_session *s);
/* Out of the session's list and back to the host; not for one that a handler holds. */
void http_message_free(struct http_message *m);
/* The peer has gone: a message that a handler holds is told and left to it, any other freed. */
void http_message_abandon(struct http_message *m);
/* One frame or request more. */
void http_session_step(struct http_session *s, size_t steps);
/* So many received bytes wait for their turn, or for the peer to take its answers: they count as held. */
void http_session_keeps(struct http_session *s, size_t bytes);
/* No memory is left for another request, of all or of the share of one connection. */
bool http_session_is_full(const struct http_session *s);
/* Copies a field of the head. Over a limit it is dropped and the refusal set to 431. */
void http_message_add_header(struct http_message *m, struct slice name, struct slice value);
/* Splits "path?query" as it was sent. */
void http_message_set_target(struct http_message *m, struct slice target);
/* The head is whole: finds the route, and refuses what must not be received. */
void http_message_head_complete(struct http_message *m);
/* More body; over the cap the refusal is set to 413 and the rest dropped. */
void http_message_add_body(struct http_message *m, const char *bytes, size_t len);
/* Gives it to its handler, or refuses it. The message may be gone afterwards. */
void http_message_dispatch(struct http_message *m);

#endif
