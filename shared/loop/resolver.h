/* SPDX-License-Identifier: Apache-2.0
 * resolver.h - host names to addresses, without blocking the loop.
 *
 * /etc/hosts and the servers of /etc/resolv.conf, as libevent's evdns reads them when the first name is asked for.
 * Of a name with several addresses each lookup gives another one. */
#ifndef ASSAY_LOOP_RESOLVER_H
#define ASSAY_LOOP_RESOLVER_H

#include <netdb.h>
#include <stdint.h>
#include <sys/socket.h>

#include "loop/loop.h"

struct resolver;
struct lookup;

struct resolver *resolver_new(struct loop *loop);
void resolver_free(struct resolver *r); /* when no lookup is under way; may be NULL */

/* `address` is valid for the call, or NULL, and `reason` then says why. */
typedef void resolved_fn(void *ctx, const struct sockaddr *address, socklen_t len, const char *reason);

/* Calls `done` once, from the loop or before this returns: then it returns NULL. */
struct lookup *resolver_look_up(struct resolver *r, const char *host, uint16_t port, resolved_fn *done,
                                void *ctx);
/* `done` will not be called; `l` may be NULL. */
void lookup_cancel(struct lookup *l);

#endif
