/* SPDX-License-Identifier: Apache-2.0
 * dashboard.h - the settings of the service, and what its parts share. */
#ifndef ASSAY_DASHBOARD_DASHBOARD_H
#define ASSAY_DASHBOARD_DASHBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"

struct call;
struct dashboard;
struct gateway;
struct http_request;
struct live;
struct pages;
struct pg_session;
struct service;
struct shelf;
struct similar;

struct dashboard_settings {
    const char *pg_url, *pg_role;
    const char *pages; /* a directory; empty: none */
    const char *base_currency;
    bool is_behind_tls;          /* a proxy before us speaks TLS, and says in X-Forwarded-For who asks */
    int64_t idle_ms, longest_ms; /* of a session */
    const char *case_actions, *case_score; /* which decisions become cases */
    int64_t review_cost;                   /* minor units of the base currency */
    int64_t sla_ms;                        /* until a case is due */
    int64_t turn_ms;                       /* how often the follower looks */
    int64_t undo_ms;                       /* until a decision takes effect */
    int64_t lock_ms;                       /* how long a case that was taken is its taker's */
    const char *rules_addr, *retrainer_addr, *monitor_addr; /* gateway.h */
    int64_t ask_ms;                                         /* until one of them has answered */
    int64_t similar;                                        /* past decisions held to be compared with */
    int64_t statement_ms;             /* the longest that a request may keep PostgreSQL */
    int64_t keep_ms, keep_minutes_ms; /* payments, and what is counted by the minute; 0: for ever */
};

extern const struct conf_field dashboard_fields[];
extern const size_t dashboard_field_count;

/* Listens. Ready while PostgreSQL answers. Errors are those of service_listen(), pages_open() and watch_open(). */
MUST_USE enum err dashboard_open(struct dashboard **out, struct service *app,
                                 const struct dashboard_settings *conf, struct why *why);
void dashboard_close(struct dashboard *d);

const struct dashboard_settings *dashboard_conf(const struct dashboard *d);
const struct pages *dashboard_pages(const struct dashboard *d);
struct gateway *dashboard_gateway(const struct dashboard *d);
struct live *dashboard_live(const struct dashboard *d);
struct similar *dashboard_similar(const struct dashboard *d);

/* Names that may stand in the query of a request, in the order of call.query. */
enum dashboard_query {
    QUERY_ACTOR,
    QUERY_ACTION,
    QUERY_SUBJECT,
    QUERY_STATE, /* from here to QUERY_ACCOUNT: the filter of cases */
    QUERY_ASSIGNEE,
    QUERY_SORT,
    QUERY_RULE,
    QUERY_MERCHANT,
    QUERY_COUNTRY,
    QUERY_ENTITY,
    QUERY_AMOUNT,
    QUERY_SCORE,
    QUERY_AGE,
    QUERY_ACCOUNT,
    QUERY_CURSOR,
    QUERY_MINUTES,
    QUERY_COUNT,
};

extern const char *const dashboard_queries[];

typedef enum err dashboard_answer(struct call *c, struct pg_session *s, struct why *why);

/* Answers a request that one of `roles` may make ("analyst lead", "any" who is logged in, "none": anybody), on one of
 * a few threads; what reads much on others, and what hashes passwords on one of its own: log-ins, and the others. */
void dashboard_ask(struct dashboard *d, struct http_request *req, const char *roles,
                   dashboard_answer *answer);
void dashboard_ask_reading(struct dashboard *d, struct http_request *req, const char *roles,
                           dashboard_answer *answer);
void dashboard_ask_hashing(struct dashboard *d, struct http_request *req, const char *roles,
                           dashboard_answer *answer);
/* What takes long and changes nothing, for a call.take_over: whoever asks has been let in, and is admitted again when it is
 * his turn. About past decisions, so that loading a model holds up nobody else; and sums over much. Each goes one after
 * the other on a thread of its own, with a bound on what one person may have waiting there. */
void dashboard_ask_past(struct call *c, dashboard_answer *answer);
void dashboard_ask_sums(struct call *c, dashboard_answer *answer);
/* What past decisions were made with; only for answers by dashboard_ask_past(). */
struct shelf *dashboard_shelf(const struct dashboard *d);
/* As desk_ask_with(). */
void dashboard_ask_with(struct dashboard *d, struct http_request *req, const char *roles,
                        const char *body_type, dashboard_answer *answer);

#endif
