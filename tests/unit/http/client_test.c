/* SPDX-License-Identifier: Apache-2.0
 * client_test.c - the HTTP/2 client against our server, over loopback, in one process. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "http/client.h"
#include "http/server.h"
#include "http/tls.h"
#include "loop/loop.h"
#include "../../../services/cli/issue.h"

enum { HELD_MOST = 64, LARGE = 3 << 20 };

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;
static struct http_request *held[HELD_MOST];
static size_t held_count, held_peak, gone_count, served;
static struct why why;

/* What came of the last request, and how many have ended. */
static struct outcome {
    size_t count, ok;
    enum err err;
    struct why why;
    int status;
    char body[64], trailer[64];
    size_t body_len;
} last;

static char peer_name[128];

static void on_hello(void *service, struct http_request *req)
{
    static const struct http_header trailer = { { "x-sum", 5 }, { "42", 2 } };

    (void)service;
    served++;
    snprintf(peer_name, sizeof peer_name, "%s", req->peer->certificate_name);
    http_reply(req, &(struct http_reply){ .status = 200,
                                          .type = "text/plain",
                                          .body = SLICE("hello"),
                                          .trailers = &trailer,
                                          .trailer_count = 1 });
}

static void on_echo(void *service, struct http_request *req)
{
    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .body = req->body });
}

static void on_gone(struct http_request *req)
{
    (void)req;
    gone_count++;
}

static void on_hold(void *service, struct http_request *req)
{
    (void)service;
    cr_assert_lt(held_count, (size_t)HELD_MOST);
    req->on_gone = on_gone;
    held[held_count++] = req;
    if (held_count > held_peak)
        held_peak = held_count;
}

static const struct http_route routes[] = {
    { "GET", "/hello", on_hello, 0 },
    { "POST", "/echo", on_echo, 8 << 20 },
    { "GET", "/hold", on_hold, 0 },
};

static void release_held(void)
{
    while (held_count)
        http_reply(held[--held_count], &(struct http_reply){ .status = 204 });
}

static struct http_server *open_server(int port, size_t max_streams)
{
    struct http_server *s;
    struct http_server_conf conf = {
        .name = "test", .host = "127.0.0.1", .port = port, .max_streams = max_streams
    };

    cr_assert_eq(http_server_open(&s, loop, &conf, NULL, &why), ERR_OK, "%s", why.text);
    http_server_add_routes(s, routes, ARRAY_LEN(routes), NULL);
    return s;
}

static struct http_client *open_client(struct http_client_conf conf)
{
    static char address[64];
    struct http_client *c;

    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(server));
    if (!conf.address)
        conf.address = address;
    cr_assert_eq(http_client_open(&c, loop, &conf, &why), ERR_OK, "%s", why.text);
    return c;
}

static void on_done(void *arg, enum err err, const struct http_client_answer *a, const struct why *reason)
{
    (void)arg;
    last.count++;
    last.err = err;
    last.why = *reason;
    last.status = 0;
    if (err)
        return;
    last.ok++;
    last.status = a->status;
    last.body_len = a->body.len;
    snprintf(last.body, sizeof last.body, "%.*s", a->body.len < 60 ? (int)a->body.len : 60, a->body.ptr);
    if (a->trailer_count)
        snprintf(last.trailer, sizeof last.trailer, "%.*s",
                 SLICE_ARG(http_headers_find(a->trailers, a->trailer_count, "x-sum")));
}

static struct http_call *get(const char *path, int64_t timeout_ms)
{
    return http_client_send(client,
                            &(struct http_client_request){
                                .method = "GET",
                                .path = slice_str(path),
                                .deadline_mono_us = timeout_ms ? clock_mono_us() + timeout_ms * MS_US : 0,
                            },
                            on_done, NULL);
}

static void turn_until_ended(size_t count)
{
    while (last.count < count)
        loop_turn(loop, true);
}

static void turn_until_held(size_t count)
{
    while (held_count < count)
        loop_turn(loop, true);
}

static void setup(void)
{
    cr_assert_eq(loop_open(&loop, &why), ERR_OK);
    server = open_server(0, 0);
    client = open_client((struct http_client_conf){ 0 });
}

