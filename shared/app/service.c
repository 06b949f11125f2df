/* SPDX-License-Identifier: Apache-2.0 */
#include "app/service.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/identity.h"
#include "app/must.h"
#include "app/tracing.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"
#include "log/log.h"

enum { CHECKS_MAX = 16, HOOKS_MAX = 16, NAME_BYTES = 64, OWN_FIELDS = 4, READY_POLL_US = 20 * 1000 };

struct common_settings {
    int64_t port, admin_port, drain_limit_ms;
    const char *bind, *admin_bind, *log_level, *ready_file;
    struct identity_settings identity;
    struct tracing_settings tracing;
};

struct check {
    const char *name;
    service_check_fn *check;
    void *arg;
};

struct hook {
    service_hook_fn *run;
    void *arg;
};

struct service {
    const struct service_about *about;
    char own_names[OWN_FIELDS][NAME_BYTES]; /* of settings with the service's name in them */
    struct common_settings conf;

    struct loop *loop;
    struct metrics *metrics;
    struct identity *identity;
    struct tracing *tracing;
    struct http_server *admin, *http;
    struct grpc_server *grpc;

    struct check checks[CHECKS_MAX];
    size_t check_count;
    struct hook drain_hooks[HOOKS_MAX], reload_hooks[HOOKS_MAX];
    size_t drain_hook_count, reload_hook_count;

    struct loop_timer ready_poll, drain_limit;
    bool was_ready, is_draining, is_flushing;
    size_t holds;
};

/* ---- settings ---- */

