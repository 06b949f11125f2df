/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a host with a clock that the test moves, and handlers that answer at once or when told. */
#ifndef ASSAY_TESTS_HTTP_FIXTURE_H
#define ASSAY_TESTS_HTTP_FIXTURE_H

#include "base/buf.h"
#include "http/session.h"

enum { HELD_MAX = 4096 };

struct fixture {
    struct http_host host;
    struct http_session *session;
    int64_t mono_us, wall_us;
    struct http_request *held[HELD_MAX]; /* by on_hold, in order of arrival */
    size_t held_count;
    size_t gone_count;
    size_t output_count; /* calls of on_output */
    struct buf seen;     /* what handlers were given, one line a request */
};

/* Routes: GET /hello, POST /echo/{name} (body back, 2 KiB at most), /hold (kept), GET /big (1 MB), GET
 * /trailers, GET /bare (204), GET /evil (a header that would split), POST /small (10 bytes at most). */
void fixture_open(struct fixture *f, const struct http_server_conf *conf, enum http_protocol protocol);
void fixture_close(struct fixture *f);
/* Feeds the session; whether it goes on. */
bool fixture_recv(struct fixture *f, const void *bytes, size_t len);
/* All that the session wants to send. */
void fixture_send(struct fixture *f, struct buf *out);
/* Replies 200 "done" to the oldest request held. */
void fixture_reply_held(struct fixture *f);
/* Moves both clocks and lets the session do what time demands. */
void fixture_pass(struct fixture *f, int64_t us);

#endif
