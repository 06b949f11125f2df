/* SPDX-License-Identifier: Apache-2.0
 * call_test.c - unary calls from our client to our server, and what a foreign client may send. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "grpc/client.h"
#include "grpc/server.h"
#include "grpc/status.h"
#include "http/client.h"
#include "http/server.h"
#include "loop/loop.h"
#include "proto/assay.pb-c.h"
#include "proto/health.pb-c.h"

static struct loop *loop;
static struct http_server *http;
static struct grpc_server *server;
static struct grpc_channel *channel;
static struct http_client *raw;
static struct arena arena;
static struct why why;
static bool is_serving = true;
static struct grpc_request *held;
static int64_t seen_deadline;
static char seen_metadata[64];

static struct outcome {
    size_t count;
    enum err err;
    struct why why;
    const ProtobufCMessage *reply;
} last;

static struct raw_outcome {
    size_t count;
    int http_status, grpc_status;
    bool is_in_head;
} raw_last;

/* Echoes the plan as the bundle of a model; some plans ask for something else. */
static void on_score(void *service, struct grpc_request *r, const ProtobufCMessage *message)
{
    const Assay__V1__ScoreRequest *request = (const Assay__V1__ScoreRequest *)message;
    Assay__V1__ScoreResponse response = ASSAY__V1__SCORE_RESPONSE__INIT;
    Assay__V1__ScoreResponse__Model *model =
        arena_new(grpc_request_arena(r), Assay__V1__ScoreResponse__Model, 1);
    struct slice plan = slice_of(request->plan.data, request->plan.len);

    cr_assert_eq(service, &loop);
    seen_deadline = grpc_request_deadline(r);
    snprintf(seen_metadata, sizeof seen_metadata, "%.*s",
             SLICE_ARG(grpc_request_metadata(r, SLICE("traceparent"))));
    if (slice_eq_str(plan, "hold")) {
        held = r;
        return;
    }
    if (slice_eq_str(plan, "fail")) {
        struct why reason;

        grpc_fail(r, err_set(&reason, ERR_CONFLICT, "100%% of \xC3\xA4\nis taken"), &reason);
        return;
    }
    assay__v1__score_response__model__init(model);
    model->bundle = request->plan;
    response.n_models = 1;
    response.models = &model;
    grpc_reply(r, &response.base);
}

static const struct grpc_method methods[] = {
    { &assay__v1__scoring__descriptor, "Score", on_score },
};

static bool says_serving(void *arg)
{
    (void)arg;
    return is_serving;
}

static void setup_with(size_t message_most)
{
    struct http_server_conf conf = { .name = "test", .host = "127.0.0.1" };
    struct grpc_server_conf grpc_conf = { .message_most = message_most, .is_serving = says_serving };
    char address[64];

    cr_assert_eq(loop_open(&loop, &why), ERR_OK);
    cr_assert_eq(http_server_open(&http, loop, &conf, NULL, &why), ERR_OK, "%s", why.text);
    server = grpc_server_new(http, &grpc_conf);
    grpc_server_add(server, methods, ARRAY_LEN(methods), &loop);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(http));
    cr_assert_eq(grpc_channel_open(&channel, loop, &(struct http_client_conf){ .address = address }, &why),
                 ERR_OK);
    cr_assert_eq(http_client_open(&raw, loop, &(struct http_client_conf){ .address = address }, &why),
                 ERR_OK);
}

static void setup(void)
{
    setup_with(1000);
}

static void setup_with_default(void)
{
    setup_with(0);
}

static void teardown(void)
{
    grpc_channel_close(channel);
    http_client_close(raw);
    http_server_close(http);
    grpc_server_free(server);
    loop_close(loop);
    arena_release(&arena);
}

