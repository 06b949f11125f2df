/* SPDX-License-Identifier: Apache-2.0
 * context.h - W3C Trace Context (Level 1, and the random flag of Level 2): read it, begin a trace, go on within one. */
#ifndef ASSAY_TRACE_CONTEXT_H
#define ASSAY_TRACE_CONTEXT_H

#include <stdbool.h>

#include "base/slice.h"

enum { TRACE_RANDOM_BYTES = 24, TRACE_PARENT_SIZE = 56, TRACE_SPAN_SIZE = 17 };

/* A span: where in which trace it stands. */
struct trace {
    char parent
        [TRACE_PARENT_SIZE]; /* what its own calls carry: "00-<32 hex>-<16 hex of the span>-<2 hex>" and a NUL */
    char caller[TRACE_SPAN_SIZE]; /* 16 hex of the span above it and a NUL; empty: it is the first */
};

/* Random bytes for many traces, drawn from the system at once: one call for each of them would be the only one
 * that a transaction does not share with others. Begins zeroed. */
struct trace_dice {
    unsigned char bytes[128 * TRACE_RANDOM_BYTES];
    size_t left;
};
/* TRACE_RANDOM_BYTES that nobody had before, until the next throw. */
const unsigned char *trace_throw(struct trace_dice *dice);

/* A span within the trace that `traceparent` names; what is empty or not valid begins a new one, as the standard
 * says. Of those begun here the share `sampled` (0 to 1) is, by the trace's own random bits: every process that
 * asks for the same share takes the same ones. */
void trace_begin(struct trace *t, struct slice traceparent, const unsigned char random[TRACE_RANDOM_BYTES],
                 double sampled);
/* A span below `above`. */
void trace_below(struct trace *t, const struct trace *above, const unsigned char random[TRACE_RANDOM_BYTES]);
/* Whether `traceparent` is valid and its caller records the trace. */
bool trace_asks(struct slice traceparent);

/* False for one that is zeroed. */
bool trace_is_sampled(const struct trace *t);
/* 32 hex digits, for logs too; and 16. They live as long as `t`. */
struct slice trace_id(const struct trace *t);
struct slice trace_span(const struct trace *t);

#endif
