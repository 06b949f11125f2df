/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/slice.h"
#include "pg/cluster.h"
#include "webhook_key.h"

enum { INGESTION_MOST = 16, ENV_MOST = 16, ADMIN_STEP = 10 };

/* In the order of their start: those that are called before those that call. */
static const struct program {
    const char *name;
    int port, admin_port; /* port 0: it has an admin listener only */
    bool is_called;       /* the others get its address as ASSAY_NAME_ADDR */
} programs[] = {
    { "features", 9001, 9101, true },   { "scoring", 9002, 9102, true },    { "rules", 9003, 9103, true },
    { "ingestion", 8080, 9100, false }, { "retrainer", 9005, 9105, true },  { "shadow", 0, 9107, false },
    { "monitor", 9004, 9104, true },    { "dashboard", 8090, 9106, false },
};

/* Callers come from outside, so there may be several beside each other. */
static bool is_edge(const struct program *program)
{
    return strcmp(program->name, "ingestion") == 0;
}

struct maker {
    const struct layout_wish *wish;
    struct arena *arena;
    struct planned *processes;
    size_t count;
    char *common[ENV_MOST]; /* what all of them get */
    size_t common_count;
    char dir[PATH_MAX]; /* where the programs are */
};

static char *setting_name(struct maker *m, const char *program, const char *what)
{
    struct slice name = arena_printf(m->arena, "ASSAY_%s_%s", program, what);
    char *text = (char *)(uintptr_t)name.ptr;

    for (char *p = text; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return text;
}

static char *assignment(struct maker *m, const char *name, const char *value)
{
    return (char *)(uintptr_t)arena_printf(m->arena, "%s=%s", name, value).ptr;
}

/* A port that is free now, and stays marked as taken until `fds` are closed, so that no two are the same. */
static int free_port(int *fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&address, len) ||
        getsockname(*fd, (struct sockaddr *)&address, &len))
        return 0;
    return ntohs(address.sin_port);
}

static enum err choose_free_ports(struct maker *m, struct why *why)
{
    int fds[2 * PROCESSES_MAX];
    bool had_port;
    size_t n = 0;
    enum err err = ERR_OK;

    for (size_t i = 0; i < m->count && !err; i++) {
        struct planned *p = &m->processes[i];

        if (p->kind != PLANNED_SERVICE)
            continue;
        had_port = p->port != 0;
        if (had_port)
            p->port = free_port(&fds[n++]);
        p->admin_port = free_port(&fds[n++]);
        if ((had_port && !p->port) || !p->admin_port)
            err = err_set(why, ERR_UNAVAILABLE, "no free port: %s", strerror(errno));
    }
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return err;
}

/* What the environment says for it, else the fallback. */
static enum err wanted_port(struct maker *m, const char *program, const char *what, int fallback, int *port,
                            struct why *why)
{
    const char *name = setting_name(m, program, what), *text = getenv(name);
    int64_t value = fallback;

    if (text && (!slice_to_i64(slice_str(text), &value) || value < 1 || value > 65535))
        return err_set(why, ERR_INVALID, "%s=%s is no port", name, text);
    *port = (int)value;
    return ERR_OK;
}

static enum err add_service(struct maker *m, const struct program *program, int number, const char *suffix,
                            struct why *why)
{
    struct planned *p = &m->processes[m->count];
    const char *path = arena_printf(m->arena, "%s/%s", m->dir, program->name).ptr;
    enum err err;

    if (access(path, X_OK))
        return err_set(why, ERR_NOT_FOUND, "there is no %s (run `make`): %s", path, strerror(errno));
    *p = (struct planned){ .kind = PLANNED_SERVICE, .argv = { path } };
    snprintf(p->name, sizeof p->name, "%s%s", program->name, suffix);
    err = program->port ? wanted_port(m, program->name, "PORT", program->port, &p->port, why) : ERR_OK;
    if (!err)
        err = wanted_port(m, program->name, "ADMIN_PORT", program->admin_port, &p->admin_port, why);
    p->port += number * (is_edge(program) ? 1 : ADMIN_STEP);
    p->admin_port += number * ADMIN_STEP;
    m->count++;
    return err;
}

static enum err add_services(struct maker *m, struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; i < ARRAY_LEN(programs) && !err; i++) {
        const struct program *program = &programs[i];

        if (!is_edge(program)) {
            err = add_service(m, program, 0, "", why);
            if (!err && i == 0 && m->wish->has_standby)
                err = add_service(m, program, 1, "-standby", why);
            continue;
        }
        for (int n = 0; n < m->wish->ingestion && !err; n++) {
            char suffix[16] = "";

            if (n)
                snprintf(suffix, sizeof suffix, "-%d", n + 1);
            err = add_service(m, program, n, suffix, why);
        }
    }
    return err;
}

/* Where the others reach `program`: all its addresses, the first that takes a connection is used. What the
 * environment says is kept: there may be something between them. */
static void tell_address(struct maker *m, const char *program)
{
    struct slice addresses = { 0 };

    if (getenv(setting_name(m, program, "ADDR")))
        return;
    for (size_t i = 0; i < m->count; i++) {
        const struct planned *p = &m->processes[i];

        if (p->kind != PLANNED_SERVICE || strncmp(p->name, program, strlen(program)) != 0)
            continue;
        addresses = addresses.len ? arena_printf(m->arena, "%.*s,127.0.0.1:%d", SLICE_ARG(addresses), p->port)
                                  : arena_printf(m->arena, "127.0.0.1:%d", p->port);
    }
    m->common[m->common_count++] = assignment(m, setting_name(m, program, "ADDR"), addresses.ptr);
}

