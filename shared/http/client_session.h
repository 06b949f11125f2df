/* SPDX-License-Identifier: Apache-2.0
 * client_session.h - the client's side of one HTTP/2 connection: bytes in, bytes out, no socket and no clock.
 * client.c feeds it; nothing else includes it.
 *
 *   waiting (client.c) -> submitted (session) -> ended (session's list, until client.c takes it) */
#ifndef ASSAY_HTTP_CLIENT_SESSION_H
#define ASSAY_HTTP_CLIENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "http/client.h"
#include "loop/loop.h"

struct client_session;

/* Of intrusive lists: a call is on one of them at any time. */
struct call_list {
    struct http_call *first, *last;
    size_t count;
};

struct http_call {
    struct http_call *prev, *next;
    struct call_list *list;

    struct http_client *client;
    http_client_done_fn *done;
    void *arg;
    struct loop_timer deadline;
    bool was_resent;

    struct arena arena; /* the request, then the answer's fields */
    const char *method;
    struct slice path, body;
    struct http_header *fields;
    size_t field_count;
    size_t body_sent;

    struct client_session *session; /* while it has a stream */
    int32_t stream_id;
    bool has_left; /* its HEADERS have been handed to the socket's side */

    int status; /* 0 until the answer's final head begins */
    bool in_trailers, is_answered;
    struct http_header *got; /* the answer's fields, then its trailers */
    size_t got_count, got_cap, trailers_at, got_bytes;
    struct buf answer;

    enum err err; /* once ended; ERR_OK means answered */
    struct why why;
};

void call_list_add(struct call_list *l, struct http_call *c);
void call_list_add_first(struct call_list *l, struct http_call *c);
void call_list_remove(struct http_call *c); /* from the one it is on, if any */

struct client_session_conf {
    const char *scheme, *authority; /* borrowed as long as the session lives */
    size_t streams_most, body_most;
};

/* `ended` takes calls as they end, and `safe` those that the peer certainly did not look at. */
struct client_session *client_session_new(const struct client_session_conf *conf, struct call_list *ended,
                                          struct call_list *safe);
/* What is still open ends as if the connection had been lost (client_session_lost). */
void client_session_free(struct client_session *s);

/* How many more requests may be submitted now; 0 for good once the peer has said GOAWAY. */
size_t client_session_room(const struct client_session *s);
size_t client_session_calls(const struct client_session *s);
bool client_session_is_draining(const struct client_session *s);
/* Nothing is left to read or write: the connection has done its work. */
bool client_session_is_over(const struct client_session *s);

void client_session_submit(struct client_session *s, struct http_call *call);
/* Resets its stream and forgets it; the call is on no list afterwards. */
void client_session_drop(struct http_call *call);

/*   ERR_INVALID  the peer broke the protocol: the connection is of no use any more */
MUST_USE enum err client_session_receive(struct client_session *s, const char *bytes, size_t len,
                                         struct why *why);
/* Appends what is to be sent until there is no more or `out` holds `enough` bytes. */
MUST_USE enum err client_session_send(struct client_session *s, struct buf *out, size_t enough,
                                      struct why *why);
/* The connection is gone: every call ends, the ones that never left as safe. */
void client_session_lost(struct client_session *s, const char *reason);

#endif
