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

struct fallback;
struct keys;
struct part;
struct pipeline;
struct service;

struct settings {
    const char *pg_url;
    const char *features_addr, *scoring_addr, *rules_addr;
    const char *base_currency, *fx_rates, *arm_salt;
    int64_t pg_connections, jobs_most, group_most;
    int64_t deadline_ms, idempotency_ms;
    bool reuse_port;
};

enum statement {
    SQL_KEYS,
    SQL_LOOKUP,
    SQL_COMMIT,
    SQL_RESERVE,
    SQL_LABELS,
    SQL_KEY_BEGIN,
    SQL_KEY_READ,
    SQL_KEY_FINISH,
    SQL_KEY_FORGET,
    SQL_KEY_EXPIRE,
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
    struct part *features, *scoring, *rules;
    struct fallback *fallback;
    struct pipeline *pipeline;

    struct fx fx;
    struct slice base_currency;
    struct hash_key arm_key;

    struct metric_set *metrics;
    struct buf scratch; /* for what is built and copied within one function */
};

/* What one unit of each currency was worth in US dollars, in round figures: for features it is the order of
 * magnitude that matters. Set ASSAY_FX_RATES where it matters more. */
#define FX_RATES_DEFAULT                                                                                     \
    "USD=1,EUR=1.08,GBP=1.27,CHF=1.12,JPY=0.0067,CNY=0.14,CAD=0.73,AUD=0.66,NZD=0.6,SEK=0.095,NOK=0.093,"    \
    "DKK=0.145,PLN=0.25,CZK=0.043,HUF=0.0028,RON=0.217,BGN=0.55,TRY=0.03,ILS=0.27,ZAR=0.055,INR=0.012,"      \
    "BRL=0.18,MXN=0.055,ARS=0.001,CLP=0.0011,COP=0.00025,PEN=0.27,SGD=0.75,HKD=0.128,TWD=0.031,KRW=0.00073," \
    "THB=0.028,MYR=0.22,IDR=0.000063,PHP=0.0175,VND=0.00004,AED=0.272,SAR=0.267,QAR=0.275,KWD=3.25,BHD=2."   \
    "65,"                                                                                                    \
    "OMR=2.6,JOD=1.41,EGP=0.02,MAD=0.1,NGN=0.00065,KES=0.0077,GHS=0.066,XOF=0.00165,XAF=0.00165,UAH=0.024,"  \
    "KZT=0.002,GEL=0.37,RSD=0.0092,ISK=0.0072"

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
