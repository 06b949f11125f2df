/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor.h"

#include <stddef.h>

#include "alerts/webhook.h"
#include "app/service.h"
#include "base/array.h"
#include "base/mem.h"
#include "desk/desk.h"
#include "observer.h"
#include "routes.h"
#include "verifier.h"
#include "watching.h"

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
    { "MONITOR_VERIFY_MB", CONF_INT, AT(verify_mb), "512",
      "memory that the state of all entities may take meanwhile; else the sample is left out", 1, 1 << 20 },
    { "MONITOR_KEEP_DAYS", CONF_INT, AT(keep_days), "400", "days of counts and verdicts that are kept", 2,
      36500 },
    { "MONITOR_DRIFT", CONF_TEXT, AT(drift), "{}",
      "JSON: how windows are cut and judged, and when a model is asked for", 0, 0 },
    { "ALERT_TURN", CONF_DURATION_MS, AT(alerts.turn_ms), "1s", "how often alerts are looked at", 10, 60000 },
    { "ALERT_HOLD", CONF_DURATION_MS, AT(alerts.hold_ms), "30s",
      "how long something must be wrong before its alert fires", 0, INT64_C(86400000) },
    { "ALERT_KEEP", CONF_DURATION_MS, AT(alerts.keep_ms), "5m",
      "how long it must not be wrong before the alert is resolved", 0, INT64_C(86400000) },
    { "ALERT_GROUP_WAIT", CONF_DURATION_MS, AT(alerts.group_ms), "10s",
      "how long the first alert of a name waits for others, to be told with them", 0, INT64_C(3600000) },
    { "ALERT_REPEAT", CONF_DURATION_MS, AT(alerts.repeat_ms), "4h",
      "how often webhooks are told again of what still fires", 1000, INT64_C(2592000000) },
    { "ALERT_RETRIES", CONF_TEXT, AT(alerts.retries), WEBHOOK_WAITS_USUAL,
      "the waits after failed attempts; after the last a message is given up", 0, 0 },
    { "ALERT_TIMEOUT", CONF_DURATION_MS, AT(alerts.timeout_ms), "20s", "of one attempt", 100, 120000 },
    { "ALERT_ALLOW_HTTP", CONF_BOOL, AT(alerts.allow_http), "false", "webhooks may be http", 0, 0 },
    { "ALERT_ALLOW_PRIVATE", CONF_BOOL, AT(alerts.allow_private), "false",
      "webhooks may lead to private addresses", 0, 0 },
    { "ALERT_CA", CONF_TEXT, AT(alerts.ca), "",
      "PEM file of who may certify receivers; empty: the system's authorities", 0, 0 },
    { "WEBHOOK_KEY", CONF_TEXT, AT(alerts.webhook_key), "",
      "base64 of 32 bytes: seals the secrets of webhooks; empty: there can be none", 0, 0 },
    { "ALERTMANAGERS", CONF_TEXT, AT(alerts.alertmanagers), "",
      "URLs of Alertmanagers, separated by commas: http://127.0.0.1:9093", 0, 0 },
    { "ALERTMANAGER_EVERY", CONF_DURATION_MS, AT(alerts.alertmanager_ms), "1m", "how often they are told",
      100, INT64_C(3600000) },
    { "ALERT_LINK", CONF_TEXT, AT(alerts.link), "",
      "what stands before an alert's number in the link that Alertmanager shows; empty: no link", 0, 0 },
    { "ALERT_SOURCE", CONF_TEXT, AT(alerts.source), "/assay/monitor", "the source of events", 0, 0 },
    { "ALERT_KEEP_DAYS", CONF_INT, AT(alerts.keep_days), "90", "days that what is over is kept", 1, 36500 },
};
const size_t monitor_field_count = ARRAY_LEN(monitor_fields);

struct monitor {
    struct observer *observer;
    struct verifier *verifier;
    struct alerts *alerts;
    struct desk *desk;
    struct watching watching;
};

const struct drift_settings *monitor_judging(const struct monitor *m)
{
    return &m->watching.drifts.judging;
}

struct alerts *monitor_alerts(const struct monitor *m)
{
    return m->alerts;
}

static void on_change(void *ctx)
{
    struct monitor *m = ctx;

    alerts_wake(m->alerts);
}

static bool are_alerts_well(void *arg, struct why *detail)
{
    const struct monitor *m = arg;

    return alerts_are_well(m->alerts, detail);
}

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
    err = watching_read(&m->watching, conf->drift, why);
    if (!err)
        err = observer_open(&m->observer, service_metrics(app), conf, why);
    if (!err)
        err = verifier_open(&m->verifier, service_metrics(app), conf, m->watching.cards, why);
    if (!err)
        err = alerts_open(&m->alerts, service_loop(app), service_metrics(app), &conf->alerts, conf->pg_url,
                          conf->pg_role, why);
    if (!err)
        err = desk_open(&m->desk,
                        &(struct desk_conf){ .loop = service_loop(app),
                                             .pg_url = conf->pg_url,
                                             .pg_role = conf->pg_role,
                                             .application = "assay-monitor-desk",
                                             .queries = monitor_queries,
                                             .changed = on_change,
                                             .ctx = m,
                                             .spans = service_spans(app),
                                             .trace_share = service_trace_share(app) },
                        why);
    if (!err) {
        service_check(app, "observer", is_observer_well, m);
        service_check(app, "alerts", are_alerts_well, m);
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
    alerts_close(m->alerts);
    verifier_close(m->verifier);
    observer_close(m->observer);
    mem_free(m);
}
