/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/span.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "json/json_out.h"

enum { STATUS_ERROR = 2 };

struct spans {
    const char *service, *version, *instance;
    struct buf waiting; /* the list's items, with commas between them */
    size_t count;
    uint64_t dropped;
    struct trace_dice dice;
};

struct spans *spans_new(const char *service, const char *version, const char *instance, size_t most)
{
    struct spans *s = mem_new(struct spans);

    s->service = service;
    s->version = version;
    s->instance = instance;
    buf_init(&s->waiting, most);
    return s;
}

void spans_free(struct spans *s)
{
    if (!s)
        return;
    buf_release(&s->waiting);
    mem_free(s);
}

static void write_attribute(struct json_out *o, const struct span_attribute *a)
{
    char number[24];

    json_out_open(o, NULL);
    json_out_str(o, "key", a->key);
    json_out_open(o, "value");
    if (a->text) {
        json_out_str(o, "stringValue", a->text);
    } else {
        snprintf(number, sizeof number, "%" PRId64, a->number);
        json_out_str(o, "intValue", number);
    }
    json_out_end(o);
    json_out_end(o);
}

static void write_time(struct json_out *o, const char *key, int64_t at_us)
{
    char ns[32];

    snprintf(ns, sizeof ns, "%" PRId64 "000", at_us);
    json_out_str(o, key, ns);
}

static void write_place(struct json_out *o, const struct trace *at)
{
    json_out_text(o, "traceId", trace_id(at));
    json_out_text(o, "spanId", trace_span(at));
}

static void write_span(struct json_out *o, const struct span *span)
{
    json_out_open(o, NULL);
    write_place(o, span->at);
    if (*span->at->caller)
        json_out_str(o, "parentSpanId", span->at->caller);
    json_out_str(o, "name", span->name);
    json_out_int(o, "kind", span->kind);
    write_time(o, "startTimeUnixNano", span->start_us);
    write_time(o, "endTimeUnixNano", span->end_us > span->start_us ? span->end_us : span->start_us);
    json_out_list(o, "attributes");
    for (size_t i = 0; i < span->attribute_count; i++)
        write_attribute(o, &span->attributes[i]);
    json_out_end(o);
    if (span->link_count) {
        json_out_list(o, "links");
        for (size_t i = 0; i < span->link_count; i++) {
            json_out_open(o, NULL);
            write_place(o, span->links[i]);
            json_out_end(o);
        }
        json_out_end(o);
    }
    if (span->trouble) {
        json_out_open(o, "status");
        json_out_int(o, "code", STATUS_ERROR);
        json_out_str(o, "message", span->trouble);
        json_out_end(o);
    }
    json_out_end(o);
}

void spans_add(struct spans *s, const struct span *span)
{
    size_t before = s->waiting.len;
    struct json_out o = json_out_to(&s->waiting);

    if (before)
        buf_add_char(&s->waiting, ',');
    write_span(&o, span);
    if (s->waiting.is_over) {
        s->waiting.len = before;
        s->waiting.is_over = false;
        s->dropped++;
        return;
    }
    s->count++;
}

void spans_drop(struct spans *s, uint64_t count)
{
    s->dropped += count;
}

size_t spans_waiting(const struct spans *s)
{
    return s->count;
}

uint64_t spans_dropped(const struct spans *s)
{
    return s->dropped;
}

size_t spans_take(struct spans *s, struct buf *body)
{
    const struct span_attribute resource[] = { { "service.name", s->service, 0 },
                                               { "service.version", s->version, 0 },
                                               { "service.instance.id", s->instance, 0 } };
    struct json_out o = json_out_to(body);
    size_t count = s->count;

    if (count == 0)
        return 0;
    json_out_open(&o, NULL);
    json_out_list(&o, "resourceSpans");
    json_out_open(&o, NULL);
    json_out_open(&o, "resource");
    json_out_list(&o, "attributes");
    for (size_t i = 0; i < sizeof resource / sizeof *resource; i++)
        write_attribute(&o, &resource[i]);
    json_out_end(&o);
    json_out_end(&o);
    json_out_list(&o, "scopeSpans");
    json_out_open(&o, NULL);
    json_out_open(&o, "scope");
    json_out_str(&o, "name", "assay");
    json_out_end(&o);
    json_out_list(&o, "spans");
    json_out_json(&o, NULL, buf_slice(&s->waiting));
    while (o.depth)
        json_out_end(&o);
    buf_clear(&s->waiting);
    s->count = 0;
    return count;
}

const unsigned char *spans_throw(struct spans *s)
{
    return trace_throw(&s->dice);
}
