/* SPDX-License-Identifier: Apache-2.0
 * oip.h - the Open Inference Protocol v2 over REST, versions included.
 *
 *   GET  /v2                                            server metadata
 *   GET  /v2/health/live, /v2/health/ready              {"live":true}, {"ready":true}; 503 when not
 *   GET  /v2/models/{name}[/versions/{version}]         model metadata
 *   GET  /v2/models/{name}[/versions/{version}]/ready   {"name":...,"ready":true}; 503 when not
 *   POST /v2/models/{name}[/versions/{version}]/infer   inference
 *
 * A model is named as in the registry; without a version it is its champion. Errors are {"error":"..."}.
 * Where the specification contradicts itself: health answers carry a body, model_version is always there, and
 * `id` is echoed when the request has one.
 * Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. */
#ifndef ASSAY_SCORING_OIP_H
#define ASSAY_SCORING_OIP_H

#include <stdbool.h>
#include <stddef.h>

#include "http/server.h"
#include "registry.h"

struct oip {
    const struct registry *registry;
    bool (*is_ready)(void *arg); /* of the whole server */
    void *arg;
};

/* Their service is a struct oip. */
extern const struct http_route oip_routes[];
extern const size_t oip_route_count;

/* For http_server_on_refusal(): what no route answers, in the protocol's words. */
bool oip_refuse(void *ctx, struct http_request *req, int status);

#endif
