/* SPDX-License-Identifier: Apache-2.0
 * scoring.h - Scoring.Score over gRPC and the Open Inference Protocol over REST, on the models of a registry.
 */
#ifndef ASSAY_SCORING_SCORING_H
#define ASSAY_SCORING_SCORING_H

#include <stdint.h>

#include "base/err.h"

struct service;
struct scoring;

struct scoring_settings {
    const char *pg_url, *pg_role, *model, *model_keys;
    int64_t rest_port;
};

/* Starts reading models and listens. Ready once the champion serves; stays so when PostgreSQL goes away.
 * Errors are those of model_keys_read(), pg_pool_open(), service_listen() and http_server_open(). */
MUST_USE enum err scoring_open(struct scoring **out, struct service *app, const struct scoring_settings *conf,
                               struct why *why);
void scoring_close(struct scoring *s);

#endif
