/* SPDX-License-Identifier: Apache-2.0
 * span_test.c - spans in OTLP's JSON, read back by Jansson. */
#include "trace/span.h"

#include <criterion/criterion.h>
#include <jansson.h>

#include "base/array.h"

static struct spans *spans;
static struct trace_dice dice;
static struct buf body;

static void setup(void)
{
    spans = spans_new("ingestion", "1.2.3", "host-7", 4096);
    buf_init(&body, 0);
}

static void teardown(void)
{
    spans_free(spans);
    buf_release(&body);
}

TestSuite(span, .init = setup, .fini = teardown);

static void add(const char *name, const char *trouble)
{
    static const struct span_attribute attributes[] = { { "http.route", "/v1/\"x\"", 0 },
                                                        { "http.response.status_code", NULL, 200 } };
    struct trace at, other;
    const struct trace *const links[] = { &other };

    trace_begin(&at, SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), trace_throw(&dice), 0);
    trace_begin(&other, SLICE(""), trace_throw(&dice), 1);
    spans_add(spans, &(struct span){ .at = &at,
                                     .name = name,
                                     .kind = SPAN_SERVER,
                                     .start_us = 1700000000123456,
                                     .end_us = 1700000000123999,
                                     .attributes = attributes,
                                     .attribute_count = ARRAY_LEN(attributes),
                                     .links = links,
                                     .link_count = 1,
                                     .trouble = trouble });
}

static const char *text_at(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

Test(span, is_written_as_a_collector_reads_it)
{
    json_t *all, *resource, *list, *span, *attribute;

    add("one", NULL);
    add("two", "timeout");
    cr_assert_eq(spans_take(spans, &body), 2);
    all = json_loadb(buf_slice(&body).ptr, body.len, 0, NULL);
    cr_assert(all, "%.*s", (int)body.len, buf_slice(&body).ptr);
    resource = json_array_get(json_object_get(all, "resourceSpans"), 0);
    attribute = json_array_get(json_object_get(json_object_get(resource, "resource"), "attributes"), 0);
    cr_assert_str_eq(text_at(attribute, "key"), "service.name");
    cr_assert_str_eq(text_at(json_object_get(attribute, "value"), "stringValue"), "ingestion");
    list = json_object_get(json_array_get(json_object_get(resource, "scopeSpans"), 0), "spans");
    cr_assert_eq(json_array_size(list), 2);
    span = json_array_get(list, 0);
    cr_assert_str_eq(text_at(span, "traceId"), "0af7651916cd43dd8448eb211c80319c");
    cr_assert_str_eq(text_at(span, "parentSpanId"), "b7ad6b7169203331");
    cr_assert_eq(strlen(text_at(span, "spanId")), 16);
    cr_assert_str_eq(text_at(span, "name"), "one");
    cr_assert_eq(json_integer_value(json_object_get(span, "kind")), 2);
    cr_assert_str_eq(text_at(span, "startTimeUnixNano"), "1700000000123456000");
    cr_assert_str_eq(text_at(span, "endTimeUnixNano"), "1700000000123999000");
    attribute = json_array_get(json_object_get(span, "attributes"), 1);
    cr_assert_str_eq(text_at(json_object_get(attribute, "value"), "intValue"), "200");
    cr_assert_eq(strlen(text_at(json_array_get(json_object_get(span, "links"), 0), "traceId")), 32);
    cr_assert_null(json_object_get(span, "status"));
    span = json_array_get(list, 1);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(span, "status"), "code")), 2);
    cr_assert_str_eq(text_at(json_object_get(span, "status"), "message"), "timeout");
    json_decref(all);
    cr_assert_eq(spans_take(spans, &body), 0, "each is taken once");
}

Test(span, is_dropped_and_counted_when_there_is_no_room)
{
    json_t *all;
    size_t taken;

    for (int i = 0; i < 100; i++)
        add("often", NULL);
    taken = spans_waiting(spans);
    cr_assert(taken > 0 && taken < 100);
    cr_assert_eq(spans_dropped(spans), 100 - taken);
    cr_assert_eq(spans_take(spans, &body), taken);
    all = json_loadb(buf_slice(&body).ptr, body.len, 0, NULL);
    cr_assert(all, "what was dropped leaves nothing behind");
    json_decref(all);
    add("again", NULL);
    cr_assert_eq(spans_waiting(spans), 1, "there is room again");
}
