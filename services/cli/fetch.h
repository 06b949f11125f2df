/* SPDX-License-Identifier: Apache-2.0
 * fetch.h - one HTTP GET for a command that may wait for it (libcurl, HTTP/1.1). */
#ifndef ASSAY_CLI_FETCH_H
#define ASSAY_CLI_FETCH_H

#include "base/buf.h"
#include "base/err.h"

/* Replaces what is in `body` (at most 16 MiB). `bearer` may be NULL, and `ca` (PEM file, for https) too: then
 * the system's store is trusted.
 *   ERR_UNAVAILABLE  nobody answered there   ERR_TIMEOUT  not within `timeout_ms`   ERR_TOO_LARGE */
MUST_USE enum err fetch(const char *url, const char *bearer, const char *ca, long timeout_ms, int *status,
                        struct buf *body, struct why *why);

#endif
