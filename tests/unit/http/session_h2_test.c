/* SPDX-License-Identifier: Apache-2.0
 * session_h2_test.c - HTTP/2 as bytes: a client made of nghttp2 where it behaves, of plain frames where not.
 */
#include <criterion/criterion.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "unit/http/fixture.h"

enum { STREAMS_MAX = 4096 };

/* What the client has got on one stream. */
struct answer {
    int status;
    struct buf fields; /* "name: value\n", trailers after "--\n" */
    struct buf body;
    bool is_closed, has_body;
    uint32_t error;
};

static struct fixture f;
static nghttp2_session *client;
static struct answer answers[STREAMS_MAX]; /* by (stream - 1) / 2 */
static size_t goaways;
static uint32_t goaway_error;
static int32_t goaway_last;
static size_t settings_acked;

static struct answer *answer_of(int32_t stream)
{
    cr_assert(stream > 0 && stream / 2 < STREAMS_MAX);
    return &answers[stream / 2];
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct answer *a = answer_of(frame->hd.stream_id);

    (void)s;
    (void)flags;
    (void)user;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        a->status = atoi((const char *)value);
    else
        buf_printf(&a->fields, "%s%.*s: %.*s\n", a->has_body ? "--" : "", (int)name_len, (const char *)name,
                   (int)value_len, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t len,
                   void *user)
{
    (void)s;
    (void)flags;
    (void)user;
    answer_of(stream)->has_body = true;
    buf_add(&answer_of(stream)->body, bytes, len);
    return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t error, void *user)
{
    (void)s;
    (void)user;
    answer_of(stream)->is_closed = true;
    answer_of(stream)->error = error;
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
    (void)s;
    (void)user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        goaways++;
        goaway_error = frame->goaway.error_code;
        goaway_last = frame->goaway.last_stream_id;
    }
    settings_acked += frame->hd.type == NGHTTP2_SETTINGS && frame->hd.flags & NGHTTP2_FLAG_ACK;
    return 0;
}

static void client_open(bool does_own_windows)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option_set_no_auto_window_update(option, does_own_windows);
    nghttp2_session_client_new2(&client, callbacks, NULL, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0);
    goaways = settings_acked = 0;
    memset(answers, 0, sizeof answers);
}

static void client_close(void)
{
    nghttp2_session_del(client);
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        buf_release(&answers[i].fields);
        buf_release(&answers[i].body);
    }
}

static void setup(void)
{
    fixture_open(&f, &(struct http_server_conf){ 0 }, HTTP_SNIFF);
    client_open(false);
}

static void teardown(void)
{
    fixture_close(&f);
    client_close();
}

TestSuite(http2, .init = setup, .fini = teardown, .timeout = 120);

static void again(struct http_server_conf conf)
{
    fixture_close(&f);
    client_close();
    fixture_open(&f, &conf, HTTP_SNIFF);
    client_open(false);
}

static void client_send(struct buf *out)
{
    const uint8_t *bytes;
    ssize_t len;

    while ((len = nghttp2_session_mem_send(client, &bytes)) > 0)
        buf_add(out, bytes, (size_t)len);
}

static bool client_recv(void)
{
    struct buf out;
    bool any;

    buf_init(&out, 0);
    fixture_send(&f, &out);
    any = out.len > 0;
    cr_assert_eq(nghttp2_session_mem_recv(client, (const uint8_t *)buf_slice(&out).ptr, out.len),
                 (ssize_t)out.len);
    buf_release(&out);
    return any;
}

/* Bytes to and fro until neither side has more to say. */
static void talk(void)
{
    struct buf in;
    bool any = true;

    buf_init(&in, 0);
    while (any) {
        buf_clear(&in);
        client_send(&in);
        if (in.len)
            fixture_recv(&f, buf_slice(&in).ptr, in.len);
        any = client_recv() || in.len;
    }
    buf_release(&in);
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                         NGHTTP2_NV_FLAG_NONE };
}

struct body {
    const char *text;
    size_t len, sent;
    bool is_endless;
};

