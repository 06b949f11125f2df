/* SPDX-License-Identifier: Apache-2.0
 * deliver.h - HTTP POSTs to strangers, on the event loop (libcurl's multi interface).
 *
 * Each is one connection and one HTTP/1.1 request: no redirect is followed, no proxy, cookie or .netrc is used,
 * TLS is verified, and of the answer the first 4 KiB are kept and more than 64 KiB end it. Names are resolved in a
 * thread; the address that a socket is then opened to must be public (address.h), unless the request says otherwise,
 * so that it does not matter what the name said before. */
#ifndef ASSAY_DELIVER_DELIVER_H
#define ASSAY_DELIVER_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct deliver;
struct loop;

enum {
    DELIVER_MOST = 64,
    DELIVER_HEADERS_MAX = 8,
    DELIVER_ANSWER_MOST = 64 << 10,
    DELIVER_KEPT_MOST = 4 << 10
};

struct deliver_conf {
    int64_t timeout_ms; /* of all of one request */
    const char *ca;     /* PEM file of authorities beside none of the system's; NULL or empty: the system's */
    const char *user_agent; /* "assay-monitor" */
};

/* What curl_global_init() does is done here. Not from a second thread.
 *   ERR_INTERNAL  libcurl cannot be set up */
MUST_USE enum err deliver_open(struct deliver **out, struct loop *loop, const struct deliver_conf *conf,
                               struct why *why);
/* Ends what is under way, without its callbacks. */
void deliver_close(struct deliver *d);

/* Borrowed for the call. */
struct deliver_request {
    const char *url;
    const char *headers[DELIVER_HEADERS_MAX]; /* "name: value" */
    size_t header_count;
    struct slice body;
    bool allow_http, allow_private;
};

struct deliver_answer {
    int status;            /* 0: there was none */
    const char *trouble;   /* why, in words without the URL; NULL when there was an answer */
    int64_t retry_after_s; /* as the answer says, within a day; 0: it does not */
    struct slice body;     /* its first bytes; may be anything */
};

/* `answer` lives as long as the call. Called once for each, from the loop, never from within deliver_post(). */
typedef void deliver_done_fn(void *ctx, const struct deliver_answer *answer);

/*   ERR_LIMIT    DELIVER_MOST are under way
 *   ERR_INVALID  as address_check_url()         in both cases `done` is not called */
MUST_USE enum err deliver_post(struct deliver *d, const struct deliver_request *request,
                               deliver_done_fn *done, void *ctx, struct why *why);

#endif
