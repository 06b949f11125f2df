/* SPDX-License-Identifier: Apache-2.0
 * tracing_test.c - the spans of a decision over all four services, as a collector gets them. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "harness/cluster.h"
#include "harness/database.h"
#include "harness/http.h"
#include "harness/process.h"
#include "harness/receiver.h"
#include "harness/visit.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "unit/bundle/samples.h"

enum { SERVICES = 4, SPANS_MOST = 8192, THREADS = 16, POSTS_EACH = 20 };

static struct {
    struct pg_session *pg;
    struct process services[SERVICES]; /* ingestion last: it calls the others */
    struct receiver receiver;
    char key[64], pg_url[512], otlp[128];
    json_t *bodies[RECEIVED_MOST];
    struct got {
        const char *service, *trace, *id, *parent, *name;
        json_int_t kind;
        json_t *json;
    } spans[SPANS_MOST];
    size_t count;
    atomic_bool is_whole; /* the last decision, by all parts */
    struct why why;
} w;

#define MUST(call) cr_assert_eq((call), ERR_OK, "%s", w.why.text)

static void promote_a_model(void)
{
    struct bundle_sample sample;
    struct buf bytes;
    int64_t version;

    bundle_sample_init(&sample, 5);
    buf_init(&bytes, 0);
    MUST(bundle_build(&bytes, &sample.parts, &w.why));
    MUST(model_register(w.pg, buf_slice(&bytes), NULL, NULL, SLICE("test"), &version, NULL, &w.why));
    MUST(model_promote(w.pg, version, MODEL_NONE, &(struct model_change){ .actor = SLICE("test") }, &w.why));
    buf_release(&bytes);
    bundle_sample_release(&sample);
}

/* `traceparent` may be NULL. */
static int post(int number, const char *traceparent)
{
    char body[512], at[RFC3339_SIZE], field[96];
    struct http_said said;
    int status;

    rfc3339_format(clock_wall_us(), at);
    snprintf(body, sizeof body,
             "{\"transaction_id\":\"t-%d\",\"occurred_at\":\"%s\",\"amount\":%d,\"currency\":\"USD\","
             "\"customer_id\":\"c-%d\"}",
             number, at, 100 + number * 7919 % 6000, number % 37);
    snprintf(field, sizeof field, "traceparent: %s", traceparent ? traceparent : "");
    said = http_ask(w.services[SERVICES - 1].port, "POST", "/v1/transactions", w.key,
                    traceparent ? (const char *const[]){ field, NULL } : NULL, body, strlen(body));
    status = said.status;
    w.is_whole = json_array_size(json_object_get(said.json, "degraded")) == 0;
    http_said_free(&said);
    return status;
}

static void start_services(const char *share)
{
    static const char *const names[SERVICES] = { "features", "scoring", "rules", "ingestion" };
    static const char *const settings[SERVICES] = { "FEATURES", "SCORING", "RULES" };
    char address[SERVICES][64];

    for (size_t i = 0; i < SERVICES; i++) {
        process_start(&w.services[i], names[i],
                      i < SERVICES - 1
                          ? (const char *const[]){ w.pg_url, w.otlp, NULL }
                          : (const char *const[]){ w.pg_url, w.otlp, address[0], address[1], address[2],
                                                   "ASSAY_DEADLINE=5s", share, NULL });
        if (i < SERVICES - 1)
            snprintf(address[i], sizeof address[i], "ASSAY_%s_ADDR=127.0.0.1:%d", settings[i],
                     w.services[i].port);
    }
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(post(60000 + i, "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00"), 200);
        if (w.is_whole)
            return;
        usleep(20000);
    }
    cr_assert_fail("no decision by all parts");
}

