/* SPDX-License-Identifier: Apache-2.0
 * main.c - the shadow service: scores what was decided, afterwards and off the live path, with the models that
 * are being tried. It reads the log and the stored vectors, and can write neither. */
#include <stddef.h>
#include <stdlib.h>

#include "app/must.h"
#include "app/service.h"
#include "base/array.h"
#include "shadow.h"

#define AT(field) offsetof(struct shadow_conf, field)
static const struct conf_field settings[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "where decisions are stored, a libpq URL", 0, 0 },
    { "SHADOW_PG_ROLE", CONF_TEXT, AT(pg_role), "assay_shadow",
      "role taken on PostgreSQL; empty: the login's own", 0, 0 },
    { "MODEL_KEYS", CONF_TEXT, AT(model_keys), "",
      "path of the public keys whose signatures are asked for; empty: none is", 0, 0 },
    { "SHADOW_TURN", CONF_DURATION_MS, AT(turn_ms), "200ms", "how often it looks for new decisions", 1,
      60000 },
};

static const struct service_about about = {
    .name = "shadow",
    .purpose = "scores stored vectors with the models that are being tried",
    .admin_port = "9107",
    .settings = settings,
    .setting_count = ARRAY_LEN(settings),
};

int main(int argc, char **argv)
{
    struct shadow_conf conf = { 0 };
    struct why why = { 0 };
    struct service *app = service_open(argc, argv, &about, &conf);
    struct shadow *shadow;

    must(shadow_open(&shadow, app, &conf, &why), "start", &why);
    service_run(app); /* until SIGTERM */
    shadow_close(shadow);
    service_close(app);
    return EXIT_SUCCESS;
}
