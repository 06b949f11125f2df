/* SPDX-License-Identifier: Apache-2.0
 * child.h - other programs as benches run them: ended by their pid, and gone when the bench is gone. Argument
 * lists end with NULL. */
#ifndef ASSAY_BENCH_CHILD_H
#define ASSAY_BENCH_CHILD_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* Starts a program (looked up in PATH and /usr/sbin) in the background, with settings ("ASSAY_X=y", NULL for
 * none) beside the environment; what it prints goes to the file `log`, NULL: nowhere. */
pid_t child_start(const char *const *argv, const char *const *settings, const char *log);
/* SIGTERM, or SIGKILL when `at_once`; returns when it is gone. A pid of 0 is fine. */
void child_end(pid_t child, bool at_once);
bool child_is_running(pid_t child);

/* Runs a program to its end and returns what it printed, to be freed, with its exit status. */
char *child_read(const char *const *argv, int *status);
/* The same for one that prints JSON: NULL when that cannot be read. */
json_t *child_json(const char *const *argv, int *status);

/* CPU microseconds that a process, and with `whole_family` its living children, has had so far. */
double child_cpu_us(pid_t pid, bool whole_family);

/* The same of all children that have ended. */
double children_cpu_us(void);

bool program_exists(const char *name);
/* A port that was free a moment ago. */
int free_port(void);
/* Whether something takes connections there within `ms`. */
bool wait_for_port(int port, int ms);

#endif
