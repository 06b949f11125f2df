/* SPDX-License-Identifier: Apache-2.0
 * main.c - the rules service: gRPC Rules.Decide turns a scored transaction into an action with its reasons.
 */
#include <stddef.h>
#include <stdlib.h>

#include "app/must.h"
#include "app/service.h"
#include "base/array.h"
#include "rules.h"

#define AT(field) offsetof(struct rules_settings, field)
static const struct conf_field settings[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "where rule sets and lists are published, a libpq URL", 0, 0 },
    { "RULES_PG_ROLE", CONF_TEXT, AT(pg_role), "assay_rules",
      "role taken on PostgreSQL; empty: the login's own", 0, 0 },
    { "RULES_BACKTESTS", CONF_TEXT, AT(backtests), "",
      "directory where backtests keep the history as columns; empty: in memory only", 0, 0 },
    { "RULES_BACKTESTS_GB", CONF_INT, AT(backtests_gb), "16", "disk that it may take; 0: no limit", 0,
      1 << 20 },
};

static const struct service_about about = {
    .name = "rules",
    .purpose = "decides by lists, rules and thresholds",
    .port = "9003",
    .admin_port = "9103",
    .settings = settings,
    .setting_count = ARRAY_LEN(settings),
};

int main(int argc, char **argv)
{
    struct rules_settings conf = { 0 };
    struct why why = { 0 };
    struct service *app = service_open(argc, argv, &about, &conf);
    struct rules *rules;

    must(rules_open(&rules, app, &conf, &why), "start", &why);
    service_run(app); /* until SIGTERM and the last reply in flight */
    rules_close(rules);
    service_close(app);
    return EXIT_SUCCESS;
}