static void setup(void)
{
    const char *conninfo = test_database();

    receiver_start(&w.receiver);
    snprintf(w.pg_url, sizeof w.pg_url, "ASSAY_PG_URL=%s", conninfo);
    snprintf(w.otlp, sizeof w.otlp, "ASSAY_OTLP_ENDPOINT=http://127.0.0.1:%d/", w.receiver.port);
    MUST(pg_session_open(&w.pg, conninfo, "test", &w.why));
    database_run(w.pg, "INSERT INTO accounts (name) VALUES ('shop')");
    database_key(w.pg, 1, "decide", w.key);
    promote_a_model();
}

/* What has ended is sent before a service ends. */
static void stop_services(void)
{
    for (size_t i = SERVICES; i-- > 0;)
        if (w.services[i].pid)
            cr_expect_eq(process_stop(&w.services[i]), 0, "it ends gracefully");
}

static void teardown(void)
{
    stop_services();
    receiver_end(&w.receiver);
    for (size_t i = 0; i < RECEIVED_MOST; i++)
        json_decref(w.bodies[i]);
    pg_session_close(w.pg);
}

TestSuite(tracing, .init = setup, .fini = teardown, .timeout = 180);

static const char *text_at(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void take_span(const char *service, json_t *span)
{
    struct got *got = &w.spans[w.count++];
    const char *start = text_at(span, "startTimeUnixNano"), *end = text_at(span, "endTimeUnixNano");

    cr_assert_leq(w.count, (size_t)SPANS_MOST);
    *got = (struct got){ service,
                         text_at(span, "traceId"),
                         text_at(span, "spanId"),
                         text_at(span, "parentSpanId"),
                         text_at(span, "name"),
                         json_integer_value(json_object_get(span, "kind")),
                         span };
    cr_assert(got->trace && strspn(got->trace, "0123456789abcdef") == 32 && strlen(got->trace) == 32);
    cr_assert(got->id && strspn(got->id, "0123456789abcdef") == 16 && strlen(got->id) == 16);
    cr_assert(start && end && strspn(start, "0123456789") == 19 && strlen(start) == strlen(end));
    cr_assert_leq(strcmp(start, end), 0);
}

/* Reads all that the collector got. */
static void read_spans(void)
{
    for (size_t i = 0; i < receiver_count(&w.receiver); i++) {
        json_t *resource, *service;
        char *type = receiver_header(&w.receiver, i, "content-type");
        size_t k;
        json_t *span;

        cr_assert_eq(strncmp(w.receiver.requests[i].head, "POST /v1/traces ", 16), 0);
        cr_assert_str_eq(type, "application/json");
        free(type);
        w.bodies[i] = json_loads(w.receiver.requests[i].body, 0, NULL);
        cr_assert(w.bodies[i]);
        resource = json_array_get(json_object_get(w.bodies[i], "resourceSpans"), 0);
        service = json_array_get(json_object_get(json_object_get(resource, "resource"), "attributes"), 0);
        cr_assert_str_eq(text_at(service, "key"), "service.name");
        json_array_foreach(
            json_object_get(json_array_get(json_object_get(resource, "scopeSpans"), 0), "spans"), k, span)
            take_span(text_at(json_object_get(service, "value"), "stringValue"), span);
    }
}

/* The one span of that service and name within a trace. */
static const struct got *span_of(const char *service, const char *name, const char *trace)
{
    const struct got *found = NULL;

    for (size_t i = 0; i < w.count; i++) {
        const struct got *got = &w.spans[i];

        if (strcmp(got->service, service) == 0 && strcmp(got->name, name) == 0 &&
            strcmp(got->trace, trace) == 0) {
            cr_assert_null(found, "one %s of %s", name, service);
            found = got;
        }
    }
    cr_assert(found, "%s of %s, of %zu spans", name, service, w.count);
    return found;
}

Test(tracing, a_decision_has_its_spans_in_all_four_services_each_below_its_caller)
{
    static const char trace[] = "0af7651916cd43dd8448eb211c80319c";
    static const struct {
        const char *stage, *service, *method;
    } calls[] = { { "features", "features", "assay.v1.Features/Compute" },
                  { "scoring", "scoring", "assay.v1.Scoring/Score" },
                  { "rules", "rules", "assay.v1.Rules/Decide" } };
    const struct got *top, *stage, *method;

    start_services(NULL);
    cr_assert_eq(post(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 200);
    stop_services();
    read_spans();
    top = span_of("ingestion", "POST /v1/transactions", trace);
    cr_assert_str_eq(top->parent, "b7ad6b7169203331");
    cr_assert_eq(top->kind, 2);
    for (size_t i = 0; i < 3; i++) {
        stage = span_of("ingestion", calls[i].stage, trace);
        cr_assert_str_eq(stage->parent, top->id);
        cr_assert_eq(stage->kind, 3);
        method = span_of(calls[i].service, calls[i].method, trace);
        cr_assert_str_eq(method->parent, stage->id);
        cr_assert_eq(method->kind, 2);
    }
    cr_assert_str_eq(span_of("ingestion", "commit", trace)->parent, top->id);
    cr_assert_eq(w.count, 8);
}

Test(tracing, a_decision_without_rules_has_a_span_of_what_was_done_instead)
{
    static const char trace[] = "0af7651916cd43dd8448eb211c80319c";
    const struct got *stage;

    start_services(NULL);
    cr_assert_eq(process_stop(&w.services[2]), 0);
    cr_assert_eq(post(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 200);
    cr_assert_not(w.is_whole);
    stop_services();
    read_spans();
    stage = span_of("ingestion", "rules", trace);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(stage->json, "status"), "code")), 2,
                 "the call came to nothing");
    cr_assert_str_eq(span_of("ingestion", "decide without rules", trace)->parent, stage->id);
}

