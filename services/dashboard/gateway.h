/* SPDX-License-Identifier: Apache-2.0
 * gateway.h - what rules, retrainer and monitor answer over REST, for people who are logged in: the same paths, the
 * same shapes.
 *
 *   request ─▶ visitor_admit(): session, token, roles ─▶ the service, for the person who asks (userstore/delegate.h)
 *
 * One table says what is passed on, where to, and who may ask; docs/api/dashboard.yaml says the same as x-roles, and a
 * test compares the two by asking, and all of it with the documents of the services. What is not in the table is not
 * passed on. Of the request the service gets the method, the path with its query, the body and its type; of the answer
 * the browser gets the status, the body, its type and when to come again.
 *
 * Bodies and answers are bounded, and so is how many are under way at once: a few that may be large (a list as CSV),
 * some more that are small. A service that is away is a 503, one that went away meanwhile a 502, one that takes too long a
 * 504. When who asked has gone, the request to the service is given up. */
#ifndef ASSAY_DASHBOARD_GATEWAY_H
#define ASSAY_DASHBOARD_GATEWAY_H

#include <stddef.h>

#include "base/err.h"

struct dashboard;
struct dashboard_settings;
struct gateway;
struct http_route;
struct service;

/* On success *out is the caller's.   ERR_INVALID  an address that cannot be read */
MUST_USE enum err gateway_open(struct gateway **out, struct dashboard *d, struct service *app,
                               const struct dashboard_settings *conf, struct why *why);
/* Adds its routes to the listener, which is there. */
void gateway_listen(struct gateway *g, struct service *app);
/* The table: its i-th route and who may ask it; NULL after the last. */
const struct http_route *gateway_route(size_t i, const char **roles);
/* What is under way is answered with a 503. */
void gateway_close(struct gateway *g);

#endif