static ssize_t read_body(nghttp2_session *s, int32_t stream, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct body *b = source->ptr;
    size_t len = b->len - b->sent < room ? b->len - b->sent : room;

    (void)s;
    (void)stream;
    (void)user;
    if (!len && b->is_endless)
        return NGHTTP2_ERR_DEFERRED;
    if (len)
        memcpy(to, b->text + b->sent, len);
    b->sent += len;
    if (b->sent == b->len && !b->is_endless)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static int32_t ask_with(const char *method, const char *path, const char *name, const char *value,
                        struct body *body)
{
    nghttp2_nv fields[] = { nv(":method", method), nv(":scheme", "http"), nv(":authority", "a"),
                            nv(":path", path), nv(name ? name : "x", name ? value : "y") };
    nghttp2_data_provider provider = { .source.ptr = body, .read_callback = read_body };

    return nghttp2_submit_request(client, NULL, fields, 5, body ? &provider : NULL, NULL);
}

static int32_t ask(const char *method, const char *path, struct body *body)
{
    return ask_with(method, path, NULL, NULL, body);
}

static int32_t get(const char *path)
{
    return ask("GET", path, NULL);
}

static bool is_open(void)
{
    return !http_session_is_over(f.session);
}

#define BODY(text) (&(struct body){ text, sizeof text - 1, 0, false })

Test(http2, answers_requests_with_and_without_bodies)
{
    int32_t hello = get("/hello"), echo = ask("POST", "/echo/you?q=1", BODY("how are you"));

    talk();
    cr_assert_eq(answer_of(hello)->status, 200);
    cr_assert_str_eq(buf_str(&answer_of(hello)->body), "hello");
    cr_assert(strstr(buf_str(&answer_of(hello)->fields), "content-type: text/plain\ncontent-length: 5\n"));
    cr_assert_str_eq(buf_str(&answer_of(echo)->body), "you:how are you");
    cr_assert(answer_of(echo)->is_closed);
    cr_assert_str_eq(buf_str(&f.seen), "GET /hello? []\nPOST /echo/you?q=1 [how are you]\n");
    cr_assert_eq(f.host.spare_count, 2, "both have given their memory back");
}

Test(http2, answers_the_same_however_the_bytes_are_cut)
{
    struct buf in, whole, out;

    buf_init(&in, 0);
    buf_init(&whole, 0);
    buf_init(&out, 0);
    get("/hello");
    ask("POST", "/echo/a", BODY("abc"));
    get("/nowhere");
    get("/trailers");
    client_send(&in);
    fixture_recv(&f, buf_slice(&in).ptr, in.len);
    fixture_send(&f, &whole);
    for (size_t cut = 0; cut <= in.len; cut++) {
        fixture_close(&f);
        fixture_open(&f, &(struct http_server_conf){ 0 }, HTTP_SNIFF);
        buf_clear(&out);
        fixture_recv(&f, buf_slice(&in).ptr, cut);
        fixture_recv(&f, buf_slice(&in).ptr + cut, in.len - cut);
        fixture_send(&f, &out);
        cr_assert(slice_eq(buf_slice(&out), buf_slice(&whole)), "cut at %zu of %zu", cut, in.len);
    }
    buf_release(&in);
    buf_release(&whole);
    buf_release(&out);
}

Test(http2, sends_all_replies_of_a_turn_together)
{
    struct buf out;

    buf_init(&out, 0);
    for (int i = 0; i < 100; i++)
        get("/hold");
    talk();
    cr_assert_eq(f.held_count, 100);
    while (f.held_count)
        fixture_reply_held(&f);
    http_session_send(f.session, &out, 65536);
    nghttp2_session_mem_recv(client, (const uint8_t *)buf_slice(&out).ptr, out.len);
    for (int i = 0; i < 100; i++)
        cr_assert_str_eq(buf_str(&answer_of(2 * i + 1)->body), "done");
    buf_release(&out);
}

Test(http2, answers_in_the_order_that_replies_are_made)
{
    struct http_request *first;

    get("/hold");
    get("/hold");
    talk();
    first = f.held[0];
    f.held[0] = f.held[1];
    f.held_count = 1;
    fixture_reply_held(&f);
    talk();
    cr_assert(answer_of(3)->is_closed);
    cr_assert_not(answer_of(1)->is_closed);
    f.held[f.held_count++] = first;
    fixture_reply_held(&f);
    talk();
    cr_assert(answer_of(1)->is_closed);
}

Test(http2, sends_trailers_after_the_body)
{
    int32_t stream = get("/trailers");

    talk();
    cr_assert_str_eq(buf_str(&answer_of(stream)->body), "message");
    cr_assert(strstr(buf_str(&answer_of(stream)->fields), "\n--grpc-status: 0\n"), "%s",
              buf_str(&answer_of(stream)->fields));
    cr_assert(answer_of(stream)->is_closed);
}

Test(http2, gives_head_and_204_no_body)
{
    int32_t head = ask("HEAD", "/hello", NULL), bare = get("/bare");

    talk();
    cr_assert(strstr(buf_str(&answer_of(head)->fields), "content-length: 5\n"));
    cr_assert_not(answer_of(head)->has_body);
    cr_assert_eq(answer_of(bare)->status, 204);
    cr_assert_null(strstr(buf_str(&answer_of(bare)->fields), "content-length"));
}

Test(http2, sends_a_large_body_as_the_peer_makes_room)
{
    int32_t stream = get("/big");

    talk();
    cr_assert_eq(answer_of(stream)->body.len, (size_t)1000000);
    cr_assert(answer_of(stream)->is_closed);
}

Test(http2, takes_a_body_up_to_the_routes_limit_and_no_more)
{
    static char text[3000];
    int32_t fits, over;

    memset(text, 'z', sizeof text);
    fits = ask("POST", "/echo/a", &(struct body){ text, 2048, 0, false });
    over = ask("POST", "/echo/a", &(struct body){ text, 2049, 0, false });
    talk();
    cr_assert_eq(answer_of(fits)->status, 200);
    cr_assert_eq(answer_of(fits)->body.len, (size_t)2050);
    cr_assert_eq(answer_of(over)->status, 413);
    cr_assert(is_open());
    cr_assert_eq(http_session_open_requests(f.session), (size_t)0);
    over = ask_with("POST", "/echo/a", "content-length", "2049", &(struct body){ text, 100, 0, true });
    talk();
    cr_assert_eq(answer_of(over)->status, 413, "refused by its length before it came");
}

Test(http2, refuses_a_head_that_is_too_large_and_goes_on)
{
    static char value[17000];
    int32_t stream;

    memset(value, 'v', sizeof value - 1);
    stream = ask_with("GET", "/hello", "x-long", value, NULL);
    talk();
    cr_assert_eq(answer_of(stream)->status, 431);
    stream = get("/hello");
    talk();
    cr_assert_eq(answer_of(stream)->status, 200);
}

Test(http2, gives_404_and_405)
{
    int32_t nowhere = get("/nowhere"), wrong = ask("PUT", "/hello", BODY("x"));

    talk();
    cr_assert_eq(answer_of(nowhere)->status, 404);
    cr_assert(strstr(buf_str(&answer_of(nowhere)->fields), "application/problem+json"));
    cr_assert_eq(answer_of(wrong)->status, 405);
    cr_assert(strstr(buf_str(&answer_of(wrong)->fields), "allow: GET, HEAD\n"));
}

Test(http2, tells_the_peer_to_go_on_when_it_asks)
{
    struct body body = { "abc", 3, 0, true };
    int32_t stream = ask_with("POST", "/echo/a", "expect", "100-continue", &body);

    body.sent = 3;
    talk();
    cr_assert_eq(answer_of(stream)->status, 100);
    body = (struct body){ "abc", 3, 0, false };
    nghttp2_session_resume_data(client, stream);
    talk();
    cr_assert_eq(answer_of(stream)->status, 200);
    cr_assert_str_eq(buf_str(&answer_of(stream)->body), "a:abc");
}

Test(http2, tells_the_handler_when_its_stream_is_reset)
{
    int32_t stream = get("/hold");

    get("/hold");
    talk();
    nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    talk();
    cr_assert_eq(f.gone_count, 1);
    cr_assert(f.held[0]->is_gone);
    cr_assert_not(f.held[1]->is_gone);
    fixture_reply_held(&f);
    fixture_reply_held(&f);
    talk();
    cr_assert_str_eq(buf_str(&answer_of(3)->body), "done");
}

Test(http2, tells_all_handlers_when_the_peer_closes)
{
    for (int i = 0; i < 10; i++)
        get("/hold");
    talk();
    http_session_end(f.session);
    cr_assert_not(is_open());
    http_session_free(f.session);
    f.session = NULL;
    cr_assert_eq(f.gone_count, 10);
    while (f.held_count)
        fixture_reply_held(&f);
}

Test(http2, calms_down_a_peer_that_opens_and_resets_streams)
{
    struct buf in;

    buf_init(&in, 0);
    for (int round = 0; round < 10 && !goaways; round++) {
        int32_t first = get("/hold");

        for (int i = 1; i < 100; i++)
            get("/hold");
        buf_clear(&in);
        client_send(&in);
        for (int32_t stream = first; stream < first + 200; stream += 2)
            nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        client_send(&in);
        fixture_recv(&f, buf_slice(&in).ptr, in.len);
        client_recv();
    }
    cr_assert_eq(goaways, 1);
    cr_assert_eq(goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    cr_assert_leq(f.held_count, (size_t)300);
    cr_assert_not(is_open());
    while (f.held_count)
        fixture_reply_held(&f);
    buf_release(&in);
}

Test(http2, calms_down_a_peer_that_resets_what_was_answered_but_not_sent)
{
    struct buf in;

    buf_init(&in, 0);
    for (int n = 0; n < 1000 && !goaways; n++) {
        int32_t stream = get("/hello");

        buf_clear(&in);
        client_send(&in);
        nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        client_send(&in);
        fixture_recv(&f, buf_slice(&in).ptr, in.len);
        client_recv();
    }
    cr_assert_eq(goaways, 1);
    cr_assert_eq(goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    cr_assert_leq(http_session_requests(f.session), 210);
    buf_release(&in);
}

Test(http2, lets_a_peer_cancel_now_and_then)
{
    for (int second = 0; second < 20; second++) {
        for (int i = 0; i < 50; i++) {
            int32_t stream = get("/hold");

            talk();
            nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        }
        talk();
        fixture_pass(&f, SECOND_US);
    }
    cr_assert_eq(goaways, 0);
    cr_assert(is_open());
    while (f.held_count)
        fixture_reply_held(&f);
}

/* Raw frames, for what no library would send. */
static void frame(struct buf *out, int type, int flags, int32_t stream, const void *payload, size_t len)
{
    const unsigned char head[9] = {
        (unsigned char)(len >> 16),    (unsigned char)(len >> 8),    (unsigned char)len,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream
    };

    buf_add(out, head, sizeof head);
    buf_add(out, payload, len);
}

static void greet(struct buf *in)
{
    buf_init(in, 0);
    buf_add_str(in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(in, 4, 0, 0, NULL, 0);
}

/* Feeds the same frame until the session ends, and tells after how many. */
static size_t flood(struct buf *in, int type, int flags, int32_t stream, const void *payload, size_t len,
                    size_t max)
{
    struct buf out;
    size_t n;
    bool goes_on = true;

    buf_init(&out, 0);
    for (n = 0; goes_on && n < max; n++) {
        frame(in, type, flags, stream, payload, len);
        goes_on = fixture_recv(&f, buf_slice(in).ptr, in->len);
        buf_clear(in);
        buf_clear(&out);
        fixture_send(&f, &out);
        goes_on = goes_on && is_open();
    }
    buf_release(&out);
    buf_release(in);
    return n;
}

Test(http2, ends_floods_of_frames_that_cost_us_more_than_the_peer)
{
    static const unsigned char get_hello[] = { 0x82, 0x86, 0x41, 0x01, 'a', 0x44, 0x06,
                                               '/',  'h',  'e',  'l',  'l', 'o' };
    struct buf in;

    greet(&in);
    cr_expect_leq(flood(&in, 6, 0, 0, "12345678", 8, 100000), (size_t)1010, "PING");
    again((struct http_server_conf){ 0 });
    greet(&in);
    cr_expect_leq(flood(&in, 4, 0, 0, NULL, 0, 100000), (size_t)1010, "SETTINGS");
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 0, 1, get_hello, sizeof get_hello); /* HEADERS without END_HEADERS */
    cr_expect_leq(flood(&in, 9, 0, 1, NULL, 0, 100000), (size_t)20, "empty CONTINUATION");
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 4, 1, get_hello, sizeof get_hello);
    cr_expect_leq(flood(&in, 0, 0, 1, NULL, 0, 100000), (size_t)1010, "empty DATA");
    again((struct http_server_conf){ 0 });
    greet(&in);
    cr_expect_leq(flood(&in, 8, 0, 0, "\0\0\0\0", 4, 100000), (size_t)1010, "WINDOW_UPDATE of nothing");
    again((struct http_server_conf){ 0 });
    greet(&in);
    cr_expect_leq(flood(&in, 8, 0, 0, "\0\0\0\1", 4, 100000), (size_t)1010, "WINDOW_UPDATE of little");
    again((struct http_server_conf){ 0 });
    greet(&in);
    cr_expect_leq(flood(&in, 2, 0, 1, "\0\0\0\0\1", 5, 100000), (size_t)1010, "PRIORITY");
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 5, 1, get_hello, sizeof get_hello);
    cr_expect_leq(flood(&in, 0x5d, 0, 0, "", 0, 100000), (size_t)1020, "of an unknown kind");
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 5, 1, get_hello, sizeof get_hello);
    cr_expect_leq(flood(&in, 3, 0, 1, "\0\0\0\10", 4, 100000), (size_t)1020, "RST_STREAM of a closed stream");
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 4, 1, get_hello, sizeof get_hello);
    cr_expect_leq(flood(&in, 0, 0, 1, "x", 1, 100000), (size_t)1010, "DATA of one byte");
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 4, 1, get_hello, sizeof get_hello);
    cr_expect_leq(flood(&in, 0, 8, 1, "\3\0\0\0", 4, 100000), (size_t)1010, "DATA of padding");
}

