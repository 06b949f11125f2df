/* SPDX-License-Identifier: Apache-2.0
 * supervisor.h - keeps the processes of one installation running: starts them, starts again what dies, and
 * ends all of them when told. Nothing more; on a server with systemd or in containers it is not needed.
 *
 * The private PostgreSQL and the steps (migrations) come first, the services when those are up. No service
 * outlives the supervisor: should it be killed, the kernel tells them (PR_SET_PDEATHSIG). */
#ifndef ASSAY_CLI_SUPERVISOR_H
#define ASSAY_CLI_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>

#include "home.h"

enum planned_kind { PLANNED_POSTGRES, PLANNED_STEP, PLANNED_SERVICE };

enum { PLANNED_ARGS_MAX = 6 };

struct planned {
    enum planned_kind kind;
    char name[PROCESS_NAME_BYTES];
    const char *argv[PLANNED_ARGS_MAX]; /* argv[0] is a path; none for PostgreSQL */
    char *const *env;                   /* "NAME=value", NULL at the end, beside the supervisor's own */
    int port, admin_port;
};

/* Started in this order, ended in the reverse. */
struct plan {
    const char *home;
    const char *pg_url; /* for the state file, as is_tls; the services get theirs by env */
    const struct planned *processes;
    size_t count;
    bool is_tls;
};

/* Runs until SIGTERM or SIGINT, then ends everything and returns. SIGHUP is passed on to the services. What
 * it has to say goes to standard error. `lock_fd` is home_lock()'s. */
void supervisor_run(const struct plan *plan);
/* The same in a process of its own, without a terminal, writing to HOME/log/supervisor.log; returns when that
 * process has been made. It keeps `lock_fd` open, and so the lock. */
MUST_USE enum err supervisor_start(const struct plan *plan, int lock_fd, struct why *why);

#endif