TestSuite(grpc_call, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(grpc_wire, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(grpc_large, .init = setup_with_default, .fini = teardown, .timeout = 120);

static void on_done(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *reason)
{
    (void)arg;
    last = (struct outcome){ last.count + 1, err, *reason, reply };
}

static void turn_until_ended(size_t count)
{
    while (last.count < count)
        loop_turn(loop, true);
}

static struct grpc_call *score(const char *plan, int64_t timeout_ms)
{
    Assay__V1__ScoreRequest request = ASSAY__V1__SCORE_REQUEST__INIT;

    request.plan = (ProtobufCBinaryData){ strlen(plan), (uint8_t *)(uintptr_t)plan };
    return grpc_call(channel, &assay__v1__scoring__descriptor, "Score", &request.base,
                     timeout_ms ? clock_mono_us() + timeout_ms * MS_US : 0, &arena, on_done, NULL);
}

static void check_echo(const char *plan)
{
    const Assay__V1__ScoreResponse *reply = (const Assay__V1__ScoreResponse *)last.reply;

    cr_assert_eq(last.err, ERR_OK, "%s", last.why.text);
    cr_assert_eq(reply->base.descriptor, &assay__v1__score_response__descriptor);
    cr_assert_eq(reply->n_models, 1);
    cr_assert(slice_eq_str(slice_of(reply->models[0]->bundle.data, reply->models[0]->bundle.len), plan));
}

Test(grpc_call, gets_its_reply_in_the_arena_it_gave)
{
    score("abc", 5000);
    turn_until_ended(1);
    check_echo("abc");
}

Test(grpc_call, carries_its_deadline_and_metadata)
{
    Assay__V1__ScoreRequest request = ASSAY__V1__SCORE_REQUEST__INIT;
    const struct http_header trace = { SLICE("traceparent"), SLICE("00-ab-cd-01") };
    int64_t deadline = clock_mono_us() + 5 * SECOND_US;

    score("x", 0);
    turn_until_ended(1);
    cr_assert_eq(seen_deadline, INT64_MAX);
    grpc_call_with(channel, &assay__v1__scoring__descriptor, "Score", &request.base, deadline, &trace, 1,
                   &arena, on_done, NULL);
    turn_until_ended(2);
    cr_assert_gt(seen_deadline, deadline - 2 * SECOND_US);
    cr_assert_lt(seen_deadline, deadline + 2 * SECOND_US);
    cr_assert_str_eq(seen_metadata, "00-ab-cd-01");
}

Test(grpc_call, may_be_answered_later)
{
    Assay__V1__ScoreResponse response = ASSAY__V1__SCORE_RESPONSE__INIT;

    score("hold", 5000);
    while (!held)
        loop_turn(loop, true);
    score("first", 5000);
    turn_until_ended(1);
    check_echo("first");
    grpc_reply(held, &response.base);
    turn_until_ended(2);
    cr_assert_eq(last.err, ERR_OK);
}

Test(grpc_call, brings_back_the_error_and_its_reason)
{
    score("fail", 5000);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_CONFLICT);
    cr_assert_str_eq(last.why.text, "100% of \xC3\xA4\nis taken");
    cr_assert_null(last.reply);
}

Test(grpc_call, ends_at_its_deadline_and_tells_the_server)
{
    struct why reason = { 0 };

    score("hold", 40);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_TIMEOUT);
    while (!grpc_request_is_gone(held))
        loop_turn(loop, true);
    grpc_fail(held, ERR_TIMEOUT, &reason);
}

Test(grpc_call, is_forgotten_when_cancelled)
{
    struct grpc_call *call = score("hold", 5000);
    struct why reason = { 0 };

    while (!held)
        loop_turn(loop, true);
    grpc_call_cancel(call);
    while (!grpc_request_is_gone(held))
        loop_turn(loop, true);
    grpc_fail(held, ERR_UNAVAILABLE, &reason);
    score("next", 5000);
    turn_until_ended(1);
    check_echo("next");
}

