/* SPDX-License-Identifier: Apache-2.0
 * event.h - alerts as others read them: one as JSON, a notice as a CloudEvent, and what Alertmanager takes.
 *
 * A notice is a CloudEvents 1.0 object in structured mode that is a Standard Webhooks payload too (type, timestamp,
 * data): {"specversion", "id", "source", "type": "assay.alert.firing", "subject", "time", "timestamp",
 * "datacontenttype", "data": {"status", "group", "alerts": [...]}}. */
#ifndef ASSAY_ALERTS_EVENT_H
#define ASSAY_ALERTS_EVENT_H

#include "alerts/alert.h"
#include "alerts/notice.h"
#include "base/buf.h"

#define EVENT_MEDIA_TYPE "application/cloudevents+json; charset=utf-8"
#define EVENT_TYPE_TEST  "assay.alert.test"

/* "assay.alert.firing", "assay.alert.resolved" */
const char *event_type(enum alert_state state);

/* One alert, as REST and `assay alerts --json` show it. Times that never came are null. */
void alert_write(struct json_out *o, const char *key, const struct alert *a);

struct event_head {
    struct slice id, source; /* source: a URI reference */
    int64_t at_us;
};
void event_write(struct buf *out, const struct event_head *head, const struct notice *n);
/* What a person sends to see whether it arrives: no alerts. */
void event_write_test(struct buf *out, const struct event_head *head);

/* The body of POST /api/v2/alerts. One that fires ends at `until_us` if it is not sent again before; `link` (may be
 * empty) is where each alert's page is, before its id. */
void event_write_alertmanager(struct buf *out, struct alert *const *alerts, size_t count, int64_t until_us,
                              struct slice link);

#endif
