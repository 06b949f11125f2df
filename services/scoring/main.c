/* SPDX-License-Identifier: Apache-2.0
 * main.c - the scoring service: gRPC Scoring.Score turns feature vectors into calibrated probabilities of
 * fraud, with what moved them; the Open Inference Protocol v2 does the same for other clients. */
#include <stddef.h>
#include <stdlib.h>

#include "app/must.h"
#include "app/service.h"
#include "base/array.h"
#include "scoring.h"

#define AT(field) offsetof(struct scoring_settings, field)
static const struct conf_field settings[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "where models are registered, a libpq URL", 0, 0 },
    { "SCORING_PG_ROLE", CONF_TEXT, AT(pg_role), "assay_scoring",
      "role taken on PostgreSQL; empty: the login's own", 0, 0 },
    { "SCORING_MODEL", CONF_TEXT, AT(model), "",
      "name whose champion decides; empty: that of the newest champion", 0, 0 },
    { "MODEL_KEYS", CONF_TEXT, AT(model_keys), "",
      "file of the public keys whose signatures count; empty: none is asked for", 0, 0 },
    { "SCORING_REST_PORT", CONF_INT, AT(rest_port), "0",
      "port of the Open Inference Protocol; 0: the same as gRPC's", 0, 65535 },
};

static const struct service_about about = {
    .name = "scoring",
    .purpose = "scores feature vectors with the champion model",
    .port = "9002",
    .admin_port = "9102",
    .settings = settings,
    .setting_count = ARRAY_LEN(settings),
};

int main(int argc, char **argv)
{
    struct scoring_settings conf = { 0 };
    struct why why = { 0 };
    struct service *app = service_open(argc, argv, &about, &conf);
    struct scoring *scoring;

    must(scoring_open(&scoring, app, &conf, &why), "start", &why);
    service_run(app); /* until SIGTERM and the last reply in flight */
    scoring_close(scoring);
    service_close(app);
    return EXIT_SUCCESS;
}
