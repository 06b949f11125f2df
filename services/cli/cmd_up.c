/* SPDX-License-Identifier: Apache-2.0
 * cmd_up.c - `assay up`: starts everything on this machine, and says where it is. */
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "certs.h"
#include "health.h"
#include "home.h"
#include "layout.h"
#include "leftovers.h"
#include "reach.h"
#include "supervisor.h"
#include "webhook_key.h"

struct up {
    const char *home;
    int64_t ingestion, timeout_s;
    bool has_free_ports, has_standby, has_tls, waits, is_in_background;
};

static const struct option options[] = {
    { "home", OPTION_TEXT, offsetof(struct up, home), "DIR",
      "where everything is kept (ASSAY_HOME, else ./var)" },
    { "ingestion", OPTION_INT, offsetof(struct up, ingestion), "N", "ingestion processes side by side (1)" },
    { "standby", OPTION_FLAG, offsetof(struct up, has_standby), NULL,
      "a second `features` that takes over when the first is gone" },
    { "tls", OPTION_FLAG, offsetof(struct up, has_tls), NULL,
      "HTTPS, and mutual TLS inside; certificates are made when there are none" },
    { "free-ports", OPTION_FLAG, offsetof(struct up, has_free_ports), NULL,
      "any free ports, as `assay status --json` tells them" },
    { "wait", OPTION_FLAG, offsetof(struct up, waits), NULL,
      "return when all are ready (it does so anyway)" },
    { "no-wait", OPTION_FLAG, offsetof(struct up, is_in_background), NULL, "return at once" },
    { "timeout", OPTION_INT, offsetof(struct up, timeout_s), "SECONDS", "how long to wait (120)" },
};

static const struct up defaults = { .ingestion = 1, .timeout_s = 120 };

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

struct look {
    struct state state;
    enum health health[PROCESSES_MAX], told[PROCESSES_MAX];
    struct why detail[PROCESSES_MAX];
};

/* Whether all are as they should be; tells of each when it gets there. */
static bool look(struct look *l)
{
    const struct state *s = &l->state;

    for (size_t i = 0; i < s->process_count; i++) {
        l->health[i] = health_of(&s->processes[i], &l->detail[i]);
        if (l->health[i] == l->told[i] || l->health[i] < HEALTH_NO_MODEL)
            continue;
        l->told[i] = l->health[i];
        printf("  %-18s %s\n", s->processes[i].name,
               s->processes[i].phase == PROCESS_DONE ? "done" : health_name(l->health[i]));
    }
    fflush(stdout);
    return health_is_up(s, l->health);
}

static void print_urls(const struct look *l, const char *home)
{
    const struct state *s = &l->state;
    char url[REACH_URL_BYTES];

    printf("\nAssay is up in %s\n", home);
    for (size_t i = 0; i < s->process_count; i++) {
        const struct process_state *p = &s->processes[i];

        if (strncmp(p->name, "ingestion", strlen("ingestion")) != 0)
            continue;
        reach_url(s, p->port, url);
        printf("  API      %s/v1/transactions\n  metrics  http://127.0.0.1:%d/metrics\n", url, p->admin_port);
    }
    if (s->is_tls)
        printf("  trust    curl --cacert %s/certs/ca.pem\n", home);
    printf("  health   assay status    what they write: assay logs -f    end: assay down\n"
           "  a key    assay accounts create shop && assay keys create shop\n");
    if (!health_is_well(s, l->health))
        printf("  a model  none yet, so decisions come from rules and policy: assay help train\n");
    if (!getenv("ASSAY_HOME"))
        printf("  in another shell or directory: export ASSAY_HOME=%s\n", home);
}

static enum exit_code complain(const struct look *l, const char *home, int64_t timeout_s)
{
    fprintf(stderr, "assay: not ready after %lld s:\n", (long long)timeout_s);
    for (size_t i = 0; i < l->state.process_count; i++) {
        const struct process_state *p = &l->state.processes[i];

        if (l->health[i] != HEALTH_READY)
            fprintf(stderr, "  %-18s %s, %lld restarts; %s (see %s/log/%s.log)\n", p->name,
                    health_name(l->health[i]), (long long)p->restarts, l->detail[i].text, home, p->name);
    }
    return EXIT_FAILED;
}

static enum exit_code wait_until_up(const char *home, int64_t timeout_s)
{
    int64_t until = clock_mono_us() + timeout_s * SECOND_US;
    struct look *l = mem_new(struct look);
    enum exit_code code = EXIT_FAILED;

    for (;;) {
        if (!state_read(home, &l->state, NULL) && look(l)) {
            print_urls(l, home);
            code = EXIT_DONE;
            break;
        }
        if (!home_is_locked(home)) {
            command_fail(code, "the supervisor has ended: see %s/log/supervisor.log", home);
            break;
        }
        if (clock_mono_us() > until) {
            code = complain(l, home, timeout_s);
            break;
        }
        pause_ms(50);
    }
    mem_free(l);
    return code;
}

static enum err make_certificates(const char *home, struct why *why)
{
    char dir[PATH_MAX];

    if (!home_path(dir, home, "certs"))
        return err_set(why, ERR_INVALID, "%s is too long", home);
    return certs_init(dir, &certs_usual, NULL, why);
}

static enum exit_code start(const struct up *up, const char *home)
{
    struct layout_wish wish = {
        .home = home,
        .pg_url = getenv("ASSAY_PG_URL"),
        .ingestion = up->ingestion,
        .has_standby = up->has_standby,
        .has_tls = up->has_tls,
        .has_free_ports = up->has_free_ports,
    };
    struct arena arena = { 0 };
    struct why why = { 0 };
    struct plan plan;
    int lock = -1;
    enum err err = home_lock(home, &lock, &why);

    if (!err)
        err = leftovers_end(home, &why);
    if (!err && up->has_tls)
        err = make_certificates(home, &why);
    if (!err)
        err = webhook_key_make(home, &why);
    if (!err)
        err = layout_make(&plan, &wish, &arena, &why);
    if (!err)
        err = supervisor_start(&plan, lock, &why);
    else if (lock >= 0)
        close(lock);
    arena_release(&arena);
    return err ? command_fail(EXIT_FAILED, "%s", why.text) : EXIT_DONE;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct up *up = settings;
    char home[PATH_MAX];
    struct why why = { 0 };
    enum exit_code code = EXIT_DONE;

    (void)operands;
    (void)operand_count;
    if (home_open(home, up->home, &why))
        return command_fail(EXIT_FAILED, "%s", why.text);
    if (home_is_locked(home))
        printf("Assay runs in %s already.\n", home);
    else
        code = start(up, home);
    if (code || up->is_in_background)
        return code;
    return wait_until_up(home, up->timeout_s);
}

const struct command cmd_up = {
    .name = "up",
    .operands = "",
    .purpose = "Start everything on this machine and wait until it is ready",
    .text = "Starts a private PostgreSQL (unless ASSAY_PG_URL names one), brings its schema up to date, and\n"
            "then the services as children of a small supervisor that starts again what dies. Settings in\n"
            "the environment (ASSAY_...) reach the services; `ingestion --help` lists those of one.\n\n"
            "  assay up                            in ./var, API on port 8080\n"
            "  assay up --ingestion 2 --standby    two ingestion processes, a features standby\n"
            "  assay up --tls                      HTTPS, and mutual TLS between the services\n"
            "  assay up --home /tmp/x --free-ports beside another installation; see `assay status --json`",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct up),
    .defaults = &defaults,
    .run = run,
};
