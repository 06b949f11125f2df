/* SPDX-License-Identifier: Apache-2.0
 * exchange.h - one request to the public API: who asks, what they may, and how they are answered.
 *
 * Before a handler runs, the key has been found and has the route's scope, there is room for it (gate.h), its
 * rate limit has some too, and a request with an Idempotency-Key is the first of its kind (idempotency.h). The
 * handler answers once, by one of the exchange_ functions, and must not touch the exchange afterwards. */
#ifndef ASSAY_INGESTION_EXCHANGE_H
#define ASSAY_INGESTION_EXCHANGE_H

#include "api/problem.h"
#include "api/txn_json.h"
#include "gate.h"
#include "http/server.h"
#include "ingestion.h"
#include "keys.h"
#include "trace/context.h"

struct exchange {
    struct ingestion *in;
    struct http_request *req;
    const struct exchange_route *route;
    struct trace trace;

    /* A copy of what the key says: keys come and go while a request is under way. */
    struct caller key;
    struct txn_rules rules;
    bool explains;
    int64_t deadline_mono_us;

    struct pass pass; /* the room that it takes, until it is answered or a job has it */

    bool was_limited; /* by its rate: the limits stand in the reply */
    int64_t tokens;   /* of the rate, that it takes */
    bool is_idempotent;
    bool is_passing; /* a batch in which something has to be sent again: its answer is not kept */
    struct slice idempotency_key;
    unsigned char payload_hash[SHA256_BYTES];
    struct json_value *body; /* of a POST; given back with the reply, or before */
    struct arena body_arena; /* in which it lies */

    struct keys_waiter waiter;
    bool has_waited;
    void *user; /* the handler's */
};

struct exchange_route {
    const char *name; /* for metrics and Idempotency-Key: "POST /v1/transactions" */
    unsigned scopes;  /* one of these is needed */
    const char *need; /* in words, for 403 */
    enum work work;   /* whose room it takes */
    bool is_post;     /* with a JSON body */
    bool is_timed;    /* obeys Assay-Deadline-Ms */
    const char *list; /* a batch: the member that lists its items, each of which takes one token */
    size_t list_max;
    void (*run)(struct exchange *x);
};

/* Takes a request in; for the handlers in the tables of routes. */
void exchange_begin(struct ingestion *in, struct http_request *req, const struct exchange_route *route);

/* Whether the same request may fare better later: such answers are not kept under an Idempotency-Key. */
bool status_is_passing(int status);

/* Gives the parsed body back: its memory is then the next request's, and warm. */
void exchange_drop_body(struct exchange *x);
/* `body` is copied. */
void exchange_reply(struct exchange *x, int status, struct slice body);
/* With a `type` of ours, or NULL; 503 gets Retry-After. */
void exchange_problem(struct exchange *x, int status, const char *type, const char *detail);
void exchange_faults(struct exchange *x, const struct faults *faults);
void exchange_err(struct exchange *x, enum err err, const struct why *why);

/* Refuses before the handler: nothing was begun, so nothing is kept. */
void exchange_refuse(struct exchange *x, int status, const char *type, const char *detail);
/* The bytes of an answer as they are, kept under no key; `is_replayed` says that they were once given before. */
void exchange_send(struct exchange *x, int status, struct slice body, bool is_replayed);

/* The problem that stands for `err` in a batch's list or a reply. */
void problem_of(struct problem *p, enum err err, const struct why *why);

#endif
