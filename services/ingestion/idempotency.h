/* SPDX-License-Identifier: Apache-2.0
 * idempotency.h - a request with an Idempotency-Key runs once; the same again gets the answer that was kept.
 *
 *   begin ---> it is the first ---> the handler runs ---> end: the answer is kept, then sent
 *         ---> it was answered ---> the kept answer, with Idempotency-Replayed: true
 *         ---> another payload: 422, still under way: 409
 *
 * A key belongs to an account and a route, and to the scopes that decide what the caller may do and see. What
 * passes (5xx, 429) is not kept. Source: draft-ietf-httpapi-idempotency-key-header. */
#ifndef ASSAY_INGESTION_IDEMPOTENCY_H
#define ASSAY_INGESTION_IDEMPOTENCY_H

#include "exchange.h"

/* Runs the route, or answers; `field` is the header's value. */
void idempotency_begin(struct exchange *x, struct slice field);
/* Answers a request that idempotency_begin() let run. */
void idempotency_end(struct exchange *x, int status, struct slice body);

#endif