Test(http2, takes_no_more_frames_than_its_turn_lets_it)
{
    enum { PINGS = 900, A_TURN = 10 };
    struct buf in;
    size_t steps, turns = 1;

    greet(&in);
    for (int i = 0; i < PINGS; i++)
        frame(&in, 6, 0, 0, "12345678", 8);
    f.host.quota = A_TURN;
    cr_assert(fixture_recv(&f, buf_slice(&in).ptr, in.len));
    cr_assert_eq(http_session_steps(f.session), A_TURN);
    cr_assert_geq(f.host.held_bytes, (PINGS - A_TURN) * 17, "what waits is held");
    for (; http_session_can_go_on(f.session); turns++) {
        steps = http_session_steps(f.session);
        cr_assert(http_session_go_on(f.session));
        cr_assert_leq(http_session_steps(f.session), steps + A_TURN);
    }
    cr_assert_eq(http_session_steps(f.session), 1 + PINGS);
    cr_assert_eq(turns, (1 + PINGS + A_TURN - 1) / A_TURN);
    client_recv();
    cr_assert_eq(f.host.held_bytes, 0);
    buf_release(&in);
}

Test(http2, answers_the_same_in_many_turns)
{
    for (size_t quota = 1; quota < 40; quota += 3) {
        struct body bodies[50];

        again((struct http_server_conf){ 0 });
        f.host.quota = quota;
        for (int i = 0; i < 50; i++) {
            bodies[i] = *BODY("some text");
            ask("POST", "/echo/a", &bodies[i]);
        }
        for (bool any = true; any;) {
            talk();
            any = http_session_can_go_on(f.session);
            http_session_go_on(f.session);
        }
        cr_assert_eq(http_session_requests(f.session), 50);
        for (int i = 0; i < 50; i++)
            cr_assert_str_eq(buf_str(&answer_of(2 * i + 1)->body), "a:some text", "%zu", quota);
        cr_assert_eq(f.host.held_bytes, 0);
    }
}

