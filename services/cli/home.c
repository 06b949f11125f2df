/* SPDX-License-Identifier: Apache-2.0 */
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/slice.h"

static const char *const phase_names[] = {
    [PROCESS_WAITING] = "waiting",
    [PROCESS_RUNNING] = "running",
    [PROCESS_DONE] = "done",
};
static_assert(ARRAY_LEN(phase_names) == PROCESS_PHASE_COUNT, "every phase has a name");

const char *process_phase_name(enum process_phase phase)
{
    return phase_names[phase];
}

bool home_path(char path[PATH_MAX], const char *home, const char *below)
{
    return (size_t)snprintf(path, PATH_MAX, "%s/%s", home, below) < PATH_MAX;
}

static const char *home_wanted(const char *given)
{
    const char *of_environment = getenv("ASSAY_HOME");

    if (given && *given)
        return given;
    return of_environment && *of_environment ? of_environment : "var";
}

/* Makes a directory and those above it; what is there already is fine. */
static bool make_directories(const char *path)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return false;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++)
        if (part[i] == '/' || part[i] == '\0') {
            part[i] = '\0';
            if (mkdir(part, 0755) && errno != EEXIST)
                return false;
            part[i] = path[i];
        }
    return true;
}

enum err home_open(char home[PATH_MAX], const char *given, struct why *why)
{
    static const char *const below[] = { "run", "log" };
    const char *wanted = home_wanted(given);
    char path[PATH_MAX];

    if (!make_directories(wanted) || !realpath(wanted, home))
        return err_set(why, ERR_INVALID, "%s: %s", wanted, strerror(errno));
    for (size_t i = 0; i < ARRAY_LEN(below); i++)
        if (!home_path(path, home, below[i]) || !make_directories(path))
            return err_set(why, ERR_INVALID, "%s/%s: %s", home, below[i], strerror(errno));
    return ERR_OK;
}

bool home_find(char home[PATH_MAX], const char *given)
{
    return realpath(home_wanted(given), home) != NULL;
}

enum err home_lock(const char *home, int *fd, struct why *why)
{
    char path[PATH_MAX];

    *fd = -1;
    if (!home_path(path, home, "run/lock"))
        return err_set(why, ERR_INVALID, "%s is too long", home);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0)
        return err_set(why, ERR_INVALID, "%s: %s", path, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB)) {
        close(*fd);
        *fd = -1;
        return err_set(why, ERR_CONFLICT, "a supervisor runs in %s already", home);
    }
    return ERR_OK;
}

bool home_is_locked(const char *home)
{
    int fd;
    enum err err = home_lock(home, &fd, NULL);

    if (fd >= 0)
        close(fd);
    return err == ERR_CONFLICT;
}

/* ---- the state file ---- */

enum err state_write(const char *home, const struct state *s, struct why *why)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    json_t *processes = json_array(), *root;
    enum err err = ERR_OK;

    for (size_t i = 0; i < s->process_count; i++) {
        const struct process_state *p = &s->processes[i];

        json_array_append_new(
            processes, json_pack("{s:s s:s s:i s:I s:i s:i s:I s:I}", "name", p->name, "phase",
                                 process_phase_name(p->phase), "pid", (int)p->pid, "ticks",
                                 (json_int_t)p->start_ticks, "port", p->port, "admin_port", p->admin_port,
                                 "restarts", (json_int_t)p->restarts, "since_us", (json_int_t)p->since_us));
    }
    root = json_pack("{s:i s:I s:s s:b s:o}", "supervisor", (int)s->supervisor_pid, "supervisor_ticks",
                     (json_int_t)s->supervisor_ticks, "pg_url", s->pg_url, "tls", s->is_tls, "processes",
                     processes);
    if (!root || !home_path(path, home, "run/state.json") || !home_path(fresh, home, "run/state.json.new"))
        err = err_set(why, ERR_INTERNAL, "the state of %s cannot be told", home);
    else if (json_dump_file(root, fresh, JSON_INDENT(1)) || rename(fresh, path))
        err = err_set(why, ERR_INTERNAL, "%s: %s", fresh, strerror(errno));
    json_decref(root);
    return err;
}

static enum process_phase phase_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(phase_names); i++)
        if (strcmp(phase_names[i], name) == 0)
            return (enum process_phase)i;
    return PROCESS_WAITING;
}

static bool read_process(struct process_state *p, json_t *row)
{
    const char *name, *phase;
    json_int_t ticks, restarts, since;
    int pid;

    if (json_unpack(row, "{s:s s:s s:i s:I s:i s:i s:I s:I}", "name", &name, "phase", &phase, "pid", &pid,
                    "ticks", &ticks, "port", &p->port, "admin_port", &p->admin_port, "restarts", &restarts,
                    "since_us", &since) ||
        strlen(name) >= sizeof p->name)
        return false;
    memcpy(p->name, name, strlen(name) + 1);
    p->phase = phase_find(phase);
    p->pid = pid;
    p->start_ticks = (uint64_t)ticks;
    p->restarts = restarts;
    p->since_us = since;
    return true;
}

enum err state_read(const char *home, struct state *s, struct why *why)
{
    char path[PATH_MAX];
    json_t *root, *processes, *row;
    json_int_t ticks;
    const char *pg_url;
    size_t i;
    int pid, is_tls = false;
    enum err err = ERR_OK;

    *s = (struct state){ 0 };
    if (!home_path(path, home, "run/state.json") || access(path, R_OK))
        return err_set(why, ERR_NOT_FOUND, "nothing runs in %s", home);
    root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (!root || json_unpack(root, "{s:i s:I s:s s?b s:o}", "supervisor", &pid, "supervisor_ticks", &ticks,
                             "pg_url", &pg_url, "tls", &is_tls, "processes", &processes)) {
        json_decref(root);
        return err_set(why, ERR_SYNTAX, "%s is damaged", path);
    }
    s->supervisor_pid = pid;
    s->supervisor_ticks = (uint64_t)ticks;
    s->is_tls = is_tls;
    snprintf(s->pg_url, sizeof s->pg_url, "%s", pg_url);
    json_array_foreach(processes, i, row)
    {
        if (i == PROCESSES_MAX || !read_process(&s->processes[s->process_count++], row)) {
            err = err_set(why, ERR_SYNTAX, "%s is damaged", path);
            break;
        }
    }
    json_decref(root);
    return err;
}

void state_remove(const char *home)
{
    char path[PATH_MAX];

    if (home_path(path, home, "run/state.json"))
        unlink(path);
}

const struct process_state *state_find(const struct state *s, const char *name)
{
    for (size_t i = 0; i < s->process_count; i++)
        if (strcmp(s->processes[i].name, name) == 0)
            return &s->processes[i];
    return NULL;
}

/* ---- processes ---- */

uint64_t process_ticks(pid_t pid)
{
    char path[64], text[1024], state = 'Z';
    unsigned long long ticks = 0;
    const char *after;
    size_t len = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = pid > 0 ? fopen(path, "r") : NULL;
    if (!f)
        return 0;
    len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = '\0';
    /* pid (name) state and 18 numbers before the start time; the name may hold anything, ')' too */
    after = strrchr(text, ')');
    if (!after ||
        sscanf(after + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &state, &ticks) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : ticks;
}

bool process_is_alive(pid_t pid, uint64_t ticks)
{
    return pid > 0 && ticks && process_ticks(pid) == ticks;
}
