/* SPDX-License-Identifier: Apache-2.0
 * address.h - which addresses messages may go to, and what a URL must look like before one is tried.
 *
 * A URL that somebody else chose must not make us call what only we can reach: this machine, its network, the
 * metadata service of a cloud. What counts is the address that a socket is opened to, whatever the name said a
 * moment before; deliver.h asks here for each. Source: the IANA special-purpose address registries (RFC 6890). */
#ifndef ASSAY_DELIVER_ADDRESS_H
#define ASSAY_DELIVER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/slice.h"

/* Global unicast only. An IPv4 address within an IPv6 one (mapped, NAT64) is judged as such; what tunnels somewhere
 * (6to4, Teredo), is kept for documents, measuring or protocols, and any other family is not public. */
bool address_is_public(const struct sockaddr *address);

enum { URL_MOST = 2048 };
/* What is plainly wrong before anything is resolved.
 *   ERR_INVALID  not a URL; neither https nor http, or http without `allow_http`; with a user or a fragment; longer
 *                than URL_MOST; its host is an address, in any spelling, that is not public, without
 *                `allow_private`. *why does not repeat it: there may be a secret in it */
MUST_USE enum err address_check_url(const char *url, bool allow_http, bool allow_private, struct why *why);

#endif
