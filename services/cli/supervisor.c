/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "log/log.h"
#include "pg/cluster.h"

enum {
    LOOK_MS = 100, /* how often PostgreSQL is looked at */
    PAUSE_FIRST_MS = 100,
    PAUSE_MOST_MS = 5000,
    STEADY_MS = 10000, /* what lived so long starts again at once */
    END_LIMIT_MS = 20000,
};

/* What is known of a process beyond what the state file shows. */
struct child {
    const struct planned *planned;
    struct process_state *state;
    pid_t starter; /* for PostgreSQL: the process that is starting it */
    int64_t started_mono_us, not_before_mono_us, pause_ms;
};

struct supervisor {
    const struct plan *plan;
    struct state state;
    struct child children[PROCESSES_MAX];
    struct cluster *cluster;
    sigset_t signals, before;
};

static void save(struct supervisor *s)
{
    struct why why = { 0 };

    if (state_write(s->plan->home, &s->state, &why))
        log_event(LOG_ERROR, "state_not_written", "why=%s", log_quoted(slice_str(why.text)));
}

static void enter(struct supervisor *s, struct child *c, enum process_phase phase, pid_t pid)
{
    c->state->phase = phase;
    c->state->pid = pid;
    c->state->start_ticks = process_ticks(pid);
    c->state->since_us = clock_wall_us();
    save(s);
}

/* ---- starting ---- */

static void write_to(const char *home, const char *name)
{
    char below[PROCESS_NAME_BYTES + 16], path[PATH_MAX];
    int null = open("/dev/null", O_RDONLY), log = -1;

    snprintf(below, sizeof below, "log/%s.log", name);
    if (home_path(path, home, below))
        log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    dup2(null, STDIN_FILENO);
    if (log >= 0) {
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
    }
}

/* In the child. */
static void become(const struct supervisor *s, const struct planned *p, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before we asked */
        _exit(1);
    sigprocmask(SIG_SETMASK, &s->before, NULL);
    write_to(s->plan->home, p->name);
    for (size_t i = 0; p->env && p->env[i]; i++)
        putenv(p->env[i]);
    execv(p->argv[0], (char *const *)(uintptr_t)p->argv);
    log_event(LOG_ERROR, "cannot_execute", "program=%s why=%s", p->argv[0],
              log_quoted(slice_str(strerror(errno))));
    _exit(127);
}

static void start_cluster(const struct supervisor *s)
{
    struct why why = { 0 };
    enum err err;

    sigprocmask(SIG_SETMASK, &s->before, NULL);
    err = cluster_start(s->cluster, &why);
    if (err)
        log_event(LOG_ERROR, "postgres_not_started", "why=%s", log_quoted(slice_str(why.text)));
    _exit(err ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void start(struct supervisor *s, struct child *c)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        if (c->planned->kind == PLANNED_POSTGRES)
            start_cluster(s);
        become(s, c->planned, parent);
    }
    if (pid < 0) {
        log_event(LOG_ERROR, "cannot_fork", "why=%s", log_quoted(slice_str(strerror(errno))));
        return;
    }
    c->started_mono_us = clock_mono_us();
    log_event(LOG_INFO, "started", "name=%s pid=%d", c->planned->name, (int)pid);
    if (c->planned->kind == PLANNED_POSTGRES)
        c->starter = pid;
    else
        enter(s, c, PROCESS_RUNNING, pid);
}

/* It is to start again, after a pause that grows while it keeps dying young. */
static void schedule(struct supervisor *s, struct child *c)
{
    int64_t now = clock_mono_us();

    if (now - c->started_mono_us > STEADY_MS * MS_US)
        c->pause_ms = 0;
    c->not_before_mono_us = now + c->pause_ms * MS_US;
    c->pause_ms = c->pause_ms == 0 ? PAUSE_FIRST_MS : c->pause_ms * 2;
    if (c->pause_ms > PAUSE_MOST_MS)
        c->pause_ms = PAUSE_MOST_MS;
    c->state->restarts++;
    enter(s, c, PROCESS_WAITING, 0);
}

/* Whether all that must be there before it is: everything of a lower kind. */
static bool may_start(const struct supervisor *s, const struct child *c)
{
    for (size_t i = 0; i < s->plan->count; i++) {
        const struct child *other = &s->children[i];
        enum process_phase wanted = other->planned->kind == PLANNED_STEP ? PROCESS_DONE : PROCESS_RUNNING;

        if (other->planned->kind < c->planned->kind && other->state->phase != wanted)
            return false;
    }
    return c->state->phase == PROCESS_WAITING && !c->starter && clock_mono_us() >= c->not_before_mono_us;
}

/* PostgreSQL has a session of its own and may outlive us; it is looked at instead of waited for. */
static void look_at_cluster(struct supervisor *s, struct child *c)
{
    pid_t pid = cluster_pid(s->cluster);

    if (c->state->phase == PROCESS_RUNNING && pid != c->state->pid) {
        log_event(LOG_WARN, "ended", "name=%s pid=%d", c->planned->name, (int)c->state->pid);
        schedule(s, c);
    }
}

