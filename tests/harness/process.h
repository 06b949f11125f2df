/* SPDX-License-Identifier: Apache-2.0
 * process.h - our programs as tests run them: on ports of their own, ended by their pid. */
#ifndef ASSAY_HARNESS_PROCESS_H
#define ASSAY_HARNESS_PROCESS_H

#include <sys/types.h>

struct process {
    pid_t pid; /* 0: not running */
    int port, admin_port;
    char ready_file[64];
};

/* Starts `program` of the build that the test belongs to with these settings ("ASSAY_X=y", NULL-terminated)
 * beside free ports, and returns when it is ready; it fails the test when that takes over 20 s. What it logs
 * goes to /dev/null unless ASSAY_TEST_VERBOSE is set. */
void process_start(struct process *p, const char *program, const char *const *settings);
/* The same without waiting: for what cannot become ready. Its ports are known once it is. */
void process_launch(struct process *p, const char *program, const char *const *settings);
void process_wait_ready(struct process *p);
/* SIGTERM, and process_wait(). */
int process_stop(struct process *p);
/* Returns the exit status, 128 and the signal for one that was killed. */
int process_wait(struct process *p);
void process_kill(struct process *p);

/* A port that was free a moment ago. */
int free_port(void);

#endif
