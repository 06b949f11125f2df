/* SPDX-License-Identifier: Apache-2.0
 * router.h - finds the route of a method and a path. Patterns are as http/server.h has them. */
#ifndef ASSAY_HTTP_ROUTER_H
#define ASSAY_HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "http/server.h"

enum { HTTP_SEGMENTS_MAX = 12 };

/* "v1", "{id}" or "{id}:cancel": a literal is all tail, a parameter has a name before it. */
struct http_segment {
    struct slice param, tail;
    bool is_param;
};

struct http_router_entry {
    const struct http_route *route;
    void *service;
    struct slice method;
    struct http_segment segments[HTTP_SEGMENTS_MAX];
    size_t segment_count;
    bool is_literal; /* no parameter: compared whole */
    size_t series;   /* of the server's metrics */
};

struct http_router {
    struct http_router_entry *entries;
    size_t count, cap;
};

struct http_match {
    const struct http_router_entry *entry; /* NULL: no route */
    bool is_path_known;                    /* with another method: 405 rather than 404 */
    struct slice params[HTTP_PARAMS_MAX];  /* as sent, into the path */
    struct slice names[HTTP_PARAMS_MAX];
    size_t param_count;
};

void http_router_release(struct http_router *r);
/* A pattern that cannot be read, or a second route for the same method and pattern, is an assert. */
void http_router_add(struct http_router *r, const struct http_route *route, void *service);
struct http_match http_router_find(const struct http_router *r, struct slice method, struct slice path);
/* "GET, HEAD, POST": what the path can be asked with. */
void http_router_allowed(const struct http_router *r, struct slice path, struct buf *out);

#endif
