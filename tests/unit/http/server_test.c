/* SPDX-License-Identifier: Apache-2.0
 * server_test.c - the server over real sockets, with curl and with peers that misbehave. The loop runs in a
 * thread of the test. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "http/server.h"
#include "http/tls.h"

static struct loop *loop;
static struct metrics *metrics;
static struct http_server *server;
static struct tls *tls;
static pthread_t thread;
static struct http_request *held[64]; /* the loop's thread only */
static size_t held_count, gone_count;
static char dir[64];
static struct buf output;

static void on_hello(void *service, struct http_request *req)
{
    struct slice text = arena_printf(&req->arena, "hello %s over %d tls=%d", req->peer->certificate_name,
                                     req->peer->version, req->peer->is_tls);

    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = text });
}

static void on_echo(void *service, struct http_request *req)
{
    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = req->body });
}

static void on_gone(struct http_request *req)
{
    (void)req;
    __atomic_add_fetch(&gone_count, 1, __ATOMIC_SEQ_CST);
}

static void on_hold(void *service, struct http_request *req)
{
    (void)service;
    req->on_gone = on_gone;
    held[held_count] = req;
    __atomic_add_fetch(&held_count, 1, __ATOMIC_SEQ_CST);
}

static void on_big(void *service, struct http_request *req)
{
    char *body = arena_new(&req->arena, char, 20000000);

    (void)service;
    http_reply(req,
               &(struct http_reply){ .status = 200, .type = "text/plain", .body = slice_of(body, 20000000) });
}

static bool is_blocked, may_go_on;

/* Keeps the loop from all else, as a turn with much to do does. */
static void on_block(void *service, struct http_request *req)
{
    (void)service;
    __atomic_store_n(&is_blocked, true, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&may_go_on, __ATOMIC_SEQ_CST))
        usleep(100);
    http_reply(req, &(struct http_reply){ .status = 204 });
}

static void on_age(void *service, struct http_request *req)
{
    struct slice text =
        arena_printf(&req->arena, "age=%lld", (long long)(clock_mono_us() - req->arrived_mono_us));

    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = text });
}

static size_t tick_count;

static void on_tick(void *service, struct http_request *req)
{
    (void)service;
    __atomic_add_fetch(&tick_count, 1, __ATOMIC_SEQ_CST);
    http_reply(req, &(struct http_reply){ .status = 204 });
}

static void on_ticks(void *service, struct http_request *req)
{
    struct slice text = arena_printf(&req->arena, "ticks=%zu", tick_count);

    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = text });
}

static const struct http_route routes[] = {
    { "GET", "/tick", on_tick, 0 }, { "GET", "/ticks", on_ticks, 0 }, { "GET", "/block", on_block, 0 },
    { "GET", "/age", on_age, 0 },   { "GET", "/hello", on_hello, 0 }, { "POST", "/echo", on_echo, 0 },
    { "GET", "/hold", on_hold, 0 }, { "GET", "/big", on_big, 0 },
};

static void *run(void *unused)
{
    loop_run(loop);
    return unused;
}