static void reaped(struct supervisor *s, pid_t pid, int status)
{
    for (size_t i = 0; i < s->plan->count; i++) {
        struct child *c = &s->children[i];
        bool is_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;

        if (c->starter == pid) {
            c->starter = 0;
            if (is_well && cluster_pid(s->cluster))
                enter(s, c, PROCESS_RUNNING, cluster_pid(s->cluster));
            else
                schedule(s, c);
            return;
        }
        if (c->state->pid != pid || c->planned->kind == PLANNED_POSTGRES)
            continue;
        if (c->planned->kind == PLANNED_STEP && is_well) {
            enter(s, c, PROCESS_DONE, 0);
            return;
        }
        log_event(LOG_WARN, "ended", "name=%s pid=%d %s=%d", c->planned->name, (int)pid,
                  WIFSIGNALED(status) ? "signal" : "status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        schedule(s, c);
        return;
    }
}

static void reap_all(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        reaped(s, pid, status);
}

/* ---- ending ---- */

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

static bool has_ended(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == pid;
}

static void end(struct supervisor *s, struct child *c)
{
    int64_t until = clock_mono_us() + END_LIMIT_MS * MS_US;
    pid_t pid = c->starter ? c->starter : c->state->pid;
    struct why why = { 0 };

    if (c->starter || (c->planned->kind != PLANNED_POSTGRES && pid)) {
        kill(pid, SIGTERM);
        while (!has_ended(pid)) {
            if (clock_mono_us() > until) {
                log_event(LOG_WARN, "killed", "name=%s pid=%d", c->planned->name, (int)pid);
                kill(pid, SIGKILL);
            }
            pause_ms(5);
        }
    }
    if (c->planned->kind == PLANNED_POSTGRES && cluster_stop(s->cluster, &why))
        log_event(LOG_ERROR, "postgres_not_stopped", "why=%s", log_quoted(slice_str(why.text)));
    enter(s, c, PROCESS_WAITING, 0);
    log_event(LOG_INFO, "stopped", "name=%s", c->planned->name);
}

/* ---- the supervisor ---- */

static void pass_on_reload(const struct supervisor *s)
{
    for (size_t i = 0; i < s->plan->count; i++)
        if (s->children[i].planned->kind == PLANNED_SERVICE && s->children[i].state->pid)
            kill(s->children[i].state->pid, SIGHUP);
}

static void init(struct supervisor *s, const struct plan *plan)
{
    struct why why = { 0 };

    prctl(PR_SET_CHILD_SUBREAPER, 1); /* PostgreSQL's processes come to us when their starter has gone */
    s->plan = plan;
    s->state.supervisor_pid = getpid();
    s->state.supervisor_ticks = process_ticks(getpid());
    s->state.process_count = plan->count;
    s->state.is_tls = plan->is_tls;
    snprintf(s->state.pg_url, sizeof s->state.pg_url, "%s", plan->pg_url);
    for (size_t i = 0; i < plan->count; i++) {
        struct process_state *p = &s->state.processes[i];

        memcpy(p->name, plan->processes[i].name, sizeof p->name);
        p->port = plan->processes[i].port;
        p->admin_port = plan->processes[i].admin_port;
        p->since_us = clock_wall_us();
        s->children[i] = (struct child){ .planned = &plan->processes[i], .state = p };
        if (plan->processes[i].kind == PLANNED_POSTGRES &&
            cluster_open(&s->cluster, plan->home, false, &why)) {
            log_event(LOG_ERROR, "no_postgres", "why=%s", log_quoted(slice_str(why.text)));
            exit(EXIT_FAILURE);
        }
    }
    sigemptyset(&s->signals);
    sigaddset(&s->signals, SIGCHLD);
    sigaddset(&s->signals, SIGTERM);
    sigaddset(&s->signals, SIGINT);
    sigaddset(&s->signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &s->signals, &s->before);
}

void supervisor_run(const struct plan *plan)
{
    const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };
    struct supervisor *s = calloc(1, sizeof *s);
    int sig;

    if (!s)
        abort();
    init(s, plan);
    save(s);
    do {
        for (size_t i = 0; i < plan->count; i++) {
            struct child *c = &s->children[i];

            if (c->planned->kind == PLANNED_POSTGRES)
                look_at_cluster(s, c);
            if (may_start(s, c))
                start(s, c);
        }
        sig = sigtimedwait(&s->signals, NULL, &look);
        if (sig == SIGHUP)
            pass_on_reload(s);
        reap_all(s);
    } while (sig != SIGTERM && sig != SIGINT);
    log_event(LOG_INFO, "stopping", NULL);
    for (size_t i = plan->count; i > 0; i--)
        end(s, &s->children[i - 1]);
    state_remove(plan->home);
    cluster_close(s->cluster);
    free(s);
    log_event(LOG_INFO, "stopped", NULL);
}

enum err supervisor_start(const struct plan *plan, int lock_fd, struct why *why)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        return err_set(why, ERR_UNAVAILABLE, "fork: %s", strerror(errno));
    if (pid > 0) {
        close(lock_fd);
        waitpid(pid, &status, 0);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0
                   ? ERR_OK
                   : err_set(why, ERR_UNAVAILABLE, "the supervisor could not be started");
    }
    setsid();
    pid = fork(); /* so that it can never get a terminal, and is nobody's zombie */
    if (pid)
        _exit(pid < 0);
    log_open("supervisor", LOG_INFO);
    write_to(plan->home, "supervisor");
    /* It stays where it was started, so that relative paths in the settings mean what they meant there. */
    supervisor_run(plan);
    _exit(EXIT_SUCCESS);
}