static void teardown(void)
{
    http_client_close(client);
    http_server_close(server);
    release_held();
    loop_close(loop);
}

TestSuite(http_client, .init = setup, .fini = teardown, .timeout = 120);

Test(http_client, gets_status_fields_body_and_trailers)
{
    get("/hello", 5000);
    cr_assert_eq(last.count, 0, "never from within the sending");
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_OK, "%s", last.why.text);
    cr_assert_eq(last.status, 200);
    cr_assert_str_eq(last.body, "hello");
    cr_assert_str_eq(last.trailer, "42");
}

Test(http_client, has_many_requests_under_way_on_one_connection)
{
    for (int i = 0; i < 2000; i++)
        get("/hello", 5000);
    turn_until_ended(2000);
    cr_assert_eq(last.ok, 2000);
    cr_assert_eq(http_client_stats(client).connects, 1);
}

Test(http_client, sends_and_takes_bodies_larger_than_any_window)
{
    char *body = calloc(LARGE, 1);

    for (size_t i = 0; i < 4; i++)
        http_client_send(client,
                         &(struct http_client_request){
                             .method = "POST", .path = SLICE("/echo"), .body = { body, LARGE } },
                         on_done, NULL);
    turn_until_ended(4);
    cr_assert_eq(last.ok, 4);
    cr_assert_eq(last.body_len, LARGE);
    free(body);
}

Test(http_client, ends_a_request_at_its_deadline_and_resets_its_stream)
{
    get("/hold", 30);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_TIMEOUT);
    while (!gone_count)
        loop_turn(loop, true);
    get("/hello", 5000);
    turn_until_ended(2);
    cr_assert_eq(last.err, ERR_OK);
    cr_assert_eq(http_client_stats(client).connects, 1);
}

Test(http_client, does_not_send_what_is_too_late_already)
{
    http_client_send(
        client,
        &(struct http_client_request){ .method = "GET", .path = SLICE("/hello"), .deadline_mono_us = 1 },
        on_done, NULL);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_TIMEOUT);
    cr_assert_eq(served, 0);
}

Test(http_client, says_at_once_that_nobody_is_there)
{
    http_server_close(server);
    server = NULL;
    for (size_t i = 1; i <= 3; i++) { /* by trying, then by knowing */
        get("/hello", 5000);
        turn_until_ended(i);
        cr_assert_eq(last.err, ERR_UNAVAILABLE);
    }
    cr_assert_eq(http_client_stats(client).connects, 0);
}

Test(http_client, does_not_know_what_came_of_a_request_whose_connection_was_lost)
{
    get("/hold", 5000);
    turn_until_held(1);
    http_server_close(server);
    server = NULL;
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_UNKNOWN, "%s", err_name(last.err));
}

Test(http_client, comes_back_when_the_server_does)
{
    int port = http_server_port(server);
    size_t n = 1;

    get("/hello", 5000);
    turn_until_ended(n);
    http_server_close(server);
    server = NULL;
    get("/hello", 5000);
    turn_until_ended(++n);
    cr_assert_neq(last.err, ERR_OK);
    server = open_server(port, 0);
    while (last.err) {
        get("/hello", 5000);
        turn_until_ended(++n);
    }
    cr_assert_eq(http_client_stats(client).connects, 2);
}

