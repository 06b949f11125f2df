/* SPDX-License-Identifier: Apache-2.0
 * receiver.h - somebody's web server on loopback, for what we send to others: a thread that keeps every request and
 * answers as it is told. */
#ifndef ASSAY_HARNESS_RECEIVER_H
#define ASSAY_HARNESS_RECEIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum receiver_mode {
    RECEIVER_OK,        /* 204 */
    RECEIVER_FAILS,     /* 500 */
    RECEIVER_GONE,      /* 410 */
    RECEIVER_BUSY,      /* 503, Retry-After: 7 */
    RECEIVER_REDIRECTS, /* 302 to itself */
    RECEIVER_HUGE,      /* 200 and more than anybody wants to read */
    RECEIVER_HANGS,     /* takes the request and says nothing until the mode is another */
    RECEIVER_CLOSES,    /* hangs up without an answer */
    RECEIVER_GARBAGE,   /* what is no HTTP */
};

enum { RECEIVED_MOST = 256 };

struct received {
    char *head, *body; /* the request line and headers; NUL-ended */
    enum receiver_mode mode;
};

struct receiver {
    int fd, port;
    void *tls;           /* its SSL_CTX; NULL: in the clear */
    atomic_int refusals; /* handshakes that failed */
    atomic_int mode;
    atomic_bool is_ending;
    pthread_t thread;
    pthread_mutex_t lock;
    struct received requests[RECEIVED_MOST];
    size_t count;
};

void receiver_start(struct receiver *r);
/* The same over TLS, with a certificate of its own for 127.0.0.1, which stands in the file `cert` for those who are to
 * trust it. */
void receiver_start_tls(struct receiver *r, const char *cert);
/* A certificate that nobody has, into a file. */
void receiver_make_stranger(const char *cert);
void receiver_end(struct receiver *r);
size_t receiver_count(struct receiver *r);
/* Waits up to 20 s for that many; whether they came. */
bool receiver_wait(struct receiver *r, size_t count);
/* The value of a header (name in lower case) of a request, or NULL; for free(). */
char *receiver_header(struct receiver *r, size_t request, const char *name);
/* Whether the request is signed with that secret as Standard Webhooks asks, computed by OpenSSL. */
bool receiver_is_signed(struct receiver *r, size_t request, const char *secret);

#endif
