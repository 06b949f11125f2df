/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"

#include <stddef.h>

#include "app/service.h"
#include "base/array.h"
#include "base/mem.h"
#include "desk/desk.h"
#include "observer.h"
#include "routes.h"
#include "verifier.h"

#define AT(field) offsetof(struct monitor_settings, field)
const struct conf_field monitor_fields[] = {
    { "PG_URL", CONF_TEXT, AT(pg_url), "", "PostgreSQL, not through a pooler by transaction", 0, 0 },
    { "MONITOR_PG_ROLE", CONF_TEXT, AT(pg_role), "assay_monitor",
      "role taken on PostgreSQL; empty: the login's own", 0, 0 },
    { "MONITOR_TURN", CONF_DURATION_MS, AT(turn_ms), "500ms", "how often it looks for new entries", 10,
      60000 },
    { "MONITOR_PATIENCE", CONF_DURATION_MS, AT(patience_ms), "1h",
      "how long the decision of an entry of the log is awaited", 1000, INT64_C(86400000) },
    { "MONITOR_VERIFY", CONF_DURATION_MS, AT(verify_ms), "6h",
      "how often a sample of vectors is computed again and compared", 10, INT64_C(31536000000) },
    { "MONITOR_KEEP_DAYS", CONF_INT, AT(keep_days), "400", "days of counts and verdicts that are kept", 2,
      36500 },
    { "MONITOR_DRIFT", CONF_TEXT, AT(drift), "{}",
      "JSON: how windows are cut and judged, and when a model is asked for", 0, 0 },
};
const size_t monitor_field_count = ARRAY_LEN(monitor_fields);

struct monitor {
    struct observer *observer;
    struct verifier *verifier;
    struct desk *desk;
};

static bool is_observer_well(void *arg, struct why *detail)
{
    const struct monitor *m = arg;

    return observer_is_well(m->observer, detail);
}

enum err monitor_open(struct monitor **out, struct service *app, const struct monitor_settings *conf,
                      struct why *why)
{
    struct monitor *m = mem_new(struct monitor);
    enum err err;

    *out = NULL;
    err = observer_open(&m->observer, service_metrics(app), conf, why);
    if (!err)
        err = verifier_open(&m->verifier, service_metrics(app), conf, why);
    if (!err)
        err = desk_open(&m->desk,
                        &(struct desk_conf){ .loop = service_loop(app),
                                             .pg_url = conf->pg_url,
                                             .pg_role = conf->pg_role,
                                             .application = "assay-monitor-desk",
                                             .queries = monitor_queries,
                                             .ctx = m },
                        why);
    if (!err) {
        service_check(app, "observer", is_observer_well, m);
        err = service_listen(app,
                             &(struct service_listener){ .routes = monitor_routes,
                                                         .route_count = monitor_route_count,
                                                         .service = m->desk },
                             why);
    }
    if (err) {
        monitor_close(m);
        return err;
    }
    *out = m;
    return ERR_OK;
}

void monitor_close(struct monitor *m)
{
    if (!m)
        return;
    desk_close(m->desk);
    verifier_close(m->verifier);
    observer_close(m->observer);
    mem_free(m);
}
