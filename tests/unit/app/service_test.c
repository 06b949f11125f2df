/* SPDX-License-Identifier: Apache-2.0
 * service_test.c - the frame of every service: admin listener, readiness, graceful end. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/service.h"
#include "base/array.h"
#include "base/clock.h"
#include "http/client.h"

struct conf {
    int64_t answer;
};

static const struct conf_field settings[] = {
    { "SAMPLE_ANSWER", CONF_INT, offsetof(struct conf, answer), "42", "what is asked for", 0, 0 },
};
static const struct service_about about = {
    .name = "sample-service",
    .purpose = "exists for the test",
    .port = "0",
    .admin_port = "0",
    .settings = settings,
    .setting_count = ARRAY_LEN(settings),
};

static struct service *app;
static struct conf conf;
static struct http_client *public_client, *admin_client;
static struct http_request *held;
static struct why why;
static bool is_database_up = true;
static size_t drained, reloaded;
static char ready_file[] = "/tmp/assay-ready-XXXXXX";

static struct outcome {
    size_t count;
    enum err err;
    int status;
    char body[4096];
} last;

static void on_hold(void *service, struct http_request *req)
{
    (void)service;
    held = req;
}

static const struct http_route routes[] = { { "GET", "/hold", on_hold, 0 } };

static bool check_database(void *arg, struct why *detail)
{
    (void)arg;
    if (!is_database_up)
        err_set(detail, ERR_UNAVAILABLE, "no connection");
    return is_database_up;
}

static void count_up(void *arg)
{
    (*(size_t *)arg)++;
}

static struct http_client *client_of(int port)
{
    struct http_client *c;
    char address[64];

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    cr_assert_eq(
        http_client_open(&c, service_loop(app), &(struct http_client_conf){ .address = address }, &why),
        ERR_OK);
    return c;
}

/* The admin port is where the ready file says it is. */
static int read_ready_file(const char *key)
{
    char line[64];
    FILE *f = fopen(ready_file, "r");
    int value = 0;

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            value = atoi(line + strlen(key));
    if (f)
        fclose(f);
    return value;
}

static void setup(void)
{
    char *argv[] = { (char *)(uintptr_t) "sample", NULL };
    int fd = mkstemp(ready_file);

    close(fd);
    unlink(ready_file);
    setenv("ASSAY_READY_FILE", ready_file, 1);
    setenv("ASSAY_LOG_LEVEL", "error", 1);
    app = service_open(1, argv, &about, &conf);
    service_check(app, "database", check_database, NULL);
    service_on_drain(app, count_up, &drained);
    service_on_reload(app, count_up, &reloaded);
    cr_assert_eq(service_listen(app, &(struct service_listener){ .routes = routes, .route_count = 1 }, &why),
                 ERR_OK, "%s", why.text);
    public_client = client_of(service_port(app));
}

static void teardown(void)
{
    http_client_close(public_client);
    http_client_close(admin_client);
    service_close(app);
    unlink(ready_file);
}

TestSuite(service, .init = setup, .fini = teardown, .timeout = 120);

static void on_done(void *arg, enum err err, const struct http_client_answer *a, const struct why *reason)
{
    (void)reason;
    last.count++;
    last.err = err;
    last.status = err ? 0 : a->status;
    snprintf(last.body, sizeof last.body, "%.*s", err ? 0 : (int)a->body.len, err ? "" : a->body.ptr);
    if (arg)
        service_stop(app);
}

static void get(struct http_client *client, const char *path, void *arg)
{
    http_client_send(client, &(struct http_client_request){ .method = "GET", .path = slice_str(path) },
                     on_done, arg);
}

static void ask_admin(const char *path)
{
    size_t n = last.count;

    get(admin_client, path, NULL);
    while (last.count == n)
        loop_turn(service_loop(app), true);
}

/* service_run() sets the poll that writes the ready file; a timer then hands the loop back to the test. */
static void give_back(void *arg)
{
    struct loop_timer *timer = arg;

    if (access(ready_file, R_OK) == 0 || !is_database_up)
        loop_stop(service_loop(app));
    else
        loop_timer_set(timer, MS_US);
}

static void run_for_a_while(void)
{
    struct loop_timer timer;

    loop_timer_init(&timer, service_loop(app), give_back, &timer);
    loop_timer_set(&timer, is_database_up ? MS_US : 60 * MS_US);
    service_run(app);
    loop_timer_release(&timer);
}

Test(service, says_when_it_is_ready_and_where)
{
    cr_assert_eq(conf.answer, 42);
    is_database_up = false;
    run_for_a_while();
    cr_assert_eq(access(ready_file, F_OK), -1);
    is_database_up = true;
    run_for_a_while();
    cr_assert_eq(read_ready_file("pid="), getpid());
    cr_assert_eq(read_ready_file("port="), service_port(app));
    admin_client = client_of(read_ready_file("admin_port="));
    ask_admin("/livez");
    cr_assert_eq(last.status, 200);
    ask_admin("/readyz");
    cr_assert_eq(last.status, 200);
    is_database_up = false;
    ask_admin("/readyz?verbose");
    cr_assert_eq(last.status, 503);
    cr_assert_str_eq(last.body, "[-] database: no connection\nnot ready\n");
    ask_admin("/metrics");
    cr_assert_eq(last.status, 200);
    cr_assert(strstr(last.body, "# TYPE"), "%s", last.body);
}

static void reply_late(void *arg)
{
    (void)arg;
    http_reply(held, &(struct http_reply){ .status = 204 });
}

static void stop_when_held(void *arg)
{
    struct loop_timer *timer = arg;

    if (!held) {
        loop_timer_set(timer, MS_US);
        return;
    }
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    timer->run = reply_late;
    loop_timer_set(timer, 50 * MS_US);
}

Test(service, finishes_what_is_in_hand_when_it_is_told_to_stop)
{
    struct loop_timer timer;

    loop_timer_init(&timer, service_loop(app), stop_when_held, &timer);
    loop_timer_set(&timer, MS_US);
    get(public_client, "/hold", NULL);
    service_run(app);
    for (int i = 0; i < 100 && !last.count; i++)
        loop_turn(service_loop(app), false);
    cr_assert_eq(last.count, 1);
    cr_assert_eq(last.status, 204);
    cr_assert_eq(drained, 1);
    cr_assert_eq(reloaded, 1);
    cr_assert(service_is_draining(app));
    cr_assert_not(service_is_ready(app));
    loop_timer_release(&timer);
}

static void let_go(void *arg)
{
    (void)arg;
    service_let_go(app);
}

Test(service, stays_as_long_as_something_holds_it)
{
    struct loop_timer timer;
    int64_t at = clock_mono_us();

    loop_timer_init(&timer, service_loop(app), let_go, NULL);
    loop_timer_set(&timer, 50 * MS_US);
    service_hold(app);
    service_stop(app);
    service_run(app);
    cr_assert_geq(clock_mono_us() - at, 50 * MS_US);
    loop_timer_release(&timer);
}
