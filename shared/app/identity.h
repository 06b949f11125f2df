/* SPDX-License-Identifier: Apache-2.0
 * identity.h - the certificates of a service, by its settings: who it is to the other services (mutual TLS),
 * and what it shows at the edge (HTTPS). service.c's own.
 *
 * It looks at the files every second; new ones are for new connections, and old connections are ended
 * gracefully (http/server.h, http/client.h). Files that do not serve are told of, and the old ones stay. */
#ifndef ASSAY_APP_IDENTITY_H
#define ASSAY_APP_IDENTITY_H

#include <stdbool.h>

#include "base/err.h"
#include "http/tls.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct identity_settings {
    const char *cert, *key, *ca, *allow; /* among services */
    const char *https_cert, *https_key;  /* at the edge; NULL in a service that has none */
    bool allows_cleartext;
};

struct identity;

/* Without certificates in the settings there is no TLS, and nothing to look at.
 *   ERR_INVALID  files that do not serve (tls_open()), or a part of what they need is not there */
MUST_USE enum err identity_open(struct identity **out, const struct identity_settings *settings,
                                struct loop *loop, struct metrics *metrics, struct why *why);
void identity_close(struct identity *id);

/* NULL: in the clear. */
struct tls *identity_services(const struct identity *id);
struct tls *identity_edge(const struct identity *id);

/* Looks at the files now. */
void identity_look(struct identity *id);

/* Whether a listener may bind there: in the clear only to loopback, unless the operator says otherwise.
 *   ERR_INVALID  it may not */
MUST_USE enum err identity_check_bind(const struct identity_settings *settings, const struct tls *tls,
                                      const char *bind, struct why *why);

#endif