Test(tracing, a_decision_without_scores_has_a_span_of_what_was_done_instead)
{
    static const char trace[] = "0af7651916cd43dd8448eb211c80319c";
    const struct got *stage;

    start_services(NULL);
    cr_assert_eq(process_stop(&w.services[1]), 0);
    cr_assert_eq(post(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 200);
    cr_assert_not(w.is_whole);
    stop_services();
    read_spans();
    stage = span_of("ingestion", "scoring", trace);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(stage->json, "status"), "code")), 2,
                 "the call came to nothing");
    cr_assert_str_eq(span_of("ingestion", "score without scoring", trace)->parent, stage->id);
    span_of("rules", "assay.v1.Rules/Decide", trace);
}

/* ---- what people ask ---- */

/* The dashboard and the services that it passes requests on to. */
static void start_desks(void)
{
    static const char *const names[] = { "rules", "retrainer", "monitor" };
    static const char *const settings[] = { "RULES", "RETRAINER", "MONITOR" };
    char address[3][64];

    for (size_t i = 0; i < 3; i++) {
        process_start(&w.services[i], names[i], (const char *const[]){ w.pg_url, w.otlp, NULL });
        snprintf(address[i], sizeof address[i], "ASSAY_%s_ADDR=127.0.0.1:%d", settings[i],
                 w.services[i].port);
    }
    process_start(&w.services[3], "dashboard",
                  (const char *const[]){ w.pg_url, w.otlp, address[0], address[1], address[2], NULL });
}

static int visit_traced(const struct visit *v, const char *path, const char *traceparent)
{
    struct http_said said = http_ask(w.services[3].port, "GET", path, NULL,
                                     (const char *const[]){ v->cookie, traceparent, NULL }, NULL, 0);
    int status = said.status;

    http_said_free(&said);
    return status;
}

