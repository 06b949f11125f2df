/* SPDX-License-Identifier: Apache-2.0
 * main.c - the ingestion service: a transaction comes in over the public API, a durable decision goes out. */
#include <stddef.h>
#include <stdlib.h>

#include "app/must.h"
#include "app/service.h"
#include "base/array.h"
#include "ingestion.h"
#include "keys.h"
#include "part.h"
#include "pipeline.h"
#include "proto/assay.pb-c.h"

#define AT(field) offsetof(struct settings, field)
/* clang-format off */
static const struct conf_field settings[] = {
    { "PG_URL",                 CONF_TEXT,        AT(pg_url),                "",     "PostgreSQL", 0, 0 },
    { "FEATURES_ADDR",          CONF_TEXT,        AT(features_addr),         "127.0.0.1:9001", "features, several by commas: the active one and standbys", 0, 0 },
    { "SCORING_ADDR",           CONF_TEXT,        AT(scoring_addr),          "127.0.0.1:9002", "scoring, several by commas", 0, 0 },
    { "RULES_ADDR",             CONF_TEXT,        AT(rules_addr),            "127.0.0.1:9003", "rules, several by commas", 0, 0 },
    { "SCORING_MODEL",          CONF_TEXT,        AT(scoring_model),         "",     "as scoring has it: the model whose online model stands in for it; empty: that of the newest champion", 0, 0 },
    { "BASE_CURRENCY",          CONF_TEXT,        AT(base_currency),         BASE_CURRENCY_DEFAULT,  "the currency in which features add up", 0, 0 },
    { "FX_RATES",               CONF_TEXT,        AT(fx_rates),              FX_RATES_DEFAULT, "what one unit of each currency is worth, in any one of them", 0, 0 },
    { "ARM_SALT",               CONF_TEXT,        AT(arm_salt),              "assay", "from which experiments draw a customer's arm", 0, 0 },
    { "DEADLINE",               CONF_DURATION_MS, AT(deadline_ms),           "150ms", "when the request does not say", 1, 60000 },
    { "IDEMPOTENCY_HORIZON",    CONF_DURATION_MS, AT(idempotency_ms),        "24h",  "how long an Idempotency-Key is kept", 1000, INT64_C(31622400000) },
    { "INGESTION_PG_CONNECTIONS", CONF_INT,       AT(pg_connections),        "4",    "connections to PostgreSQL", 1, 64 },
    { "INGESTION_QUEUE",        CONF_INT,         AT(jobs_most),             "4096", "transactions under way at once, however fast they are; beyond, 503", 1, 1000000 },
    { "INGESTION_GROUP",        CONF_INT,         AT(group_most),            "256",  "transactions in one call to a part", 1, 4096 },
    { "INGESTION_MAX_CONNECTIONS", CONF_INT,      AT(connections_most),      "10000", "connections; more are closed at once", 1, 1000000 },
    { "INGESTION_MAX_PER_ADDRESS", CONF_INT,      AT(address_connections_most), "0", "connections of one address, 0: any number", 0, 1000000 },
    { "INGESTION_MAX_STREAMS",  CONF_INT,         AT(streams_most),          "256",  "requests at once on one HTTP/2 connection", 1, 10000 },
    { "INGESTION_REUSE_PORT",   CONF_BOOL,        AT(reuse_port),            "false", "several processes on one port", 0, 0 },
};
/* clang-format on */

int main(int argc, char **argv)
{
    static const struct service_about about = {
        .name = "ingestion",
        .purpose = "takes transactions and labels over the public API and answers with decisions",
        .port = "8080",
        .admin_port = "9100",
        .is_edge = true,
        .settings = settings,
        .setting_count = ARRAY_LEN(settings),
    };
    struct ingestion in = { 0 };
    struct why why = { 0 };

    in.app = service_open(argc, argv, &about, &in.conf);
    must(ingestion_open(&in, &why), "start", &why);
    must(ingestion_listen(&in, &why), "listen", &why);
    service_run(in.app);
    ingestion_close(&in);
    service_close(in.app);
    return EXIT_SUCCESS;
}
