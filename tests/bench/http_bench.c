/* SPDX-License-Identifier: Apache-2.0
 * http_bench.c - requests a second and CPU a request of the HTTP server with a trivial handler, and of
 * nghttpd with a file of the same size, turn by turn. h2load is the client of both. On a busy machine only
 * the CPU means something. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "bench/child.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "http/server.h"

enum { PAYLOAD_BYTES = 512, ROUNDS = 3, OPTIONS = 4 };

static const struct {
    const char *name, *options[OPTIONS];
    size_t requests;
    bool is_post, is_h1;
} cases[] = {
    { "HTTP/2, 16 connections x 32 streams", { "-c16", "-m32" }, 50000, false, false },
    { "HTTP/2, 1 connection x 1 stream", { "-c1", "-m1" }, 5000, false, false },
    { "HTTP/2, 16 x 32, POST of 512 bytes", { "-c16", "-m32" }, 50000, true, false },
    { "HTTP/1.1, 16 connections", { "-c16", "--h1" }, 30000, false, true },
};

static struct loop *loop;
static struct http_server *server;
static char payload[PAYLOAD_BYTES];

static void on_payload(void *service, struct http_request *req)
{
    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200,
                                          .type = "application/json",
                                          .body = slice_of(payload, sizeof payload) });
}

static const struct http_route routes[] = {
    { "GET", "/payload", on_payload, 0 },
    { "POST", "/payload", on_payload, 0 },
};

static void stop_loop(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

static void serve(int tell_port)
{
    struct metrics *metrics = metrics_new();
    struct why why = { 0 };
    int port;

    if (loop_open(&loop, &why) ||
        http_server_open(&server, loop, &(struct http_server_conf){ 0 }, metrics, &why)) {
        fprintf(stderr, "%s\n", why.text);
        _exit(EXIT_FAILURE);
    }
    http_server_add_routes(server, routes, ARRAY_LEN(routes), NULL);
    loop_on_stop(loop, stop_loop, NULL);
    port = http_server_port(server);
    if (write(tell_port, &port, sizeof port) != sizeof port)
        _exit(EXIT_FAILURE);
    loop_run(loop);
    http_server_close(server);
    metrics_free(metrics);
    loop_close(loop);
    _exit(EXIT_SUCCESS);
}

/* Our server in a child; its port in *port. */
static pid_t start_ours(int *port)
{
    int pipes[2];
    pid_t child;

    if (pipe(pipes) || (child = fork()) < 0)
        bench_fail("http: cannot start a server");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(pipes[1]);
    }
    if (read(pipes[0], port, sizeof *port) != sizeof *port)
        bench_fail("http: the server does not say its port");
    close(pipes[0]);
    close(pipes[1]);
    return child;
}

struct server_figures {
    double requests_per_s, cpu_us; /* the best round's; of all */
};

/* The best round of a server, and its CPU over all. */
static void measure(struct server_figures *f, size_t i, pid_t pid, int port, const char *body)
{
    double before = child_cpu_us(pid, false);
    struct h2load h = h2load_run(port, "/payload", cases[i].requests, cases[i].options,
                                 cases[i].is_post ? body : NULL, false);

    if (!h.is_good)
        bench_fail("http: not all requests were answered: %s", cases[i].name);
    if (h.requests_per_s > f->requests_per_s)
        f->requests_per_s = h.requests_per_s;
    f->cpu_us += (child_cpu_us(pid, false) - before) / (double)cases[i].requests / ROUNDS;
}

static void report_case(size_t i, const struct server_figures *ours, const struct server_figures *theirs)
{
    const char *against = theirs->requests_per_s > 0 ? "nghttpd, the same payload" : NULL;
    char name[96];

    snprintf(name, sizeof name, "http/%s", cases[i].name);
    report(&(struct result){ .name = name,
                             .value = ours->requests_per_s,
                             .unit = "requests/s",
                             .baseline = theirs->requests_per_s,
                             .against = against });
    snprintf(name, sizeof name, "http/%s, CPU", cases[i].name);
    report(&(struct result){
        .name = name, .value = ours->cpu_us, .unit = "us", .baseline = theirs->cpu_us, .against = against });
}

int main(void)
{
    char dir[] = "/tmp/assay-bench-http.XXXXXX", path[64];
    struct nghttpd theirs;
    pid_t ours;
    int port;

    if (!nghttpd_is_there()) {
        report_skipped("http", "nghttpd or h2load is not installed");
        return EXIT_SUCCESS;
    }
    if (!mkdtemp(dir))
        bench_fail("http: no room in /tmp");
    memset(payload, 'x', sizeof payload);
    snprintf(path, sizeof path, "%s/payload", dir);
    write_file(path, slice_of(payload, sizeof payload));
    ours = start_ours(&port);
    nghttpd_start(&theirs, dir);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct server_figures a = { 0 }, b = { 0 };

        for (int round = 0; round < ROUNDS; round++) {
            measure(&a, i, ours, port, path);
            if (!cases[i].is_h1)
                measure(&b, i, theirs.pid, theirs.port, path);
        }
        report_case(i, &a, &b);
    }
    child_end(ours, false);
    nghttpd_end(&theirs);
    unlink(path);
    rmdir(dir);
    return EXIT_SUCCESS;
}