Test(grpc_call, to_a_method_that_is_not_served_says_so)
{
    Assay__V1__DecideRequest request = ASSAY__V1__DECIDE_REQUEST__INIT;

    grpc_call(channel, &assay__v1__rules__descriptor, "Decide", &request.base, 0, &arena, on_done, NULL);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_INTERNAL);
    cr_assert(strstr(last.why.text, "no method /assay.v1.Rules/Decide"), "%s", last.why.text);
}

Test(grpc_call, of_more_than_the_server_takes_is_refused)
{
    static char plan[1200];

    memset(plan, 'a', sizeof plan - 1);
    score(plan, 5000);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_LIMIT, "%s %s", err_name(last.err), last.why.text);
    score("small", 5000);
    turn_until_ended(2);
    check_echo("small");
}

Test(grpc_call, to_a_server_that_is_away_is_unavailable)
{
    http_server_close(http);
    http = NULL;
    score("x", 5000);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_UNAVAILABLE);
}

static int check_health(const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    size_t n = last.count;

    request.service = (char *)(uintptr_t)service;
    grpc_call(channel, &grpc__health__v1__health__descriptor, "Check", &request.base, 0, &arena, on_done,
              NULL);
    turn_until_ended(n + 1);
    return last.err ? -1 : (int)((const Grpc__Health__V1__HealthCheckResponse *)last.reply)->status;
}

Test(grpc_call, of_the_health_service_tells_of_the_server_and_of_each_service)
{
    cr_assert_eq(check_health(""), 1);
    cr_assert_eq(check_health("assay.v1.Scoring"), 1);
    is_serving = false;
    cr_assert_eq(check_health(""), 2);
    cr_assert_eq(check_health("assay.v1.Scoring"), 2);
    cr_assert_eq(check_health("no.such.Service"), -1);
    cr_assert_eq(last.err, ERR_NOT_FOUND);
}

/* ---- what a foreign client may send ---- */

static void on_raw(void *arg, enum err err, const struct http_client_answer *a, const struct why *reason)
{
    struct slice in_head, in_trailers;

    (void)arg;
    cr_assert_eq(err, ERR_OK, "%s", reason->text);
    in_head = http_headers_find(a->fields, a->field_count, "grpc-status");
    in_trailers = http_headers_find(a->trailers, a->trailer_count, "grpc-status");
    raw_last = (struct raw_outcome){
        .count = raw_last.count + 1,
        .http_status = a->status,
        .grpc_status =
            in_head.ptr || in_trailers.ptr ? (int)grpc_status_parse(in_head.ptr ? in_head : in_trailers) : -1,
        .is_in_head = in_head.ptr != NULL,
    };
}

static void send_raw(const char *type, struct http_header more, struct slice body)
{
    struct http_header fields[] = { { SLICE("content-type"), slice_str(type) },
                                    { SLICE("te"), SLICE("trailers") },
                                    more };
    size_t n = raw_last.count;

    http_client_send(raw,
                     &(struct http_client_request){
                         .method = "POST",
                         .path = SLICE("/assay.v1.Scoring/Score"),
                         .fields = fields,
                         .field_count = more.name.len ? 3 : 2,
                         .body = body,
                     },
                     on_raw, NULL);
    while (raw_last.count == n)
        loop_turn(loop, true);
}

