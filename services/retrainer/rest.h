/* SPDX-License-Identifier: Apache-2.0
 * rest.h - what the service answers over REST: docs/api/retrainer.yaml. */
#ifndef ASSAY_RETRAINER_REST_H
#define ASSAY_RETRAINER_REST_H

#include <stddef.h>

#include "http/server.h"

struct retrainer_settings;

/* What the desk (desk/desk.h) has for the answers. */
struct office {
    const struct retrainer_settings *conf;
};

/* For desk_conf.queries. */
extern const char *const rest_queries[];

/* Their service is a struct desk whose ctx is a struct office. */
extern const struct http_route rest_routes[];
extern const size_t rest_route_count;

#endif
