/* SPDX-License-Identifier: Apache-2.0
 * http_bench.c - requests a second and CPU a request of the HTTP server with a trivial handler, and of
 * nghttpd with a file of the same size, in the same minute. h2load is the client. On a busy machine only the
 * CPU column means something. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "http/server.h"

enum { PAYLOAD_BYTES = 512 };

static const struct {
    const char *label, *options;
    int requests;
    bool is_h2;
} cases[] = {
    { "HTTP/2, 16 connections x 32 streams", "-c16 -m32", 200000, true },
    { "HTTP/2, 1 connection x 1 stream", "-c1 -m1", 20000, true },
    { "HTTP/2, 16 x 32, POST of 512 bytes", "-c16 -m32 -d", 200000, true },
    { "HTTP/1.1, 16 connections", "-c16 --h1", 100000, false },
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

    if (pipe(pipes))
        return -1;
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(pipes[1]);
    }
    if (read(pipes[0], port, sizeof *port) != sizeof *port)
        child = -1;
    close(pipes[0]);
    close(pipes[1]);
    return child;
}

static pid_t start_nghttpd(const char *dir, int port)
{
    char number[16];
    pid_t child;

    snprintf(number, sizeof number, "%d", port);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("nghttpd", "nghttpd", "--no-tls", "-d", dir, number, (char *)NULL);
        _exit(127);
    }
    usleep(300000);
    return child;
}

/* Runs h2load; the line that has its rate. False when it failed. */
static bool load(const char *options, int requests, const char *dir, int port, char *rate, size_t size)
{
    char command[512], line[512];
    bool is_post = strstr(options, "-d") != NULL, is_done = false;
    FILE *pipe;

    snprintf(command, sizeof command, "h2load %s%s%s%s -n %d http://127.0.0.1:%d/payload 2>/dev/null",
             options, is_post ? " " : "", is_post ? dir : "", is_post ? "/payload" : "", requests, port);
    pipe = popen(command, "r");
    rate[0] = '\0';
    while (pipe && fgets(line, sizeof line, pipe)) {
        const char *comma = strchr(line, ',');

        if (strncmp(line, "finished in", 11) == 0 && comma)
            snprintf(rate, size, "%.*s", (int)strcspn(comma + 2, ","), comma + 2);
        is_done = is_done || strstr(line, ", 0 failed, 0 errored") != NULL;
    }
    if (pipe)
        pclose(pipe);
    return is_done;
}

static double cpu_us(pid_t pid)
{
    char path[64];
    long user = 0, system = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system) != 2)
        user = system = 0;
    fclose(f);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void end(pid_t child)
{
    if (child <= 0)
        return;
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
}

int main(void)
{
    char dir[] = "/tmp/assay-bench-XXXXXX", path[64], rate[64];
    int port;
    pid_t ours, theirs;
    FILE *f;

    if (!mkdtemp(dir))
        return EXIT_FAILURE;
    memset(payload, 'x', sizeof payload);
    snprintf(path, sizeof path, "%s/payload", dir);
    f = fopen(path, "w");
    if (!f)
        return EXIT_FAILURE;
    fwrite(payload, 1, sizeof payload, f);
    fclose(f);
    ours = start_ours(&port);
    theirs = start_nghttpd(dir, port + 1);
    printf("%-38s %-10s %16s %16s\n", "", "", "requests/s", "CPU us/request");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int k = 0; k < 2; k++) {
            pid_t pid = k ? theirs : ours;
            double before = cpu_us(pid);

            if (k && !cases[i].is_h2)
                continue;
            if (!load(cases[i].options, cases[i].requests, dir, port + k, rate, sizeof rate))
                snprintf(rate, sizeof rate, "failed");
            printf("%-38s %-10s %16s %16.2f\n", k ? "" : cases[i].label, k ? "nghttpd" : "assay", rate,
                   (cpu_us(pid) - before) / cases[i].requests);
            fflush(stdout);
        }
    }
    end(ours);
    end(theirs);
    unlink(path);
    rmdir(dir);
    return EXIT_SUCCESS;
}
