/* SPDX-License-Identifier: Apache-2.0
 * monitor.h - the settings of the service, and what its parts share. */
#ifndef ASSAY_MONITOR_MONITOR_H
#define ASSAY_MONITOR_MONITOR_H

#include <stddef.h>
#include <stdint.h>

#include "alerts.h"
#include "base/err.h"
#include "conf/conf.h"

struct drift_settings;
struct service;
struct monitor;

struct monitor_settings {
    const char *pg_url, *pg_role;
    int64_t turn_ms;     /* how often new entries are looked for */
    int64_t patience_ms; /* how long a decision is awaited that its entry in the log promises */
    int64_t verify_ms;   /* between two samples of vectors that are computed again */
    int64_t verify_mb;   /* memory that this may take */
    int64_t keep_days;   /* of hourly counts */
    const char *drift;   /* JSON: how windows are cut and judged; see watching.h */
    struct alerts_settings alerts;
};

extern const struct conf_field monitor_fields[];
extern const size_t monitor_field_count;

/* Listens, and keeps watch. Ready when the last turn of the watch went well, also while another monitor works.
 * Errors are those of service_listen() and watch_open(). */
MUST_USE enum err monitor_open(struct monitor **out, struct service *app, const struct monitor_settings *conf,
                               struct why *why);
void monitor_close(struct monitor *m);

/* How windows are judged. */
const struct drift_settings *monitor_judging(const struct monitor *m);
/* What keeps the alerts: for requests. */
struct alerts *monitor_alerts(const struct monitor *m);

#endif
