/* SPDX-License-Identifier: Apache-2.0
 * session_h1_test.c - HTTP/1 as bytes: what is answered, what is refused, and when the connection ends. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "unit/http/fixture.h"

static struct fixture f;
static struct buf out;

static void setup(void)
{
    fixture_open(&f, &(struct http_server_conf){ 0 }, HTTP_SNIFF);
    buf_init(&out, 0);
}

static void teardown(void)
{
    fixture_close(&f);
    buf_release(&out);
}

TestSuite(http1, .init = setup, .fini = teardown, .timeout = 120);

static void limits(struct http_server_conf conf)
{
    fixture_close(&f);
    fixture_open(&f, &conf, HTTP_SNIFF);
}

/* What the session answers to `text`, since the last call. */
static const char *answer(const char *text)
{
    buf_clear(&out);
    if (*text)
        fixture_recv(&f, text, strlen(text));
    fixture_send(&f, &out);
    return buf_str(&out);
}

static bool is_open(void)
{
    return !http_session_is_over(f.session);
}

#define HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define HOLD  "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"

Test(http1, answers_a_get_and_stays_open)
{
    cr_assert_str_eq(answer(HELLO),
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    cr_assert(is_open());
    cr_assert_str_eq(buf_str(&f.seen), "GET /hello? []\n");
}

static size_t requests_seen(void)
{
    return http_session_requests(f.session);
}

Test(http1, takes_no_more_of_what_was_pipelined_than_its_turn_lets_it)
{
    enum { REQUESTS = 1000, A_TURN = 5 };
    static char text[REQUESTS * sizeof HELLO];
    size_t turns = 1, seen;

    for (size_t i = 0; i < REQUESTS; i++)
        memcpy(text + i * (sizeof HELLO - 1), HELLO, sizeof HELLO);
    f.host.quota = A_TURN * HTTP_REQUEST_STEPS;
    cr_assert(fixture_recv(&f, text, strlen(text)));
    cr_assert_eq(requests_seen(), A_TURN);
    cr_assert_geq(f.host.held_bytes, strlen(text) - A_TURN * (sizeof HELLO - 1), "what waits is held");
    while (http_session_can_go_on(f.session)) {
        seen = requests_seen();
        fixture_send(&f, &out);
        cr_assert_eq(requests_seen(), seen, "sending is no turn");
        cr_assert(http_session_go_on(f.session));
        turns++;
    }
    cr_assert_eq(turns, REQUESTS / A_TURN);
    cr_assert_eq(requests_seen(), REQUESTS);
    fixture_send(&f, &out);
    cr_assert_eq(out.len, REQUESTS * strlen("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                            "Content-Length: 5\r\n\r\nhello"));
    cr_assert_eq(f.host.held_bytes, 0);
}

Test(http1, answers_all_that_waits_for_its_turn_when_the_peer_has_said_its_last)
{
    f.host.quota = 1;
    cr_assert(fixture_recv(&f, HELLO HELLO HELLO, 3 * strlen(HELLO)));
    http_session_end(f.session);
    cr_assert_eq(requests_seen(), 1);
    while (http_session_can_go_on(f.session))
        http_session_go_on(f.session);
    cr_assert_eq(requests_seen(), 3);
    fixture_send(&f, &out);
    cr_assert_not(is_open());
}

Test(http1, splits_the_query_from_the_path_and_decodes_parameters)
{
    cr_assert(strstr(answer("POST /echo/a%20b%2Fc?x=1&y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"),
                     "\r\n\r\na b/c:xyz"));
    cr_assert_str_eq(buf_str(&f.seen), "POST /echo/a%20b%2Fc?x=1&y [xyz]\n");
    buf_clear(&f.seen);
    answer("GET http://other/hello?q HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_str_eq(buf_str(&f.seen), "GET /hello?q []\n");
}

static const char stream[] =
    "GET /hello HTTP/1.1\r\nHost: a\r\nX-Long: some value\r\n\r\n"
    "POST /echo/one HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    "\r\nPOST /echo/two?q=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\nX-Trailer: t\r\n\r\n"
    "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"
    "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx"
    "PUT /hello HTTP/1.1\r\nHost: a\r\n\r\n"
    "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

Test(http1, answers_the_same_however_the_bytes_are_cut)
{
    size_t len = sizeof stream - 1;
    struct buf whole;

    buf_init(&whole, 0);
    fixture_recv(&f, stream, len);
    fixture_send(&f, &whole);
    cr_assert_not(is_open());
    cr_assert(strstr(buf_str(&whole), "one:body"));
    cr_assert(strstr(buf_str(&whole), "two:abcdefgh"));
    cr_assert(strstr(buf_str(&whole), "HTTP/1.1 404 Not Found"));
    cr_assert(strstr(buf_str(&whole), "HTTP/1.1 405 Method Not Allowed"));
    cr_assert(strstr(buf_str(&whole), "Connection: close\r\n\r\nhello"));
    for (size_t cut = 0; cut <= len; cut++) {
        limits((struct http_server_conf){ 0 });
        buf_clear(&out);
        fixture_recv(&f, stream, cut);
        fixture_send(&f, &out);
        fixture_recv(&f, stream + cut, len - cut);
        fixture_send(&f, &out);
        cr_assert(slice_eq(buf_slice(&out), buf_slice(&whole)), "cut at %zu: %s", cut, buf_str(&out));
    }
    limits((struct http_server_conf){ 0 });
    buf_clear(&out);
    for (size_t i = 0; i < len; i++)
        fixture_recv(&f, stream + i, 1);
    fixture_send(&f, &out);
    cr_assert(slice_eq(buf_slice(&out), buf_slice(&whole)), "byte by byte: %s", buf_str(&out));
    buf_release(&whole);
}

Test(http1, handles_pipelined_requests_one_after_another)
{
    cr_assert_str_empty(answer(HOLD HELLO HOLD));
    cr_assert_eq(f.held_count, 1);
    fixture_reply_held(&f);
    cr_assert_eq(f.held_count, 0, "the next one begins when output is asked for, not inside the reply");
    cr_assert(strstr(answer(""), "done"));
    cr_assert(strstr(buf_str(&out), "hello"));
    cr_assert_eq(f.held_count, 1);
    fixture_reply_held(&f);
    cr_assert(strstr(answer(""), "done"));
    cr_assert(is_open());
}

Test(http1, stops_reading_when_much_is_pipelined)
{
    answer(HOLD);
    for (int i = 0; i < 3000; i++)
        answer(HELLO);
    cr_assert_not(http_session_wants_input(f.session));
    fixture_reply_held(&f);
    answer("");
    cr_assert(http_session_wants_input(f.session));
}

Test(http1, makes_no_more_answers_than_a_peer_takes)
{
    struct buf many;

    buf_init(&many, 0);
    for (int i = 0; i < 300; i++)
        buf_add_str(&many, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_recv(&f, buf_slice(&many).ptr, many.len);
    cr_assert_lt(f.host.spare_count + http_session_open_requests(f.session), (size_t)3);
    for (size_t taken = 0; taken < 300000000; taken += out.len) {
        buf_clear(&out);
        http_session_send(f.session, &out, 1 << 20);
        cr_assert_gt(out.len, 0);
    }
    buf_release(&many);
}

Test(http1, answers_what_was_asked_before_the_peer_closed_its_half)
{
    answer(HOLD HELLO);
    http_session_end(f.session);
    cr_assert(is_open());
    fixture_reply_held(&f);
    cr_assert(strstr(answer(""), "hello"));
    cr_assert_not(is_open());
}

Test(http1, is_over_when_the_peer_closes_in_the_middle_of_a_request)
{
    static const char *const parts[] = { "", "GE", "GET /hello HTTP/1.1\r\nHo",
                                         "POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab" };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        limits((struct http_server_conf){ 0 });
        answer(parts[i]);
        cr_expect(is_open());
        http_session_end(f.session);
        cr_expect(http_session_is_over(f.session), "%s", parts[i]);
        cr_expect_eq(http_session_open_requests(f.session), 0);
    }
}

Test(http1, tells_the_handler_that_the_peer_has_gone_and_drops_the_reply)
{
    answer(HOLD);
    http_session_free(f.session);
    f.session = NULL;
    cr_assert_eq(f.gone_count, 1);
    cr_assert(f.held[0]->is_gone);
    cr_assert_str_eq(f.held[0]->peer->address, "192.0.2.1:1000");
    cr_assert(slice_eq_str(f.held[0]->path, "/hold"));
    fixture_reply_held(&f);
}

Test(http1, lets_a_reply_come_even_after_the_server_has_closed)
{
    answer(HOLD);
    fixture_close(&f);
    fixture_reply_held(&f);
    fixture_open(&f, &(struct http_server_conf){ 0 }, HTTP_SNIFF);
}

Test(http1, gives_head_the_length_without_the_body)
{
    cr_assert_str_eq(answer("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
}

Test(http1, gives_no_length_where_there_can_be_no_body)
{
    cr_assert_str_eq(answer("GET /bare HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 204 No Content\r\n\r\n");
}

Test(http1, sends_trailers_only_to_those_who_take_them)
{
    cr_assert(
        strstr(answer("GET /trailers HTTP/1.1\r\nHost: a\r\n\r\n"), "Content-Length: 7\r\n\r\nmessage"));
    cr_assert(strstr(answer("GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"),
                     "Transfer-Encoding: chunked\r\n\r\n7\r\nmessage\r\n0\r\ngrpc-status: 0\r\n\r\n"));
}

Test(http1, drops_a_reply_header_that_would_become_two)
{
    answer("GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_null(strstr(buf_str(&out), "set-cookie"));
    cr_assert(strstr(buf_str(&out), "x-fine: c\r\n"));
}

Test(http1, tells_the_peer_to_go_on_when_it_asks)
{
    cr_assert_str_eq(
        answer("POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n");
    cr_assert(strstr(answer("ok"), "a:ok"));
    cr_assert(
        strstr(
            answer("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"),
            "HTTP/1.1 413"),
        "no body is asked for that would be refused");
}

Test(http1, keeps_the_ways_of_http_1_0)
{
    cr_assert(
        strstr(answer("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "Connection: keep-alive"));
    cr_assert(is_open());
    cr_assert(strstr(answer("GET /hello HTTP/1.0\r\n\r\n"), "Connection: close"));
    cr_assert_not(is_open());
}

Test(http1, ignores_an_offer_of_another_protocol)
{
    cr_assert(strstr(answer("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" HELLO),
                     "hello"));
    cr_assert(is_open());
    cr_assert_eq(f.seen.len, 2 * strlen("GET /hello? []\n"));
}

#define POST_ECHO "POST /echo/a HTTP/1.1\r\nHost: a\r\n"

#define POST_CHUNKED POST_ECHO "Transfer-Encoding: chunked\r\n\r\n"

/* Everything that two readers could read in two ways, or that is no HTTP: refused, and the connection ends.
 */
Test(http1, refuses_what_is_ambiguous_or_broken_and_closes)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        { POST_ECHO "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400 },
        { POST_ECHO "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: -1\r\n\r\n", 400 },
        { POST_ECHO "Content-Length: +1\r\n\r\nx", 400 },
        { POST_ECHO "Content-Length: 0x1\r\n\r\nx", 400 },
        { POST_ECHO "Content-Length: 99999999999999999999\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: gzip\r\n\r\nxx", 400 },
        { POST_ECHO "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400 },
        { "POST /echo/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", 400 },
        { "GET /hel lo HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET hello HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
        { "GET /hello HTTP/1.2\r\nHost: a\r\n\r\n", 505 },
        { "GET /hello HTTP/0.9\r\n\r\n", 505 },
        { "GET /hello XTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET /hello\r\n\r\n", 505 },
        { "NOSUCH /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "get /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417 },
        { "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        /* Line ends: CRLF and nothing else. */
        { "GET /hello HTTP/1.1\nHost: a\n\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\n\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\n\rX", 400 },
        { "GET /hello HTTP/1.1\rHost: a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400 },
        { "\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET /hello  HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET\t/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
        { "GET /hello HTTP/1.1\r\nHost\t: a\r\n\r\n", 400 },
        /* Lengths: one number, once. */
        { POST_ECHO "Content-Length: 3, 3\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: 3 3\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: 3;\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: \r\n\r\n", 400 },
        { POST_ECHO "Content-Length:\r\n 3\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length : 3\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: 3\v\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: 3\r\ncontent-length: 0\r\n\r\nabc", 400 },
        { POST_ECHO "Content-Length: 18446744073709551619\r\n\r\nabc", 400 },
        /* Encodings: chunked, once. */
        { POST_ECHO "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: chunked;a\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400 },
        { POST_ECHO "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", 400 },
        /* Chunks: as long as they say, and nothing beside. */
        { POST_CHUNKED "1\r\naXY0\r\n\r\n", 400 },
        { POST_CHUNKED "1\r\na\n0\r\n\r\n", 400 },
        { POST_CHUNKED "1\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "1\rXa\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "1 \r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED " 1\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "0x1\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "+1\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "1_0\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED ";a\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "1;a\nb\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "1;a\rb\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "0000000000000001\r\na\r\n0\r\n\r\n", 400 },
        { POST_CHUNKED "0\r\nX: y\n\r\n", 400 },
        { POST_CHUNKED "0\r\n\n", 400 },
        { POST_CHUNKED "0\r\n\rX", 400 },
        { POST_CHUNKED "0\r\nX Y: z\r\n\r\n", 400 },
        { "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400 },
    };
    char expected[32];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        limits((struct http_server_conf){ 0 });
        snprintf(expected, sizeof expected, "HTTP/1.1 %d ", cases[i].status);
        answer(cases[i].request);
        cr_expect(strncmp(buf_str(&out), expected, strlen(expected)) == 0, "%s\ngave\n%s", cases[i].request,
                  buf_str(&out));
        cr_expect_not(is_open(), "stays open after %s", cases[i].request);
        cr_expect_eq(f.seen.len, 0, "a handler saw %s", cases[i].request);
        cr_expect(strstr(buf_str(&out), "Connection: close"));
        cr_expect(strstr(buf_str(&out), "application/problem+json"));
    }
}

Test(http1, refuses_a_nul_wherever_it_stands)
{
    static const char request[] = POST_CHUNKED "1;a\r\na\r\n0\r\nX: y\r\n\r\n";
    static const char data[] = "a\r\n0\r\n";

    for (size_t i = 0; i < sizeof request - 1; i++) {
        char copy[sizeof request];

        if (i == (size_t)(strstr(request, data) - request))
            continue; /* there it may be */
        memcpy(copy, request, sizeof copy);
        copy[i] = '\0';
        limits((struct http_server_conf){ 0 });
        buf_clear(&out);
        fixture_recv(&f, copy, sizeof copy - 1);
        fixture_send(&f, &out);
        cr_expect_eq(f.seen.len, 0, "a NUL at %zu reached the handler", i);
        cr_expect_not(is_open(), "open after a NUL at %zu", i);
    }
}

Test(http1, takes_chunk_extensions_up_to_a_limit)
{
    struct buf request;

    cr_assert(strstr(answer(POST_CHUNKED "1;name=\"value\"\r\na\r\n0;x\r\n\r\n"), "200 OK"));
    buf_init(&request, 0);
    buf_add_str(&request, POST_CHUNKED);
    for (int i = 0; i < 50; i++)
        buf_printf(&request, "1;%0100d\r\na\r\n", 0);
    cr_assert(strstr(answer(buf_str(&request)), "HTTP/1.1 400"));
    cr_assert_not(is_open());
    buf_release(&request);
}

Test(http1, refuses_a_body_over_the_routes_limit_before_it_comes)
{
    cr_assert(
        strstr(answer("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"), "HTTP/1.1 413"));
    cr_assert_not(is_open());
    limits((struct http_server_conf){ 0 });
    cr_assert(
        strstr(answer("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"), "200 OK"));
    cr_assert(strstr(answer("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n"),
                     "HTTP/1.1 413"));
    cr_assert_not(is_open());
}

Test(http1, takes_no_more_than_the_process_can_hold)
{
    limits((struct http_server_conf){ .max_buffered_bytes = 10000 });
    cr_assert(strstr(answer(POST_ECHO "Content-Length: 3\r\n\r\nabc"), "200 OK"));
    cr_assert_eq(f.host.held_bytes, 0);
    f.host.held_bytes = 4840;
    cr_assert(
        strstr(answer(POST_ECHO "Content-Length: 30\r\n\r\n012345678901234567890123456789"), "HTTP/1.1 503"),
        "the head fits, the body does not");
    cr_assert_eq(f.host.held_bytes, 4840);
    limits((struct http_server_conf){ .max_buffered_bytes = 10000 });
    f.host.held_bytes = 6000;
    cr_assert(strstr(answer(HELLO), "HTTP/1.1 503"), "not even the head fits");
    cr_assert_eq(f.host.held_bytes, 6000);
}

Test(http1, refuses_a_head_that_is_too_large)
{
    struct buf request;

    buf_init(&request, 0);
    buf_add_str(&request, "GET /hello HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 64; i++)
        buf_printf(&request, "X-%d: y\r\n", i);
    buf_add_str(&request, "\r\n");
    cr_assert(strstr(answer(buf_str(&request)), "HTTP/1.1 431"), "too many fields: %s", buf_str(&out));
    limits((struct http_server_conf){ 0 });
    buf_clear(&request);
    buf_add_str(&request, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 17000; i++)
        buf_add_char(&request, 'y');
    cr_assert(strstr(answer(buf_str(&request)), "HTTP/1.1 431"), "a long value");
    limits((struct http_server_conf){ 0 });
    buf_clear(&request);
    buf_add_str(&request, "GET /");
    for (int i = 0; i < 17000; i++)
        buf_add_char(&request, 'y');
    cr_assert(strstr(answer(buf_str(&request)), "HTTP/1.1 431"), "a long path");
    cr_assert_not(is_open());
    limits((struct http_server_conf){ 0 });
    answer("POST /echo/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 17; i++) {
        buf_clear(&request);
        buf_printf(&request, "X-%d: %0999d\r\n", i, 0);
        answer(buf_str(&request));
    }
    cr_assert(strstr(buf_str(&out), "HTTP/1.1 431"), "endless trailers");
    buf_release(&request);
}

Test(http1, closes_an_idle_connection_without_a_word)
{
    answer(HELLO);
    fixture_pass(&f, 59 * SECOND_US);
    cr_assert(is_open());
    fixture_pass(&f, 1 * SECOND_US);
    cr_assert_str_empty(answer(""));
    cr_assert_not(is_open());
}

Test(http1, ends_a_head_or_a_body_that_comes_too_slowly)
{
    answer("GET /hello HTTP/1.1\r\nHo");
    for (int i = 0; i < 9; i++) {
        fixture_pass(&f, 1 * SECOND_US);
        cr_assert_str_empty(answer("x"), "a byte a second does not help");
    }
    fixture_pass(&f, 1 * SECOND_US);
    cr_assert(strstr(answer(""), "HTTP/1.1 408"));
    cr_assert_not(is_open());
    limits((struct http_server_conf){ 0 });
    answer(POST_ECHO "Content-Length: 100\r\n\r\nx");
    fixture_pass(&f, 29 * SECOND_US);
    cr_assert_str_empty(answer("y"));
    fixture_pass(&f, 1 * SECOND_US);
    cr_assert(strstr(answer(""), "HTTP/1.1 408"));
    cr_assert_not(is_open());
}

Test(http1, waits_for_a_handler_as_long_as_it_takes)
{
    answer(HOLD);
    fixture_pass(&f, HOUR_US);
    cr_assert(is_open());
    fixture_reply_held(&f);
    cr_assert(strstr(answer(""), "done"));
    fixture_pass(&f, SECOND_US);
    cr_assert(is_open(), "its idle time begins with the reply");
}

Test(http1, finishes_what_is_under_way_when_it_drains)
{
    answer(HOLD);
    http_session_drain(f.session);
    cr_assert(is_open());
    fixture_reply_held(&f);
    cr_assert(strstr(answer(""), "Connection: close"));
    cr_assert_not(is_open());
    limits((struct http_server_conf){ 0 });
    answer(HELLO);
    http_session_drain(f.session);
    cr_assert_not(is_open(), "an idle connection ends at once");
}

static bool refuse(void *ctx, struct http_request *req, int status)
{
    (void)ctx;
    if (!slice_starts_with(http_header(req, "content-type"), SLICE("application/grpc")))
        return false;
    cr_assert_eq(status, 404);
    http_reply(req, &(struct http_reply){ .status = 200, .type = "application/grpc" });
    return true;
}

Test(http1, lets_a_hook_refuse_in_its_own_way)
{
    f.host.refuse = refuse;
    cr_assert(strstr(answer("POST /no HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\n\r\n"),
                     "HTTP/1.1 200 OK\r\nContent-Type: application/grpc"));
    cr_assert(strstr(answer("POST /no HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 404"));
}

Test(http1, reads_the_query)
{
    struct slice value;

    answer("GET /hold?a=1&b=x%26y+z&empty&c= HTTP/1.1\r\nHost: a\r\n\r\n");
    value = http_query(f.held[0], "b");
    cr_assert(slice_eq_str(value, "x&y z"), "%.*s", SLICE_ARG(value));
    cr_assert(slice_eq_str(http_query(f.held[0], "a"), "1"));
    cr_assert_not_null(http_query(f.held[0], "empty").ptr);
    cr_assert_eq(http_query(f.held[0], "c").len, 0);
    cr_assert_null(http_query(f.held[0], "d").ptr);
    fixture_reply_held(&f);
}

Test(http1, uses_the_memory_of_a_request_again)
{
    answer(HELLO);
    cr_assert_eq(f.host.spare_count, 1);
    for (int i = 0; i < 100; i++)
        answer(HELLO);
    cr_assert_eq(f.host.spare_count, 1);
}

/* ---- streams ---- */

/* The oldest request held, its reply begun as a stream; the fixture's no more. */
static struct http_request *begin_stream(void)
{
    struct http_request *req = f.held[0];

    memmove(f.held, f.held + 1, --f.held_count * sizeof *f.held);
    http_stream_begin(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = SLICE("one") });
    return req;
}

Test(http1, sends_a_stream_piece_by_piece_and_then_takes_the_next_request)
{
    struct http_request *req;

    answer(HOLD HELLO);
    req = begin_stream();
    cr_assert_str_eq(answer(""), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: "
                                 "chunked\r\n\r\n3\r\none\r\n");
    fixture_pass(&f, 3600 * SECOND_US);
    cr_assert(is_open(), "nothing is idle that has a stream");
    cr_assert(http_stream_write(req, SLICE("three")));
    cr_assert_str_eq(answer(""), "5\r\nthree\r\n");
    http_stream_end(req);
    cr_assert_str_eq(answer(""), "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
                                 "5\r\n\r\nhello");
    cr_assert_eq(f.host.held_bytes, 0);
}

Test(http1, ends_a_stream_to_http_1_0_with_the_connection)
{
    struct http_request *req;

    answer("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    req = begin_stream();
    cr_assert(strstr(answer(""), "Connection: close\r\n\r\none"));
    http_stream_write(req, SLICE("two"));
    cr_assert_str_eq(answer(""), "two");
    http_stream_end(req);
    cr_assert_not(is_open());
}

Test(http1, holds_no_more_of_a_stream_than_its_share)
{
    static char piece[1000];
    struct http_request *req;
    size_t taken = 0;

    answer(HOLD);
    req = begin_stream();
    while (http_stream_write(req, slice_of(piece, sizeof piece)))
        taken += sizeof piece;
    cr_assert(taken > HTTP_STREAM_BYTES / 2 && taken < HTTP_STREAM_BYTES);
    fixture_send(&f, &out);
    cr_assert(http_stream_write(req, SLICE("more")), "what was taken makes room");
    http_session_free(f.session);
    f.session = NULL;
    cr_assert(req->is_gone && f.gone_count == 1);
    cr_assert_not(http_stream_write(req, SLICE("more")));
    http_stream_end(req);
    cr_assert_eq(f.host.held_bytes, 0);
}
