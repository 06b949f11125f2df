/* SPDX-License-Identifier: Apache-2.0
 * service.h - what every service's main() repeats: settings and --help, log, loop, signals, the admin
 * listener, readiness, and a graceful end.
 *
 *   int main(int argc, char **argv)
 *   {
 *       struct scoring s = { 0 };
 *       struct why why = { 0 };
 *       struct service *app = service_open(argc, argv, &about, &s.conf);
 *
 *       must(pg_pool_open(&s.pg, service_loop(app), s.conf.pg_url, &why), "reach PostgreSQL", &why);
 *       service_check(app, "postgres", is_pg_ready, &s);
 *       must(service_listen(app, &listener, &why), "listen", &why);
 *       service_run(app);                  until SIGTERM and the last reply in flight
 *       pg_pool_close(s.pg);
 *       service_close(app);
 *       return EXIT_SUCCESS;
 *   }
 *
 * Settings that every service has, beside its own (NAME is the service's, in upper case):
 *   ASSAY_NAME_PORT, ASSAY_BIND               the public listener; loopback by default; port 0: any
 *   ASSAY_NAME_ADMIN_PORT, ASSAY_ADMIN_BIND   /livez, /readyz?verbose and /metrics
 *   ASSAY_LOG_LEVEL                           debug, info, warn or error
 *   ASSAY_READY_FILE                          written once, when ready: pid=, port=, admin_port=, a line each
 *   ASSAY_DRAIN_LIMIT                         after SIGTERM, how long what is in flight may take
 *   ASSAY_TLS_CERT, ASSAY_TLS_KEY             who this is to the other services (key: in CERT, if not given);
 *   ASSAY_TLS_CA, ASSAY_TLS_ALLOW             whom it trusts, and by which names they may call: mutual TLS
 *   ASSAY_NAME_HTTPS_CERT, _HTTPS_KEY         at the edge, what callers from outside see
 *   ASSAY_OTLP_ENDPOINT, ASSAY_OTLP_CA        the OpenTelemetry collector that gets spans
 *   ASSAY_TRACE_SHARE                         how many of the requests without traceparent are traced
 *   ASSAY_ALLOW_CLEARTEXT                     without it a public listener in the clear stays on loopback
 *
 * SIGTERM and SIGINT: /readyz says no, the drain hooks run, the listener closes, what is in flight ends, and
 * service_run() returns. SIGHUP: certificates are looked at and the reload hooks run. */
#ifndef ASSAY_APP_SERVICE_H
#define ASSAY_APP_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "grpc/server.h"
#include "http/server.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct service;

struct service_about {
    const char *name;              /* "scoring" */
    const char *purpose;           /* one line for --help */
    const char *port, *admin_port; /* the fallbacks: "9002", "9102"; port NULL: it has no public listener */
    bool is_edge; /* callers come from outside: HTTPS with a certificate of its own, and none of theirs */
    const struct conf_field *settings;
    size_t setting_count;
};

/* Ends the process when the settings cannot be read (status 1), for --help (0) and for other arguments (2).
 * Fills `settings` by the table. The rest of the process uses service_loop(). */
struct service *service_open(int argc, char **argv, const struct service_about *about, void *settings);
struct loop *service_loop(struct service *app);
struct metrics *service_metrics(struct service *app);
/* Where spans go (trace/span.h), NULL: nowhere; gRPC methods have theirs recorded. And the share of the traces which
 * begin here that is sampled. */
struct spans *service_spans(struct service *app);
double service_trace_share(struct service *app);

/* Readiness by name: the service is ready when every check says yes. `detail` may get a short reason for
 * /readyz?verbose. Asked on each probe, so it must only look, not wait. */
typedef bool service_check_fn(void *arg, struct why *detail);
void service_check(struct service *app, const char *name, service_check_fn *check, void *arg);
bool service_is_ready(struct service *app);

/* Drain hooks run once, in the order they were added; one that needs time holds the service and lets go when
 * done. */
typedef void service_hook_fn(void *arg);
void service_on_drain(struct service *app, service_hook_fn *hook, void *arg);
void service_on_reload(struct service *app, service_hook_fn *hook, void *arg);
void service_hold(struct service *app);
void service_let_go(struct service *app);
bool service_is_draining(const struct service *app);

/* What the public listener answers: REST routes, gRPC methods, or both on the same port. All is borrowed for
 * ever. Health/Check says what /readyz says. */
struct service_listener {
    const struct http_route *routes;
    size_t route_count;
    const struct grpc_method *methods;
    size_t method_count;
    void *service; /* what the handlers get */
    /* 0: the defaults of http/server.h and grpc/server.h */
    size_t max_body_bytes, max_connections, max_per_address, max_streams;
    bool reuse_port;
};
/* Once, before service_run(). Errors are those of http_server_open(). */
MUST_USE enum err service_listen(struct service *app, const struct service_listener *listener,
                                 struct why *why);
/* Bind address and TLS of the public listener, for one more listener beside it. */
struct http_server_conf service_http_conf(const struct service *app);
/* How to call other services: http_client_conf.tls. */
struct tls *service_client_tls(const struct service *app);
/* The server beneath, and the port it really has; NULL and 0 before service_listen(). */
struct http_server *service_http(struct service *app);
int service_port(const struct service *app);

/* Runs the loop until the service was told to stop and nothing holds it any more. */
void service_run(struct service *app);
/* The same as SIGTERM. */
void service_stop(struct service *app);
void service_close(struct service *app);

#endif