static void setting_name(char name[NAME_BYTES], const char *service, const char *what)
{
    snprintf(name, NAME_BYTES, "%s_%s", service, what);
    for (char *p = name; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

#define AT(field) offsetof(struct common_settings, field)
static const struct conf_field common_fields[] = {
    { "BIND", CONF_TEXT, AT(bind), "127.0.0.1", "address or host name of the public listener", 0, 0 },
    { "ADMIN_BIND", CONF_TEXT, AT(admin_bind), "127.0.0.1", "address or host name of the admin listener", 0,
      0 },
    { "LOG_LEVEL", CONF_TEXT, AT(log_level), "info", "debug, info, warn or error", 0, 0 },
    { "READY_FILE", CONF_TEXT, AT(ready_file), "", "written once, when ready", 0, 0 },
    { "DRAIN_LIMIT", CONF_DURATION_MS, AT(drain_limit_ms), "10s", "longest graceful end", 0, 0 },
    { "TLS_CERT", CONF_TEXT, AT(identity.cert), "",
      "PEM file, who this is to other services: certificate, chain, key; turns mutual TLS on", 0, 0 },
    { "TLS_KEY", CONF_TEXT, AT(identity.key), "", "PEM file of its key, if that is another file", 0, 0 },
    { "TLS_CA", CONF_TEXT, AT(identity.ca), "", "PEM file, authorities of the other services", 0, 0 },
    { "TLS_ALLOW", CONF_TEXT, AT(identity.allow), "ingestion,assay,dashboard",
      "names of certificates that may call here", 0, 0 },
    { "ALLOW_CLEARTEXT", CONF_BOOL, AT(identity.allows_cleartext), "false",
      "listen beyond loopback without TLS", 0, 0 },
    { "OTLP_ENDPOINT", CONF_TEXT, AT(tracing.endpoint), "",
      "URL of an OpenTelemetry collector, \"http://collector:4318\", which gets spans", 0, 0 },
    { "OTLP_CA", CONF_TEXT, AT(tracing.ca), "", "PEM file, authorities of the collector; empty: the system's",
      0, 0 },
    { "TRACE_SHARE", CONF_TEXT, AT(tracing.share), "0",
      "share of the requests without traceparent that are traced, 0 to 1", 0, 0 },
};

/* Those whose names have the service's in them. */
static size_t own_fields(struct service *app, struct conf_field fields[OWN_FIELDS])
{
    const struct service_about *about = app->about;
    const struct {
        bool is_there;
        struct conf_field field;
    } rows[OWN_FIELDS] = {
        { about->port,
          { "PORT", CONF_INT, AT(port), about->port, "TCP port of the public listener; 0: any", 0, 65535 } },
        { true,
          { "ADMIN_PORT", CONF_INT, AT(admin_port), about->admin_port,
            "TCP port of /livez, /readyz and /metrics; 0: any", 0, 65535 } },
        { about->is_edge,
          { "HTTPS_CERT", CONF_TEXT, AT(identity.https_cert), "",
            "PEM file, what callers see: certificate, chain, key; turns HTTPS on", 0, 0 } },
        { about->is_edge,
          { "HTTPS_KEY", CONF_TEXT, AT(identity.https_key), "",
            "PEM file of its key, if that is another file", 0, 0 } },
    };
    size_t n = 0;

    for (size_t i = 0; i < OWN_FIELDS; i++)
        if (rows[i].is_there) {
            setting_name(app->own_names[n], about->name, rows[i].field.name);
            fields[n] = rows[i].field;
            fields[n].name = app->own_names[n];
            n++;
        }
    return n;
}
#undef AT

static void print_help(const struct service_about *about, const struct conf_field *own, size_t own_count)
{
    printf("%s - %s\n\nIt takes no arguments; its settings come from the environment. Any of them may be "
           "given as\n"
           "a file instead: ASSAY_NAME_FILE=/path.\n\n",
           about->name, about->purpose);
    conf_print(stdout, own, own_count);
    conf_print(stdout, about->settings, about->setting_count);
    conf_print(stdout, common_fields, ARRAY_LEN(common_fields));
}

static void load_settings(struct service *app, int argc, char **argv, void *settings)
{
    const struct service_about *about = app->about;
    struct conf_field own[OWN_FIELDS];
    size_t own_count = own_fields(app, own);
    enum log_level level = LOG_INFO;
    struct why why = { 0 };

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help(about, own, own_count);
        exit(EXIT_SUCCESS);
    }
    if (argc > 1) {
        fprintf(stderr, "%s takes no arguments; see %s --help\n", about->name, argv[0]);
        exit(2);
    }
    must(conf_load(&app->conf, own, own_count, &why), "read settings", &why);
    must(conf_load(&app->conf, common_fields, ARRAY_LEN(common_fields), &why), "read settings", &why);
    if (!log_level_find(slice_str(app->conf.log_level), &level))
        must(err_set(&why, ERR_INVALID, "ASSAY_LOG_LEVEL=%s is none", app->conf.log_level), "read settings",
             &why);
    log_open(about->name, level);
    if (about->setting_count)
        must(conf_load(settings, about->settings, about->setting_count, &why), "read settings", &why);
}

/* ---- the admin listener ---- */

static void on_livez(void *arg, struct http_request *req)
{
    (void)arg;
    http_reply(req, &(struct http_reply){ .status = 200, .type = "text/plain", .body = SLICE("ok\n") });
}

/* Asks every check; when `out` is given, a line for each. */
static bool ask_checks(struct service *app, struct buf *out)
{
    bool is_ready = !app->is_draining;

    if (out && app->is_draining)
        buf_add_str(out, "[-] stopping\n");
    for (size_t i = 0; i < app->check_count; i++) {
        const struct check *c = &app->checks[i];
        struct why detail = { 0 };
        bool is_good = c->check(c->arg, &detail);

        is_ready = is_ready && is_good;
        if (out)
            buf_printf(out, "[%c] %s%s%s\n", is_good ? '+' : '-', c->name, *detail.text ? ": " : "",
                       detail.text);
    }
    return is_ready;
}

static void on_readyz(void *arg, struct http_request *req)
{
    struct service *app = arg;
    struct buf text;
    bool is_ready;

    buf_init(&text, 0);
    is_ready = ask_checks(app, http_query(req, "verbose").ptr ? &text : NULL);
    buf_add_str(&text, is_ready ? "ready\n" : "not ready\n");
    http_reply(req, &(struct http_reply){
                        .status = is_ready ? 200 : 503, .type = "text/plain", .body = buf_slice(&text) });
    buf_release(&text);
}

static void on_metrics(void *arg, struct http_request *req)
{
    struct service *app = arg;
    struct buf text;

    buf_init(&text, 0);
    metrics_write(app->metrics, &text);
    http_reply(req,
               &(struct http_reply){ .status = 200, .type = METRICS_CONTENT_TYPE, .body = buf_slice(&text) });
    buf_release(&text);
}

static const struct http_route admin_routes[] = {
    { "GET", "/livez", on_livez, 0 },
    { "GET", "/readyz", on_readyz, 0 },
    { "GET", "/metrics", on_metrics, 0 },
};

static enum err open_admin(struct service *app, struct why *why)
{
    struct http_server_conf conf = {
        .name = "admin",
        .host = app->conf.admin_bind,
        .port = (int)app->conf.admin_port,
        .max_connections = 64,
    };
    enum err err = http_server_open(&app->admin, app->loop, &conf, app->metrics, why);

    if (!err)
        http_server_add_routes(app->admin, admin_routes, ARRAY_LEN(admin_routes), app);
    return err;
}

/* Always 1: the labels are what it says. */
static void tell_build(struct service *app)
{
    static const struct metric build[] = {
        { "assay_build_info",
          METRIC_GAUGE,
          "Which service of which version this is",
          { "service", "version" } },
    };
    struct metric_set *set = metrics_add(app->metrics, build, ARRAY_LEN(build));

    metric_put(set, 0, metric_series(set, 0, app->about->name, ASSAY_VERSION), 1);
}

/* ---- readiness ---- */

void service_check(struct service *app, const char *name, service_check_fn *check, void *arg)
{
    assert(app->check_count < CHECKS_MAX);
    app->checks[app->check_count++] = (struct check){ name, check, arg };
}

bool service_is_ready(struct service *app)
{
    return ask_checks(app, NULL);
}

static bool is_serving(void *arg)
{
    return service_is_ready(arg);
}

/* Whole or not at all: whoever waits for the file may read it as soon as it is there. */
static void write_ready_file(struct service *app)
{
    const char *path = app->conf.ready_file;
    char fresh[4096];
    FILE *f;
    bool is_good;

    if (!*path || (size_t)snprintf(fresh, sizeof fresh, "%s.%d", path, (int)getpid()) >= sizeof fresh)
        return;
    f = fopen(fresh, "w");
    is_good = f && fprintf(f, "pid=%d\nport=%d\nadmin_port=%d\n", (int)getpid(), service_port(app),
                           http_server_port(app->admin)) > 0;
    if (f && fclose(f))
        is_good = false;
    if (!is_good || rename(fresh, path))
        log_event(LOG_ERROR, "ready_file_failed", "path=%s why=%s", log_quoted(slice_str(path)),
                  log_quoted(slice_str(strerror(errno))));
}

static void on_ready_poll(void *arg)
{
    struct service *app = arg;

    if (app->is_draining)
        return;
    if (!service_is_ready(app)) {
        loop_timer_set(&app->ready_poll, READY_POLL_US);
        return;
    }
    app->was_ready = true;
    log_event(LOG_INFO, "ready", "port=%d admin_port=%d pid=%d", service_port(app),
              http_server_port(app->admin), (int)getpid());
    write_ready_file(app);
}

/* ---- the end ---- */

static void on_flushed(void *arg)
{
    struct service *app = arg;

    loop_stop(app->loop);
}

static void stop_when_free(struct service *app)
{
    if (!app->is_draining || app->holds || app->is_flushing)
        return;
    app->is_flushing = true;
    tracing_flush(app->tracing, on_flushed, app);
}

void service_hold(struct service *app)
{
    app->holds++;
}

void service_let_go(struct service *app)
{
    assert(app->holds);
    app->holds--;
    stop_when_free(app);
}

static void on_drained(void *arg)
{
    service_let_go(arg);
}

static void on_drain_limit(void *arg)
{
    struct service *app = arg;

    log_event(LOG_WARN, "drain_cut_short", "limit_ms=%lld holds=%zu", (long long)app->conf.drain_limit_ms,
              app->holds);
    loop_stop(app->loop);
}

static void on_stop(void *arg)
{
    struct service *app = arg;
    int64_t limit_us = app->conf.drain_limit_ms * MS_US;

    if (app->is_draining)
        return;
    log_event(LOG_INFO, "stopping", NULL);
    app->is_draining = true;
    loop_timer_set(&app->drain_limit, limit_us);
    service_hold(app); /* until all have been told */
    for (size_t i = 0; i < app->drain_hook_count; i++)
        app->drain_hooks[i].run(app->drain_hooks[i].arg);
    if (app->http) {
        service_hold(app);
        http_server_drain(app->http, limit_us, on_drained, app);
    }
    service_let_go(app);
}

static void on_reload(void *arg)
{
    struct service *app = arg;

    log_event(LOG_INFO, "reload", NULL);
    identity_look(app->identity);
    for (size_t i = 0; i < app->reload_hook_count; i++)
        app->reload_hooks[i].run(app->reload_hooks[i].arg);
}

void service_on_drain(struct service *app, service_hook_fn *hook, void *arg)
{
    assert(app->drain_hook_count < HOOKS_MAX);
    app->drain_hooks[app->drain_hook_count++] = (struct hook){ hook, arg };
}

void service_on_reload(struct service *app, service_hook_fn *hook, void *arg)
{
    assert(app->reload_hook_count < HOOKS_MAX);
    app->reload_hooks[app->reload_hook_count++] = (struct hook){ hook, arg };
}

bool service_is_draining(const struct service *app)
{
    return app->is_draining;
}

/* ---- the service ---- */

struct http_server_conf service_http_conf(const struct service *app)
{
    return (struct http_server_conf){ .name = app->about->name,
                                      .host = app->conf.bind,
                                      .tls = app->about->is_edge ? identity_edge(app->identity)
                                                                 : identity_services(app->identity) };
}

struct tls *service_client_tls(const struct service *app)
{
    return identity_services(app->identity);
}

static enum err open_identity(struct service *app, struct why *why)
{
    const struct identity_settings *settings = &app->conf.identity;
    enum err err = identity_open(&app->identity, settings, app->loop, app->metrics, why);

    if (err || !app->about->port)
        return err;
    return identity_check_bind(settings, service_http_conf(app).tls, app->conf.bind, why);
}

struct service *service_open(int argc, char **argv, const struct service_about *about, void *settings)
{
    struct service *app = mem_new(struct service);
    struct why why = { 0 };

    app->about = about;
    log_open(about->name, LOG_INFO);
    load_settings(app, argc, argv, settings);
    must(loop_open(&app->loop, &why), "open the event loop", &why);
    app->metrics = metrics_new();
    tell_build(app);
    must(open_identity(app, &why), "use TLS", &why);
    must(tracing_open(&app->tracing, &app->conf.tracing, app->loop, app->metrics, about->name, &why),
         "export spans", &why);
    must(open_admin(app, &why), "open the admin listener", &why);
    loop_timer_init(&app->ready_poll, app->loop, on_ready_poll, app);
    loop_timer_init(&app->drain_limit, app->loop, on_drain_limit, app);
    loop_on_stop(app->loop, on_stop, app);
    loop_on_reload(app->loop, on_reload, app);
    return app;
}

struct spans *service_spans(struct service *app)
{
    return tracing_spans(app->tracing);
}

double service_trace_share(struct service *app)
{
    return tracing_share(app->tracing);
}

struct loop *service_loop(struct service *app)
{
    return app->loop;
}

struct metrics *service_metrics(struct service *app)
{
    return app->metrics;
}

enum err service_listen(struct service *app, const struct service_listener *listener, struct why *why)
{
    struct http_server_conf conf = service_http_conf(app);
    struct grpc_server_conf grpc_conf = {
        .message_most = listener->max_body_bytes,
        .is_serving = is_serving,
        .arg = app,
        .spans = tracing_spans(app->tracing),
    };
    enum err err;

    conf.port = (int)app->conf.port;
    conf.reuse_port = listener->reuse_port;
    conf.max_body_bytes = listener->max_body_bytes;
    conf.max_connections = listener->max_connections;
    conf.max_per_address = listener->max_per_address;
    conf.max_streams = listener->max_streams;
    err = http_server_open(&app->http, app->loop, &conf, app->metrics, why);
    if (err)
        return err;
    if (listener->route_count)
        http_server_add_routes(app->http, listener->routes, listener->route_count, listener->service);
    if (listener->method_count) {
        app->grpc = grpc_server_new(app->http, &grpc_conf);
        grpc_server_add(app->grpc, listener->methods, listener->method_count, listener->service);
    }
    return ERR_OK;
}

struct http_server *service_http(struct service *app)
{
    return app->http;
}

int service_port(const struct service *app)
{
    return app->http ? http_server_port(app->http) : 0;
}

void service_run(struct service *app)
{
    loop_timer_set(&app->ready_poll, 0);
    loop_run(app->loop);
    log_event(LOG_INFO, "stopped", NULL);
}

void service_stop(struct service *app)
{
    on_stop(app);
}

void service_close(struct service *app)
{
    if (!app)
        return;
    http_server_close(app->http);
    http_server_close(app->admin);
    grpc_server_free(app->grpc);
    loop_timer_release(&app->ready_poll);
    loop_timer_release(&app->drain_limit);
    tracing_close(app->tracing);
    identity_close(app->identity);
    metrics_free(app->metrics);
    loop_close(app->loop);
    mem_free(app);
}
