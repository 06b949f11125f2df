/* SPDX-License-Identifier: Apache-2.0
 * dial.h - streams of bytes to a peer: its addresses, their lookup, TCP, TLS. client.c's own; it knows no
 * HTTP but the name "h2" that TLS agrees on. */
#ifndef ASSAY_HTTP_DIAL_H
#define ASSAY_HTTP_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"
#include "http/client.h"
#include "loop/loop.h"

struct dialer; /* where the peer may be, and how it is spoken to */
struct wire;   /* one stream, from the attempt to its end */

/* `addresses`, `tls` and `tls_name` as in http_client_conf; `patience_ms` is for everything up to on_open.
 *   ERR_INVALID  an address is of no use */
MUST_USE enum err dialer_open(struct dialer **out, struct loop *loop, const char *addresses, struct tls *tls,
                              const char *tls_name, int64_t patience_ms, struct why *why);
void dialer_close(struct dialer *d);
size_t dialer_count(const struct dialer *d);
const char *dialer_address(const struct dialer *d, size_t at);

/* All from the loop, never from within wire_open(). The wire may be closed in each of them. */
struct wire_events {
    void (*on_open)(void *arg);
    void (*on_failed)(void *arg, const char *reason); /* instead of on_open; close it */
    void (*on_readable)(void *arg);
    void (*on_writable)(void *arg); /* once for each wire_await_room() */
};

struct wire *wire_open(struct dialer *d, size_t at, const struct wire_events *events, void *arg);
void wire_close(struct wire *w);

/* Above zero: that many bytes. 0: nothing more now. Below: it is over, *reason says why. */
ssize_t wire_read(struct wire *w, char *to, size_t room, const char **reason);
ssize_t wire_write(struct wire *w, struct slice bytes, const char **reason);
/* Its TLS was agreed on with files that have been replaced since. */
bool wire_is_stale(const struct wire *w);
void wire_await_room(struct wire *w);

#endif