Test(grpc_wire, refuses_each_fault_with_its_status)
{
    static const struct {
        const char *what, *type;
        struct http_header more;
        struct slice body;
        enum grpc_status status;
    } cases[] = {
        { "an empty message", "application/grpc", { { 0 }, { 0 } }, { "\0\0\0\0\0", 5 }, GRPC_OK },
        { "a charset", "application/grpc;charset=utf-8", { { 0 }, { 0 } }, { "\0\0\0\0\0", 5 }, GRPC_OK },
        { "identity",
          "application/grpc+proto",
          { { "grpc-encoding", 13 }, { "identity", 8 } },
          { "\0\0\0\0\0", 5 },
          GRPC_OK },
        { "4 GiB announced",
          "application/grpc",
          { { 0 }, { 0 } },
          { "\0\377\377\377\377abc", 8 },
          GRPC_RESOURCE_EXHAUSTED },
        { "compressed", "application/grpc", { { 0 }, { 0 } }, { "\1\0\0\0\0", 5 }, GRPC_UNIMPLEMENTED },
        { "gzip",
          "application/grpc",
          { { "grpc-encoding", 13 }, { "gzip", 4 } },
          { "\0\0\0\0\0", 5 },
          GRPC_UNIMPLEMENTED },
        { "json", "application/grpc+json", { { 0 }, { 0 } }, { "\0\0\0\0\0", 5 }, GRPC_UNIMPLEMENTED },
        { "cut short", "application/grpc", { { 0 }, { 0 } }, { "\0\0\0\0\5ab", 7 }, GRPC_INTERNAL },
        { "half a prefix", "application/grpc", { { 0 }, { 0 } }, { "\0\0\0", 3 }, GRPC_INTERNAL },
        { "no body", "application/grpc", { { 0 }, { 0 } }, { "", 0 }, GRPC_INTERNAL },
        { "two messages",
          "application/grpc",
          { { 0 }, { 0 } },
          { "\0\0\0\0\0\0\0\0\0\0", 10 },
          GRPC_UNIMPLEMENTED },
        { "no protobuf", "application/grpc", { { 0 }, { 0 } }, { "\0\0\0\0\2\377\377", 7 }, GRPC_INTERNAL },
        { "a bad timeout",
          "application/grpc",
          { { "grpc-timeout", 12 }, { "soon", 4 } },
          { "\0\0\0\0\0", 5 },
          GRPC_INTERNAL },
        { "a passed timeout",
          "application/grpc",
          { { "grpc-timeout", 12 }, { "1n", 2 } },
          { "\0\0\0\0\0", 5 },
          GRPC_DEADLINE_EXCEEDED },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        send_raw(cases[i].type, cases[i].more, cases[i].body);
        cr_assert_eq(raw_last.http_status, 200, "%s", cases[i].what);
        cr_assert_eq(raw_last.grpc_status, (int)cases[i].status, "%s: %d", cases[i].what,
                     raw_last.grpc_status);
        cr_assert_eq(raw_last.is_in_head, cases[i].status != GRPC_OK, "%s", cases[i].what);
    }
}

Test(grpc_wire, answers_what_is_not_grpc_as_http_does)
{
    send_raw("application/json", (struct http_header){ 0 }, SLICE("{}"));
    cr_assert_eq(raw_last.http_status, 415);
    send_raw("application/grpc-web", (struct http_header){ 0 }, SLICE("{}"));
    cr_assert_eq(raw_last.http_status, 415);
}

/* Two bytes on the wire are a row in memory, some seventy bytes: without a bound, 4 MiB would take a quarter of
 * a gigabyte. */
Test(grpc_large, message_of_nothing_but_parts_is_refused_before_it_takes_memory)
{
    struct buf body;
    unsigned char prefix[GRPC_PREFIX_BYTES];
    const uint32_t rows = 2000000;

    buf_init(&body, 0);
    grpc_prefix_write(prefix, 2 * rows);
    buf_add(&body, prefix, sizeof prefix);
    for (uint32_t i = 0; i < rows; i++)
        buf_add(&body, "\x12\0", 2);
    send_raw("application/grpc", (struct http_header){ 0 }, buf_slice(&body));
    cr_assert_eq(raw_last.grpc_status, GRPC_RESOURCE_EXHAUSTED);
    buf_clear(&body);
    grpc_prefix_write(prefix, 2 * 4096);
    buf_add(&body, prefix, sizeof prefix);
    for (int i = 0; i < 4096; i++)
        buf_add(&body, "\x12\0", 2);
    send_raw("application/grpc", (struct http_header){ 0 }, buf_slice(&body));
    cr_assert_eq(raw_last.grpc_status, GRPC_OK, "as many as a call may have");
    buf_release(&body);
}
