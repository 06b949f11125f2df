/* SPDX-License-Identifier: Apache-2.0
 * tls.h - TLS 1.2 and 1.3 of the server, on OpenSSL, over sockets that never block. */
#ifndef ASSAY_HTTP_TLS_H
#define ASSAY_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct tls;      /* certificate and key of a server */
struct tls_conn; /* one connection */

/* *out is NULL, and that is no error, when neither certificate nor key is given. With `client_ca_file`
 * clients must show a certificate.   ERR_INVALID  a file is missing, cannot be read, or the key is another's
 */
MUST_USE enum err tls_open(struct tls **out, const char *cert_file, const char *key_file,
                           const char *client_ca_file, struct why *why);
/* Reads the files again, for connections to come; on failure nothing changes. */
MUST_USE enum err tls_reload(struct tls *t, struct why *why);
void tls_close(struct tls *t);

struct tls_conn *tls_conn_new(struct tls *t, int fd);
void tls_conn_free(struct tls_conn *c);
/* 0: done; -1 with errno EAGAIN: later; -1 otherwise: failed. */
int tls_conn_handshake(struct tls_conn *c);
/* The handshake or write waits for the socket to take bytes, not to give some. */
bool tls_conn_wants_write(const struct tls_conn *c);
bool tls_conn_is_h2(const struct tls_conn *c);
/* Common name of the client's verified certificate, "" without one. */
void tls_conn_name(const struct tls_conn *c, char *out, size_t size);
/* As read(2) and write(2) on a non-blocking socket. */
ssize_t tls_conn_read(struct tls_conn *c, void *to, size_t room);
ssize_t tls_conn_write(struct tls_conn *c, const void *from, size_t len);
bool tls_conn_has_pending(const struct tls_conn *c);
void tls_conn_shutdown(struct tls_conn *c);

#endif