Test(http2, counts_answers_that_nobody_takes_as_held)
{
    struct buf in;

    greet(&in);
    for (uint32_t i = 0; i < 900; i++)
        frame(&in, 6, 0, 0, "12345678", 8);
    cr_assert(fixture_recv(&f, buf_slice(&in).ptr, in.len));
    cr_assert_gt(f.host.held_bytes, 900 * 100, "answers that wait are held");
    client_recv();
    cr_assert_eq(f.host.held_bytes, 0);
    buf_release(&in);
}

/* As careful clients do: two window updates for each answer, and a PING now and then. */
Test(http2, takes_no_busy_client_for_a_flood)
{
    for (int i = 0; i < 3000; i++) {
        get("/hello");
        nghttp2_submit_window_update(client, NGHTTP2_FLAG_NONE, 0, 5);
        nghttp2_submit_window_update(client, NGHTTP2_FLAG_NONE, 0, 5);
        if (i % 10 == 0)
            nghttp2_submit_ping(client, NGHTTP2_FLAG_NONE, NULL);
        if (i % 50 == 49)
            talk();
    }
    talk();
    cr_assert_eq(goaways, 0);
    cr_assert(is_open());
}

/* Its window is opened by one byte just before patience ends, again and again. */
Test(http2, ends_a_peer_that_reads_byte_by_byte)
{
    nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };
    int32_t stream;
    int turns = 0;

    client_close();
    client_open(true);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, &none, 1);
    stream = get("/big");
    talk();
    while (is_open() && turns++ < 100) {
        fixture_pass(&f, 19 * SECOND_US);
        nghttp2_submit_window_update(client, NGHTTP2_FLAG_NONE, stream, 1);
        talk();
    }
    cr_assert_leq(turns, 11);
}

