/* SPDX-License-Identifier: Apache-2.0
 * routes.h - what the service answers over REST: docs/api/rules.yaml. */
#ifndef ASSAY_RULES_ROUTES_H
#define ASSAY_RULES_ROUTES_H

#include <stddef.h>

#include "http/server.h"

/* Members of a query. */
enum { QUERY_ACCOUNT, QUERY_REVISION, QUERY_AFTER, QUERY_WITH, QUERY_VERSION, QUERY_FIND, QUERY_COUNT };

/* Their service is a struct rules, whose desk keeps these members of a query. */
extern const struct http_route rules_routes[];
extern const size_t rules_route_count;
extern const char *const rules_queries[];

#endif
