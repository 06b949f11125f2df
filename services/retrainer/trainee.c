/* SPDX-License-Identifier: Apache-2.0 */
#include "trainee.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { END_PATIENCE = 1000, LOOK_MS = 10 }; /* ten seconds */

/* In the child, between fork() and exec(): async-signal-safe calls only. */
static void become(char *const *argv, int nice, pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* of the thread: it leaves in order, as when it is told */
    if (getppid() != parent)          /* it died before we asked */
        _exit(EXIT_FAILURE);
    setpriority(PRIO_PROCESS, 0, nice);
    execv("/proc/self/exe", argv);
    _exit(127);
}

enum err trainee_start(struct trainee *t, int64_t run, int nice, struct why *why)
{
    static char program[] = "retrainer", option[] = "--run";
    char number[24];
    char *const argv[] = { program, option, number, NULL };
    pid_t parent = getpid();

    snprintf(number, sizeof number, "%" PRId64, run);
    *t = (struct trainee){ .run = run };
    t->pid = fork();
    if (t->pid == 0)
        become(argv, nice, parent);
    if (t->pid < 0) {
        t->pid = 0;
        return err_set(why, ERR_INTERNAL, "no process to train in: %s", strerror(errno));
    }
    return ERR_OK;
}

bool trainee_has_ended(struct trainee *t, int *status)
{
    if (!t->pid || waitpid(t->pid, status, WNOHANG) != t->pid)
        return false;
    t->pid = 0;
    return true;
}

void trainee_tell_to_stop(struct trainee *t)
{
    if (t->pid && !t->is_told)
        kill(t->pid, SIGTERM);
    t->is_told = true;
}

void trainee_end(struct trainee *t)
{
    const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };
    int status;

    trainee_tell_to_stop(t);
    for (int i = 0; t->pid && i < END_PATIENCE && !trainee_has_ended(t, &status); i++)
        nanosleep(&look, NULL);
    if (!t->pid)
        return;
    kill(t->pid, SIGKILL);
    waitpid(t->pid, &status, 0);
    t->pid = 0;
}
