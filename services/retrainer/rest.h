/* SPDX-License-Identifier: Apache-2.0
 * rest.h - what the service answers over REST: docs/api/retrainer.yaml. */
#ifndef ASSAY_RETRAINER_REST_H
#define ASSAY_RETRAINER_REST_H

#include <stddef.h>

#include "http/server.h"

/* Their service is a struct desk. */
extern const struct http_route rest_routes[];
extern const size_t rest_route_count;

#endif
