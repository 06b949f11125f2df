/* SPDX-License-Identifier: Apache-2.0
 * alerts.h - keeps alerts: takes a turn over what the monitor found (alertstore/turn.h), and sends what is told.
 *
 *   its thread                                                       the loop
 *   conditions -> alerts -> outbox -> what is due, signed  ──────▶   POST (deliver/deliver.h)
 *                              ▲──────────  what became of it  ◀──────┘
 *
 * Webhooks get messages out of the outbox: at least once, each webhook its own in their order. Alertmanagers are told
 * how things stand, again and again, as Prometheus does it; what was resolved, for a while longer. Of several monitors
 * one does this, which holds an advisory lock; it loses the lock with its connection, and another goes on. */
#ifndef ASSAY_MONITOR_ALERTS_H
#define ASSAY_MONITOR_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "alertstore/seal.h"
#include "base/err.h"

struct alerts;
struct alerts_settings {
    int64_t turn_ms;
    int64_t hold_ms, keep_ms, group_ms, repeat_ms;
    const char *retries; /* alerts/webhook.h */
    int64_t timeout_ms;  /* of one attempt */
    bool allow_http, allow_private;
    const char *ca;
    const char *webhook_key;   /* alertstore/seal.h */
    const char *alertmanagers; /* URLs, separated by commas; empty: none */
    int64_t alertmanager_ms;   /* how often they are told */
    const char *link, *source; /* before an alert's number; of events */
    int64_t keep_days;
};

struct loop;
struct metrics;

/* What requests need of it, which never changes. */
struct alerts_rules {
    struct seal_key key;
    bool allow_http, allow_private;
    const char *source;
};
const struct alerts_rules *alerts_rules(const struct alerts *a);

/* `conf` and `pg_url`, `pg_role` are borrowed.
 * Errors are those of watch_open(), deliver_open(), webhook_waits_read() and seal_key_read().
 *   ERR_INVALID  there are more than 8 Alertmanagers, or one is no URL */
MUST_USE enum err alerts_open(struct alerts **out, struct loop *loop, struct metrics *metrics,
                              const struct alerts_settings *conf, const char *pg_url, const char *pg_role,
                              struct why *why);
/* What is under way is sent again by whoever comes next. */
void alerts_close(struct alerts *a);

/* Something changed: look now. Any thread. */
void alerts_wake(struct alerts *a);
/* Whether the last turn went well, also one that found another at work; else why not. */
bool alerts_are_well(struct alerts *a, struct why *trouble);

#endif