/* Who it is to the others; and, for what is called from outside, HTTPS, unless it has a certificate for that
 * already. At most three settings. */
static void tell_certificates(struct maker *m, const char *program, char **env)
{
    const char *https = setting_name(m, program, "HTTPS_CERT"), *certs = m->wish->home;
    bool is_from_outside = strcmp(program, "dashboard") == 0 || strcmp(program, "ingestion") == 0;
    size_t n = 0;

    env[n++] =
        assignment(m, "ASSAY_TLS_CERT", arena_printf(m->arena, "%s/certs/%s/tls.pem", certs, program).ptr);
    env[n++] =
        assignment(m, "ASSAY_TLS_CA", arena_printf(m->arena, "%s/certs/%s/ca.pem", certs, program).ptr);
    if (is_from_outside && !getenv(https))
        env[n] = assignment(m, https, arena_printf(m->arena, "%s/certs/edge/tls.pem", certs).ptr);
}

static void set_env(struct maker *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct planned *p = &m->processes[i];
        const char *program = p->argv[0] ? strrchr(p->argv[0], '/') + 1 : "";
        char **env = arena_new(m->arena, char *, ENV_MOST + 6), port[16];
        size_t n = 0;

        for (size_t k = 0; k < m->common_count; k++)
            env[n++] = m->common[k];
        if (p->kind == PLANNED_SERVICE) {
            if (p->port) {
                snprintf(port, sizeof port, "%d", p->port);
                env[n++] = assignment(m, setting_name(m, program, "PORT"), port);
            }
            snprintf(port, sizeof port, "%d", p->admin_port);
            env[n++] = assignment(m, setting_name(m, program, "ADMIN_PORT"), port);
            if (m->wish->has_tls)
                tell_certificates(m, program, &env[n]);
        }
        p->env = env;
    }
}

/* The built pages, beside the programs; nothing when they were not built, or the environment says where they are. */
static void tell_pages(struct maker *m)
{
    static const char *const places[] = { "../web", "../../web" };

    for (size_t i = 0; i < ARRAY_LEN(places) && !getenv("ASSAY_DASHBOARD_PAGES"); i++) {
        const char *place = arena_printf(m->arena, "%s/%s", m->dir, places[i]).ptr;

        if (access(arena_printf(m->arena, "%s/index.html", place).ptr, R_OK) == 0) {
            m->common[m->common_count++] = assignment(m, "ASSAY_DASHBOARD_PAGES", place);
            return;
        }
    }
}

/* Where backtests keep the history, as those of the command line do. */
static void tell_backtests(struct maker *m)
{
    if (!getenv("ASSAY_RULES_BACKTESTS"))
        m->common[m->common_count++] =
            assignment(m, "ASSAY_RULES_BACKTESTS", arena_printf(m->arena, "%s/backtests", m->wish->home).ptr);
}

static enum err find_programs(struct maker *m, struct why *why)
{
    ssize_t len = readlink("/proc/self/exe", m->dir, sizeof m->dir - 1);

    if (len <= 0)
        return err_set(why, ERR_NOT_FOUND, "/proc/self/exe: %s", strerror(errno));
    m->dir[len] = '\0';
    *strrchr(m->dir, '/') = '\0';
    return ERR_OK;
}

enum err layout_make(struct plan *plan, const struct layout_wish *wish, struct arena *arena, struct why *why)
{
    struct maker m = { .wish = wish, .arena = arena };
    struct cluster *cluster = NULL;
    enum err err;

    if (wish->ingestion < 1 || wish->ingestion > INGESTION_MOST)
        return err_set(why, ERR_INVALID, "1 to %d ingestion processes, please", INGESTION_MOST);
    m.processes = arena_new(arena, struct planned, PROCESSES_MAX);
    err = find_programs(&m, why);
    if (err)
        return err;
    plan->home = wish->home;
    plan->is_tls = wish->has_tls;
    plan->pg_url = wish->pg_url;
    if (!wish->pg_url || !*wish->pg_url) {
        err = cluster_open(&cluster, wish->home, false, why);
        if (err)
            return err;
        plan->pg_url = arena_strndup(arena, cluster_conninfo(cluster), strlen(cluster_conninfo(cluster)));
        cluster_close(cluster);
        m.processes[m.count++] = (struct planned){ .kind = PLANNED_POSTGRES, .name = "postgres" };
    }
    m.processes[m.count++] =
        (struct planned){ .kind = PLANNED_STEP,
                          .name = "migrate",
                          .argv = { arena_printf(arena, "%s/assay", m.dir).ptr, "migrate" } };
    err = add_services(&m, why);
    if (!err && wish->has_free_ports)
        err = choose_free_ports(&m, why);
    if (err)
        return err;
    m.common[m.common_count++] = assignment(&m, "ASSAY_HOME", wish->home);
    m.common[m.common_count++] = assignment(&m, "ASSAY_PG_URL", plan->pg_url);
    if (!getenv("ASSAY_WEBHOOK_KEY") && !getenv("ASSAY_WEBHOOK_KEY_FILE"))
        m.common[m.common_count++] = assignment(
            &m, "ASSAY_WEBHOOK_KEY_FILE", arena_printf(arena, "%s/%s", wish->home, WEBHOOK_KEY_FILE).ptr);
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        if (programs[i].is_called)
            tell_address(&m, programs[i].name);
    tell_backtests(&m);
    tell_pages(&m);
    set_env(&m);
    plan->processes = m.processes;
    plan->count = m.count;
    return ERR_OK;
}