Test(http_client, keeps_to_the_streams_that_the_server_allows)
{
    http_server_close(server);
    server = open_server(0, 4);
    http_client_close(client);
    client = open_client((struct http_client_conf){ 0 });
    get("/hello", 5000); /* the server's settings come with its first answer */
    turn_until_ended(1);
    for (int i = 0; i < 20; i++)
        get("/hold", 5000);
    while (last.count < 21) {
        loop_turn(loop, true);
        if (held_count == 4 || http_client_stats(client).waiting == 0)
            release_held();
    }
    cr_assert_eq(last.ok, 21);
    cr_assert_eq(held_peak, 4);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

Test(http_client, finishes_on_a_draining_server_and_goes_on_with_its_successor)
{
    struct http_server *old = server;
    int port = http_server_port(server);
    bool is_drained = false;

    get("/hold", 5000);
    turn_until_held(1);
    http_server_drain(old, 5 * SECOND_US, on_drained, &is_drained);
    server = open_server(port, 0);
    while (http_client_stats(client).in_flight && !http_client_stats(client).connections)
        loop_turn(loop, true);
    for (int i = 0; i < 50; i++) { /* some may be on their way to the old one when it says GOAWAY */
        get("/hello", 5000);
        turn_until_ended((size_t)i + 1);
        cr_assert_eq(last.err, ERR_OK, "%s", last.why.text);
    }
    release_held();
    turn_until_ended(51);
    cr_assert_eq(last.status, 204);
    while (!is_drained)
        loop_turn(loop, true);
    http_server_close(old);
}

Test(http_client, refuses_an_answer_over_its_cap)
{
    static const char body[100] = { 0 };

    http_client_close(client);
    client = open_client((struct http_client_conf){ .body_most = 99 });
    http_client_send(client,
                     &(struct http_client_request){
                         .method = "POST", .path = SLICE("/echo"), .body = { body, sizeof body } },
                     on_done, NULL);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_TOO_LARGE);
    get("/hello", 5000);
    turn_until_ended(2);
    cr_assert_eq(last.err, ERR_OK);
}

Test(http_client, forgets_what_is_cancelled)
{
    struct http_call *waiting = get("/hello", 5000), *sent = get("/hold", 5000);

    http_call_cancel(waiting);
    turn_until_held(1);
    http_call_cancel(sent);
    while (!gone_count)
        loop_turn(loop, true);
    get("/hello", 5000);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_OK);
    cr_assert_eq(served, 1);
}

Test(http_client, lets_only_so_many_wait)
{
    http_client_close(client);
    client = open_client((struct http_client_conf){ .waiting_most = 3 });
    for (int i = 0; i < 5; i++)
        get("/hello", 5000);
    turn_until_ended(2);
    cr_assert_eq(last.err, ERR_LIMIT);
    turn_until_ended(5);
    cr_assert_eq(last.ok, 3);
}

Test(http_client, spreads_over_several_connections)
{
    http_client_close(client);
    client = open_client((struct http_client_conf){ .connections = 3 });
    for (size_t n = 0; http_client_stats(client).connections < 3;) {
        get("/hello", 5000);
        turn_until_ended(++n);
    }
    cr_assert_eq(last.err, ERR_OK);
}

Test(http_client, passes_over_an_address_where_nobody_listens)
{
    static char addresses[128];
    struct http_server *other = open_server(0, 0);
    int dead = http_server_port(other);

    http_server_close(other);
    http_client_close(client);
    snprintf(addresses, sizeof addresses, "127.0.0.1:%d,localhost:%d", dead, http_server_port(server));
    client = open_client((struct http_client_conf){ .address = addresses });
    get("/hello", 5000);
    turn_until_ended(1);
    cr_assert_eq(last.err, ERR_OK, "%s", last.why.text);
}

Test(http_client, refuses_what_is_no_address)
{
    static const char *const bad[] = { "",       "host",    ":1",  "host:0",  "host:65536",
                                       "::1:80", "[::1:80", "[:1", "a:1,,b:1" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_client *c;

        cr_assert_eq(http_client_open(&c, loop, &(struct http_client_conf){ .address = bad[i] }, &why),
                     ERR_INVALID, "%s", bad[i]);
    }
}

Test(http_client, tells_everyone_when_it_is_closed)
{
    get("/hold", 5000);
    turn_until_held(1);
    get("/hello", 5000);
    http_client_close(client);
    client = NULL;
    cr_assert_eq(last.count, 2);
    cr_assert_eq(last.ok, 0);
}

/* ---- TLS ---- */

static char dir[] = "/tmp/assay-tls-XXXXXX";
static struct tls *client_tls;

/* Good for the next few calls. */
static const char *file(const char *name)
{
    static char paths[4][128];
    static unsigned next;

    snprintf(paths[++next % 4], sizeof *paths, "%s/%s", dir, name);
    return paths[next % 4];
}