Test(http2, waits_an_eighth_when_memory_is_short)
{
    nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };

    again((struct http_server_conf){ .max_buffered_bytes = 1200000 }); /* the answer takes a million */
    client_close();
    client_open(true);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, &none, 1);
    get("/big");
    talk();
    fixture_pass(&f, 2 * SECOND_US);
    cr_assert(is_open());
    fixture_pass(&f, SECOND_US);
    cr_assert_not(is_open());
}

Test(http2, refuses_streams_while_replies_that_nobody_takes_fill_the_memory)
{
    nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };

    again((struct http_server_conf){ .max_buffered_bytes = 1000000 });
    client_close();
    client_open(true);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, &none, 1);
    get("/big");
    talk();
    f.seen.len = 0;
    for (int i = 0; i < 100; i++)
        get("/hello");
    talk();
    cr_assert_eq(f.seen.len, 0, "a handler was asked");
    cr_assert_leq(http_session_open_requests(f.session), (size_t)1);
    cr_assert(is_open());
    cr_assert_eq(goaways, 0);
}

Test(http2, ends_at_once_what_is_no_http2)
{
    struct buf in;

    greet(&in);
    frame(&in, 1, 4, 2, "\x82", 1); /* an even stream is not the client's */
    cr_assert_leq(flood(&in, 6, 0, 0, "12345678", 8, 10), (size_t)2);
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 4, 1, "\xff\xff\xff\xff\xff\xff", 6); /* no HPACK */
    cr_assert_leq(flood(&in, 6, 0, 0, "12345678", 8, 10), (size_t)2);
    cr_assert_eq(f.seen.len, 0);
}

