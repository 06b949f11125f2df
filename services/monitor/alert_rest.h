/* SPDX-License-Identifier: Apache-2.0
 * alert_rest.h - what is answered about alerts, silences and webhooks (docs/api/monitor.yaml). */
#ifndef ASSAY_MONITOR_ALERT_REST_H
#define ASSAY_MONITOR_ALERT_REST_H

#include "base/err.h"

struct call;
struct pg_session;

/* X(method, path, answer) */
#define ALERT_ROUTES(X)                                                                                      \
    X("GET", "/v1/alerts", list_alerts)                                                                      \
    X("GET", "/v1/alerts/{id}", get_alert)                                                                   \
    X("GET", "/v1/silences", list_silences)                                                                  \
    X("POST", "/v1/silences", post_silence)                                                                  \
    X("POST", "/v1/silences/{id}:expire", expire_silence)                                                    \
    X("GET", "/v1/webhooks", list_webhooks)                                                                  \
    X("POST", "/v1/webhooks", post_webhook)                                                                  \
    X("GET", "/v1/webhooks/{id}", get_webhook)                                                               \
    X("DELETE", "/v1/webhooks/{id}", delete_webhook)                                                         \
    X("POST", "/v1/webhooks/{id}:rotate", rotate_webhook)                                                    \
    X("POST", "/v1/webhooks/{id}:enable", enable_webhook)                                                    \
    X("POST", "/v1/webhooks/{id}:disable", disable_webhook)                                                  \
    X("POST", "/v1/webhooks/{id}:test", test_webhook)                                                        \
    X("GET", "/v1/deliveries/{id}", get_delivery)

#define ALERT_ANSWER(method, path, answer)                                                                   \
    enum err answer(struct call *c, struct pg_session *s, struct why *why);
ALERT_ROUTES(ALERT_ANSWER)
#undef ALERT_ANSWER

#endif
