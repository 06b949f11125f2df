/* SPDX-License-Identifier: Apache-2.0
 * ingestion.h - the service as a whole: its settings, what it holds, what it counts, what it asks PostgreSQL.
 */
#ifndef ASSAY_INGESTION_INGESTION_H
#define ASSAY_INGESTION_INGESTION_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "fraud/money.h"
#include "fraud/txn.h"
#include "http/server.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "pg/pg.h"
#include "trace/span.h"

struct control;
struct fallback;
struct gate;
struct keys;
struct part;
struct pipeline;
struct policy_store;
struct service;

struct settings {
    const char *pg_url;
    const char *features_addr, *scoring_addr, *rules_addr;
    const char *scoring_model, *base_currency, *fx_rates, *arm_salt;
    int64_t pg_connections, jobs_most, group_most;
    int64_t deadline_ms, idempotency_ms;
    int64_t connections_most, address_connections_most, streams_most;
    bool reuse_port;
};

enum statement {
    SQL_KEYS,
    SQL_KEYS_USED,
    SQL_LOOKUP,
    SQL_COMMIT,
    SQL_RESERVE,
    SQL_LABELS,
    SQL_KEY_BEGIN,
    SQL_KEY_READ,
    SQL_KEY_FINISH,
    SQL_KEY_FORGET,
    SQL_KEY_EXPIRE,
    SQL_SLICES,
    SQL_SLICE_CLAIM,
    SQL_SLICE_EXPIRE,
    SQL_COUNT
};
extern const struct pg_statement statements[SQL_COUNT];

enum counted {
    M_ACTIONS,
    M_DEGRADED,
    M_OUTCOMES,
    M_STAGE,
    M_GROUP,
    M_DECIDE,
    M_LABELS,
    M_REFUSED,
    M_POISONED,
    M_COMMIT_UNKNOWN,
    M_JOBS,
    M_PART_UP,
    M_COUNT
};

struct ingestion {
    struct settings conf;
    struct service *app;
    struct loop *loop;
    struct pg_pool *pg;
    struct keys *keys;
    struct gate *gate;
    struct part *features, *scoring, *rules;
    struct policy_store *policy; /* for when rules is missing */
    struct control *control;
    struct fallback *fallback; /* for when scoring is missing */
    struct pipeline *pipeline;

    struct fx fx;
    struct slice base_currency;
    struct hash_key arm_key;

    struct metric_set *metrics;
    struct loop_timer expire; /* of idempotency keys */
    struct trace_dice dice;
    struct spans *spans; /* NULL: none are recorded */
    double trace_share;
    struct buf scratch; /* for what is built and copied within one function */
};

/* Opens all that the service holds; main() ends the process when it fails. */
MUST_USE enum err ingestion_open(struct ingestion *in, struct why *why);
MUST_USE enum err ingestion_listen(struct ingestion *in, struct why *why);
/* Once nothing is on its way any more. */
void ingestion_close(struct ingestion *in);

/* A part's name or a reason, counted where it is rare enough to look up. */
void count(struct ingestion *in, enum counted metric, const char *value);

extern const struct http_route transaction_routes[], label_routes[];
extern const size_t transaction_route_count, label_route_count;

#endif