Test(tracing, what_a_person_asks_for_is_in_one_trace_with_the_service_that_answers)
{
    static const struct {
        const char *service, *path, *name, *trace, *traceparent;
    } asked[] = {
        { "rules", "/v1/rulesets", "GET /v1/rulesets", "0af7651916cd43dd8448eb211c803191",
          "traceparent: 00-0af7651916cd43dd8448eb211c803191-b7ad6b7169203331-01" },
        { "retrainer", "/v1/models", "GET /v1/models", "0af7651916cd43dd8448eb211c803192",
          "traceparent: 00-0af7651916cd43dd8448eb211c803192-b7ad6b7169203331-01" },
        { "monitor", "/v1/drift/7?limit=3", "GET /v1/drift/{id}", "0af7651916cd43dd8448eb211c803193",
          "traceparent: 00-0af7651916cd43dd8448eb211c803193-b7ad6b7169203331-01" },
    };
    const struct got *top, *call, *answer;
    struct visit ann;

    visit_add_user(w.pg, "ann", "rule_author,model_owner");
    ann = visit_of(w.pg, "ann", "now()");
    start_desks();
    for (size_t i = 0; i < 3; i++)
        cr_assert_lt(visit_traced(&ann, asked[i].path, asked[i].traceparent), 500);
    cr_assert_eq(visit_traced(&ann, "/v1/cases",
                              "traceparent: 00-0af7651916cd43dd8448eb211c803194-b7ad6b7169203331-01"),
                 403);
    cr_assert_eq(visit_traced(&ann, "/v1/rulesets",
                              "traceparent: 00-0af7651916cd43dd8448eb211c803195-b7ad6b7169203331-00"),
                 200);
    stop_services();
    read_spans();
    for (size_t i = 0; i < 3; i++) {
        top = span_of("dashboard", asked[i].name, asked[i].trace);
        call = span_of("dashboard", asked[i].service, asked[i].trace);
        answer = span_of(asked[i].service, asked[i].name, asked[i].trace);
        cr_assert_str_eq(top->parent, "b7ad6b7169203331");
        cr_assert_eq(top->kind, 2);
        cr_assert_str_eq(call->parent, top->id);
        cr_assert_eq(call->kind, 3);
        cr_assert_str_eq(answer->parent, call->id);
        cr_assert_eq(answer->kind, 2);
    }
    span_of("dashboard", "GET /v1/cases", "0af7651916cd43dd8448eb211c803194");
    cr_assert_eq(w.count, 10);
}

Test(tracing, nothing_is_exported_of_what_is_not_sampled)
{
    start_services(NULL);
    cr_assert_eq(post(1, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), 200);
    cr_assert_eq(post(2, NULL), 200);
    cr_assert_eq(post(3, "no trace at all"), 200);
    stop_services();
    cr_assert_eq(receiver_count(&w.receiver), 0);
}

Test(tracing, the_share_that_is_asked_for_is_sampled_without_a_caller_who_says_so)
{
    start_services("ASSAY_TRACE_SHARE=1");
    cr_assert_eq(post(1, NULL), 200);
    stop_services();
    read_spans();
    cr_assert_eq(w.count, 8);
    for (size_t i = 0; i < w.count; i++) {
        cr_assert_str_eq(w.spans[i].trace, w.spans[0].trace);
        cr_assert_eq(!w.spans[i].parent, strcmp(w.spans[i].name, "POST /v1/transactions") == 0,
                     "one has no parent");
    }
}

static void *post_many(void *arg)
{
    int *first = arg, failed = 0;

    for (int i = 0; i < POSTS_EACH; i++)
        failed += post(*first + i, NULL) != 200;
    *first = failed;
    return NULL;
}

static const struct got *span_by_id(const char *trace, const char *id)
{
    for (size_t i = 0; i < w.count; i++)
        if (strcmp(w.spans[i].id, id) == 0 && strcmp(w.spans[i].trace, trace) == 0)
            return &w.spans[i];
    return NULL;
}

static bool has_link_to(const struct got *from, const struct got *to)
{
    json_t *link;
    size_t k;

    json_array_foreach(json_object_get(from->json, "links"), k,
                       link) if (strcmp(text_at(link, "spanId"), to->id) == 0 &&
                                 strcmp(text_at(link, "traceId"), to->trace) == 0) return true;
    return false;
}

