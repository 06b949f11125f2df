/* SPDX-License-Identifier: Apache-2.0
 * deliver_test.c - requests over real sockets, to a receiver in a thread (harness/receiver.h). */
#include "deliver/deliver.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/receiver.h"
#include "loop/loop.h"

static struct receiver receiver;
static struct loop *loop;
static struct deliver *deliver;
static struct why why;

static struct said {
    int done, status;
    char trouble[128], body[128];
    int64_t retry_after_s;
} said;

static void setup(void)
{
    memset(&said, 0, sizeof said);
    receiver_start(&receiver);
    cr_assert(!loop_open(&loop, &why));
    cr_assert(!deliver_open(&deliver, loop,
                            &(struct deliver_conf){ .timeout_ms = 2000, .user_agent = "assay-test" }, &why));
}

static void teardown(void)
{
    deliver_close(deliver);
    loop_close(loop);
    receiver_end(&receiver);
}

static void on_done(void *ctx, const struct deliver_answer *answer)
{
    struct said *s = ctx;

    s->done++;
    s->status = answer->status;
    s->retry_after_s = answer->retry_after_s;
    snprintf(s->trouble, sizeof s->trouble, "%s", answer->trouble ? answer->trouble : "");
    snprintf(s->body, sizeof s->body, "%.*s", (int)(answer->body.len < 100 ? answer->body.len : 100),
             answer->body.len ? answer->body.ptr : "");
}

static enum err post_to(const char *host, bool allow_private)
{
    struct deliver_request request = { .headers = { "content-type: application/json", "webhook-id: msg_1" },
                                       .header_count = 2,
                                       .body = SLICE("{\"a\": 1}"),
                                       .allow_http = true,
                                       .allow_private = allow_private };
    char url[128];

    snprintf(url, sizeof url, "http://%s:%d/hook?x=y", host, receiver.port);
    request.url = url;
    return deliver_post(deliver, &request, on_done, &said, &why);
}

static void post(enum receiver_mode mode)
{
    atomic_store(&receiver.mode, mode);
    said = (struct said){ 0 };
    cr_assert(!post_to("127.0.0.1", true), "%s", why.text);
    cr_assert_eq(said.done, 0, "never from within");
    while (!said.done)
        loop_turn(loop, true);
}

TestSuite(deliver, .init = setup, .fini = teardown, .timeout = 180);

Test(deliver, sends_the_body_and_the_headers_over_http_1_1)
{
    char *header;

    post(RECEIVER_OK);
    cr_assert_eq(said.status, 204, "%s", said.trouble);
    cr_assert_eq(receiver_count(&receiver), 1);
    cr_assert_eq(strncmp(receiver.requests[0].head, "POST /hook?x=y HTTP/1.1\r\n", 25), 0);
    cr_assert_str_eq(receiver.requests[0].body, "{\"a\": 1}");
    header = receiver_header(&receiver, 0, "webhook-id");
    cr_assert_str_eq(header, "msg_1");
    free(header);
    cr_assert_null(receiver_header(&receiver, 0, "expect"));
    cr_assert_null(receiver_header(&receiver, 0, "cookie"));
}

Test(deliver, tells_what_was_answered)
{
    post(RECEIVER_FAILS);
    cr_assert_eq(said.status, 500);
    cr_assert_str_eq(said.body, "oops");
    post(RECEIVER_GONE);
    cr_assert_eq(said.status, 410);
    post(RECEIVER_BUSY);
    cr_assert_eq(said.status, 503);
    cr_assert_eq(said.retry_after_s, 7);
}

Test(deliver, does_not_go_where_it_is_redirected_to)
{
    post(RECEIVER_REDIRECTS);
    cr_assert_eq(said.status, 302);
    cr_assert_eq(receiver_count(&receiver), 1);
}

Test(deliver, does_not_read_more_than_it_wants)
{
    post(RECEIVER_HUGE);
    cr_assert_eq(said.status, 0);
    cr_assert_str_eq(said.trouble, "the answer is too long");
}

Test(deliver, does_not_wait_for_ever)
{
    post(RECEIVER_HANGS);
    cr_assert_eq(said.status, 0);
    cr_assert(said.trouble[0]);
}

Test(deliver, survives_what_is_no_answer)
{
    post(RECEIVER_CLOSES);
    cr_assert(said.status == 0 && said.trouble[0]);
    post(RECEIVER_GARBAGE);
    cr_assert(said.status == 0 && said.trouble[0]);
    post(RECEIVER_OK);
    cr_assert_eq(said.status, 204);
}

/* The name passes every look at the URL; what it leads to does not. */
Test(deliver, a_name_that_leads_to_this_machine_is_not_called)
{
    cr_assert(!post_to("localhost", false), "%s", why.text);
    while (!said.done)
        loop_turn(loop, true);
    cr_assert_eq(said.status, 0);
    cr_assert_str_eq(said.trouble, "the name leads to an address that is not public");
    cr_assert_eq(receiver_count(&receiver), 0);
}

Test(deliver, an_address_that_is_not_public_is_not_tried)
{
    cr_assert_eq(post_to("127.0.0.1", false), ERR_INVALID);
    cr_assert_eq(post_to("2130706433", false), ERR_INVALID);
    cr_assert_eq(post_to("[::ffff:127.0.0.1]", false), ERR_INVALID);
}

/* A dot at the end makes a name of an address for some: here it is what it leads to that counts. */
Test(deliver, an_address_in_the_shape_of_a_name_is_not_called)
{
    enum err err = post_to("127.0.0.1.", false);

    while (!err && !said.done)
        loop_turn(loop, true);
    cr_assert_eq(said.status, 0);
    cr_assert_eq(receiver_count(&receiver), 0);
}

Test(deliver, the_environment_names_no_proxy)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    post(RECEIVER_OK);
    cr_assert_eq(said.status, 204, "%s", said.trouble);
}

Test(deliver, many_are_under_way_at_once_and_no_more_than_may_be)
{
    int taken = 0;

    for (int i = 0; i < DELIVER_MOST; i++)
        taken += post_to("127.0.0.1", true) == ERR_OK;
    cr_assert_eq(taken, DELIVER_MOST);
    cr_assert_eq(post_to("127.0.0.1", true), ERR_LIMIT);
    while (said.done < DELIVER_MOST)
        loop_turn(loop, true);
    cr_assert_eq(receiver_count(&receiver), DELIVER_MOST);
}

Test(deliver, what_is_under_way_at_the_end_is_dropped)
{
    atomic_store(&receiver.mode, RECEIVER_HANGS);
    cr_assert(!post_to("127.0.0.1", true));
    cr_assert(!post_to("localhost", true));
    for (int i = 0; i < 3; i++)
        loop_turn(loop, false);
    deliver_close(deliver);
    deliver = NULL;
    cr_assert_eq(said.done, 0);
}