static void shell(const char *format, ...) PRINTF_LIKE(1, 2);
static void shell(const char *format, ...)
{
    char command[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void start(struct http_server_conf conf)
{
    struct why why = { 0 };

    cr_assert_eq(http_server_open(&server, loop, &conf, metrics, &why), ERR_OK, "%s", why.text);
    http_server_add_routes(server, routes, sizeof routes / sizeof routes[0], NULL);
    pthread_create(&thread, NULL, run, NULL);
}

static void stop_loop(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

static void stop(void)
{
    loop_post(loop, stop_loop, NULL);
    pthread_join(thread, NULL);
}

static void setup(void)
{
    struct why why = { 0 };

    snprintf(dir, sizeof dir, "/tmp/assay-http-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(loop_open(&loop, &why), ERR_OK);
    metrics = metrics_new();
    buf_init(&output, 0);
}

static void reply_held(void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < held_count; i++)
        http_reply(held[i], &(struct http_reply){ .status = 200, .body = SLICE("late") });
    held_count = 0;
}

static void teardown(void)
{
    http_server_close(server);
    tls_close(tls);
    reply_held(NULL);
    metrics_free(metrics);
    loop_close(loop);
    buf_release(&output);
    shell("rm -rf %s", dir);
}

TestSuite(http_server, .init = setup, .fini = teardown, .timeout = 180);

/* What curl prints for `path`, the version and status behind it. */
static const char *curl(const char *options, const char *path)
{
    char command[1024], chunk[4096];
    bool is_tls = strstr(options, "--cacert") != NULL;
    FILE *pipe;
    size_t n;

    snprintf(command, sizeof command,
             "curl -sS --max-time 20 -w ' %%{http_version} %%{http_code}' %s %s://127.0.0.1:%d%s 2>&1",
             options, is_tls ? "https" : "http", http_server_port(server), path);
    pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    buf_clear(&output);
    while ((n = fread(chunk, 1, sizeof chunk, pipe)) > 0)
        buf_add(&output, chunk, n);
    pclose(pipe);
    return buf_str(&output);
}

static int reach(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(server)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* All that comes until the server closes, or nothing more for 10 s. */
static const char *hear(int fd)
{
    char chunk[65536];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t n;

    buf_clear(&output);
    while (poll(&p, 1, 10000) > 0 && (n = read(fd, chunk, sizeof chunk)) > 0)
        buf_add(&output, chunk, (size_t)n);
    return buf_str(&output);
}

static void await(const size_t *count, size_t wanted)
{
    for (int i = 0; i < 2000 && __atomic_load_n(count, __ATOMIC_SEQ_CST) < wanted; i++)
        usleep(5000);
    cr_assert_geq(__atomic_load_n(count, __ATOMIC_SEQ_CST), wanted);
}

static void read_connections(void *result)
{
    static const char name[] = "assay_http_connections{server=\"http\"} ";
    struct buf text;
    int n;

    buf_init(&text, 0);
    metrics_write(metrics, &text);
    n = atoi(strstr(buf_str(&text), name) + strlen(name));
    buf_release(&text);
    __atomic_store_n((int *)result, n, __ATOMIC_SEQ_CST);
}

/* Waits until the server has no connection left. */
static void await_no_connection(void)
{
    int n = -1;

    for (int i = 0; i < 400 && n != 0; i++) {
        usleep(50000);
        n = -1;
        loop_post(loop, read_connections, &n);
        while (__atomic_load_n(&n, __ATOMIC_SEQ_CST) < 0)
            usleep(1000);
    }
    cr_assert_eq(n, 0);
}

Test(http_server, speaks_both_protocols_on_one_port)
{
    start((struct http_server_conf){ 0 });
    cr_assert_str_eq(curl("--http1.1", "/hello"), "hello  over 11 tls=0 1.1 200");
    cr_assert_str_eq(curl("--http2-prior-knowledge", "/hello"), "hello  over 2 tls=0 2 200");
    cr_assert_str_eq(curl("--http2", "/hello"), "hello  over 11 tls=0 1.1 200", "an upgrade is not taken");
    cr_assert_str_eq(curl("-d abc", "/echo"), "abc 1.1 200");
    cr_assert_str_eq(curl("--http2-prior-knowledge -d abc", "/echo"), "abc 2 200");
    cr_assert(strstr(curl("", "/nowhere"), "\"status\":404} 1.1 404"));
    stop();
}

Test(http_server, moves_large_bodies_both_ways)
{
    static const char *const versions[] = { "--http1.1", "--http2-prior-knowledge" };
    char options[256];

    start((struct http_server_conf){ .max_body_bytes = 32 << 20 });
    shell("head -c 3000000 /dev/urandom >%s/body", dir);
    for (int i = 0; i < 2; i++) {
        snprintf(options, sizeof options, "%s --data-binary @%s/body -o %s/back", versions[i], dir, dir);
        cr_assert(strstr(curl(options, "/echo"), " 200"));
        shell("cmp %s/body %s/back", dir, dir);
        snprintf(options, sizeof options, "%s -o %s/big", versions[i], dir);
        cr_assert(strstr(curl(options, "/big"), " 200"));
        shell("test $(stat -c %%s %s/big) = 20000000", dir);
    }
    stop();
}

Test(http_server, answers_413_to_both_protocols_whatever_they_go_on_sending)
{
    char options[256];

    start((struct http_server_conf){ 0 });
    shell("head -c 3000000 /dev/zero >%s/body", dir);
    snprintf(options, sizeof options, "--data-binary @%s/body", dir);
    cr_assert(strstr(curl(options, "/echo"), "\"status\":413} 1.1 413"), "%s", buf_str(&output));
    snprintf(options, sizeof options, "--http2-prior-knowledge --data-binary @%s/body", dir);
    cr_assert(strstr(curl(options, "/echo"), "\"status\":413} 2 413"), "%s", buf_str(&output));
    snprintf(options, sizeof options, "-H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary @%s/body",
             dir);
    cr_assert(strstr(curl(options, "/echo"), "\"status\":413} 1.1 413"), "%s", buf_str(&output));
    stop();
}

Test(http_server, stays_itself_when_the_peer_reads_nothing)
{
    int slow[8];

    start((struct http_server_conf){ .write_timeout_us = SECOND_US });
    for (int i = 0; i < 8; i++) {
        slow[i] = reach();
        say(slow[i], "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    cr_assert_str_eq(curl("", "/hello"), "hello  over 11 tls=0 1.1 200");
    await_no_connection();
    for (int i = 0; i < 8; i++) {
        hear(slow[i]);
        cr_assert_lt(output.len, (size_t)20000000, "it was cut off");
        close(slow[i]);
    }
    stop();
}

Test(http_server, answers_a_peer_that_has_closed_its_half)
{
    int fd;

    start((struct http_server_conf){ 0 });
    fd = reach();
    say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    await(&held_count, 1);
    loop_post(loop, reply_held, NULL);
    cr_assert(strstr(hear(fd), "late"));
    close(fd);
    stop();
}

Test(http_server, notices_a_peer_that_vanishes_while_its_reply_is_pending)
{
    struct linger now = { .l_onoff = 1 };
    int fd;

    start((struct http_server_conf){ 0 });
    fd = reach();
    say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    await(&held_count, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* close() resets */
    close(fd);
    await(&gone_count, 1);
    loop_post(loop, reply_held, NULL);
    cr_assert_str_eq(curl("", "/hello"), "hello  over 11 tls=0 1.1 200");
    stop();
}

Test(http_server, closes_a_connection_that_sends_its_head_too_slowly)
{
    int fd;

    start((struct http_server_conf){ .header_timeout_us = 300 * MS_US });
    fd = reach();
    say(fd, "GET /hello HT");
    cr_assert(strstr(hear(fd), "HTTP/1.1 408"));
    close(fd);
    fd = reach();
    say(fd, "PRI * HTTP/2.0\r\n");
    cr_assert_str_empty(hear(fd));
    close(fd);
    stop();
}

static bool was_answered(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char text[1024];

    say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    return poll(&p, 1, 10000) == 1 && read(fd, text, sizeof text) > 0 &&
           memcmp(text, "HTTP/1.1 200", 12) == 0;
}

static bool was_closed(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte;

    return poll(&p, 1, 10000) == 1 && read(fd, &byte, 1) <= 0;
}

/* Of eight, five never asked: three of them said nothing, two began and did not end. */
Test(http_server, makes_room_where_nothing_was_answered_for_longest)
{
    int idle[5], busy[3], more[6];

    start((struct http_server_conf){ .max_connections = 8 });
    for (int i = 0; i < 3; i++) {
        busy[i] = reach();
        cr_assert(was_answered(busy[i]));
    }
    for (int i = 0; i < 5; i++) {
        idle[i] = reach();
        if (i > 2)
            say(idle[i], "GET /hello HT");
    }
    for (int i = 0; i < 5; i++) { /* younger than the answers of the three, but never answered themselves */
        more[i] = reach();
        cr_assert(was_answered(more[i]));
        cr_assert(was_closed(idle[i]), "%d", i);
    }
    more[5] = reach();
    cr_assert(was_answered(more[5]));
    cr_assert(was_closed(busy[0]), "then the one that was answered before all others");
    for (int i = 1; i < 3; i++)
        cr_assert(was_answered(busy[i]));
    for (int i = 0; i < 5; i++)
        close(idle[i]);
    for (int i = 0; i < 3; i++)
        close(busy[i]);
    for (int i = 0; i < 6; i++)
        close(more[i]);
    stop();
}

Test(http_server, refuses_a_connection_when_every_other_waits_for_a_handler)
{
    int fds[8];

    start((struct http_server_conf){ .max_connections = 8 });
    for (int i = 0; i < 8; i++) {
        fds[i] = reach();
        say(fds[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    await(&held_count, 8);
    cr_assert_null(strstr(curl("", "/hello"), "hello"));
    loop_post(loop, reply_held, NULL);
    for (int i = 0; i < 100 && !strstr(curl("", "/hello"), "hello"); i++)
        usleep(10000);
    cr_assert(strstr(buf_str(&output), "hello"));
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    stop();
}

Test(http_server, takes_no_more_connections_of_one_address_than_it_may)
{
    int first, second;

    start((struct http_server_conf){ .max_per_address = 2 });
    first = reach();
    second = reach();
    say(first, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    say(second, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_gt(read(first, dir + sizeof dir - 1, 1), 0);
    cr_assert_gt(read(second, dir + sizeof dir - 1, 1), 0);
    cr_assert_null(strstr(curl("", "/hello"), "hello"));
    cr_assert(strstr(curl("--interface 127.0.0.2", "/hello"), "hello"), "another address");
    close(first);
    for (int i = 0; i < 100 && !strstr(curl("", "/hello"), "hello"); i++)
        usleep(10000);
    cr_assert(strstr(buf_str(&output), "hello"));
    close(second);
    stop();
}

Test(http_server, counts_the_time_in_which_a_request_was_not_read)
{
    int64_t said_us, waited_us;
    int blocker, other;
    const char *age, *heard;

    start((struct http_server_conf){ 0 });
    blocker = reach();
    other = reach();
    say(blocker, "GET /block HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while (!__atomic_load_n(&is_blocked, __ATOMIC_SEQ_CST))
        usleep(100);
    say(other, "GET /age HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    said_us = clock_mono_us();
    usleep(20000);
    waited_us = clock_mono_us() - said_us;
    __atomic_store_n(&may_go_on, true, __ATOMIC_SEQ_CST);
    heard = hear(other);
    age = strstr(heard, "age=");
    cr_assert_not_null(age, "%s", heard);
    cr_assert_geq(strtoll(age + 4, NULL, 10), waited_us);
    close(blocker);
    close(other);
    stop();
}

/* Several connections have something to say while the loop is busy elsewhere. */
static int block(void)
{
    int blocker = reach();

    say(blocker, "GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!__atomic_load_n(&is_blocked, __ATOMIC_SEQ_CST))
        usleep(100);
    return blocker;
}

/* How many ticks had been taken when the request of this connection was. */
static size_t ticks_seen_by(int fd)
{
    const char *ticks;

    hear(fd);
    ticks = strstr(buf_str(&output), "ticks=");
    cr_assert_not_null(ticks);
    return strtoul(ticks + 6, NULL, 10);
}

Test(http_server, answers_another_before_the_rest_of_one_who_asks_for_much)
{
    enum { REQUESTS = 1500 };
    static const char tick[] = "GET /tick HTTP/1.1\r\nHost: a\r\n\r\n";
    static char many[REQUESTS * sizeof tick];
    int greedy, other, blocker;

    start((struct http_server_conf){ 0 });
    greedy = reach();
    other = reach();
    for (size_t i = 0; i < REQUESTS; i++)
        memcpy(many + i * (sizeof tick - 1), tick, sizeof tick);
    blocker = block();
    say(greedy, many);
    usleep(10000); /* so that it is the first */
    say(other, "GET /ticks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    __atomic_store_n(&may_go_on, true, __ATOMIC_SEQ_CST);
    cr_assert_lt(ticks_seen_by(other), 10);
    await(&tick_count, REQUESTS);
    close(greedy);
    close(other);
    close(blocker);
    stop();
}

Test(http_server, answers_who_asks_before_a_crowd_that_talks)
{
    enum { TALKERS = 200 };
    int talkers[TALKERS], other, blocker;

    start((struct http_server_conf){ 0 });
    other = reach();
    say(other, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_gt(read(other, dir + sizeof dir - 1, 1), 0);
    for (size_t i = 0; i < TALKERS; i++)
        talkers[i] = reach();
    for (int part = 0; part < 4; part++) /* heads in parts, each read by itself */
        for (size_t i = 0; i < TALKERS; i++) {
            say(talkers[i], part == 0 ? "GET /tick HTTP/1.1\r\nHost: a\r\nX: " : "a");
            if (i == TALKERS - 1)
                usleep(50000);
        }
    blocker = block();
    for (size_t i = 0; i < TALKERS; i++)
        say(talkers[i], "\r\n\r\n");
    usleep(10000);
    say(other, "GET /ticks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    __atomic_store_n(&may_go_on, true, __ATOMIC_SEQ_CST);
    cr_assert_lt(ticks_seen_by(other), TALKERS / 2);
    await(&tick_count, TALKERS);
    for (size_t i = 0; i < TALKERS; i++)
        close(talkers[i]);
    close(other);
    close(blocker);
    stop();
}

Test(http_server, ends_a_crowd_of_slow_heads_however_many_turns_that_takes)
{
    enum { SLOW = 600 };
    int fds[SLOW];
    static char heard[SLOW][64];

    start((struct http_server_conf){ .header_timeout_us = 200 * MS_US });
    for (size_t i = 0; i < SLOW; i++) {
        fds[i] = reach();
        say(fds[i], "GET / HTTP/1.1\r\n");
    }
    for (size_t i = 0; i < SLOW; i++) {
        cr_assert_gt(read(fds[i], heard[i], sizeof heard[i] - 1), 12);
        cr_assert_eq(memcmp(heard[i], "HTTP/1.1 408", 12), 0, "%s", heard[i]);
        close(fds[i]);
    }
    await_no_connection();
    stop();
}

/* A body of just as many bytes as are read at once leaves nothing unread: what comes later is not older. */
Test(http_server, does_not_count_the_time_in_which_nothing_was_sent)
{
    enum { READ_AT_ONCE = 64 << 10 };
    static char all[READ_AT_ONCE + 1];
    const char *heard, *age;
    int64_t echoed_us, asked_us;
    int fd, head;

    start((struct http_server_conf){ 0 });
    fd = reach();
    head = snprintf(all, sizeof all, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65000\r\n");
    memset(all + head, 'x', sizeof all - 1 - (size_t)head);
    memcpy(all + head, "X-Fill: ", 8);
    memcpy(all + READ_AT_ONCE - 65000 - 4, "\r\n\r\n", 4);
    say(fd, all);
    for (size_t got = 0; got < 65000;) {
        ssize_t n = read(fd, all, sizeof all - 1);

        cr_assert_gt(n, 0);
        got += (size_t)n;
    }
    echoed_us = clock_mono_us();
    usleep(50000);
    asked_us = clock_mono_us();
    say(fd, "GET /age HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    heard = hear(fd);
    age = strstr(heard, "age=");
    cr_assert_not_null(age, "%.200s", heard);
    cr_assert_lt(strtoll(age + 4, NULL, 10), clock_mono_us() - asked_us + (asked_us - echoed_us) / 2);
    close(fd);
    stop();
}

static void drain(void *ctx)
{
    http_server_drain(server, *(int64_t *)ctx, stop_loop, NULL);
}

Test(http_server, drains_what_is_under_way_and_refuses_what_is_new)
{
    int64_t deadline_us = 20 * SECOND_US;
    int busy, idle;

    start((struct http_server_conf){ 0 });
    busy = reach();
    idle = reach();
    say(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    await(&held_count, 1);
    loop_post(loop, drain, &deadline_us);
    cr_assert_str_empty(hear(idle));
    cr_assert_null(strstr(curl("", "/hello"), "hello"));
    loop_post(loop, reply_held, NULL);
    cr_assert(strstr(hear(busy), "Connection: close\r\n\r\nlate"));
    close(idle);
    close(busy);
    pthread_join(thread, NULL); /* drained: the loop has stopped itself */
}

static void *hold_over_h2(void *result)
{
    char command[256];

    snprintf(command, sizeof command,
             "curl -sS --max-time 30 --http2-prior-knowledge http://127.0.0.1:%d/hold | grep -qx late",
             http_server_port(server));
    *(int *)result = system(command);
    return NULL;
}

Test(http_server, drains_http2_too)
{
    int64_t deadline_us = 20 * SECOND_US;
    pthread_t client;
    int result = -1;

    start((struct http_server_conf){ 0 });
    pthread_create(&client, NULL, hold_over_h2, &result);
    await(&held_count, 1);
    loop_post(loop, drain, &deadline_us);
    usleep(300000); /* both GOAWAYs are out by now, or soon: either way the reply comes */
    loop_post(loop, reply_held, NULL);
    pthread_join(client, NULL);
    cr_assert_eq(result, 0);
    pthread_join(thread, NULL);
}

Test(http_server, closes_what_does_not_end_before_the_drain_does)
{
    int64_t deadline_us = 100 * MS_US;
    int busy;

    start((struct http_server_conf){ 0 });
    busy = reach();
    say(busy, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    await(&held_count, 1);
    loop_post(loop, drain, &deadline_us);
    cr_assert_str_empty(hear(busy));
    pthread_join(thread, NULL);
    cr_assert_eq(gone_count, 1);
    close(busy);
}

Test(http_server, shares_a_port_with_another_process)
{
    struct http_server *second;
    struct http_server_conf conf = { .reuse_port = true };
    struct why why = { 0 };

    start(conf);
    stop();
    conf.port = http_server_port(server);
    cr_assert_eq(http_server_open(&second, loop, &conf, metrics, &why), ERR_OK, "%s", why.text);
    http_server_close(second);
    conf.reuse_port = false;
    cr_assert_eq(http_server_open(&second, loop, &conf, metrics, &why), ERR_CONFLICT);
    cr_assert_null(second);
}

Test(http_server, listens_at_the_address_of_a_name)
{
    struct http_server *second;
    struct http_server_conf conf = { .host = "localhost" };
    struct why why = { 0 };

    start((struct http_server_conf){ 0 });
    stop();
    cr_assert_eq(http_server_open(&second, loop, &conf, metrics, &why), ERR_OK, "%s", why.text);
    cr_assert_gt(http_server_port(second), 0);
    http_server_close(second);
    conf.host = "no..name";
    cr_assert_eq(http_server_open(&second, loop, &conf, metrics, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "no..name is no address"), "%s", why.text);
}

Test(http_server, counts_what_it_answers)
{
    struct buf text;

    start((struct http_server_conf){ .name = "public" });
    curl("", "/hello");
    curl("", "/nowhere");
    stop();
    buf_init(&text, 0);
    metrics_write(metrics, &text);
    cr_assert(strstr(buf_str(&text), "assay_http_requests_total{server=\"public\",code=\"200\"} 1\n"));
    cr_assert(strstr(buf_str(&text), "assay_http_requests_total{server=\"public\",code=\"404\"} 1\n"));
    cr_assert(
        strstr(buf_str(&text), "assay_http_request_seconds_count{server=\"public\",route=\"/hello\"} 1\n"));
    cr_assert(strstr(buf_str(&text), "assay_http_connections_accepted_total{server=\"public\"} 2\n"));
    buf_release(&text);
}

/* A certificate authority, and certificates of `name` for server and client. */
static void make_certificates(const char *name)
{
    static const char *const ends[] = { "server", "client" };

    shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out "
          "ca.pem"
          " -days 2 -subj /CN=%s-ca 2>/dev/null",
          dir, name);
    for (int i = 0; i < 2; i++)
        shell("cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s.key -out "
              "%s.csr"
              " -subj /CN=%s-%s 2>/dev/null && printf subjectAltName=IP:127.0.0.1 >ext &&"
              " openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext"
              " -out %s.pem 2>/dev/null",
              dir, ends[i], ends[i], name, ends[i], ends[i], ends[i]);
}

static struct http_server_conf tls_conf(bool wants_client)
{
    char cert[128], key[128], ca[128];
    struct why why = { 0 };

    snprintf(cert, sizeof cert, "%s/server.pem", dir);
    snprintf(key, sizeof key, "%s/server.key", dir);
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    cr_assert_eq(
        tls_open(&tls, &(struct tls_conf){ .cert = cert, .key = key, .ca = wants_client ? ca : NULL }, &why),
        ERR_OK, "%s", why.text);
    return (struct http_server_conf){ .tls = tls };
}

static const char *curl_tls(const char *options, const char *path)
{
    char all[512];

    snprintf(all, sizeof all, "--cacert %s/ca.pem %s", dir, options);
    return curl(all, path);
}

Test(http_server, chooses_the_protocol_inside_tls)
{
    int fd;

    make_certificates("one");
    start(tls_conf(false));
    cr_assert_str_eq(curl_tls("--http2", "/hello"), "hello  over 2 tls=1 2 200");
    cr_assert_str_eq(curl_tls("--http1.1", "/hello"), "hello  over 11 tls=1 1.1 200");
    cr_assert_str_eq(curl_tls("--no-alpn", "/hello"), "hello  over 11 tls=1 1.1 200");
    cr_assert_str_eq(curl_tls("-d abc", "/echo"), "abc 2 200");
    cr_assert(strstr(curl_tls("--tls-max 1.1", "/hello"), " 000"), "TLS 1.1 is refused");
    fd = reach();
    say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"); /* in the clear */
    cr_assert_null(strstr(hear(fd), "hello"));
    close(fd);
    stop();
}

Test(http_server, moves_large_bodies_through_tls)
{
    struct http_server_conf conf;
    char options[256];

    make_certificates("one");
    conf = tls_conf(false);
    conf.max_body_bytes = 32 << 20;
    start(conf);
    shell("head -c 3000000 /dev/urandom >%s/body", dir);
    snprintf(options, sizeof options, "--data-binary @%s/body -o %s/back", dir, dir);
    cr_assert(strstr(curl_tls(options, "/echo"), " 200"));
    shell("cmp %s/body %s/back", dir, dir);
    snprintf(options, sizeof options, "--http1.1 -o %s/big", dir);
    cr_assert(strstr(curl_tls(options, "/big"), " 200"));
    shell("test $(stat -c %%s %s/big) = 20000000", dir);
    stop();
}

Test(http_server, knows_its_clients_by_their_certificates)
{
    char options[256];

    make_certificates("one");
    start(tls_conf(true));
    snprintf(options, sizeof options, "--cert %s/client.pem --key %s/client.key", dir, dir);
    cr_assert_str_eq(curl_tls(options, "/hello"), "hello one-client over 2 tls=1 2 200");
    cr_assert(strstr(curl_tls("", "/hello"), " 000"), "without one nobody gets in");
    shell("cp %s/ca.pem %s/one-ca.pem", dir, dir);
    make_certificates("two");
    snprintf(options, sizeof options, "--cacert %s/one-ca.pem --cert %s/client.pem --key %s/client.key", dir,
             dir, dir);
    cr_assert(strstr(curl(options, "/hello"), " 000"), "nor with one of another authority");
    stop();
}

static void reload(void *ctx)
{
    struct why why = { 0 };

    *(int *)ctx = tls_look(tls, &why);
    loop_stop(loop);
}

Test(http_server, takes_a_new_certificate_without_a_restart)
{
    int result = -1;

    make_certificates("one");
    start(tls_conf(false));
    cr_assert(strstr(curl_tls("", "/hello"), " 200"));
    make_certificates("two");
    cr_assert(strstr(curl_tls("", "/hello"), " 000"), "the old one is still shown");
    loop_post(loop, reload, &result);
    pthread_join(thread, NULL);
    cr_assert_eq(result, ERR_OK);
    pthread_create(&thread, NULL, run, NULL);
    cr_assert(strstr(curl_tls("", "/hello"), " 200"));
    shell("echo broken >%s/server.pem", dir);
    loop_post(loop, reload, &result);
    pthread_join(thread, NULL);
    cr_assert_eq(result, ERR_INVALID);
    pthread_create(&thread, NULL, run, NULL);
    cr_assert(strstr(curl_tls("", "/hello"), " 200"), "a broken one is not taken");
    stop();
}
