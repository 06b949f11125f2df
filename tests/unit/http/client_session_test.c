/* SPDX-License-Identifier: Apache-2.0
 * client_session_test.c - the client's protocol alone: frames written by hand, no socket. */
#include <criterion/criterion.h>

#include "base/array.h"
#include "http/client_session.h"

#define FRAME(len, type, flags, stream) 0, 0, len, type, flags, 0, 0, 0, stream

enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS, GOAWAY = 7, END_STREAM = 1, END_HEADERS = 4 };

/* What a server says: each array is one connection's worth. 0x88 is ":status: 200", 0x08 a literal ":status"
 * without an index. */
static const unsigned char hello[] = {
    FRAME(0, SETTINGS, 0, 0),
    FRAME(5, HEADERS, END_HEADERS, 1),
    0x08,
    3,
    '1',
    '0',
    '3', /* early hints */
    FRAME(1, HEADERS, END_HEADERS, 1),
    0x88,
    FRAME(3, DATA, 0, 1),
    'h',
    'e',
    'l',
    FRAME(2, DATA, 0, 1),
    'l',
    'o',
    FRAME(5, HEADERS, END_HEADERS | END_STREAM, 1),
    0x00,
    1,
    'x',
    1,
    'y',
};
static const unsigned char refused[] = {
    FRAME(0, SETTINGS, 0, 0), FRAME(4, RST_STREAM, 0, 1), 0, 0, 0, 7,
};
static const unsigned char cancelled[] = {
    FRAME(0, SETTINGS, 0, 0), FRAME(4, RST_STREAM, 0, 1), 0, 0, 0, 8,
};
static const unsigned char go_away[] = {
    FRAME(0, SETTINGS, 0, 0), FRAME(8, GOAWAY, 0, 0), 0, 0, 0, 1, 0, 0, 0, 0,
};
static const unsigned char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

static struct call_list ended, safe;
static struct client_session *session;
static struct http_call calls[2];
static struct buf out;
static struct why why;

static void setup(void)
{
    const struct client_session_conf conf = { "http", "test", 100, 1000 };

    ended = safe = (struct call_list){ 0 };
    session = client_session_new(&conf, &ended, &safe);
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        calls[i] = (struct http_call){ .method = "GET", .path = SLICE("/") };
        client_session_submit(session, &calls[i]);
    }
    cr_assert_eq(client_session_send(session, &out, SIZE_MAX, &why), ERR_OK);
}

static void teardown(void)
{
    client_session_free(session);
    buf_release(&out);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        arena_release(&calls[i].arena);
        buf_release(&calls[i].answer);
        mem_free(calls[i].got);
    }
}

TestSuite(http_client_session, .init = setup, .fini = teardown, .timeout = 120);

static enum err receive(const unsigned char *bytes, size_t len)
{
    return client_session_receive(session, (const char *)bytes, len, &why);
}

static void check_hello(void)
{
    const struct http_call *c = &calls[0];

    cr_assert_eq(c->list, &ended);
    cr_assert_eq(c->err, ERR_OK);
    cr_assert_eq(c->status, 200);
    cr_assert(slice_eq_str(buf_slice(&c->answer), "hello"));
    cr_assert_eq(c->got_count - c->trailers_at, 1);
    cr_assert(slice_eq_str(c->got[c->trailers_at].value, "y"));
}

Test(http_client_session, reads_an_answer_cut_at_any_byte)
{
    for (size_t cut = 0; cut <= sizeof hello; cut++) {
        if (cut) {
            teardown();
            setup();
        }
        cr_assert_eq(receive(hello, cut), ERR_OK);
        cr_assert_eq(receive(hello + cut, sizeof hello - cut), ERR_OK);
        check_hello();
    }
}

Test(http_client_session, reads_an_answer_byte_by_byte)
{
    for (size_t i = 0; i < sizeof hello; i++)
        cr_assert_eq(receive(hello + i, 1), ERR_OK);
    check_hello();
    cr_assert_eq(client_session_calls(session), 1);
}

Test(http_client_session, knows_a_refused_request_as_safe_and_a_cancelled_one_as_not)
{
    cr_assert_eq(receive(refused, sizeof refused), ERR_OK);
    cr_assert_eq(calls[0].list, &safe);
    teardown();
    setup();
    cr_assert_eq(receive(cancelled, sizeof cancelled), ERR_OK);
    cr_assert_eq(calls[0].list, &ended);
    cr_assert_eq(calls[0].err, ERR_UNKNOWN);
}

Test(http_client_session, takes_what_is_beyond_goaway_as_safe_and_waits_for_the_rest)
{
    cr_assert_eq(receive(go_away, sizeof go_away), ERR_OK); /* stream 1 is still answered, 3 is not */
    cr_assert_eq(calls[1].list, &safe);
    cr_assert_eq(client_session_calls(session), 1);
    cr_assert(client_session_is_draining(session));
    cr_assert_eq(client_session_room(session), 0);
    cr_assert_eq(receive(hello + 9, sizeof hello - 9), ERR_OK);
    check_hello();
}

Test(http_client_session, tells_what_had_left_from_what_had_not_when_the_connection_is_lost)
{
    struct http_call late = { .method = "GET", .path = SLICE("/") };

    client_session_submit(session, &late);
    client_session_lost(session, "the cable was cut");
    cr_assert_eq(calls[0].err, ERR_UNKNOWN);
    cr_assert_eq(late.list, &safe);
    cr_assert_eq(late.err, ERR_UNAVAILABLE);
}

Test(http_client_session, gives_up_on_a_peer_that_speaks_something_else)
{
    enum err err = receive(garbage, sizeof garbage - 1);

    cr_assert(err || client_session_send(session, &out, SIZE_MAX, &why) || client_session_is_over(session));
}