static void remove_dir(void)
{
    char command[160];

    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

/* `name`.pem with certificate and key, by an authority (or by itself: then it is one). */
static void make(const char *name, const char *hosts, const char *authority)
{
    struct issued *by = NULL, *made;

    if (authority) {
        cr_assert_eq(issued_read(&by, file(authority), &why), ERR_OK, "%s", why.text);
        cr_assert_eq(
            issue_leaf(&made, by,
                       &(struct leaf_wish){
                           .name = name, .hosts = hosts, .days = 2, .is_server = true, .is_client = true },
                       &why),
            ERR_OK, "%s", why.text);
    } else {
        cr_assert_eq(issue_authority(&made, name, 2, &why), ERR_OK, "%s", why.text);
    }
    cr_assert_eq(issued_write(made, true, file(name), &why), ERR_OK, "%s", why.text);
    issued_free(made);
    issued_free(by);
}

/* A server that knows its callers, in place of the usual one. */
static struct tls *serve_over_tls(const char *allow)
{
    struct tls *tls;

    cr_assert_not_null(mkdtemp(dir));
    make("ours", NULL, NULL);
    make("server", "features,127.0.0.1", "ours");
    make("caller", "caller", "ours");
    cr_assert_eq(tls_open(&tls,
                          &(struct tls_conf){ .cert = file("server"), .ca = file("ours"), .allow = allow },
                          &why),
                 ERR_OK, "%s", why.text);
    http_server_close(server);
    cr_assert_eq(http_server_open(&server, loop,
                                  &(struct http_server_conf){ .tls = tls, .stale_timeout_us = 1 }, NULL,
                                  &why),
                 ERR_OK, "%s", why.text);
    http_server_add_routes(server, routes, ARRAY_LEN(routes), NULL);
    return tls;
}

static enum err hello(void)
{
    last = (struct outcome){ 0 };
    get("/hello", 5000);
    turn_until_ended(1);
    return last.err;
}

static enum err hello_over_tls(const struct tls_conf *conf, const char *name)
{
    http_client_close(client);
    tls_close(client_tls);
    cr_assert_eq(tls_open(&client_tls, conf, &why), ERR_OK, "%s", why.text);
    client = open_client((struct http_client_conf){ .tls = client_tls, .tls_name = name });
    return hello();
}

static void end_tls(struct tls *tls)
{
    http_client_close(client);
    http_server_close(server);
    client = NULL;
    server = NULL;
    tls_close(client_tls);
    tls_close(tls);
    remove_dir();
}

Test(http_client, trusts_over_tls_whom_it_was_told_to_and_shows_its_own_certificate)
{
    struct tls *tls = serve_over_tls(NULL);
    struct tls_conf conf = { .cert = file("caller"), .ca = file("ours") };

    cr_assert_eq(hello_over_tls(&conf, NULL), ERR_OK, "%s", last.why.text);
    cr_assert_str_eq(peer_name, "caller");
    cr_assert_eq(hello_over_tls(&conf, "features"), ERR_OK, "%s", last.why.text);
    cr_assert_eq(hello_over_tls(&conf, "scoring"), ERR_UNAVAILABLE, "another's name");
    make("theirs", NULL, NULL);
    make("stranger", "stranger", "theirs");
    conf = (struct tls_conf){ .ca = file("theirs") };
    cr_assert_eq(hello_over_tls(&conf, NULL), ERR_UNAVAILABLE, "an authority that did not sign");
    conf = (struct tls_conf){ .ca = file("ours") };
    cr_assert_neq(hello_over_tls(&conf, NULL), ERR_OK, "without a certificate");
    end_tls(tls);
}

Test(http_client, is_let_in_by_the_name_in_its_certificate)
{
    struct tls *tls = serve_over_tls("ingestion, caller");
    struct tls_conf conf = { .cert = file("caller"), .ca = file("ours") };

    cr_assert_eq(hello_over_tls(&conf, NULL), ERR_OK, "%s", last.why.text);
    make("call", "caller", "ours"); /* neither a part of a name nor a host is one */
    conf = (struct tls_conf){ .cert = file("call"), .ca = file("ours") };
    cr_assert_neq(hello_over_tls(&conf, NULL), ERR_OK);
    end_tls(tls);
}

Test(http_client, goes_over_to_new_certificates_without_a_failure)
{
    struct tls *tls = serve_over_tls("caller");
    struct tls_conf conf = { .cert = file("caller"), .ca = file("ours") };

    cr_assert_eq(hello_over_tls(&conf, NULL), ERR_OK, "%s", last.why.text);
    last = (struct outcome){ 0 };
    get("/hold", 5000);
    turn_until_held(1);
    make("caller", "caller", "ours");
    cr_assert_eq(tls_look(client_tls, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(tls_generation(client_tls), 1);
    get("/hello", 5000); /* while the old connection still holds a request */
    turn_until_ended(1);
    while (http_client_stats(client).connects < 2)
        loop_turn(loop, true);
    get("/hello", 5000);
    turn_until_ended(2);
    release_held();
    turn_until_ended(3);
    cr_assert_eq(last.ok, 3, "%s", last.why.text);
    cr_assert_eq(http_client_stats(client).connections_lost, 0);
    make("server", "features,127.0.0.1", "ours");
    cr_assert_eq(tls_look(tls, &why), ERR_OK, "%s", why.text);
    while (http_client_stats(client).connections) /* the server wishes it */
        loop_turn(loop, true);
    cr_assert_eq(hello(), ERR_OK, "%s", last.why.text);
    cr_assert_eq(http_client_stats(client).connects, 3);
    cr_assert_eq(http_client_stats(client).connections_lost, 0);
    end_tls(tls);
}

Test(http_client, stays_on_its_connection_while_the_peer_refuses_the_new_certificate)
{
    struct tls *tls = serve_over_tls("caller");
    struct tls_conf conf = { .cert = file("caller"), .ca = file("ours") };

    cr_assert_eq(hello_over_tls(&conf, NULL), ERR_OK, "%s", last.why.text);
    make("stranger", "stranger", "ours");
    cr_assert_eq(rename(file("stranger"), file("caller")), 0);
    cr_assert_eq(tls_look(client_tls, &why), ERR_OK, "%s", why.text);
    while (http_client_stats(client).connects < 4) /* the peer says no after the handshake */
        cr_assert_eq(hello(), ERR_OK, "%s", last.why.text);
    make("caller", "caller", "ours");
    cr_assert_eq(tls_look(client_tls, &why), ERR_OK, "%s", why.text);
    for (uint64_t n = http_client_stats(client).connects; http_client_stats(client).connects < n + 1;)
        cr_assert_eq(hello(), ERR_OK, "%s", last.why.text);
    end_tls(tls);
}

Test(http_client, keeps_the_certificates_that_it_has_when_the_new_files_are_bad)
{
    struct tls *tls = serve_over_tls(NULL), *none;
    struct tls_conf conf = { .cert = file("caller"), .key = file("caller.key"), .ca = file("ours") };

    cr_assert_eq(tls_open(&none, &conf, &why), ERR_INVALID, "there is no such file");
    conf.key = NULL;
    cr_assert_eq(hello_over_tls(&conf, NULL), ERR_OK, "%s", last.why.text);
    make("theirs", NULL, NULL);
    make("caller", "caller", "theirs");
    cr_assert_eq(tls_look(client_tls, &why), ERR_INVALID, "of another authority");
    cr_assert_eq(tls_look(client_tls, &why), ERR_INVALID, "and it says so again");
    cr_assert_eq(tls_generation(client_tls), 0);
    cr_assert_eq(hello(), ERR_OK, "%s", last.why.text);
    make("caller", "caller", "ours");
    cr_assert_eq(tls_look(client_tls, &why), ERR_OK, "%s", why.text);
    cr_assert_eq(tls_generation(client_tls), 1);
    conf = (struct tls_conf){ .cert = file("caller"), .key = file("server"), .ca = file("ours") };
    cr_assert_eq(tls_open(&none, &conf, &why), ERR_INVALID, "a key of another pair");
    end_tls(tls);
}