Test(tracing, a_call_for_many_is_in_one_trace_and_linked_with_the_others)
{
    pthread_t threads[THREADS];
    int args[THREADS];
    size_t links = 0;

    start_services("ASSAY_TRACE_SHARE=1");
    cr_assert_eq(post(50000, NULL), 200);
    for (int i = 0; i < THREADS; i++) {
        args[i] = 1000 * (i + 1);
        cr_assert_eq(pthread_create(&threads[i], NULL, post_many, &args[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(args[i], 0);
    }
    stop_services();
    read_spans();
    for (size_t i = 0; i < w.count; i++) {
        const struct got *got = &w.spans[i];
        json_t *link;
        size_t k;

        if (got->parent)
            cr_assert(span_by_id(got->trace, got->parent), "%s of %s has a parent", got->name, got->service);
        json_array_foreach(json_object_get(got->json, "links"), k, link)
        {
            const struct got *other = span_by_id(text_at(link, "traceId"), text_at(link, "spanId"));

            cr_assert(other, "what is linked is there");
            cr_assert_str_eq(other->name, got->name);
            cr_assert(has_link_to(other, got), "and links back");
            cr_assert_eq((got->kind == 3) + (other->kind == 3), 1, "one of them is the call");
            links++;
        }
    }
    cr_assert_gt(links, 0, "of %zu spans", w.count);
    for (size_t i = 0; i < w.count; i++)
        if (strcmp(w.spans[i].name, "POST /v1/transactions") == 0)
            span_of("ingestion", "commit", w.spans[i].trace);
}

static bool was_taken(size_t request)
{
    return w.receiver.requests[request].mode == RECEIVER_OK;
}

/* Whether a body that was not answered came again, the same, and was taken. */
static bool came_again(void)
{
    for (size_t i = 0; i < receiver_count(&w.receiver); i++)
        for (size_t k = i + 1; !was_taken(i) && k < receiver_count(&w.receiver); k++)
            if (was_taken(k) && strcmp(w.receiver.requests[i].body, w.receiver.requests[k].body) == 0)
                return true;
    return false;
}

Test(tracing, over_tls_what_a_collector_did_not_answer_comes_again)
{
    char cert[] = "/tmp/assay-collector.XXXXXX";
    int fd = mkstemp(cert);

    cr_assert_geq(fd, 0);
    close(fd);
    receiver_end(&w.receiver);
    receiver_start_tls(&w.receiver, cert);
    snprintf(w.otlp, sizeof w.otlp, "ASSAY_OTLP_ENDPOINT=https://127.0.0.1:%d/", w.receiver.port);
    setenv("ASSAY_OTLP_CA", cert, 1);
    atomic_store(&w.receiver.mode, RECEIVER_CLOSES);
    start_services("ASSAY_TRACE_SHARE=1");
    cr_assert_eq(post(1, NULL), 200);
    cr_assert(receiver_wait(&w.receiver, 4));
    atomic_store(&w.receiver.mode, RECEIVER_OK);
    for (int i = 0; i < 2000 && !came_again(); i++)
        usleep(10000);
    cr_assert(came_again());
    cr_assert_eq(w.receiver.refusals, 0);
    unlink(cert);
}

Test(tracing, a_collector_that_hangs_holds_nothing_up)
{
    atomic_store(&w.receiver.mode, RECEIVER_HANGS);
    start_services("ASSAY_TRACE_SHARE=1");
    for (int i = 0; i < 200; i++)
        cr_assert_eq(post(i, NULL), 200);
    cr_assert(receiver_wait(&w.receiver, 1));
    for (int i = 200; i < 400; i++)
        cr_assert_eq(post(i, NULL), 200);
    stop_services();
    atomic_store(&w.receiver.mode, RECEIVER_OK);
}