Test(http2, counts_streams_that_break_the_rules_as_resets)
{
    /* A request without :path. */
    static const unsigned char bad[] = { 0x82, 0x86 };
    struct buf in, out;
    size_t n = 0;

    greet(&in);
    buf_init(&out, 0);
    for (int32_t stream = 1; stream < 4000 && is_open(); stream += 2, n++) {
        frame(&in, 1, 5, stream, bad, sizeof bad);
        fixture_recv(&f, buf_slice(&in).ptr, in.len);
        buf_clear(&in);
        fixture_send(&f, &out);
    }
    cr_assert_leq(n, (size_t)210);
    cr_assert_eq(f.seen.len, 0);
    buf_release(&in);
    buf_release(&out);
}

Test(http2, allows_no_more_streams_than_it_said)
{
    again((struct http_server_conf){ .max_streams = 10 });
    talk();
    for (int i = 0; i < 10; i++)
        get("/hold");
    talk();
    cr_assert_eq(f.held_count, 10);
    get("/hold"); /* the client holds it back */
    talk();
    cr_assert_eq(f.held_count, 10);
    fixture_reply_held(&f);
    talk();
    cr_assert_eq(f.held_count, 10);
    while (f.held_count)
        fixture_reply_held(&f);
}

Test(http2, drains_in_two_steps_and_finishes_what_is_under_way)
{
    int32_t first = get("/hold");

    talk();
    http_session_drain(f.session);
    client_recv();
    cr_assert_eq(goaways, 1);
    cr_assert_eq(goaway_last, INT32_MAX, "what is on its way still comes in");
    fixture_pass(&f, 250 * MS_US);
    client_recv();
    cr_assert_eq(goaways, 2);
    cr_assert_eq(goaway_last, first);
    get("/hello");
    talk();
    cr_assert_str_eq(buf_str(&f.seen), "GET /hold? []\n", "the client asks no more");
    cr_assert(is_open());
    fixture_reply_held(&f);
    talk();
    cr_assert_str_eq(buf_str(&answer_of(first)->body), "done");
    cr_assert_not(is_open());
}

