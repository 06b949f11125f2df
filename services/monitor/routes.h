/* SPDX-License-Identifier: Apache-2.0
 * routes.h - what the service answers over REST: docs/api/monitor.yaml. */
#ifndef ASSAY_MONITOR_ROUTES_H
#define ASSAY_MONITOR_ROUTES_H

#include <stddef.h>

#include "http/server.h"

/* What may stand in a query, by its place in call.query. */
enum {
    QUERY_LANE,
    QUERY_HOURS,
    QUERY_RAISED,
    QUERY_AFTER,
    QUERY_VERSION,
    QUERY_KIND,
    QUERY_STATE,
    QUERY_SEVERITY,
    QUERY_DAYS,
    QUERY_FIELD,
    QUERY_COUNT
};

/* Their service is a struct desk (desk/desk.h). */
extern const struct http_route monitor_routes[];
extern const size_t monitor_route_count;
extern const char *const monitor_queries[];

#endif
