/* SPDX-License-Identifier: Apache-2.0
 * trace.h - W3C Trace Context (Level 1, and the random flag of Level 2): read it, or begin a trace. */
#ifndef ASSAY_INGESTION_TRACE_H
#define ASSAY_INGESTION_TRACE_H

#include "base/slice.h"

/* "00-<32 hex>-<16 hex>-<2 hex>" and a NUL: our own span within the caller's trace. */
struct trace {
    char parent[56];
};

/* Continues the trace that `traceparent` names; what is empty or not valid begins a new one, as the standard
 * says. `random` is 24 random bytes, for ids. */
void trace_begin(struct trace *t, struct slice traceparent, const unsigned char random[24]);
/* The trace id, 32 hex digits, for logs. */
struct slice trace_id(const struct trace *t);

#endif