Test(http2, ends_an_idle_connection_without_losing_a_request_on_its_way)
{
    int32_t late;
    struct buf in;

    get("/hello");
    talk();
    fixture_pass(&f, 59 * SECOND_US);
    talk();
    cr_assert_eq(goaways, 0);
    buf_init(&in, 0);
    late = get("/hello");
    client_send(&in);
    fixture_pass(&f, SECOND_US);
    client_recv();
    cr_assert_eq(goaways, 1);
    cr_assert_eq(goaway_error, NGHTTP2_NO_ERROR);
    fixture_recv(&f, buf_slice(&in).ptr, in.len);
    fixture_pass(&f, 250 * MS_US);
    client_recv();
    cr_assert_eq(answer_of(late)->status, 200);
    cr_assert_eq(goaways, 2);
    cr_assert_not(is_open());
    buf_release(&in);
}

Test(http2, waits_for_a_handler_as_long_as_it_takes)
{
    get("/hold");
    talk();
    fixture_pass(&f, HOUR_US);
    talk();
    cr_assert(is_open());
    fixture_reply_held(&f);
    talk();
    cr_assert_str_eq(buf_str(&answer_of(1)->body), "done");
}

Test(http2, refuses_a_body_that_comes_too_slowly)
{
    int32_t stream = ask("POST", "/echo/a", &(struct body){ "abc", 3, 0, true });

    talk();
    fixture_pass(&f, 29 * SECOND_US);
    talk();
    cr_assert_eq(answer_of(stream)->status, 0);
    fixture_pass(&f, SECOND_US);
    talk();
    cr_assert_eq(answer_of(stream)->status, 408);
    cr_assert(is_open());
}

Test(http2, ends_a_head_that_comes_too_slowly)
{
    struct buf in;

    greet(&in);
    frame(&in, 1, 0, 1, "\x82", 1);
    fixture_recv(&f, buf_slice(&in).ptr, in.len);
    fixture_pass(&f, 9 * SECOND_US);
    cr_assert(is_open());
    fixture_pass(&f, SECOND_US);
    buf_clear(&in);
    fixture_send(&f, &in);
    cr_assert_not(is_open());
    buf_release(&in);
}

Test(http2, ends_a_peer_that_asks_and_does_not_read)
{
    nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };

    client_close();
    client_open(true);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, &none, 1);
    get("/big");
    talk();
    fixture_pass(&f, 19 * SECOND_US);
    cr_assert(is_open());
    fixture_pass(&f, SECOND_US);
    cr_assert_not(is_open());
}

Test(http2, never_takes_memory_for_more_than_the_peer_may_have_open)
{
    for (int i = 0; i < 1000; i++) {
        get("/hello");
        if (i % 50 == 49)
            talk();
    }
    talk();
    cr_assert_leq(f.host.spare_count, (size_t)50);
    cr_assert_eq(f.host.held_bytes, 0);
}

