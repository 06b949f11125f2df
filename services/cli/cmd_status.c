/* SPDX-License-Identifier: Apache-2.0
 * cmd_status.c - `assay status`: how every process is. */
#include "command.h"

#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "health.h"
#include "home.h"
#include "reach.h"

struct status {
    const char *home;
    bool as_json;
};

static const struct option options[] = {
    { "home", OPTION_TEXT, offsetof(struct status, home), "DIR", "where it runs (ASSAY_HOME, else ./var)" },
    { "json", OPTION_FLAG, offsetof(struct status, as_json), NULL, "as JSON" },
};

struct look {
    struct state state;
    enum health health[PROCESSES_MAX];
    struct why detail[PROCESSES_MAX];
    bool is_up, is_well;
};

static void print_since(int64_t us)
{
    int64_t s = us / SECOND_US;

    if (s < 120)
        printf("%5llds", (long long)s);
    else if (s < 7200)
        printf("%5lldm", (long long)(s / 60));
    else
        printf("%5lldh", (long long)(s / 3600));
}

static void print_table(const struct look *l, const char *home)
{
    int64_t now = clock_wall_us();

    printf("%s\n%-18s %-10s %8s %6s %6s %8s %6s\n", home, "NAME", "HEALTH", "PID", "PORT", "ADMIN",
           "RESTARTS", "SINCE");
    for (size_t i = 0; i < l->state.process_count; i++) {
        const struct process_state *p = &l->state.processes[i];

        printf("%-18s %-10s %8d %6d %6d %8lld ", p->name,
               p->phase == PROCESS_DONE ? "done" : health_name(l->health[i]), (int)p->pid, p->port,
               p->admin_port, (long long)p->restarts);
        print_since(now - p->since_us);
        printf("%s%s\n", *l->detail[i].text ? "  " : "", l->detail[i].text);
    }
}

static json_t *process_json(const struct state *s, const struct process_state *p, enum health h,
                            const char *detail)
{
    json_t *row =
        json_pack("{s:s s:s s:s s:b s:i s:i s:i s:I s:I}", "name", p->name, "phase",
                  process_phase_name(p->phase), "health", health_name(h), "is_ready", h == HEALTH_READY,
                  "pid", (int)p->pid, "port", p->port, "admin_port", p->admin_port, "restarts",
                  (json_int_t)p->restarts, "since_us", (json_int_t)p->since_us);
    char url[REACH_URL_BYTES];

    if (p->port) {
        reach_url(s, p->port, url);
        json_object_set_new(row, "url", json_string(url));
    }
    if (p->admin_port) {
        snprintf(url, sizeof url, "http://127.0.0.1:%d", p->admin_port);
        json_object_set_new(row, "admin_url", json_string(url));
    }
    if (*detail)
        json_object_set_new(row, "detail", json_string(detail));
    return row;
}

static void print_json(const struct look *l, const char *home)
{
    json_t *processes = json_array(), *root;

    for (size_t i = 0; i < l->state.process_count; i++)
        json_array_append_new(
            processes, process_json(&l->state, &l->state.processes[i], l->health[i], l->detail[i].text));
    root = json_pack("{s:s s:b s:b s:i s:s s:b s:o}", "home", home, "is_up", l->is_up, "is_ready", l->is_well,
                     "supervisor_pid", (int)l->state.supervisor_pid, "pg_url", l->state.pg_url, "is_tls",
                     l->state.is_tls, "services", processes);
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct status *status = settings;
    struct look *l = mem_new(struct look);
    char home[PATH_MAX] = "";
    enum exit_code code;

    (void)operands;
    (void)operand_count;
    l->is_up = home_find(home, status->home) && home_is_locked(home) && !state_read(home, &l->state, NULL);
    for (size_t i = 0; i < l->state.process_count; i++)
        l->health[i] = health_of(&l->state.processes[i], &l->detail[i]);
    l->is_well = l->is_up && health_is_well(&l->state, l->health);
    if (status->as_json)
        print_json(l, home);
    else if (l->is_up)
        print_table(l, home);
    else
        printf("Nothing runs in %s; `assay up` starts it.\n", *home ? home : "the home directory");
    code = l->is_well ? EXIT_DONE : EXIT_NOT_RUNNING;
    mem_free(l);
    return code;
}

const struct command cmd_status = {
    .name = "status",
    .operands = "",
    .purpose = "Show every process: health, pid, ports, restarts",
    .text =
        "Exit status 0 when all are ready, 3 when not, so that scripts can wait for it. \"no model\" is\n"
        "what scoring says before a model is promoted (`assay train --promote`), \"standby\" what a second\n"
        "features says while the first is active.\n\n"
        "  assay status --json | jq '.services[] | {name, port, is_ready}'",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct status),
    .run = run,
};
