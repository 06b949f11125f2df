/* SPDX-License-Identifier: Apache-2.0
 * trace.h - W3C Trace Context (Level 1, and the random flag of Level 2): read it, or begin a trace. */
#ifndef ASSAY_INGESTION_TRACE_H
#define ASSAY_INGESTION_TRACE_H

#include "base/slice.h"

/* "00-<32 hex>-<16 hex>-<2 hex>" and a NUL: our own span within the caller's trace. */
struct trace {
    char parent[56];
};

enum { TRACE_RANDOM_BYTES = 24 };

/* Random bytes for many traces, drawn from the system at once: one call for each of them would be the only one
 * that a transaction does not share with others. Begins zeroed. */
struct trace_dice {
    unsigned char bytes[128 * TRACE_RANDOM_BYTES];
    size_t left;
};
/* TRACE_RANDOM_BYTES that nobody had before, until the next throw. */
const unsigned char *trace_throw(struct trace_dice *dice);

/* Continues the trace that `traceparent` names; what is empty or not valid begins a new one, as the standard
 * says. */
void trace_begin(struct trace *t, struct slice traceparent, const unsigned char random[TRACE_RANDOM_BYTES]);
/* The trace id, 32 hex digits, for logs. */
struct slice trace_id(const struct trace *t);

#endif