/* RFC 9113, 5.1: a client that speaks on a stream that is over has lost its count. Not so where we have reset
 * one, for then what was on its way still comes. */
Test(http2, ends_a_peer_that_goes_on_with_a_stream_that_is_over)
{
    static const unsigned char get_hello[] = { 0x82, 0x86, 0x41, 0x01, 'a', 0x44, 0x06,
                                               '/',  'h',  'e',  'l',  'l', 'o' };
    struct buf in, out;

    buf_init(&out, 0);
    for (int type = 0; type < 2; type++) { /* DATA, HEADERS */
        again((struct http_server_conf){ 0 });
        greet(&in);
        frame(&in, 1, 5, 1, get_hello, sizeof get_hello);
        fixture_recv(&f, buf_slice(&in).ptr, in.len);
        fixture_send(&f, &out);
        cr_assert(is_open());
        buf_clear(&in);
        frame(&in, type, 5, 1, get_hello, sizeof get_hello);
        fixture_recv(&f, buf_slice(&in).ptr, in.len);
        fixture_send(&f, &out);
        cr_expect_not(is_open(), "%d", type);
        buf_release(&in);
    }
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 1, 5, 1, "\x82\x86", 2); /* without a path: reset */
    fixture_recv(&f, buf_slice(&in).ptr, in.len);
    fixture_send(&f, &out);
    buf_clear(&in);
    frame(&in, 0, 1, 1, "0123456789abcdef", 16);
    fixture_recv(&f, buf_slice(&in).ptr, in.len);
    fixture_send(&f, &out);
    cr_expect(is_open());
    buf_release(&in);
    again((struct http_server_conf){ 0 });
    greet(&in);
    frame(&in, 2, 0, 0, "\0\0\0\1\0", 5); /* PRIORITY of no stream */
    fixture_recv(&f, buf_slice(&in).ptr, in.len);
    fixture_send(&f, &out);
    cr_expect_not(is_open());
    buf_release(&in);
    buf_release(&out);
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

Test(http2, sends_a_stream_piece_by_piece_beside_other_answers)
{
    int32_t stream = get("/hold"), other;
    struct http_request *req;

    talk();
    req = begin_stream();
    talk();
    cr_assert_eq(answer_of(stream)->status, 200);
    cr_assert_str_eq(buf_str(&answer_of(stream)->body), "one");
    fixture_pass(&f, 3600 * SECOND_US);
    cr_assert(is_open(), "nothing is idle that has a stream");
    other = get("/hello");
    talk();
    cr_assert_str_eq(buf_str(&answer_of(other)->body), "hello");
    cr_assert(http_stream_write(req, SLICE(" two")));
    talk();
    cr_assert_str_eq(buf_str(&answer_of(stream)->body), "one two");
    cr_assert_not(answer_of(stream)->is_closed);
    http_stream_end(req);
    talk();
    cr_assert(answer_of(stream)->is_closed && answer_of(stream)->error == NGHTTP2_NO_ERROR);
    cr_assert_eq(f.host.held_bytes, 0);
}

Test(http2, holds_no_more_of_a_stream_than_its_share_and_ends_it_all_the_same)
{
    static char piece[1000];
    int32_t stream = get("/hold");
    struct http_request *req;
    size_t taken = 3;

    talk();
    req = begin_stream();
    while (http_stream_write(req, slice_of(piece, sizeof piece)))
        taken += sizeof piece;
    cr_assert(taken > HTTP_STREAM_BYTES / 2 && taken <= HTTP_STREAM_BYTES);
    http_stream_end(req);
    talk();
    cr_assert_eq(answer_of(stream)->body.len, taken);
    cr_assert(answer_of(stream)->is_closed);
}

Test(http2, tells_who_writes_a_stream_that_the_peer_has_had_enough)
{
    int32_t stream = get("/hold");
    struct http_request *req;

    talk();
    req = begin_stream();
    talk();
    nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    talk();
    cr_assert(req->is_gone && f.gone_count == 1);
    cr_assert_not(http_stream_write(req, SLICE("more")));
    http_stream_end(req);
    cr_assert(is_open());
    cr_assert_eq(f.host.held_bytes, 0);
}
