/* SPDX-License-Identifier: Apache-2.0
 * span.h - spans on their way to a collector: each is written once, when it ends, as OTLP's JSON.
 *
 *   spans_add(spans, &(struct span){ .at = &trace, .name = "scoring", .kind = SPAN_CLIENT, ... });
 *   spans_take(spans, &body);             now and then: the body of one POST to /v1/traces
 *
 * What waits has a cap; a span that finds no room is dropped and counted. One thread.
 * Source: OTLP 1.x, opentelemetry/proto/trace/v1/trace.proto by the JSON mapping of its specification: ids are hex,
 * 64-bit numbers are text. */
#ifndef ASSAY_TRACE_SPAN_H
#define ASSAY_TRACE_SPAN_H

#include <stdint.h>

#include "base/buf.h"
#include "trace/context.h"

struct spans;

/* OTLP's numbers. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3 };

struct span_attribute {
    const char *key;
    const char *text; /* NULL: `number` */
    int64_t number;
};

/* All is borrowed for the call. */
struct span {
    const struct trace *at;
    const char *name;
    enum span_kind kind;
    int64_t start_us, end_us; /* since the epoch; an end before its start is taken as the start */
    const struct span_attribute *attributes;
    size_t attribute_count;
    const struct trace *const *links; /* spans of other traces that it belongs to as well */
    size_t link_count;
    const char *trouble; /* why it failed; NULL: it did not */
};

/* Of a service; the texts are borrowed for ever. `most` bytes may wait. */
struct spans *spans_new(const char *service, const char *version, const char *instance, size_t most);
void spans_free(struct spans *s);

void spans_add(struct spans *s, const struct span *span);
/* One that was not even written. */
void spans_drop(struct spans *s, uint64_t count);

size_t spans_waiting(const struct spans *s);
uint64_t spans_dropped(const struct spans *s);
/* Puts all that waits into `body` as an ExportTraceServiceRequest, and returns how many; 0 leaves it as it is. */
size_t spans_take(struct spans *s, struct buf *body);

/* The id of the next span of this process. */
const unsigned char *spans_throw(struct spans *s);

#endif
