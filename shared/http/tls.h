/* SPDX-License-Identifier: Apache-2.0
 * tls.h - TLS 1.2 and 1.3 on OpenSSL over sockets that never block, for servers and clients alike: who we are
 * and whom we trust, from PEM files that may be replaced while we run.
 *
 *   must(tls_open(&t, &(struct tls_conf){ .cert = "tls.pem", .ca = "ca.pem" }, &why), "use TLS", &why);
 *   ... http_server_conf.tls = t, http_client_conf.tls = t ...
 *   tls_look(t, &why);       every second: takes what has changed, for connections to come (a client does it
 *                            before each)
 *
 * A file is read in one piece, so one that is renamed over another is seen whole. A certificate and key in
 * two files can be seen as a pair that does not match: then what was there stays, until the next look. */
#ifndef ASSAY_HTTP_TLS_H
#define ASSAY_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct tls;
struct tls_conn; /* one connection */

/* Paths of PEM files; NULL or empty: none. */
struct tls_conf {
    const char *cert; /* who we are: certificate, then its chain */
    const char *key;  /* its key; none: in the same file, so that both are replaced in one step */
    /* Whom we trust: a server then demands a certificate of its clients. Without, a server asks for none, and
     * a client that has no `cert` trusts the system's store. */
    const char *ca;
    const char
        *allow; /* names, commas between: the only clients that a server with `ca` lets in; none: all */
};

/* Our certificate must be one of `ca`, when both are there: or else nobody would trust it. That it is out of
 * date is no error here (tls_expires_us() tells): what runs without its peers is better than what does not.
 *   ERR_INVALID  a file is missing or cannot be read, the key is another's, the certificate is not of `ca` */
MUST_USE enum err tls_open(struct tls **out, const struct tls_conf *conf, struct why *why);
/* Reads the files again if one has changed since they were taken; then tls_generation() has risen. On failure
 * nothing changes, and the next look tries again.
 *   ERR_INVALID  as above, or the new certificate is out of date */
MUST_USE enum err tls_look(struct tls *t, struct why *why);
/* When no connection is left. */
void tls_close(struct tls *t);

unsigned tls_generation(const struct tls *t);
/* When our certificate ends, by the wall clock; 0 without one. */
int64_t tls_expires_us(const struct tls *t);

struct tls_conn *tls_accept(struct tls *t, int fd);
/* `name` is what the peer's certificate must be for: a host name, or a numeric address. */
struct tls_conn *tls_connect(struct tls *t, int fd, const char *name);
void tls_conn_free(struct tls_conn *c);
/* 0: done; -1 with errno EAGAIN: later; -1 otherwise: failed. */
int tls_conn_handshake(struct tls_conn *c);
/* The handshake or write waits for the socket to take bytes, not to give some. */
bool tls_conn_wants_write(const struct tls_conn *c);
bool tls_conn_is_h2(const struct tls_conn *c);
/* The tls_generation() that it was made in. */
unsigned tls_conn_generation(const struct tls_conn *c);
/* The name in the peer's verified certificate: its common name, or the first DNS name of one that has none;
 * "" without a certificate. */
void tls_conn_name(const struct tls_conn *c, char *out, size_t size);
/* As read(2) and write(2) on a non-blocking socket. */
ssize_t tls_conn_read(struct tls_conn *c, void *to, size_t room);
ssize_t tls_conn_write(struct tls_conn *c, const void *from, size_t len);
bool tls_conn_has_pending(const struct tls_conn *c);
/* Why it failed or ended, for a person; a static string. */
const char *tls_conn_reason(const struct tls_conn *c);
void tls_conn_shutdown(struct tls_conn *c);

#endif
