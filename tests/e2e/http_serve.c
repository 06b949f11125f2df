/* SPDX-License-Identifier: Apache-2.0
 * http_serve.c - the HTTP and gRPC server with trivial handlers, for foreign test suites and for attacks:
 *
 *   http_serve [hasty] [FILE.pem]
 *
 * Prints its port, and a second one for TLS when a PEM file with certificate and key is given. GET and POST of
 * / and /big (1 MB), and grpc.health.v1.Health. `hasty` has short timeouts and few connections, so that an
 * attack ends while one waits. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "app/must.h"
#include "base/array.h"
#include "base/clock.h"
#include "grpc/server.h"
#include "http/server.h"
#include "http/tls.h"
#include "log/log.h"

enum { BIG_BYTES = 1000000 };

static struct loop *loop;
static char big[BIG_BYTES];

static void on_small(void *service, struct http_request *req)
{
    (void)service;
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = SLICE("hello") });
}

static void on_big(void *service, struct http_request *req)
{
    (void)service;
    http_reply(
        req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = slice_of(big, sizeof big) });
}

static const struct http_route routes[] = {
    { "GET", "/", on_small, 0 },
    { "POST", "/", on_small, 0 },
    { "GET", "/big", on_big, 0 },
};

static void stop(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

static struct http_server *serve(struct http_server_conf *conf, struct grpc_server **grpc)
{
    struct http_server *http;
    struct why why = { 0 };

    must(http_server_open(&http, loop, conf, NULL, &why), "listen", &why);
    http_server_add_routes(http, routes, ARRAY_LEN(routes), NULL);
    *grpc = grpc_server_new(http, NULL);
    printf("%d%c", http_server_port(http), conf->tls ? '\n' : ' ');
    return http;
}

int main(int argc, char **argv)
{
    struct http_server_conf conf = { .name = "clear" };
    struct http_server *servers[2] = { NULL };
    struct grpc_server *grpc[2] = { NULL };
    struct tls *tls = NULL;
    struct why why = { 0 };
    int at = 1;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    log_open("serve", LOG_INFO);
    must(loop_open(&loop, &why), "open a loop", &why);
    memset(big, 'x', sizeof big);
    if (at < argc && strcmp(argv[at], "hasty") == 0) {
        conf = (struct http_server_conf){ .name = "clear",
                                          .max_connections = 1000,
                                          .max_buffered_bytes = 64 << 20,
                                          .header_timeout_us = SECOND_US,
                                          .body_timeout_us = SECOND_US,
                                          .write_timeout_us = SECOND_US };
        at++;
    }
    servers[0] = serve(&conf, &grpc[0]);
    if (at < argc) {
        must(tls_open(&tls, &(struct tls_conf){ .cert = argv[at] }, &why), "read the certificate", &why);
        conf.name = "tls";
        conf.tls = tls;
        servers[1] = serve(&conf, &grpc[1]);
    } else {
        printf("0\n");
    }
    fflush(stdout);
    loop_on_stop(loop, stop, NULL);
    loop_run(loop);
    for (int i = 0; i < 2; i++) {
        http_server_close(servers[i]);
        grpc_server_free(grpc[i]);
    }
    tls_close(tls);
    loop_close(loop);
    return EXIT_SUCCESS;
}
