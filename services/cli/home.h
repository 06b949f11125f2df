/* SPDX-License-Identifier: Apache-2.0
 * home.h - the directory that one installation lives in, and what is written there about its processes.
 *
 *   HOME/run/lock        held (flock) as long as the supervisor lives
 *   HOME/run/state.json  what runs, as `assay status` shows it; written by the supervisor only
 *   HOME/log/NAME.log    what each process writes
 *   HOME/pg              the private PostgreSQL cluster, when there is one
 *   HOME/certs           the certificates, when there are some (certs.h) */
#ifndef ASSAY_CLI_HOME_H
#define ASSAY_CLI_HOME_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { PROCESSES_MAX = 32, PROCESS_NAME_BYTES = 32, PG_URL_BYTES = 1024 };

enum process_phase {
    PROCESS_WAITING, /* for what it needs, or for its next attempt */
    PROCESS_RUNNING,
    PROCESS_DONE, /* a step that is run once, and was */
    PROCESS_PHASE_COUNT
};
const char *process_phase_name(enum process_phase phase);

struct process_state {
    char name[PROCESS_NAME_BYTES];
    enum process_phase phase;
    pid_t pid;            /* 0: none now */
    uint64_t start_ticks; /* of that pid, so that another process with its number is not taken for it */
    int port, admin_port; /* 0: none */
    int64_t restarts;
    int64_t since_us; /* when the phase began */
};

struct state {
    pid_t supervisor_pid;
    uint64_t supervisor_ticks;
    char pg_url[PG_URL_BYTES];
    bool is_tls; /* with the certificates in HOME/certs */
    struct process_state processes[PROCESSES_MAX];
    size_t process_count;
};

/* "run/lock" below `home`; false when it does not fit. */
bool home_path(char path[PATH_MAX], const char *home, const char *below);
/* `given`, or ASSAY_HOME, or ./var: made if it is not there, with run/ and log/, as an absolute path.
 *   ERR_INVALID  it cannot be made */
MUST_USE enum err home_open(char home[PATH_MAX], const char *given, struct why *why);
/* The same without making anything; false when there is no such directory. */
bool home_find(char home[PATH_MAX], const char *given);

/* Takes the lock that says "a supervisor lives here"; *fd is the caller's, and children inherit nothing.
 *   ERR_CONFLICT  one does already */
MUST_USE enum err home_lock(const char *home, int *fd, struct why *why);
bool home_is_locked(const char *home);

/* Whole or not at all. */
MUST_USE enum err state_write(const char *home, const struct state *s, struct why *why);
/*   ERR_NOT_FOUND  none was written, or it was removed at the end   ERR_SYNTAX  it cannot be read */
MUST_USE enum err state_read(const char *home, struct state *s, struct why *why);
void state_remove(const char *home);
const struct process_state *state_find(const struct state *s, const char *name);

/* When a process was started, in clock ticks since boot; 0 when there is none (or only its zombie). */
uint64_t process_ticks(pid_t pid);
bool process_is_alive(pid_t pid, uint64_t ticks);

#endif
