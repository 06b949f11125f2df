/* SPDX-License-Identifier: Apache-2.0
 * routes.h - every route of the listener, with who may ask it: one table, looked at in one place (visitor.h). The same
 * stands in docs/api/dashboard.yaml as x-roles, and a test compares the two by asking. */
#ifndef ASSAY_DASHBOARD_ROUTES_H
#define ASSAY_DASHBOARD_ROUTES_H

#include <stddef.h>

#include "http/server.h"

extern const struct http_route dashboard_routes[];
extern const size_t dashboard_route_count;
/* Who may ask it, with spaces between; NULL for those of pages, which come last and are everybody's. */
const char *dashboard_route_roles(size_t route);

/* What every answer of REST carries. */
extern const struct http_header rest_headers[];
extern const size_t rest_header_count;

#endif
