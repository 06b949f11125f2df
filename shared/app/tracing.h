/* SPDX-License-Identifier: Apache-2.0
 * tracing.h - a service's spans (trace/span.h) go to an OpenTelemetry collector, by OTLP over HTTP in JSON. service.c's
 * own.
 *
 * A POST a second at most, of all that has ended since; one at a time, on the event loop. What is refused for now
 * (429, 502, 503, 504, no answer) is sent again, later and later; meanwhile what finds no room is dropped. Nothing waits
 * for a collector, and none of it exists without an endpoint. */
#ifndef ASSAY_APP_TRACING_H
#define ASSAY_APP_TRACING_H

#include "base/err.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "trace/span.h"

struct tracing_settings {
    const char *endpoint; /* "http://collector:4318"; empty: no spans */
    const char *ca, *share;
};

struct tracing;

/* `service` is borrowed for ever. Without an endpoint *out is one that has no spans.
 *   ERR_INVALID   the endpoint is no URL, or the share no number from 0 to 1
 *   ERR_INTERNAL  libcurl cannot be set up */
MUST_USE enum err tracing_open(struct tracing **out, const struct tracing_settings *settings,
                               struct loop *loop, struct metrics *metrics, const char *service,
                               struct why *why);
void tracing_close(struct tracing *t);

/* NULL: nothing is recorded. */
struct spans *tracing_spans(const struct tracing *t);
/* Of the traces that begin here, how many are sampled: 0 without an endpoint. */
double tracing_share(const struct tracing *t);

/* Sends what waits; `done` is called once it is answered or given up, or at once when nothing waits. Never again
 * afterwards. */
void tracing_flush(struct tracing *t, void (*done)(void *ctx), void *ctx);

#endif
